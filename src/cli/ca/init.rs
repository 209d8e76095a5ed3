//! `certtool ca init`: a new CA, in a directory or a Secret.

mod secret;

use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::Args;
use time::{Duration, OffsetDateTime};

use crate::cfssl::CsrJson;
use crate::cli::dry_run::{DryRunArgs, suffix};
use crate::cli::kubernetes::KubernetesArgs;
use crate::cli::report::CertificateReport;
use crate::cli::{ExitStatus, Printer, UsageError, duration, input};
use crate::cluster::{Mode, SecretName};
use crate::pki::{
    Authority, CaConstraint, DistinguishedName, Grant, KeyAlgorithm, Lifetime, NameConstraints,
    PrivateKey, Usage,
};
use crate::random_serial;
use crate::store::CaDir;

/// Make a CA: ca.crt and ca.key (mode 0600)
///
/// Path length 0: it signs leaves and no further CA. Never overwrites one.
#[derive(Debug, Args)]
pub(super) struct Init {
    /// cfssl's CSR JSON, or - for stdin
    #[arg(long, value_name = "FILE|-", conflicts_with_all = ["cn", "algorithm"])]
    from: Option<PathBuf>,
    /// The common name [default: certtool CA]
    #[arg(long, value_name = "CN")]
    cn: Option<String>,
    /// How long it is valid [default: 10y, or what --from says]
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    validity: Option<Duration>,
    /// The key's algorithm
    #[arg(long, value_name = "ALGORITHM")]
    algorithm: Option<KeyAlgorithm>,
    /// How many intermediate CAs may follow [default: 0, or what --from says]
    #[arg(long, value_name = "N")]
    path_length: Option<u8>,
    /// Only sign names below this DNS domain, for example .svc; repeatable
    #[arg(long, value_name = "DOMAIN")]
    permitted_dns: Vec<String>,
    /// The directory for ca.crt and ca.key
    #[arg(
        long,
        value_name = "DIR",
        default_value = ".",
        conflicts_with = "secret"
    )]
    out_dir: PathBuf,
    /// A Secret in the cluster instead: type kubernetes.io/tls, with ca.crt beside the pair
    #[arg(long, visible_alias = "ca-secret", value_name = "NAMESPACE/NAME")]
    secret: Option<SecretName>,
    /// Certificate of an existing CA to put into the Secret; its chain may follow it
    #[arg(
        long,
        value_name = "FILE",
        requires = "ca_key",
        requires = "secret",
        conflicts_with_all = ["from", "cn", "validity", "algorithm", "path_length", "permitted_dns"]
    )]
    ca: Option<PathBuf>,
    /// Its private key
    #[arg(long, value_name = "FILE", requires = "ca")]
    ca_key: Option<PathBuf>,
    /// Repair a Secret whose CA is lost or damaged: what can still be read of the CAs in it stays
    /// trusted until it ends, their keys go
    #[arg(long, requires = "secret")]
    replace: bool,
    #[command(flatten)]
    dry_run: DryRunArgs,
}

/// A CA is kept for years; its leaves are not.
const LIFE: Duration = Duration::days(3650);

pub(super) fn run(
    args: &Init,
    kubernetes: &KubernetesArgs,
    printer: &Printer,
) -> anyhow::Result<ExitStatus> {
    let now = OffsetDateTime::now_utc();
    if let Some(secret) = &args.secret {
        return secret::run(args, secret, now, kubernetes, printer);
    }
    let (grant, algorithm) = args.grant(now)?;
    let dir = CaDir::new(&args.out_dir).chosen_by("--out-dir");
    let existing = dir.read()?;
    if existing.cert.is_some() || existing.key.is_some() {
        bail!(
            "there is a CA in {} already, and it is never overwritten: choose another --out-dir, or look at it with `certtool ca show --ca-dir {0}`",
            args.out_dir.display()
        );
    }
    let mode = args.dry_run.mode();
    let authority = make(&grant, algorithm)?;
    if mode == Mode::Apply {
        let key = authority.key().to_pem()?;
        dir.lock_exclusive()?.create(
            authority.certificate().to_pem().as_bytes(),
            key.expose().as_bytes(),
        )?;
    }
    let place = format!("{}/ca.crt, ca.key", args.out_dir.display());
    show(&authority, &place, mode, printer)
}

fn make(grant: &Grant, algorithm: KeyAlgorithm) -> anyhow::Result<Authority> {
    let serial = random_serial().context("could not get randomness from the kernel")?;
    Ok(Authority::self_signed_as(
        grant,
        PrivateKey::generate(algorithm)?,
        serial,
    )?)
}

fn show(
    authority: &Authority,
    place: &str,
    mode: Mode,
    printer: &Printer,
) -> anyhow::Result<ExitStatus> {
    let report = CertificateReport::of(authority.certificate());
    printer.result(&report, || {
        format!("CA created: {place}{}\n{}", suffix(mode), report.text("  "))
    })?;
    Ok(ExitStatus::Done)
}

impl Init {
    fn grant(&self, now: OffsetDateTime) -> anyhow::Result<(Grant, KeyAlgorithm)> {
        let (mut grant, algorithm) = match &self.from {
            Some(path) => {
                let (name, text) = input::read(path)?;
                let text =
                    String::from_utf8(text).with_context(|| format!("{name} is not UTF-8"))?;
                let json = CsrJson::parse(&text).with_context(|| name.clone())?;
                (json.root(now).with_context(|| name)?, json.key_algorithm())
            }
            None => {
                let cn = self.cn.as_deref().unwrap_or("certtool CA");
                if cn.is_empty() || cn.chars().count() > crate::pki::MAX_COMMON_NAME {
                    return Err(UsageError(
                        "--cn needs 1 to 64 characters (RFC 5280, ub-common-name)".to_owned(),
                    )
                    .into());
                }
                let grant = Grant {
                    subject: DistinguishedName::common_name_only(cn),
                    names: Vec::new(),
                    usages: vec![Usage::CertSign, Usage::CrlSign],
                    validity: Lifetime::of(LIFE).starting(now),
                    ca: Some(CaConstraint {
                        path_length: Some(0),
                    }),
                    name_constraints: NameConstraints::default(),
                    crl_urls: Vec::new(),
                    extensions: Vec::new(),
                };
                (grant, self.algorithm.unwrap_or_default())
            }
        };
        if let Some(validity) = self.validity {
            grant.validity = Lifetime::of(validity).starting(now);
        }
        if self.path_length.is_some() {
            grant.ca = Some(CaConstraint {
                path_length: self.path_length,
            });
        }
        grant.name_constraints.permitted_dns = self.permitted_dns.clone();
        Ok((grant, algorithm))
    }
}
