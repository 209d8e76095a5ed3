//! `certtool issue`: key, request, approval, signature and files in one command.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use clap::Args;
use time::{Duration, OffsetDateTime};

use super::authority::CaArgs;
use super::authority::tell_limit;
use super::dry_run::{DryRunArgs, suffix};
use super::genkey::{self, Material, NameArgs};
use super::kubernetes::KubernetesArgs;
use super::sign::{Profile, TermArgs, sign_object};
use super::submit::{self, SpecArgs};
use super::{ExitStatus, Printer, UsageError, duration, fetch, instant, runtime};
use crate::cluster::{Cluster, Mode};
use crate::pki::{
    Authority, Certificate, Csr, KeyAlgorithm, PrivateKey, San, TrustBundle, create_csr,
    verify_server,
};
use crate::plan::Existing;
use crate::request::{Decision, RequestObject, State, same_request, with_decision};
use crate::store::locations::Locations;
use crate::store::{CertDir, Contents, Durability, Force, Pair, secret_file};

/// From nothing to tls.crt and tls.key through the CertificateSigningRequest API
///
/// Makes the key, submits the request, approves it, signs it with the CA that is named (or
/// waits for whoever signs for the signer), checks the certificate, writes the pair.
/// Interrupted anywhere and run again, it goes on where it was; while the pair is good, it
/// changes nothing.
#[derive(Debug, Args)]
pub(super) struct Issue {
    /// The name of the CertificateSigningRequest
    #[arg(long, value_name = "NAME")]
    name: String,
    #[command(flatten)]
    spec: SpecArgs,
    #[command(flatten)]
    names: NameArgs,
    /// cfssl's CSR JSON, or - for stdin
    #[arg(long, value_name = "FILE|-", conflicts_with_all = ["cn", "algorithm"])]
    from: Option<PathBuf>,
    /// The common name
    #[arg(long, value_name = "CN")]
    cn: Option<String>,
    /// The key's algorithm [default: ecdsa-p256]
    #[arg(long, value_name = "ALGORITHM")]
    algorithm: Option<KeyAlgorithm>,
    /// Directory of tls.crt and tls.key [default: where controller-runtime looks]
    #[arg(long, value_name = "DIR")]
    cert_dir: Option<PathBuf>,
    #[command(flatten)]
    ca: CaArgs,
    /// cfssl's signing config
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The profile in it
    #[arg(long, value_name = "PROFILE", requires = "config")]
    profile: Option<String>,
    /// How long the certificate is valid, at most [default: 1y]
    #[arg(long, value_name = "DURATION", value_parser = duration::parse, conflicts_with = "config")]
    validity: Option<Duration>,
    /// Leave the approval to somebody else
    #[arg(long)]
    no_approve: bool,
    /// How long to wait for an approval or a signature
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = duration::parse)]
    timeout: Duration,
    /// Issue a new pair in any case; replace files that certtool did not write, and a request
    /// of this name that asks for something else
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    dry_run: DryRunArgs,
}

/// After this fraction of its life a pair is issued anew.
const RENEW_AT: f64 = 0.67;

pub(super) fn run(
    args: &Issue,
    kubernetes: &KubernetesArgs,
    printer: &Printer,
) -> anyhow::Result<ExitStatus> {
    let material = genkey::material(
        args.from.as_ref(),
        &args.names,
        args.cn.as_deref(),
        args.algorithm,
        printer,
    )?;
    // Whatever the API server would refuse in the request itself is said before a key is made.
    args.spec
        .request(&args.name, Vec::new())
        .to_object()
        .map_err(|error| UsageError(error.to_string()))?;
    let terms = TermArgs {
        config: args.config.clone(),
        profile: args.profile.clone(),
        validity: args.validity,
        ..TermArgs::default()
    };
    let profile = Profile::read(&terms, printer)?;
    let path = args
        .cert_dir
        .clone()
        .unwrap_or_else(|| Locations::from_process().serving_certs());
    let dir = CertDir::new(&path).chosen_by("--cert-dir");
    runtime::interruptible(async {
        let cluster = Cluster::connect(&kubernetes.access()).await?;
        let authority = match args.ca.is_given() {
            true => Some(args.ca.load(Some(&cluster)).await?),
            false => None,
        };
        let now = OffsetDateTime::now_utc();
        if let Some(authority) = &authority {
            authority.check_valid_at(now)?;
            tell_limit(authority, args.validity, printer);
        }
        let good = |contents: &Contents| {
            let good = good_pair(contents, &material.names, authority.as_ref(), now);
            good.filter(|_| !args.force)
        };
        let mode = args.dry_run.mode();
        if mode != Mode::Apply {
            return match good(&dir.read()?) {
                Some(leaf) => show(&path, "unchanged", &leaf, printer),
                None => rehearse(&cluster, args, &material, &path, mode, printer).await,
            };
        }
        let guard = dir.lock()?;
        let pending = Pending {
            dir: &path,
            name: &args.name,
        };
        pending.remove_leftovers()?;
        if let Some(leaf) = good(&guard.read()?) {
            // Of an issue that was interrupted after it had written the pair.
            pending.remove()?;
            return show(&path, "unchanged", &leaf, printer);
        }
        if args.force {
            pending.remove()?;
        }
        let (key, csr) = pending.load_or_make(&material)?;
        let request = submitted(&cluster, args, &csr, printer).await?;
        let request = approved(&cluster, args, request, printer).await?;
        let request = signed(
            &cluster,
            args,
            authority.as_ref(),
            &profile,
            request,
            printer,
        )
        .await?;

        let bundle = authority
            .as_ref()
            .map(|ca| TrustBundle::new([ca.trust_anchor().clone()]));
        let chain = fetch::check(
            &request,
            Some(&key),
            bundle.as_ref(),
            OffsetDateTime::now_utc(),
        )
        .context("nothing was written; --force asks for a new certificate")?;
        let pair = Pair {
            cert: chain
                .iter()
                .map(Certificate::to_pem)
                .collect::<String>()
                .into_bytes(),
            key: key.to_pem()?.expose().as_bytes().to_vec(),
            ca: bundle.map(|bundle| bundle.to_pem().into_bytes()),
        };
        guard.write(&pair, if args.force { Force::Yes } else { Force::No })?;
        pending.remove()?;
        let leaf = chain
            .into_iter()
            .next()
            .context("the signer issued no certificate")?;
        show(&path, "issued", &leaf, printer)
    })
}

