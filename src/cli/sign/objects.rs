//! Signing requests in the cluster.

use anyhow::{Context, bail, ensure};
use base64::Engine;
use futures::StreamExt;
use serde::Serialize;
use serde_json::Value;
use time::{Duration, OffsetDateTime};

use super::Sign;
use super::profile::Profile;
use crate::cli::dry_run::suffix;
use crate::cli::kubernetes::KubernetesArgs;
use crate::cli::policy::explain_signer_permission;
use crate::cli::progress::Progress;
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
        let mode = args.dry_run.mode();
        let mut found = args.selection.find(&cluster).await?;
        if args.selection.names.is_empty() {
            // By selector: those that can be signed; the others are none of our business.
            found.retain(|found| {
                found
                    .as_ref()
                    .is_ok_and(|request| request.state() == State::Approved)
            });
        }
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
                Format::Name => format!("certificatesigningrequest/{}\n", item.name),
                _ => format!(
                    "certificatesigningrequest/{} signed{}, valid until {}\n",
                    item.name,
                    suffix(mode),
                    item.not_after.as_deref().unwrap_or("?")
                ),
            })
            .collect()
    })?;
    let mut status = ExitStatus::Done;
    for (name, result) in results {
        if let Err(error) = result {
            let context = if name.is_empty() {
                String::new()
            } else {
                format!("certificatesigningrequest/{name}: ")
            };
            printer.error(&anyhow::anyhow!("{context}{error:#}"));
            status = ExitStatus::Error;
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
    let csr = request.csr().map_err(|error| error.to_string());
    let granted = csr.and_then(|csr| {
        let verified = csr.verified().map_err(|error| error.to_string())?;
        let grant = profile.grant_object(&verified, &request.usages, asked, now);
        Ok((
            csr.public_key.clone(),
            grant.map_err(|error| error.to_string())?,
        ))
    });
    let (public_key, grant) = match granted {
        Ok(granted) => granted,
        Err(why) => {
            fail(cluster, request, &why, mode).await?;
            bail!("it can never be signed, and has the condition Failed now: {why}");
        }
    };
    let serial = random_serial().context("could not get randomness from the kernel")?;
    let leaf = authority.issue(&public_key, &grant, now, serial)?;
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

async fn fail(
    cluster: &Cluster,
    request: &RequestObject,
    why: &str,
    mode: Mode,
) -> anyhow::Result<()> {
    if mode == Mode::Plan {
        return Ok(());
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
        .map_err(explain_signer_permission(&request.signer_name, "sign"))?;
    Ok(())
}
