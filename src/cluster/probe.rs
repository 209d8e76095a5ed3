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
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::FIELD_MANAGER;
use super::call::Call;
use super::client::Cluster;
use super::error::{Error, Result};
use super::verdict::{Proof, Verdict};

/// The label that a probing ConfigMap carries.
const LABEL: &str = "certtool.dev/probe";
/// The label of our configurations, to find one that a kill left behind.
const MARK: &str = "certtool.dev/probe-configuration";
/// A configuration this old belongs to a process that is gone: no probe takes so long.
const STALE: Duration = Duration::from_secs(180);
/// How long the API server may take to notice a new configuration.
const IN_FORCE: Duration = Duration::from_secs(15);
/// How long the API server waits for an answer to one probe.
const ANSWER_SECONDS: u32 = 5;
const PARALLEL: usize = 16;
/// How often a removal is tried.
const REMOVALS: u32 = 3;

/// Something to be called by the API server.
#[derive(Debug, Clone)]
pub struct ProbeTarget {
    /// The `clientConfig`, exactly as a webhook has it.
    pub client_config: Value,
}

/// How many targets are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// All of them.
    All,
    /// Those up to the first that is proven to be reached: the others may be slow to fail.
    FirstProof,
}

/// Has the API server call the targets, in `namespace`; proofs in the targets' order.
///
/// The configuration is removed also when the future is dropped half-way, by a task that
/// [`Cluster::settled`] waits for.
///
/// # Errors
/// When the probe itself cannot be made: access denied, or the API server does not answer.
pub async fn prove(
    cluster: &Cluster,
    targets: &[ProbeTarget],
    namespace: &str,
    until: Until,
) -> Result<Vec<Proof>> {
    let id = random_id()?;
    let name = format!("certtool-probe-{id}");
    let configuration = configuration(&name, &id, targets);
    let probe = Probe {
        cluster: cluster.clone(),
        id,
        count: targets.len(),
        namespace: namespace.to_owned(),
        until,
    };
    let busy = cluster.busy();
    // A task of its own: a creation that is on its way cannot be called back, and what it
    // made has to be removed.
    let (_held, dropped) = oneshot::channel::<()>();
    let task = tokio::spawn(async move {
        let _busy = busy;
        let created = create(&probe.cluster, &configuration).await;
        let proofs = match &created {
            Ok(created) => probe.run(*created, dropped).await,
            Err(_) => Ok(Vec::new()),
        };
        // An answer that got lost may hide a configuration that was made.
        let removed = match &created {
            Err(error) if !error.is_transient() => Ok(()),
            _ => remove(&probe.cluster, &name).await,
        };
        created
            .and(proofs)
            .and_then(|proofs| removed.and(Ok(proofs)))
    });
    task.await.unwrap_or_else(|error| {
        Err(Error::Other {
            call: Box::new(configurations("create")),
            why: error.to_string(),
        })
    })
}

struct Probe {
    cluster: Cluster,
    id: String,
    count: usize,
    namespace: String,
    until: Until,
}

impl Probe {
    async fn run(
        &self,
        created: Option<OffsetDateTime>,
        dropped: oneshot::Receiver<()>,
    ) -> Result<Vec<Proof>> {
        let asked = async {
            let (proofs, ()) = futures::join!(self.ask_all(), remove_stale(&self.cluster, created));
            proofs
        };
        tokio::select! {
            proofs = asked => proofs,
            // Nobody is there to read it.
            _ = dropped => Ok(Vec::new()),
        }
    }

    async fn ask_all(&self) -> Result<Vec<Proof>> {
        if let Some(stopped) = self.wait_until_in_force().await? {
            return Ok(vec![stopped; self.count]);
        }
        let mut answers = futures::stream::iter(0..self.count)
            .map(|index| async move {
                let label = format!("{}-{index}", self.id);
                let answer = ask(&self.cluster, &label, &self.namespace).await?;
                Ok::<_, Error>(Proof::of(answer, &webhook_name(&self.id, index)))
            })
            .buffered(PARALLEL);
        let mut proofs = Vec::new();
        while let Some(proof) = answers.next().await {
            let proof = proof?;
            let proven = proof.verdict.is_proof();
            proofs.push(proof);
            if proven && self.until == Until::FirstProof {
                break;
            }
        }
        drop(answers);
        // "No objection" proves something only if the configuration has been in force all along.
        if proofs.iter().any(|proof| proof.message.is_empty()) {
            let (answer, _) = self.ask_sentinel().await?;
            if answer != Sentinel::InForce {
                let message = "the probe's configuration was removed in the meantime".to_owned();
                return Ok(vec![
                    Proof {
                        verdict: Verdict::Inconclusive,
                        message
                    };
                    self.count
                ]);
            }
        }
        Ok(proofs)
    }