/// What would be done, tried by the API server with `--dry-run=server`.
async fn rehearse(
    cluster: &Cluster,
    args: &Issue,
    material: &Material,
    path: &Path,
    mode: Mode,
    printer: &Printer,
) -> anyhow::Result<ExitStatus> {
    // A key for the rehearsal alone: it is kept nowhere.
    let key = PrivateKey::generate(material.algorithm)?;
    let csr = create_csr(&material.subject, &material.names, &key)?;
    let new = args.spec.request(&args.name, csr.into_bytes());
    let existing = cluster.get_request(&args.name).await?;
    let replace = args.force || existing.is_none_or(|existing| is_ours(&existing, args));
    submit::create(cluster, &new, replace, "--force", mode).await?;
    let names: Vec<_> = material.names.iter().map(San::value).collect();
    let result = format!("issued{}", suffix(mode));
    let data = serde_json::json!({ "certDir": path, "result": result, "names": names });
    printer.result(&data, || {
        format!(
            "certificate  {result}\nfiles        {}/tls.crt, tls.key\nnames        {}\n",
            path.display(),
            names.join(", ")
        )
    })?;
    Ok(ExitStatus::Done)
}

fn show(
    path: &Path,
    what: &str,
    leaf: &Certificate,
    printer: &Printer,
) -> anyhow::Result<ExitStatus> {
    let names: Vec<_> = leaf.names.iter().map(San::value).collect();
    let until = instant(leaf.validity.not_after);
    let data = serde_json::json!({
        "certDir": path, "result": what, "names": names, "notAfter": until, "issuer": leaf.issuer.to_string(),
        "serial": leaf.serial,
    });
    printer.result(&data, || {
        format!(
            "certificate  {what}\nfiles        {}/tls.crt, tls.key\nnames        {}\nvalid until  {until}\nsigned by    {}\n",
            path.display(),
            names.join(", "),
            leaf.issuer
        )
    })?;
    Ok(ExitStatus::Done)
}

/// The leaf of the pair in force, if there is nothing to do about it.
fn good_pair(
    contents: &Contents,
    names: &[San],
    authority: Option<&Authority>,
    now: OffsetDateTime,
) -> Option<Certificate> {
    let Contents::Pair { pair, .. } = contents else {
        return None;
    };
    let Existing::Pair {
        leaf,
        intermediates,
        key,
        ..
    } = Existing::read(&pair.cert, &pair.key, pair.ca.as_deref())
    else {
        return None;
    };
    let trusted = authority.is_none_or(|ca| {
        let bundle = TrustBundle::new([ca.trust_anchor().clone()]);
        ca.issued(&leaf) && verify_server(&leaf, &intermediates, &bundle, &[], now).is_ok()
    });
    let good = leaf.public_key == *key.public_key()
        && trusted
        && leaf.is_valid_at(now)
        && now < leaf.validity.at_fraction(RENEW_AT)
        && names.iter().all(|name| leaf.covers(name));
    good.then_some(*leaf)
}

/// The key and the request of an issue under way, kept beside the pair until it is written:
/// a signature is random, so the same request can only be submitted again if it was kept.
struct Pending<'a> {
    dir: &'a Path,
    name: &'a str,
}

