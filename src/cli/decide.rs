//! `certtool approve` and `certtool deny`.

use std::fmt::Write;
use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::Args;
use serde::Serialize;
use time::{Duration, OffsetDateTime};

use super::dry_run::{DryRunArgs, suffix};
use super::kubernetes::KubernetesArgs;
use super::report::plain;
use super::{ExitStatus, Format, Printer, Refused, UsageError, duration, instant};
use crate::cluster::{Cluster, Mode};
use crate::pki::San;
use crate::request::{Decision, RequestObject, State, with_decision};

/// Which requests.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct RequestSelection {
    /// Requests by name
    #[arg(value_name = "NAME")]
    pub(super) names: Vec<String>,
    /// Requests with these labels
    #[arg(short = 'l', long, value_name = "SELECTOR", conflicts_with = "names")]
    pub(super) selector: Option<String>,
    /// Only requests for this signer
    #[arg(long, value_name = "SIGNER")]
    pub(super) signer: Option<String>,
}

/// Requests that wait for a decision.
#[derive(Debug, Clone, Args)]
struct Undecided {
    #[command(flatten)]
    selection: RequestSelection,
    /// All requests that wait, of --signer
    #[arg(long, requires = "signer", conflicts_with = "names")]
    all_pending: bool,
}

/// Approve certificate signing requests
///
/// Shows what is approved. A request whose signature does not verify is never approved;
/// with --policy, neither is one that the policy would refuse (exit code 4). By label or
/// signer, only requests that wait for a decision are looked at.
#[derive(Debug, Args)]
pub(super) struct Approve {
    #[command(flatten)]
    undecided: Undecided,
    /// A policy that every request must pass
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    #[command(flatten)]
    words: Words,
}

/// Deny certificate signing requests
///
/// By label or signer, only requests that wait for a decision are looked at.
#[derive(Debug, Args)]
pub(super) struct Deny {
    #[command(flatten)]
    undecided: Undecided,
    #[command(flatten)]
    words: Words,
}

#[derive(Debug, Clone, Args)]
struct Words {
    /// The condition's reason, one word
    #[arg(long, value_name = "REASON")]
    reason: Option<String>,
    /// The condition's message
    #[arg(long, value_name = "MESSAGE")]
    message: Option<String>,
    #[command(flatten)]
    dry_run: DryRunArgs,
}

pub(super) fn approve(
    args: &Approve,
    kubernetes: &KubernetesArgs,
    printer: &Printer,
) -> anyhow::Result<ExitStatus> {
    let policy = args
        .policy
        .as_deref()
        .map(super::policy::load)
        .transpose()?;
    run(
        Decision::Approve,
        &args.undecided,
        policy.as_ref(),
        &args.words,
        kubernetes,
        printer,
    )
}

pub(super) fn deny(
    args: &Deny,
    kubernetes: &KubernetesArgs,
    printer: &Printer,
) -> anyhow::Result<ExitStatus> {
    run(
        Decision::Deny,
        &args.undecided,
        None,
        &args.words,
        kubernetes,
        printer,
    )
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Decided {
    name: String,
    result: String,
    signer_name: String,
    username: String,
    subject: String,
    names: Vec<String>,
    usages: Vec<String>,
    expiration_seconds: Option<i64>,
}

fn run(
    decision: Decision,
    undecided: &Undecided,
    policy: Option<&crate::policy::Policy>,
    words: &Words,
    kubernetes: &KubernetesArgs,
    printer: &Printer,
) -> anyhow::Result<ExitStatus> {
    let selection = &undecided.selection;
    if selection.is_empty() && !undecided.all_pending {
        return Err(UsageError(
            "which requests? Give their NAMEs, -l SELECTOR, or --all-pending --signer SIGNER"
                .to_owned(),
        )
        .into());
    }
    super::runtime::interruptible(async {
        let cluster = Cluster::connect(&kubernetes.access()).await?;
        let mode = words.dry_run.mode();
        let mut decided = Vec::new();
        let mut worst = ExitStatus::Done;
        for found in selection.find(&cluster, State::Pending).await? {
            let outcome = match found {
                Ok(request) => one(&cluster, &request, decision, policy, words, mode)
                    .await
                    .with_context(|| format!("certificatesigningrequest/{}", request.name))
                    .map(|result| Decided::of(&request, result)),
                Err(error) => Err(error),
            };
            match outcome {
                Ok(one) => decided.push(one),
                Err(error) => {
                    printer.error(&error);
                    worst = worst.or_worse(ExitStatus::of_error(&error));
                }
            }
        }
        let data = serde_json::json!({ "items": decided });
        printer.result(&data, || {
            decided
                .iter()
                .map(|one| one.text(mode, printer.format()))
                .collect()
        })?;
        if decided.is_empty() && worst == ExitStatus::Done {
            printer.hint("no request was selected");
        }
        Ok(worst)
    })
}

/// Decides about one request; what was done, in a word.
async fn one(
    cluster: &Cluster,
    request: &RequestObject,
    decision: Decision,
    policy: Option<&crate::policy::Policy>,
    words: &Words,
    mode: Mode,
) -> anyhow::Result<&'static str> {
    if let Some(done) = standing(request, decision)? {
        return Ok(done);
    }
    if decision == Decision::Approve {
        let csr = request
            .csr()
            .context("it is not approved, since its request does not read")?;
        csr.verified()
            .context("it is not approved, since its signature proves nothing")?;
        if let Some(policy) = policy {
            super::policy::check(cluster, policy, request).await?;
        }
    }
    let (reason, message) = words.or_default(decision);
    if mode != Mode::Plan {
        let now = instant(OffsetDateTime::now_utc().replace_nanosecond(0)?);
        cluster
            .update_approval(
                &request.name,
                &request.uid,
                mode == Mode::Check,
                |current| {
                    // Somebody else may have decided in the meantime.
                    Ok::<_, anyhow::Error>(match standing(current, decision)? {
                        Some(_) => None,
                        None => Some(with_decision(current, decision, &reason, &message, &now)),
                    })
                },
            )
            .await
            .map_err(super::policy::explain_signer_permission(
                &request.signer_name,
                "approve",
            ))?;
    }
    Ok(match decision {
        Decision::Approve => "approved",
        Decision::Deny => "denied",
    })
}

