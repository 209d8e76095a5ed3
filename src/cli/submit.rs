//! `certtool submit`: creates a CertificateSigningRequest.

use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::Args;
use time::Duration;
use tokio::time::Instant;

use super::dry_run::{DryRunArgs, suffix};
use super::kubernetes::KubernetesArgs;
use super::{ExitStatus, Printer, TimedOut, UsageError, duration, input};
use crate::cluster::{Cluster, Mode};
use crate::pki::{Csr, Usage};
use crate::request::{NewRequest, RequestObject, State, same_request};

/// Create a CertificateSigningRequest from a CSR file
///
/// One of the same name that asks for the same is used as it is; one that differs is an
/// error, unless --replace deletes it first.
#[derive(Debug, Args)]
pub(super) struct Submit {
    /// The CSR in PEM, or - for stdin
    #[arg(value_name = "CSR-FILE|-")]
    file: PathBuf,
    /// The name of the object
    #[arg(long, value_name = "NAME")]
    name: String,
    #[command(flatten)]
    spec: SpecArgs,
    /// Delete an object of this name that asks for something else
    #[arg(long)]
    replace: bool,
    /// Wait until the certificate is issued
    #[arg(long)]
    wait: bool,
    /// How long to wait
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = duration::parse)]
    timeout: Duration,
    #[command(flatten)]
    dry_run: DryRunArgs,
}

/// What is asked of the signer.
#[derive(Debug, Clone, Args)]
pub(super) struct SpecArgs {
    /// The signer, for example example.com/serving
    #[arg(long, value_name = "SIGNER")]
    pub(super) signer: String,
    /// A usage of the Kubernetes API; repeatable [default: digital signature, key encipherment, server auth]
    #[arg(long = "usage", value_name = "USAGE")]
    pub(super) usages: Vec<Usage>,
    /// The life to ask for; the signer may shorten it
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    pub(super) expiration: Option<Duration>,
}

impl SpecArgs {
    pub(super) fn request(&self, name: &str, pem: Vec<u8>) -> NewRequest {
        let usages = if self.usages.is_empty() {
            Usage::SERVING.to_vec()
        } else {
            self.usages.clone()
        };
        NewRequest {
            name: name.to_owned(),
            signer_name: self.signer.clone(),
            request: pem,
            usages,
            expiration: self.expiration,
        }
    }
}

pub(super) fn run(
    args: &Submit,
    kubernetes: &KubernetesArgs,
    printer: &Printer,
) -> anyhow::Result<ExitStatus> {
    let (name, pem) = input::read(&args.file)?;
    let csr = Csr::from_pem(&pem).with_context(|| format!("could not read the CSR {name}"))?;
    csr.verified()
        .with_context(|| format!("the CSR {name} would be refused by every signer"))?;
    // The API server takes the block alone, without text around it.
    let new = args.spec.request(&args.name, csr.to_pem().into_bytes());
    new.to_object()
        .map_err(|error| UsageError(error.to_string()))?;
    super::runtime::interruptible(async {
        let cluster = Cluster::connect(&kubernetes.access()).await?;
        let mode = args.dry_run.mode();
        let (request, what) = create(&cluster, &new, args.replace, "--replace", mode).await?;
        let name = request
            .as_ref()
            .map_or(args.name.as_str(), |request| request.name.as_str());
        printer.named(
            "certificatesigningrequest",
            name,
            &format!("{what}{}", suffix(mode)),
        )?;
        if let (true, Mode::Apply, Some(request)) = (args.wait, mode, &request) {
            printer.progress(&format!("waiting until {} is issued", request.name));
            wait_until_issued(&cluster, request, args.timeout).await?;
        } else if mode == Mode::Apply {
            printer.hint(&format!("next: certtool approve {name}"));
        }
        Ok(ExitStatus::Done)
    })
}

