//! `certtool approve` and `certtool deny`.

use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::Args;
use serde::Serialize;
use time::OffsetDateTime;

use super::dry_run::{DryRunArgs, suffix};
use super::kubernetes::KubernetesArgs;
use super::{ExitStatus, Format, Printer, Refused, UsageError, instant};
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
    /// All requests that wait, of --signer
    #[arg(long, requires = "signer", conflicts_with = "names")]
    pub(super) all_pending: bool,
    /// Only requests for this signer
    #[arg(long, value_name = "SIGNER")]
    pub(super) signer: Option<String>,
}

/// Approve certificate signing requests
///
/// Shows what is approved. A request whose signature does not verify is never approved;
/// with --policy, neither is one that the policy would refuse (exit code 4).
#[derive(Debug, Args)]
pub(super) struct Approve {
    #[command(flatten)]
    selection: RequestSelection,
    /// A policy that every request must pass
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    #[command(flatten)]
    words: Words,
}

/// Deny certificate signing requests
#[derive(Debug, Args)]
pub(super) struct Deny {
    #[command(flatten)]
    selection: RequestSelection,
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
        &args.selection,
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
        &args.selection,
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
    usages: Vec<String>,
    names: Vec<String>,
}

fn run(
    decision: Decision,
    selection: &RequestSelection,
    policy: Option<&super::policy::Loaded>,
    words: &Words,
    kubernetes: &KubernetesArgs,
    printer: &Printer,
) -> anyhow::Result<ExitStatus> {
    selection.check()?;
    super::runtime::interruptible(async {
        let cluster = Cluster::connect(&kubernetes.access()).await?;
        let mode = words.dry_run.mode();
        let mut decided = Vec::new();
        let mut worst = ExitStatus::Done;
        for found in selection.find(&cluster).await? {
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
                    let status = ExitStatus::of_error(&error);
                    if worst != ExitStatus::Refused {
                        worst = status;
                    }
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
    policy: Option<&super::policy::Loaded>,
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
    /// # Errors
    /// When nothing is selected.
    pub(super) fn check(&self) -> Result<(), UsageError> {
        if self.names.is_empty() && self.selector.is_none() && !self.all_pending {
            return Err(UsageError(
                "which requests? Give their NAMEs, -l SELECTOR, or --all-pending --signer SIGNER"
                    .to_owned(),
            ));
        }
        Ok(())
    }

    /// The selected requests; a name that does not exist is an error of its own.
    pub(super) async fn find(
        &self,
        cluster: &Cluster,
    ) -> anyhow::Result<Vec<anyhow::Result<RequestObject>>> {
        if self.names.is_empty() {
            let (mut requests, malformed) = cluster
                .list_requests(self.signer.as_deref(), self.selector.as_deref())
                .await?;
            requests.retain(|request| !self.all_pending || request.state() == State::Pending);
            let malformed = malformed.into_iter().map(|error| Err(error.into()));
            return Ok(requests.into_iter().map(Ok).chain(malformed).collect());
        }
        let mut found = Vec::new();
        for name in &self.names {
            found.push(match cluster.get_request(name).await? {
                Some(request) => self.of_signer(request),
                None => Err(anyhow::anyhow!(
                    "there is no certificatesigningrequest {name:?}: it may be gone, since they are deleted an hour after they are decided"
                )),
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
        let names = request
            .csr()
            .map(|csr| csr.names.iter().map(San::to_string).collect());
        Self {
            name: request.name.clone(),
            result: result.to_owned(),
            signer_name: request.signer_name.clone(),
            username: request.requester.username.clone(),
            usages: request.usages.clone(),
            names: names.unwrap_or_default(),
        }
    }

    fn text(&self, mode: Mode, format: Format) -> String {
        if format == Format::Name {
            return format!("certificatesigningrequest/{}\n", self.name);
        }
        format!(
            "certificatesigningrequest/{} {}{}\n  signer     {}\n  requester  {}\n  usages     {}\n  names      {}\n",
            self.name,
            self.result,
            suffix(mode),
            self.signer_name,
            self.username,
            self.usages.join(", "),
            self.names.join(", "),
        )
    }
}
