//! Proof that the API server reaches every webhook over TLS that it trusts.

use serde_json::Value;

use super::Job;
use super::objects::read_again;
use super::report::Ledger;
use super::waiting::NotYet;
use crate::cluster::{Cluster, ProbeTarget, Until, Verdict, prove};
use crate::injectable::{CaBundle, ClientConfig, Kind, ObjectId, client_configs};
use crate::pki::TrustBundle;

/// A client config as it is in the cluster, and all that have the same one.
struct Asked {
    /// `KIND/NAME WEBHOOK`, each.
    names: Vec<String>,
    client_config: Value,
}

impl Job<'_> {
    /// Has the API server call every webhook, as its object is now.
    pub(super) async fn prove(
        &self,
        cluster: &Cluster,
        ids: &[ObjectId],
        anchors: &TrustBundle,
        ledger: &mut Ledger,
    ) -> anyhow::Result<()> {
        let objects = read_again(cluster, ids).await?;
        let mut asked: Vec<Asked> = Vec::new();
        let mut aggregated: Vec<(ObjectId, &Value)> = Vec::new();
        for object in &objects {
            let Some(id) = ObjectId::of(object) else {
                continue;
            };
            for config in client_configs(object)?
                .iter()
                .filter(|config| self.choice.calls(config))
            {
                check_bundle(&id, config, anchors)?;
                if id.kind == Kind::ApiService {
                    aggregated.push((id.clone(), object));
                    continue;
                }
                let name = match &config.webhook {
                    Some(webhook) => format!("{id} {webhook}"),
                    None => id.to_string(),
                };
                let client_config = object.pointer(&config.pointer).cloned().unwrap_or_default();
                match asked
                    .iter_mut()
                    .find(|asked| asked.client_config == client_config)
                {
                    Some(same) => same.names.push(name),
                    None => asked.push(Asked {
                        names: vec![name],
                        client_config,
                    }),
                }
            }
        }
        let mut failures = self.ask_webhooks(cluster, &asked).await?;
        for (id, object) in &aggregated {
            if let Some(said) = cluster.ask_aggregated(object).await? {
                failures.push((id.to_string(), said.clone(), said));
            }
        }
        if failures.is_empty() {
            if asked.is_empty() && aggregated.is_empty() {
                return Err(NotYet::new("nothing calls the Service any more").into());
            }
            let count = asked.iter().map(|asked| asked.names.len()).sum::<usize>();
            ledger.proven(count + aggregated.len());
            return Ok(());
        }
        Err(self.not_yet(&failures).into())
    }

    /// Name, cause and the API server's whole message of each that is not reached.
    async fn ask_webhooks(
        &self,
        cluster: &Cluster,
        asked: &[Asked],
    ) -> anyhow::Result<Vec<(String, String, String)>> {
        if asked.is_empty() {
            return Ok(Vec::new());
        }
        let targets: Vec<_> = asked
            .iter()
            .map(|asked| ProbeTarget {
                client_config: asked.client_config.clone(),
            })
            .collect();
        let proofs = prove(cluster, &targets, &self.probe_namespace, Until::All).await?;
        let mut failures = Vec::new();
        for (asked, proof) in asked.iter().zip(&proofs) {
            let names = asked.names.join(", ");
            let cause = proof.cause().to_owned();
            match proof.verdict {
                Verdict::Answered | Verdict::AnsweredOtherwise => {
                    let said = if cause.is_empty() { "allowed" } else { &cause };
                    self.printer.detail(&format!("{names} is reached: {said}"));
                }
                Verdict::Inconclusive => failures.push((
                    names,
                    cause,
                    format!(
                        "the probe, a ConfigMap in namespace {} that is never stored, was stopped on its way; choose another namespace with --namespace: {}",
                        self.probe_namespace, proof.message
                    ),
                )),
                _ => failures.push((names, cause, proof.message.clone())),
            }
        }
        Ok(failures)
    }

    fn not_yet(&self, failures: &[(String, String, String)]) -> NotYet {
        let mut brief = Vec::new();
        let mut full = Vec::new();
        let mut hints: Vec<String> = Vec::new();
        for (name, cause, message) in failures {
            brief.push(format!("{name} is not reached: {cause}"));
            full.push(format!(
                "{name} is not reached; the API server says: {message}"
            ));
            if let Some(hint) = self.hint(cause)
                && !hints.contains(&hint)
            {
                hints.push(hint);
            }
        }
        full.extend(hints.into_iter().map(|hint| format!("hint: {hint}")));
        NotYet {
            brief: brief.join("; "),
            full: full.join("\n"),
        }
    }

    /// What to look at, by the words of the API server.
    fn hint(&self, cause: &str) -> Option<String> {
        let services: Vec<_> = self.services.iter().map(ToString::to_string).collect();
        let service = services.join(", ");
        let place = match (&self.secret, &self.args.cert_dir) {
            (Some(secret), _) => format!("Secret {secret}"),
            (None, Some(dir)) => dir.display().to_string(),
            (None, None) => "the Secret".to_owned(),
        };
        let has = |words: &str| cause.contains(words);
        Some(if has("could not find the requested resource") {
            "the server is reached and trusted, but does not serve this path: is the webhook registered in it?".to_owned()
        } else if has("signed by unknown authority")
            || has("certificate is valid for")
            || has("not valid for any names")
        {
            format!(
                "the server does not serve the pair of {place} (yet): is that what it mounts? A mounted Secret follows within two minutes, and the server has to load it again"
            )
        } else if has("has expired or is not yet valid") {
            format!(
                "the server serves a certificate that is not in date, not the one of {place}: restart it; or a clock is wrong"
            )
        } else if has("x509:") || has("tls:") || has("certificate") {
            format!("compare what the server serves with {place}")
        } else if has("not found") {
            format!("create Service {service}, or correct the object that names it")
        } else if has("no endpoints available") || has("MissingEndpoints") {
            format!(
                "no pod behind Service {service} is ready: `kubectl get pods,endpointslices -n {}`",
                self.services.first()?.namespace
            )
        } else if has("connection refused") {
            format!(
                "nothing listens behind Service {service}: does its targetPort match the webhook server's port (9443 with controller-runtime)?"
            )
        } else if has("deadline exceeded") || has("timeout") || has("no route to host") {
            format!(
                "the API server's packets do not arrive at Service {service}: a firewall, a NetworkPolicy, or a pod that hangs"
            )
        } else {
            return None;
        })
    }
}

/// Somebody else may have written the caBundle since.
fn check_bundle(id: &ObjectId, config: &ClientConfig, anchors: &TrustBundle) -> Result<(), NotYet> {
    let holds = match &config.ca_bundle {
        CaBundle::Pem(pem) => TrustBundle::usable(pem).0.contains_all(anchors),
        _ => false,
    };
    if holds {
        return Ok(());
    }
    Err(NotYet::new(format!(
        "{id}: somebody else took the CA out of its caBundle (`kubectl get --show-managed-fields` says who)"
    )))
}