    /// Returns once the API server knows the configuration, or with what stops every probe.
    async fn wait_until_in_force(&self) -> Result<Option<Proof>> {
        let deadline = Instant::now() + IN_FORCE;
        let mut pause = Duration::from_millis(2);
        loop {
            match self.ask_sentinel().await? {
                (Sentinel::InForce, _) => return Ok(None),
                (Sentinel::Stopped, message) => {
                    return Ok(Some(Proof {
                        verdict: Verdict::Inconclusive,
                        message,
                    }));
                }
                (Sentinel::NotYet, _) if Instant::now() > deadline => {
                    return Err(Error::Other {
                        call: Box::new(create_call(&self.namespace)),
                        why: format!(
                            "the API server did not take note of a new webhook configuration within {} s",
                            IN_FORCE.as_secs()
                        ),
                    });
                }
                (Sentinel::NotYet, _) => tokio::time::sleep(pause).await,
            }
            pause = (pause * 2).min(Duration::from_millis(50));
        }
    }

    async fn ask_sentinel(&self) -> Result<(Sentinel, String)> {
        let label = format!("{}-sentinel", self.id);
        Ok(match ask(&self.cluster, &label, &self.namespace).await? {
            None => (Sentinel::NotYet, String::new()),
            Some(message) if message.contains(&sentinel_name(&self.id)) => {
                (Sentinel::InForce, message)
            }
            // Somebody else's admission stops our ConfigMap before it comes to us.
            Some(message) => (Sentinel::Stopped, message),
        })
    }
}

/// What the sentinel says about the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sentinel {
    InForce,
    NotYet,
    Stopped,
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

/// Returns when it was created, by the API server's clock.
async fn create(cluster: &Cluster, configuration: &Value) -> Result<Option<OffsetDateTime>> {
    let call = configurations("create");
    let params = PostParams {
        dry_run: false,
        field_manager: Some(FIELD_MANAGER.to_owned()),
    };
    let body = configuration.to_string().into_bytes();
    let created: Value = cluster
        .send(&call, Request::new(call.path()).create(&params, body))
        .await?;
    Ok(created_at(&created))
}

/// One that stays matches nobody's requests, and a later probe removes it.
async fn remove(cluster: &Cluster, name: &str) -> Result<()> {
    let call = configurations("delete").on(name);
    let mut attempt = 1;
    loop {
        let request = Request::new(call.path()).delete(name, &DeleteParams::default());
        match cluster.send::<Value>(&call, request).await {
            Ok(_) | Err(Error::NotFound { .. }) => return Ok(()),
            Err(error) if error.is_transient() && attempt < REMOVALS => {
                tokio::time::sleep(Duration::from_millis(200) * attempt).await;
                attempt += 1;
            }
            Err(error) => return Err(error),
        }
    }
}

/// Removes what killed processes left. Failures are no concern of this probe.
async fn remove_stale(cluster: &Cluster, now: Option<OffsetDateTime>) {
    let call = configurations("list");
    let params = ListParams::default().labels(&format!("{MARK}=true"));
    let listed = cluster
        .send::<Value>(&call, Request::new(call.path()).list_metadata(&params))
        .await;
    let (Ok(list), Some(now)) = (listed, now) else {
        return;
    };
    for item in list["items"].as_array().into_iter().flatten() {
        let stale = created_at(item).is_some_and(|created| now - created > STALE);
        if let (true, Some(name)) = (stale, item["metadata"]["name"].as_str()) {
            let _ = remove(cluster, name).await;
        }
    }
}

fn created_at(object: &Value) -> Option<OffsetDateTime> {
    let text = object["metadata"]["creationTimestamp"].as_str()?;
    OffsetDateTime::parse(text, &Rfc3339).ok()
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

fn random_id() -> Result<String> {
    let serial = crate::random_serial().map_err(|_| Error::Other {
        call: Box::new(configurations("create")),
        why: "no randomness from the kernel".to_owned(),
    })?;
    let mut id = serial.to_string().split_off(28);
    id.truncate(12);
    Ok(id)
}

#[cfg(test)]
mod tests {
    use super::*;

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