impl Pending<'_> {
    fn key_path(&self) -> PathBuf {
        self.dir.join(format!(".certtool-issue-{}.key", self.name))
    }

    fn csr_path(&self) -> PathBuf {
        self.dir.join(format!(".certtool-issue-{}.csr", self.name))
    }

    fn load_or_make(&self, material: &Material) -> anyhow::Result<(PrivateKey, String)> {
        let flag = "--cert-dir";
        let (key_path, csr_path) = (self.key_path(), self.csr_path());
        if let (Some(key), Some(csr)) = (
            secret_file::read(&key_path, flag)?,
            secret_file::read(&csr_path, flag)?,
        ) && let (Ok(key), Ok(csr)) = (PrivateKey::from_pem(&key), Csr::from_pem(&csr))
            && csr.public_key == *key.public_key()
            && csr.names == material.names
            && csr.subject == material.subject
        {
            return Ok((key, csr.to_pem()));
        }
        let key = PrivateKey::generate(material.algorithm)?;
        let csr = create_csr(&material.subject, &material.names, &key)?;
        let pem = key.to_pem()?;
        // Before the API server has the request: its certificate is of use with this key alone.
        secret_file::write_replace(
            &key_path,
            pem.expose().as_bytes(),
            0o600,
            Durability::Fast,
            flag,
        )?;
        secret_file::write_replace(&csr_path, csr.as_bytes(), 0o644, Durability::Fast, flag)?;
        Ok((key, csr))
    }

    /// Removes what killed writers of the two files left: a key among them.
    fn remove_leftovers(&self) -> anyhow::Result<()> {
        let paths = [self.key_path(), self.csr_path()];
        let names: Vec<_> = paths
            .iter()
            .filter_map(|path| path.file_name()?.to_str())
            .collect();
        secret_file::remove_leftovers(self.dir, &names)
            .with_context(|| format!("could not clean up {}", self.dir.display()))
    }

    fn remove(&self) -> anyhow::Result<()> {
        for path in [self.key_path(), self.csr_path()] {
            match std::fs::remove_file(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(error)
                        .with_context(|| format!("could not remove {}", path.display()));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// Whether certtool made the request, for the same signer.
fn is_ours(request: &RequestObject, args: &Issue) -> bool {
    let labels = &request.object["metadata"]["labels"];
    labels["app.kubernetes.io/managed-by"] == "certtool" && request.signer_name == args.spec.signer
}

async fn submitted(
    cluster: &Cluster,
    args: &Issue,
    csr: &str,
    printer: &Printer,
) -> anyhow::Result<RequestObject> {
    let new = args.spec.request(&args.name, csr.as_bytes().to_vec());
    let mut replace = args.force;
    if let Some(existing) = cluster.get_request(&args.name).await? {
        let state = existing.state();
        if matches!(state, State::Denied | State::Failed) && same_request(&existing, &new) {
            // Asking again unasked would make a denial worth nothing.
            ensure!(
                args.force,
                "certificatesigningrequest {:?} will get no certificate: {}; --force submits a new one",
                args.name,
                submit::why(&existing, state)
            );
        }
        // One of an earlier issue is used up: its key is not the one that waits here.
        replace |= is_ours(&existing, args);
    }
    let (request, what) = submit::create(cluster, &new, replace, "--force", Mode::Apply).await?;
    printer.detail(&format!("certificatesigningrequest/{} {what}", args.name));
    request.with_context(|| format!("certificatesigningrequest {:?} vanished", args.name))
}

async fn approved(
    cluster: &Cluster,
    args: &Issue,
    request: RequestObject,
    printer: &Printer,
) -> anyhow::Result<RequestObject> {
    if request.state() != State::Pending || args.no_approve {
        return Ok(request);
    }
    let now = instant(OffsetDateTime::now_utc().replace_nanosecond(0)?);
    let message = "This request was approved by certtool issue, for the user who made it.";
    let request = cluster
        .update_approval(&request.name, &request.uid, false, |current| {
            let pending = current.state() == State::Pending;
            let approve =
                || with_decision(current, Decision::Approve, "CerttoolIssue", message, &now);
            Ok::<_, anyhow::Error>(pending.then(approve))
        })
        .await
        .map_err(super::policy::explain_signer_permission(
            &args.spec.signer,
            "approve",
        ))?;
    printer.detail(&format!(
        "certificatesigningrequest/{} approved",
        request.name
    ));
    Ok(request)
}

async fn signed(
    cluster: &Cluster,
    args: &Issue,
    authority: Option<&Authority>,
    profile: &Profile,
    request: RequestObject,
    printer: &Printer,
) -> anyhow::Result<RequestObject> {
    if request.state() == State::Issued {
        return Ok(request);
    }
    if let (Some(authority), State::Approved) = (authority, request.state()) {
        sign_object(cluster, authority, profile, &request, Mode::Apply).await?;
        printer.detail(&format!(
            "certificatesigningrequest/{} signed",
            request.name
        ));
        let Some(request) = cluster.get_request(&request.name).await? else {
            bail!(
                "certificatesigningrequest {:?} was deleted after it was signed; run again",
                request.name
            );
        };
        return Ok(request);
    }
    printer.progress(&format!(
        "waiting until {} is issued (now {})",
        request.name,
        request.state()
    ));
    submit::wait_until_issued(cluster, &request, args.timeout).await
}
