//! Proof that the API server reaches a webhook: a request that the API server itself
//! sends, and its own words when it cannot.
//!
//! A ValidatingWebhookConfiguration of our own, with one webhook per target, matches
//! ConfigMaps that carry a random label and nothing else; a server-side dry-run create
//! of such a ConfigMap makes the API server call the target. Nobody else's request is
//! touched, nothing is stored, and the configuration is removed in any case.
//!
//! An API server learns of a new configuration a moment after it is stored, and until
//! then lets the request pass: that would be a false proof. So a sentinel webhook in the
//! same configuration, whose Service does not exist, is asked for first; once the API
//! server complains about it, the configuration is in force as a whole.

use std::time::Duration;

use futures::StreamExt;
use kube::api::{DeleteParams, ListParams, PostParams};
use kube::core::Request;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::FIELD_MANAGER;
use super::call::Call;
use super::client::Cluster;
use super::error::{Error, Result};

/// The label that a probing ConfigMap carries.
const LABEL: &str = "certtool.dev/probe";
/// The label of our configurations, to find one that a kill left behind.
const MARK: &str = "certtool.dev/probe-configuration";
/// A configuration this old belongs to a process that is gone.
const STALE: Duration = Duration::from_secs(600);
/// How long the API server may take to notice a new configuration.
const IN_FORCE: Duration = Duration::from_secs(15);
/// How long the API server waits for an answer to one probe.
const ANSWER_SECONDS: u32 = 5;
const PARALLEL: usize = 16;

/// Something to be called by the API server.
#[derive(Debug, Clone)]
pub struct ProbeTarget {
    /// The `clientConfig`, exactly as a webhook has it.
    pub client_config: Value,
}

/// What a probe showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    /// The verdict.
    pub verdict: Verdict,
    /// The API server's own words, empty when it had nothing to object.
    pub message: String,
}

/// Whether the API server's request arrived over TLS that it trusts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The webhook answered an admission review: allowed or denied.
    Answered,
    /// Something answered over trusted TLS, but not with an admission review: a
    /// conversion webhook, which expects another request, or a path that is not served.
    AnsweredOtherwise,
    /// Nothing answered at the path: HTTP 404.
    PathNotServed,
    /// Nothing listens there.
    NotListening,
    /// No TLS connection that the API server trusts.
    NotTrusted,
    /// No connection at all, or no answer in time.
    Unreachable,
    /// The request was stopped before it came to the webhook.
    Inconclusive,
}

impl Verdict {
    /// Whether trusted TLS from the API server to the webhook is proven.
    #[must_use]
    pub fn is_proof(self) -> bool {
        matches!(
            self,
            Self::Answered | Self::AnsweredOtherwise | Self::PathNotServed
        )
    }
}

/// Has the API server call every target, in `namespace`; proofs in the targets' order.
///
/// # Errors
/// When the probe itself cannot be made: access denied, or the API server does not answer.
pub async fn prove(
    cluster: &Cluster,
    targets: &[ProbeTarget],
    namespace: &str,
) -> Result<Vec<Proof>> {
    let id = random_id(cluster)?;
    let configuration = format!("certtool-probe-{id}");
    remove_stale(cluster).await;
    create(cluster, &configuration, &id, targets).await?;
    let removal = Removal {
        cluster: cluster.clone(),
        name: Some(configuration),
    };
    let outcome = ask_all(cluster, &id, targets.len(), namespace).await;
    removal.now().await;
    outcome
}

/// Removes the configuration: at once when all goes well, and in a task of its own when
/// the probe is dropped half-way, as on Ctrl-C.
struct Removal {
    cluster: Cluster,
    name: Option<String>,
}

impl Removal {
    async fn now(mut self) {
        if let Some(name) = self.name.take() {
            // What cannot be removed now matches nobody's requests, and the next probe
            // removes it.
            let _ = remove(&self.cluster, &name).await;
        }
    }
}

impl Drop for Removal {
    fn drop(&mut self) {
        if let (Some(name), Ok(runtime)) = (self.name.take(), tokio::runtime::Handle::try_current())
        {
            let cluster = self.cluster.clone();
            runtime.spawn(async move {
                let _ = remove(&cluster, &name).await;
            });
        }
    }
}

async fn ask_all(cluster: &Cluster, id: &str, count: usize, namespace: &str) -> Result<Vec<Proof>> {
    wait_until_in_force(cluster, id, namespace).await?;
    futures::stream::iter(0..count)
        .map(|index| async move {
            let label = format!("{id}-{index}");
            let answer = ask(cluster, &label, namespace).await?;
            Ok(answer.map_or(
                Proof {
                    verdict: Verdict::Answered,
                    message: String::new(),
                },
                |message| Proof {
                    verdict: classify(&message, &webhook_name(id, index)),
                    message,
                },
            ))
        })
        .buffered(PARALLEL)
        .collect::<Vec<_>>()
        .await
        .into_iter()
        .collect()
}