/// Creates the request, or finds the same one; with what was done, in a word. `flag` is
/// the option that would replace one that differs.
pub(super) async fn create(
    cluster: &Cluster,
    new: &NewRequest,
    replace: bool,
    flag: &str,
    mode: Mode,
) -> anyhow::Result<(Option<RequestObject>, &'static str)> {
    let check = mode == Mode::Check;
    if let Some(existing) = cluster.get_request(&new.name).await? {
        if same_request(&existing, new)
            && !matches!(existing.state(), State::Denied | State::Failed)
        {
            return Ok((Some(existing), "unchanged"));
        }
        if !replace {
            bail!("{}", difference(&existing, new, flag));
        }
        if mode != Mode::Apply {
            return Ok((None, "replaced"));
        }
        cluster.delete_request(&existing).await?;
        return Ok((created(cluster, new, false).await?, "replaced"));
    }
    if mode == Mode::Plan {
        return Ok((None, "created"));
    }
    Ok((created(cluster, new, check).await?, "created"))
}

async fn created(
    cluster: &Cluster,
    new: &NewRequest,
    check: bool,
) -> anyhow::Result<Option<RequestObject>> {
    match cluster.create_request(new, check).await? {
        Some(request) => Ok(Some(request)),
        // Made between our look and our create: ours too, if it is the same.
        None => match cluster.get_request(&new.name).await? {
            Some(existing) if same_request(&existing, new) => Ok(Some(existing)),
            _ => bail!(
                "certificatesigningrequest {:?} was made by somebody else at the same time; run again",
                new.name
            ),
        },
    }
}

fn difference(existing: &RequestObject, new: &NewRequest, flag: &str) -> String {
    let name = &existing.name;
    let state = existing.state();
    let how = if matches!(state, State::Denied | State::Failed) {
        let condition = existing
            .condition("Denied")
            .or_else(|| existing.condition("Failed"));
        let why = condition.map_or_else(String::new, |condition| {
            format!(" ({}: {})", condition.reason, condition.message)
        });
        format!("it was {}{why}", state.as_str().to_lowercase())
    } else if existing.signer_name != new.signer_name {
        format!("it is for signer {}", existing.signer_name)
    } else {
        "it asks for something else (another key, other names, usages or life)".to_owned()
    };
    format!(
        "there is a certificatesigningrequest {name:?} already, made by {}, and {how}: choose another --name, or add {flag}",
        existing.requester.username
    )
}

/// Waits until the request has its certificate.
pub(super) async fn wait_until_issued(
    cluster: &Cluster,
    request: &RequestObject,
    timeout: Duration,
) -> anyhow::Result<RequestObject> {
    let deadline = Instant::now() + timeout.unsigned_abs();
    let settled = |request: &RequestObject| {
        matches!(
            request.state(),
            State::Issued | State::Denied | State::Failed
        )
    };
    let name = &request.name;
    let Some(last) = cluster
        .wait_for_request(name, &request.uid, deadline, settled)
        .await?
    else {
        let state = cluster.get_request(name).await;
        let missing = match state.map(|request| request.map(|request| request.state())) {
            Err(error) => error.to_string(),
            Ok(Some(State::Pending)) => {
                format!("it is not approved yet: certtool approve {name}")
            }
            Ok(Some(State::Approved)) => format!(
                "it is approved, but no signer for {} has signed it: is one running? or sign it yourself: certtool sign {name} --ca-dir DIR",
                request.signer_name
            ),
            _ => "it is gone".to_owned(),
        };
        return Err(TimedOut(format!(
            "timed out waiting for certificatesigningrequest {name:?}: {missing}"
        ))
        .into());
    };
    match last.state() {
        State::Issued => Ok(last),
        state => bail!(
            "certificatesigningrequest {name:?} will get no certificate: {}",
            why(&last, state)
        ),
    }
}

/// Why a request was denied or failed.
pub(super) fn why(request: &RequestObject, state: State) -> String {
    let condition = request
        .condition("Denied")
        .or_else(|| request.condition("Failed"));
    condition.map_or_else(
        || state.to_string(),
        |condition| format!("{} ({}: {})", state, condition.reason, condition.message),
    )
}
