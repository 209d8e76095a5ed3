//! Tests of the language as a whole. Each file has its own subject:
//! * `rules`: every field of the language, with a request that it allows and one that
//!   tries to get past it;
//! * `escapes`: forged requests against the shipped policy;
//! * `random`: names put together at random, against an independent definition;
//! * `file`: what is refused in a policy file;
//! * `documentation`: the schema and the reference's examples.

mod documentation;
mod escapes;
mod file;
mod forge;
mod random;
mod rules;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::LazyLock;

use forge::Forged;

use super::*;
use crate::pki::{Csr, DistinguishedName, KeyAlgorithm, PrivateKey, San, create_csr};

pub(super) fn dns(names: &[&str]) -> Vec<San> {
    names
        .iter()
        .map(|name| San::Dns((*name).to_owned()))
        .collect()
}

/// A well signed request, whatever it asks for: `create_csr` would refuse most of it.
pub(super) fn csr(subject: &DistinguishedName, names: &[San]) -> Csr {
    let names: Vec<(u8, Vec<u8>)> = names
        .iter()
        .map(|name| match name {
            San::Dns(name) => (0x82, name.clone().into_bytes()),
            San::Uri(uri) => (0x86, uri.clone().into_bytes()),
            San::Email(email) => (0x81, email.clone().into_bytes()),
            San::Ip(IpAddr::V4(v4)) => (0x87, v4.octets().to_vec()),
            San::Ip(IpAddr::V6(v6)) => (0x87, v6.octets().to_vec()),
            San::Other(kind) => panic!("no encoding of {kind}"),
        })
        .collect();
    let names: Vec<(u8, &[u8])> = names.iter().map(|(tag, name)| (*tag, &name[..])).collect();
    let forged = match names.as_slice() {
        [] => Forged::with(&[]),
        names => Forged::names(names),
    };
    let forged = Forged {
        subject: subject.as_der().to_vec(),
        ..forged
    };
    forged.build().unwrap()
}

pub(super) fn signed_by(key: &PrivateKey, subject: &DistinguishedName, names: &[San]) -> Csr {
    let pem = create_csr(subject, names, key).unwrap();
    Csr::from_pem(pem.as_bytes()).unwrap()
}

/// The names of Service `hook.team-a`.
pub(super) const HOOK: [&str; 3] = [
    "hook.team-a",
    "hook.team-a.svc",
    "hook.team-a.svc.cluster.local",
];

pub(super) fn good_csr() -> Csr {
    static GOOD: LazyLock<Csr> = LazyLock::new(|| {
        csr(
            &DistinguishedName::common_name_only("hook.team-a.svc"),
            &dns(&HOOK),
        )
    });
    GOOD.clone()
}

/// A request that the shipped policy approves: pod `hook-0` of service account
/// `team-a/hook` for Service `hook.team-a`.
pub(crate) fn request() -> Request {
    Request {
        signer_name: "certtool.dev/webhook-serving".to_owned(),
        username: "system:serviceaccount:team-a:hook".to_owned(),
        uid: "account-uid".to_owned(),
        groups: strings(&[
            "system:serviceaccounts",
            "system:serviceaccounts:team-a",
            "system:authenticated",
        ]),
        extra: BTreeMap::from([
            (
                "authentication.kubernetes.io/pod-name".to_owned(),
                strings(&["hook-0"]),
            ),
            (
                "authentication.kubernetes.io/pod-uid".to_owned(),
                strings(&["pod-uid-1"]),
            ),
        ]),
        usages: strings(&["digital signature", "key encipherment", "server auth"]),
        expiration_seconds: Some(86_400),
        csr: Ok(good_csr()),
    }
}

/// The same for these names, without a common name.
pub(super) fn naming(names: &[&str]) -> Request {
    asking(csr(&DistinguishedName::empty(), &dns(names)))
}

pub(super) fn asking(csr: Csr) -> Request {
    Request {
        csr: Ok(csr),
        ..request()
    }
}

/// The same by another service account, whose token is bound to pod `hook-0` there.
pub(super) fn by_account(mut request: Request, namespace: &str, name: &str) -> Request {
    request.username = format!("system:serviceaccount:{namespace}:{name}");
    request.groups = vec![
        "system:serviceaccounts".to_owned(),
        format!("system:serviceaccounts:{namespace}"),
        "system:authenticated".to_owned(),
    ];
    request
}

/// The same by a user who is no service account.
pub(super) fn by_user(mut request: Request, username: &str, groups: &[&str]) -> Request {
    request.username = username.to_owned();
    request.groups = strings(groups);
    request.extra.clear();
    request
}

pub(super) fn strings(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect()
}

/// A cluster: in every namespace a pod `hook-0` that Services `hook` and `x-webhook`
/// select; Services `other` (selects another pod), `manual` and `kubernetes` (no
/// selector) and `outside` (ExternalName), no others; RBAC allows every signer but
/// `no.…`.
pub(super) fn look_up(questions: &[Question]) -> Facts {
    let mut facts = Facts::default();
    for question in questions {
        match question {
            Question::Service(name) => {
                let selector: &[(&str, &str)] = match name.name.as_str() {
                    "hook" | "x-webhook" | "outside" => &[("app", "hook")],
                    "other" => &[("app", "other")],
                    "manual" | "kubernetes" => &[],
                    _ => {
                        facts.set_service(name.clone(), None);
                        continue;
                    }
                };
                let service = Service {
                    selector: map(selector),
                    external: name.name == "outside",
                };
                facts.set_service(name.clone(), Some(service));
            }
            Question::Pod { namespace, name } => {
                let pod = Pod {
                    uid: "pod-uid-1".to_owned(),
                    labels: map(&[("app", "hook"), ("tier", "web")]),
                    service_account: "hook".to_owned(),
                };
                facts.set_pod(namespace, name, (name == "hook-0").then_some(pod));
            }
            Question::SignerAccess { signer_name } => {
                facts.set_signer_access(signer_name, !signer_name.starts_with("no."));
            }
        }
    }
    facts
}

/// Asks, looks up, decides: what the shell does.
pub(super) fn settle(request: &Request, policy: &Policy) -> Decision {
    decide(request, policy, &look_up(&needed_facts(request, policy)))
}

pub(super) fn shipped() -> Policy {
    Policy::from_yaml(DEFAULT_POLICY).unwrap()
}

/// The terms, or a panic that says why not.
pub(super) fn terms(request: &Request, policy: &Policy) -> Terms {
    match settle(request, policy) {
        Decision::Approve { terms, .. } => *terms,
        other => panic!("not approved: {other:?}"),
    }
}

/// The reason of a denial, or a panic.
pub(super) fn refusal(request: &Request, policy: &Policy) -> Refusal {
    match settle(request, policy) {
        Decision::Deny { reason, .. } => reason,
        other => panic!("not denied: {other:?}"),
    }
}