async fn wait_until_in_force(cluster: &Cluster, id: &str, namespace: &str) -> Result<()> {
    let sentinel = sentinel_name(id);
    let deadline = Instant::now() + IN_FORCE;
    let mut pause = Duration::from_millis(5);
    loop {
        let answer = ask(cluster, &format!("{id}-sentinel"), namespace).await?;
        match answer {
            Some(message) if message.contains(&sentinel) => return Ok(()),
            // Somebody else's admission stops our ConfigMap before it comes to us.
            Some(message) => {
                return Err(Error::Other {
                    call: Box::new(create_call(namespace)),
                    why: message,
                });
            }
            None if Instant::now() > deadline => {
                return Err(Error::Other {
                    call: Box::new(create_call(namespace)),
                    why: format!(
                        "the API server did not take note of a new webhook configuration within {} s",
                        IN_FORCE.as_secs()
                    ),
                });
            }
            None => tokio::time::sleep(pause).await,
        }
        pause = (pause * 2).min(Duration::from_millis(100));
    }
}

/// Creates nothing: a dry run. `Some` with the API server's objection.
async fn ask(cluster: &Cluster, label: &str, namespace: &str) -> Result<Option<String>> {
    let call = create_call(namespace);
    let object = json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": { "name": format!("certtool-probe-{label}"), "labels": { LABEL: label } },
    });
    let params = PostParams {
        dry_run: true,
        field_manager: Some(FIELD_MANAGER.to_owned()),
    };
    let body = object.to_string().into_bytes();
    match cluster
        .send::<Value>(&call, Request::new(call.path()).create(&params, body))
        .await
    {
        Ok(_) => Ok(None),
        Err(Error::Api { message, .. } | Error::Conflict { message, .. }) => Ok(Some(message)),
        Err(error) => Err(error),
    }
}

fn create_call(namespace: &str) -> Call {
    Call::cluster_scoped("create", "", "v1", "configmaps").within(namespace)
}

fn configurations(verb: &'static str) -> Call {
    Call::cluster_scoped(
        verb,
        "admissionregistration.k8s.io",
        "v1",
        "validatingwebhookconfigurations",
    )
}

async fn create(cluster: &Cluster, name: &str, id: &str, targets: &[ProbeTarget]) -> Result<()> {
    let call = configurations("create");
    let body = configuration(name, id, targets).to_string().into_bytes();
    let params = PostParams {
        dry_run: false,
        field_manager: Some(FIELD_MANAGER.to_owned()),
    };
    cluster
        .send::<Value>(&call, Request::new(call.path()).create(&params, body))
        .await
        .map(drop)
}

async fn remove(cluster: &Cluster, name: &str) -> Result<()> {
    let call = configurations("delete").on(name);
    let request = Request::new(call.path()).delete(name, &DeleteParams::default());
    cluster.send::<Value>(&call, request).await.map(drop)
}

/// Removes what killed processes left. Failures are no concern of this probe.
async fn remove_stale(cluster: &Cluster) {
    let call = configurations("list");
    let params = ListParams::default().labels(&format!("{MARK}=true"));
    let Ok(list) = cluster
        .send::<Value>(&call, Request::new(call.path()).list_metadata(&params))
        .await
    else {
        return;
    };
    let now = time::OffsetDateTime::now_utc();
    for item in list["items"].as_array().into_iter().flatten() {
        let created = item["metadata"]["creationTimestamp"]
            .as_str()
            .and_then(|text| {
                time::OffsetDateTime::parse(text, &time::format_description::well_known::Rfc3339)
                    .ok()
            });
        let stale = created.is_some_and(|created| now - created > STALE);
        if let (true, Some(name)) = (stale, item["metadata"]["name"].as_str()) {
            let _ = remove(cluster, name).await;
        }
    }
}

fn configuration(name: &str, id: &str, targets: &[ProbeTarget]) -> Value {
    let webhook = |webhook: String, label: String, client_config: &Value| {
        json!({
            "name": webhook,
            "admissionReviewVersions": ["v1", "v1beta1"],
            "clientConfig": client_config,
            "failurePolicy": "Fail",
            "matchPolicy": "Exact",
            "objectSelector": { "matchLabels": { LABEL: label } },
            "rules": [{
                "apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"],
                "resources": ["configmaps"], "scope": "Namespaced",
            }],
            "sideEffects": "None",
            "timeoutSeconds": ANSWER_SECONDS,
        })
    };
    // A Service that does not exist fails inside the API server, without a connection.
    let nowhere = json!({ "service": { "namespace": "default", "name": format!("certtool-probe-{id}"), "path": "/" } });
    let mut webhooks = vec![webhook(
        sentinel_name(id),
        format!("{id}-sentinel"),
        &nowhere,
    )];
    webhooks.extend(targets.iter().enumerate().map(|(index, target)| {
        webhook(
            webhook_name(id, index),
            format!("{id}-{index}"),
            &target.client_config,
        )
    }));
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": { "name": name, "labels": { MARK: "true" } },
        "webhooks": webhooks,
    })
}

