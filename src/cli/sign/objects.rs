//! Signing requests in the cluster.

use anyhow::{Context, bail, ensure};
use base64::Engine;
use futures::StreamExt;
use serde::Serialize;
use serde_json::Value;
use time::{Duration, OffsetDateTime};

use super::profile::{Profile, Refusal};
use super::{NO_NAMES, Sign};
use crate::cli::authority::tell_limit;
use crate::cli::dry_run::suffix;
use crate::cli::kubernetes::KubernetesArgs;
use crate::cli::policy::explain_signer_permission;
use crate::cli::progress::Progress;
use crate::cli::report::plain;
use crate::cli::{ExitStatus, Format, Printer, instant, runtime};
use crate::cluster::{Cluster, Mode};
use crate::pki::{Authority, Certificate};
use crate::random_serial;
use crate::request::{RequestObject, State, with_failure};

/// How many requests are worked on at a time.
const PARALLEL: usize = 16;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Item {
    name: String,
    signed: bool,
    result: String,
    not_after: Option<String>,
}

pub(super) fn run(
    args: &Sign,
    profile: &Profile,
    kubernetes: &KubernetesArgs,
    printer: &Printer,
) -> anyhow::Result<ExitStatus> {
    runtime::interruptible(async {
        let cluster = Cluster::connect(&kubernetes.access()).await?;
        let authority = args.ca.load(Some(&cluster)).await?;
        let now = OffsetDateTime::now_utc();
        authority.check_valid_at(now)?;
        tell_limit(&authority, args.terms.validity, printer);
        let mode = args.dry_run.mode();
        let found = args.selection.find(&cluster, State::Approved).await?;
        let progress = Progress::new(printer, "signing", found.len());
        let (cluster, authority, progress_ref) = (&cluster, &authority, &progress);
        let results: Vec<(String, anyhow::Result<Certificate>)> = futures::stream::iter(found)
            .map(|found| async move {
                let (name, result) = match found {
                    Ok(request) => {
                        let result = sign(cluster, authority, profile, &request, mode).await;
                        (request.name, result)
                    }
                    Err(error) => (String::new(), Err(error)),
                };
                progress_ref.step();
                (name, result)
            })
            .buffered(PARALLEL)
            .collect()
            .await;
        progress.finish();
        show(&results, mode, printer)
    })
}

fn show(
    results: &[(String, anyhow::Result<Certificate>)],
    mode: Mode,
    printer: &Printer,
) -> anyhow::Result<ExitStatus> {
    let items: Vec<Item> = results
        .iter()
        .map(|(name, result)| match result {
            Ok(leaf) => Item {
                name: name.clone(),
                signed: true,
                result: "signed".to_owned(),
                not_after: Some(instant(leaf.validity.not_after)),
            },
            Err(error) => Item {
                name: name.clone(),
                signed: false,
                result: format!("{error:#}"),
                not_after: None,
            },
        })
        .collect();
    let data = serde_json::json!({ "items": items });
    printer.result(&data, || {
        let signed = items.iter().filter(|item| item.signed);
        signed
            .map(|item| match printer.format() {
                Format::Name => format!("certificatesigningrequest/{}\n", plain(&item.name)),
                _ => format!(
                    "certificatesigningrequest/{} signed{}, valid until {}\n",
                    plain(&item.name),
                    suffix(mode),
                    item.not_after.as_deref().unwrap_or("?")
                ),
            })
            .collect()
    })?;
    let mut status = ExitStatus::Done;
    for (name, result) in results {
        let context = if name.is_empty() {
            String::new()
        } else {
            format!("certificatesigningrequest/{name}: ")
        };
        match result {
            Ok(leaf) if leaf.names.is_empty() => {
                printer.warning(&format!("{context}{NO_NAMES}"));
            }
            Ok(_) => {}
            Err(error) => {
                printer.error(&anyhow::anyhow!("{context}{error:#}"));
                status = status.or_worse(ExitStatus::of_error(error));
            }
        }
    }
    if items.is_empty() {
        printer.hint("no approved request was selected");
    }
    if items.len() > 1 {
        let signed = items.iter().filter(|item| item.signed).count();
        printer.hint(&format!(
            "signed {signed}, not signed {}",
            items.len() - signed
        ));
    }
    Ok(status)
}