/// What already stands: the same decision, or one that forbids it.
fn standing(request: &RequestObject, decision: Decision) -> anyhow::Result<Option<&'static str>> {
    let has = |kind| request.condition(kind).is_some();
    Ok(match decision {
        Decision::Approve if has("Denied") => {
            bail!("it is denied already, and a denial cannot be taken back: submit a new request")
        }
        Decision::Deny if has("Approved") => {
            bail!(
                "it is approved already, and an approval cannot be taken back: delete the request if it is not issued yet"
            )
        }
        Decision::Approve if has("Failed") => {
            bail!(
                "it is not signed any more: {}; submit a new request",
                super::submit::why(request, State::Failed)
            )
        }
        Decision::Approve if has("Approved") => Some("already approved"),
        Decision::Deny if has("Denied") => Some("already denied"),
        _ => None,
    })
}

impl Words {
    fn or_default(&self, decision: Decision) -> (String, String) {
        let (reason, message) = match decision {
            Decision::Approve => (
                "CerttoolApprove",
                "This request was approved by certtool approve.",
            ),
            Decision::Deny => ("CerttoolDeny", "This request was denied by certtool deny."),
        };
        (
            self.reason.clone().unwrap_or_else(|| reason.to_owned()),
            self.message.clone().unwrap_or_else(|| message.to_owned()),
        )
    }
}

impl RequestSelection {
    /// Whether neither names nor labels select anything.
    pub(super) fn is_empty(&self) -> bool {
        self.names.is_empty() && self.selector.is_none()
    }

    /// The selected requests: those that are named, each once, or else those in `state`,
    /// since the others are none of our business. A name that cannot be read is an error
    /// of its own and does not stop the others.
    pub(super) async fn find(
        &self,
        cluster: &Cluster,
        state: State,
    ) -> anyhow::Result<Vec<anyhow::Result<RequestObject>>> {
        if self.names.is_empty() {
            let (mut requests, malformed) = cluster
                .list_requests(self.signer.as_deref(), self.selector.as_deref())
                .await?;
            requests.retain(|request| request.state() == state);
            let malformed = malformed.into_iter().map(|error| Err(error.into()));
            return Ok(requests.into_iter().map(Ok).chain(malformed).collect());
        }
        let mut found = Vec::new();
        for (index, name) in self.names.iter().enumerate() {
            if self.names[..index].contains(name) {
                continue;
            }
            found.push(match cluster.get_request(name).await {
                Ok(Some(request)) => self.of_signer(request),
                Ok(None) => Err(anyhow::anyhow!(
                    "there is no certificatesigningrequest {name:?}: it may be gone, since they are deleted an hour after they are decided"
                )),
                Err(error) => Err(error.into()),
            });
        }
        Ok(found)
    }

    fn of_signer(&self, request: RequestObject) -> anyhow::Result<RequestObject> {
        match &self.signer {
            Some(signer) if *signer != request.signer_name => Err(Refused(format!(
                "certificatesigningrequest/{} is for signer {}, not {signer}",
                request.name, request.signer_name
            ))
            .into()),
            _ => Ok(request),
        }
    }
}

impl Decided {
    fn of(request: &RequestObject, result: &str) -> Self {
        // A request that does not read can be denied all the same.
        let csr = request.csr().ok();
        let names = csr.iter().flat_map(|csr| &csr.names);
        Self {
            name: request.name.clone(),
            result: result.to_owned(),
            signer_name: request.signer_name.clone(),
            username: request.requester.username.clone(),
            subject: csr
                .as_ref()
                .map_or_else(String::new, |csr| csr.subject.to_string()),
            names: names.map(San::to_string).collect(),
            usages: request.usages.clone(),
            expiration_seconds: request.expiration_seconds,
        }
    }

    fn text(&self, mode: Mode, format: Format) -> String {
        let name = plain(&self.name);
        if format == Format::Name {
            return format!("certificatesigningrequest/{name}\n");
        }
        let life = self.expiration_seconds.map_or_else(
            || "the signer decides".to_owned(),
            |seconds| duration::about(Duration::seconds(seconds)),
        );
        let mut text = format!(
            "certificatesigningrequest/{name} {}{}\n",
            self.result,
            suffix(mode)
        );
        for (key, value) in [
            ("signer", &self.signer_name),
            ("requester", &self.username),
            ("subject", &self.subject),
            ("names", &self.names.join(", ")),
            ("usages", &self.usages.join(", ")),
            ("life", &life),
        ] {
            let value = if value.is_empty() { "<none>" } else { value };
            // Writing to a String cannot fail.
            let _ = writeln!(text, "  {key:<11}{}", plain(value));
        }
        text
    }
}