fn sentinel_name(id: &str) -> String {
    format!("sentinel-{id}.probe.certtool.dev")
}

fn webhook_name(id: &str, index: usize) -> String {
    format!("target-{index}-{id}.probe.certtool.dev")
}

fn random_id(cluster: &Cluster) -> Result<String> {
    let serial = crate::random_serial().map_err(|_| Error::Other {
        call: Box::new(configurations("create")),
        why: format!("no randomness from the kernel to probe {cluster:?} with"),
    })?;
    let mut id = serial.to_string().split_off(28);
    id.truncate(12);
    Ok(id)
}

/// Reads the API server's objection (`staging/src/k8s.io/apiserver/pkg/admission/plugin/webhook/errors`
/// and `…/validating/dispatcher.go`): a request that failed on its way is quoted as Go's
/// `Post "URL": CAUSE`, everything else came back from the server that was called.
fn classify(message: &str, webhook: &str) -> Verdict {
    if !message.contains(webhook) {
        return Verdict::Inconclusive;
    }
    if message.contains("denied the request") {
        return Verdict::Answered;
    }
    let on_its_way = message.contains("Post \"") || message.contains("could not get REST client");
    if !on_its_way {
        return if message.contains("could not find the requested resource") {
            Verdict::PathNotServed
        } else if message.contains("service \"") && message.contains("not found") {
            Verdict::NotListening
        } else if message.contains("no endpoints available") {
            Verdict::NotListening
        } else {
            Verdict::AnsweredOtherwise
        };
    }
    let has = |words: &[&str]| words.iter().any(|word| message.contains(word));
    if has(&[
        "x509:",
        "tls:",
        "unable to load root certificates",
        "certificate",
        "server gave HTTP response",
    ]) {
        Verdict::NotTrusted
    } else if has(&["connection refused"]) {
        Verdict::NotListening
    } else {
        Verdict::Unreachable
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &str = "target-0-abc.probe.certtool.dev";

    fn verdict(rest: &str) -> Verdict {
        classify(
            &format!(
                "Internal error occurred: failed calling webhook \"{NAME}\": failed to call webhook: {rest}"
            ),
            NAME,
        )
    }

    #[test]
    fn the_api_servers_own_words_are_told_apart() {
        let post = "Post \"https://127.0.0.1:9443/validate?timeout=5s\": ";
        assert_eq!(
            verdict(&format!(
                "{post}dial tcp 127.0.0.1:9443: connect: connection refused"
            )),
            Verdict::NotListening
        );
        assert_eq!(
            verdict(&format!(
                "{post}tls: failed to verify certificate: x509: certificate signed by unknown authority"
            )),
            Verdict::NotTrusted
        );
        assert_eq!(
            verdict(&format!(
                "{post}http: server gave HTTP response to HTTPS client"
            )),
            Verdict::NotTrusted
        );
        assert_eq!(
            verdict(&format!("{post}context deadline exceeded")),
            Verdict::Unreachable
        );
        assert_eq!(
            verdict(&format!(
                "{post}dial tcp: lookup host.docker.internal: no such host"
            )),
            Verdict::Unreachable
        );
        assert_eq!(
            verdict("the server could not find the requested resource"),
            Verdict::PathNotServed
        );
        assert_eq!(
            verdict(
                "expected webhook response of admission.k8s.io/v1, Kind=AdmissionReview, got /, Kind="
            ),
            Verdict::AnsweredOtherwise
        );
        assert_eq!(
            verdict("the server rejected our request for an unknown reason"),
            Verdict::AnsweredOtherwise
        );
        assert_eq!(
            classify(
                &format!("admission webhook \"{NAME}\" denied the request: no"),
                NAME
            ),
            Verdict::Answered
        );
        assert_eq!(
            classify("admission webhook \"other\" denied the request: no", NAME),
            Verdict::Inconclusive
        );
    }

    #[test]
    fn a_probe_matches_nothing_but_its_own_label() {
        let target = ProbeTarget {
            client_config: json!({ "url": "https://127.0.0.1:9443/x" }),
        };
        let object = configuration("certtool-probe-abc", "abc", &[target]);
        let webhooks = object["webhooks"].as_array().unwrap();
        assert_eq!(webhooks.len(), 2);
        for webhook in webhooks {
            let labels = webhook["objectSelector"]["matchLabels"]
                .as_object()
                .unwrap();
            assert!(labels[LABEL].as_str().unwrap().starts_with("abc-"));
            assert_eq!(webhook["sideEffects"], "None");
        }
    }
}
