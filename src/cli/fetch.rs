//! `certtool fetch`: the issued certificate, checked before it is used.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use clap::Args;
use time::{Duration, OffsetDateTime};

use super::kubernetes::KubernetesArgs;
use super::{ExitStatus, Printer, UsageError, duration, input, instant, submit};
use crate::cluster::Cluster;
use crate::pki::{Certificate, PrivateKey, TrustBundle, verify_server};
use crate::request::{RequestObject, State};
use crate::store::{CertDir, Force, Pair, Written};

/// Fetch an issued certificate
///
/// Checks that it belongs to the request (and to --key), that its chain is in order, and
/// with --ca that it verifies; only then writes it.
#[derive(Debug, Args)]
pub(super) struct Fetch {
    /// The request's name
    name: String,
    /// Write tls.crt and tls.key to this directory, in one step [default: the certificate to stdout]
    #[arg(long, value_name = "DIR", requires = "key")]
    out_dir: Option<PathBuf>,
    /// The private key that the request was made with
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// The CA that it must verify with; written as ca.crt
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Wait until it is issued
    #[arg(long)]
    wait: bool,
    /// How long to wait
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = duration::parse)]
    timeout: Duration,
    /// Replace files that certtool did not write
    #[arg(long)]
    force: bool,
}

pub(super) fn run(
    args: &Fetch,
    kubernetes: &KubernetesArgs,
    printer: &Printer,
) -> anyhow::Result<ExitStatus> {
    let key = args.key.as_deref().map(read_key).transpose()?;
    let ca = args.ca.as_deref().map(read_bundle).transpose()?;
    super::runtime::interruptible(async {
        let cluster = Cluster::connect(&kubernetes.access()).await?;
        let request = issued(&cluster, args, printer).await?;
        let now = OffsetDateTime::now_utc();
        let chain = check(&request, key.as_ref(), ca.as_ref(), now)?;
        let pem: String = chain.iter().map(Certificate::to_pem).collect();
        let Some(dir) = &args.out_dir else {
            printer.raw(pem.as_bytes())?;
            return Ok(ExitStatus::Done);
        };
        let key = key.ok_or_else(|| UsageError("--out-dir needs --key".to_owned()))?;
        let pair = Pair {
            cert: pem.into_bytes(),
            key: key.to_pem()?.expose().as_bytes().to_vec(),
            ca: ca.map(|ca| ca.to_pem().into_bytes()),
        };
        let force = if args.force { Force::Yes } else { Force::No };
        let written = CertDir::new(dir)
            .chosen_by("--out-dir")
            .write(&pair, force)?;
        let what = match written {
            Written::Unchanged => "unchanged",
            Written::Swapped { .. } => "written",
        };
        let until = chain
            .first()
            .map_or_else(String::new, |leaf| instant(leaf.validity.not_after));
        let data = serde_json::json!({ "directory": dir, "result": what, "notAfter": until });
        printer.result(&data, || {
            format!(
                "{}/tls.crt, tls.key {what}, valid until {until}\n",
                dir.display()
            )
        })?;
        Ok(ExitStatus::Done)
    })
}

fn read_key(path: &Path) -> anyhow::Result<PrivateKey> {
    let (name, pem) = input::read(path)?;
    PrivateKey::from_pem(&pem).with_context(|| format!("could not read the key {name}"))
}

pub(super) fn read_bundle(path: &Path) -> anyhow::Result<TrustBundle> {
    let (name, pem) = input::read(path)?;
    TrustBundle::from_pem(&pem).with_context(|| format!("could not read the CA {name}"))
}

async fn issued(
    cluster: &Cluster,
    args: &Fetch,
    printer: &Printer,
) -> anyhow::Result<RequestObject> {
    let Some(request) = cluster.get_request(&args.name).await? else {
        bail!(
            "there is no certificatesigningrequest {:?}: it may be gone, since they are deleted an hour after they are decided",
            args.name
        );
    };
    match request.state() {
        State::Issued => Ok(request),
        state @ (State::Denied | State::Failed) => {
            bail!(
                "certificatesigningrequest {:?} will get no certificate: {}",
                args.name,
                submit::why(&request, state)
            )
        }
        state if args.wait => {
            printer.progress(&format!(
                "waiting until {} is issued (now {state})",
                args.name
            ));
            submit::wait_until_issued(cluster, &request, args.timeout).await
        }
        state => bail!(
            "certificatesigningrequest {:?} is {state} and not issued yet: use --wait",
            args.name
        ),
    }
}

/// The chain of an issued request, after every check that does not need the signer's word.
pub(super) fn check(
    request: &RequestObject,
    key: Option<&PrivateKey>,
    ca: Option<&TrustBundle>,
    now: OffsetDateTime,
) -> anyhow::Result<Vec<Certificate>> {
    let name = &request.name;
    let pem = request
        .certificate
        .as_deref()
        .with_context(|| format!("{name} has no certificate"))?;
    let chain = Certificate::all_from_pem(pem)
        .with_context(|| format!("the certificate issued for {name} does not read"))?;
    let (leaf, rest) = chain
        .split_first()
        .with_context(|| format!("{name} has no certificate"))?;
    if let Some(key) = key {
        ensure!(
            leaf.public_key == *key.public_key(),
            "the certificate issued for {name} does not belong to the key: it was requested with another one"
        );
    }
    if let Ok(csr) = request.csr() {
        ensure!(
            leaf.public_key == csr.public_key,
            "the signer issued a certificate for another key than {name} asked for; it is not used"
        );
        if let Some(missing) = csr.names.iter().find(|name| !leaf.covers(name)) {
            bail!("the signer left {missing} out of the certificate for {name}; it is not used");
        }
    }
    for pair in chain.windows(2) {
        if let [child, parent] = pair {
            ensure!(
                child.issuer == parent.subject,
                "the chain issued for {name} is out of order: {} is issued by {}, but {} follows",
                child.subject,
                child.issuer,
                parent.subject
            );
            child.check_signed_by(parent).with_context(|| {
                format!(
                    "the chain issued for {name} is broken: {} is not signed by {}, which follows",
                    child.subject, parent.subject
                )
            })?;
        }
    }
    ensure!(
        leaf.is_valid_at(now),
        "the certificate issued for {name} is valid from {} to {} and not now",
        instant(leaf.validity.not_before),
        instant(leaf.validity.not_after)
    );
    if let Some(ca) = ca {
        verify_server(leaf, rest, ca, &[], now).with_context(|| {
            format!("the certificate issued for {name} does not verify with --ca")
        })?;
    }
    Ok(chain)
}
