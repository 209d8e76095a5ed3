//! Which pod this is: from the downward API, from the service account's token, or by its name.

use std::env;
use std::fs;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use crate::sidecar::PodName;

/// Where every pod has it (`serviceaccount/admission.go`).
const TOKEN: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";

/// The pod, if this is one.
pub(super) fn pod() -> Option<PodName> {
    let given = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
    let claims = fs::read_to_string(TOKEN)
        .ok()
        .and_then(|token| claims(&token));
    let (name, namespace, uid) = (given("POD_NAME"), given("POD_NAMESPACE"), given("POD_UID"));
    match claims {
        Some(pod) => Some(PodName {
            name: name.unwrap_or(pod.name),
            namespace: namespace.unwrap_or(pod.namespace),
            uid: uid.unwrap_or(pod.uid),
        }),
        None => Some(PodName {
            name: name?,
            namespace: namespace?,
            uid: uid.unwrap_or_default(),
        }),
    }
}

/// What replicas are told apart by: the pod's name, which is its host name too.
pub(super) fn replica(pod: Option<&PodName>) -> String {
    let host = || gethostname::gethostname().to_string_lossy().into_owned();
    let name = pod.map_or_else(host, |pod| pod.name.clone());
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.');
    let name: String = name.to_lowercase().chars().filter(|c| plain(*c)).collect();
    if name.is_empty() {
        "certtool".to_owned()
    } else {
        name
    }
}

/// The pod that a bound service-account token says it is for (`pkg/serviceaccount/claims.go`).
/// It is our own token: whoever could forge it could set the variables, too.
fn claims(token: &str) -> Option<PodName> {
    let payload = token.trim().split('.').nth(1)?;
    let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()?;
    let claim = |pointer: &str| Some(claims.pointer(pointer)?.as_str()?.to_owned());
    Some(PodName {
        name: claim("/kubernetes.io/pod/name")?,
        namespace: claim("/kubernetes.io/namespace")?,
        uid: claim("/kubernetes.io/pod/uid")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_token_names_its_pod() {
        let payload =
            r#"{"kubernetes.io":{"namespace":"shop","pod":{"name":"hook-0","uid":"u-1"}}}"#;
        let token = format!("e30.{}.c2ln\n", URL_SAFE_NO_PAD.encode(payload));
        let pod = claims(&token).unwrap();
        assert_eq!(
            (pod.namespace, pod.name, pod.uid),
            ("shop".into(), "hook-0".into(), "u-1".into())
        );
        for token in ["", "a.b.c", "e30.e30.e30"] {
            assert_eq!(claims(token), None, "{token:?}");
        }
    }
}