/// Signs one request and writes its `status.certificate`.
pub(in crate::cli) async fn sign(
    cluster: &Cluster,
    authority: &Authority,
    profile: &Profile,
    request: &RequestObject,
    mode: Mode,
) -> anyhow::Result<Certificate> {
    check_state(request)?;
    let now = OffsetDateTime::now_utc();
    let asked = request.expiration_seconds.map(Duration::seconds);
    let csr = match request.csr() {
        Ok(csr) => csr,
        Err(error) => return fail(cluster, request, &error.to_string(), mode).await,
    };
    let verified = match csr.verified() {
        Ok(verified) => verified,
        Err(error) => return fail(cluster, request, &error.to_string(), mode).await,
    };
    let grant = match profile.grant_object(&verified, &request.usages, asked, now) {
        Ok(grant) => grant,
        Err(Refusal::Request(error)) => {
            return fail(cluster, request, &error.to_string(), mode).await;
        }
        // Another profile may grant it, so that it stays as it is.
        Err(refusal) => return Err(refusal.into()),
    };
    let serial = random_serial().context("could not get randomness from the kernel")?;
    let leaf = authority.issue(&csr.public_key, &grant, now, serial)?;
    let chain: String = std::iter::once(&leaf)
        .chain(authority.intermediates())
        .map(Certificate::to_pem)
        .collect();
    let encoded = base64::engine::general_purpose::STANDARD.encode(chain);
    if mode == Mode::Plan {
        return Ok(leaf);
    }
    cluster
        .update_request_status(
            &request.name,
            &request.uid,
            mode == Mode::Check,
            |current| {
                // Somebody else may have signed, denied or failed it in the meantime.
                check_state(current)?;
                let mut object = current.object.clone();
                object["status"]["certificate"] = Value::String(encoded.clone());
                Ok::<_, anyhow::Error>(Some(object))
            },
        )
        .await
        .map_err(explain_signer_permission(&request.signer_name, "sign"))?;
    Ok(leaf)
}

fn check_state(request: &RequestObject) -> anyhow::Result<()> {
    match request.state() {
        State::Approved => Ok(()),
        State::Pending => bail!("it is not approved: certtool approve {}", request.name),
        State::Issued => bail!(
            "it has its certificate already: certtool fetch {}",
            request.name
        ),
        state @ (State::Denied | State::Failed) => {
            bail!(
                "it is not signed: {}",
                crate::cli::submit::why(request, state)
            )
        }
    }
}

/// Says of a request, for good, that nobody can sign it.
async fn fail(
    cluster: &Cluster,
    request: &RequestObject,
    why: &str,
    mode: Mode,
) -> anyhow::Result<Certificate> {
    if mode == Mode::Plan {
        bail!("it can never be signed, and would get the condition Failed: {why}");
    }
    let now = instant(OffsetDateTime::now_utc().replace_nanosecond(0)?);
    cluster
        .update_request_status(
            &request.name,
            &request.uid,
            mode == Mode::Check,
            |current| {
                ensure!(
                    current.certificate.is_none(),
                    "somebody else signed it in the meantime"
                );
                let failed = current.condition("Failed").is_some();
                // The reason that kube-controller-manager gives.
                Ok((!failed).then(|| with_failure(current, "SignerValidationFailure", why, &now)))
            },
        )
        .await
        .map_err(explain_signer_permission(&request.signer_name, "sign"))
        .with_context(|| {
            format!("it can never be signed ({why}), and this could not be recorded")
        })?;
    bail!(
        "it can never be signed, and {}: {why}",
        match mode {
            Mode::Apply => "has the condition Failed now",
            Mode::Plan | Mode::Check => "would get the condition Failed",
        }
    )
}
