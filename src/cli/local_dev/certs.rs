//! The half that needs no cluster: a pair in the certificate directory.

use std::path::{Path, PathBuf};

use clap::Args;
use time::{Duration, OffsetDateTime};

use super::authority::{CaArgs, LocalAuthority};
use super::report::{self, AuthorityReport, ReasonReport, Report};
use crate::cli::pair::{self, NewPair};
use crate::cli::{ExitStatus, Format, Printer, duration, instant, sources};
use crate::injectable::ObjectId;
use crate::manifest;
use crate::pki::{Certificate, Grant, Host, KeyAlgorithm, Lifetime, San, ServiceName, TrustBundle};
use crate::plan::{Existing, LeafPlan, NameSources, Reason, Wanted, collect_names, plan_leaf};
use crate::store::locations::Locations;
use crate::store::{self, CertDir, Contents, Force, Origin};

/// When a pair that is run for again is renewed: late, since "valid" means "unchanged"
/// here, but before it ends in the middle of somebody's session.
const RENEW_AT: f64 = 0.9;

/// What the pair is to be and where.
#[derive(Debug, Clone, Args)]
pub(super) struct CertArgs {
    /// Directory of tls.crt, tls.key and ca.crt [default: where controller-runtime looks,
    /// $TMPDIR/k8s-webhook-server/serving-certs]
    #[arg(long, value_name = "DIR")]
    pub(super) cert_dir: Option<PathBuf>,
    #[command(flatten)]
    pub(super) ca: CaArgs,
    /// A Service to be valid for, as NAME.NAMESPACE; repeatable, or separated by commas
    #[arg(long = "service", value_name = "NAME.NAMESPACE", value_delimiter = ',')]
    pub(super) services: Vec<ServiceName>,
    /// A DNS name, IP address or wildcard to be valid for; repeatable, or separated by commas
    #[arg(long = "host", value_name = "HOST", value_delimiter = ',')]
    pub(super) hosts: Vec<Host>,
    /// Manifests whose webhooks' Services are covered too: a file, a directory, or - for stdin; repeatable
    #[arg(short, long = "filename", value_name = "FILE|DIR|-")]
    pub(super) filenames: Vec<PathBuf>,
    /// How long the certificate is valid
    #[arg(long, value_name = "DURATION", default_value = "30d", value_parser = duration::parse)]
    pub(super) validity: Duration,
    /// The key's algorithm: ecdsa-p256 (default), ecdsa-p384, ed25519, rsa-2048, rsa-3072, rsa-4096
    #[arg(long, value_name = "ALGORITHM")]
    pub(super) algorithm: Option<KeyAlgorithm>,
    /// The cluster's DNS domain
    #[arg(long, value_name = "DOMAIN", default_value = "cluster.local", value_parser = cluster_domain)]
    pub(super) cluster_domain: String,
    /// Issue a new pair in any case, with exactly the names asked for; replace files that certtool did not write
    #[arg(long)]
    pub(super) force: bool,
}

/// A domain that makes a DNS name of every Service: one has at most 253 characters, and
/// `NAME.NAMESPACE.svc.` up to 132 of them.
pub(in crate::cli) fn cluster_domain(text: &str) -> Result<String, String> {
    const LONGEST: usize = 253 - 132;
    match text.parse() {
        Ok(Host::Dns(domain)) if domain.len() <= LONGEST && !domain.starts_with('*') => Ok(domain),
        _ => Err(format!(
            "{text:?} is not a DNS domain of at most {LONGEST} characters, such as cluster.local"
        )),
    }
}

/// The pair as it is now, and what was done for it.
#[derive(Debug)]
pub(super) struct Ensured {
    pub(super) cert_dir: PathBuf,
    pub(super) leaf: Certificate,
    pub(super) authority: LocalAuthority,
    pub(super) reason: Option<Reason>,
    pub(super) warnings: Vec<String>,
}

pub(super) fn run(args: &CertArgs, printer: &Printer) -> anyhow::Result<ExitStatus> {
    let now = OffsetDateTime::now_utc();
    let found = find_services(args, printer)?;
    let ensured = ensure(args, &found, &[], now)?;
    for warning in &ensured.warnings {
        printer.warning(warning);
    }
    show(&ensured, printer, now)?;
    printer.hint(&next_step(args, &ensured));
    Ok(ExitStatus::Done)
}

/// What manifests say: the Services to cover, and what to tell the user about the rest.
#[derive(Debug, Default)]
pub(in crate::cli) struct FoundServices {
    pub(in crate::cli) services: Vec<ServiceName>,
    pub(in crate::cli) objects: Vec<ObjectId>,
    /// Which object calls which Service.
    pub(in crate::cli) callers: Vec<(ServiceName, ObjectId)>,
    pub(in crate::cli) warnings: Vec<String>,
}

/// The Services of `--service` and of the manifests under `-f`.
///
/// A document that is a template, or names a placeholder, is reported and the rest goes
/// on; one that is plainly broken is an error, since a name could be missing silently.
pub(super) fn find_services(args: &CertArgs, printer: &Printer) -> anyhow::Result<FoundServices> {
    find_services_in(&args.services, &args.filenames, printer)
}

/// As [`find_services`], for other commands.
pub(in crate::cli) fn find_services_in(
    services: &[ServiceName],
    filenames: &[PathBuf],
    printer: &Printer,
) -> anyhow::Result<FoundServices> {
    let mut found = FoundServices {
        services: services.to_vec(),
        ..FoundServices::default()
    };
    let mut nothing = !filenames.is_empty();
    for source in sources::read(filenames)? {
        let named = manifest::services(&source.name, &source.content);
        for error in named.errors.iter().chain(&unread(&source, &named)) {
            match *error.reason {
                manifest::Reason::Template => found.warnings.push(error.to_string()),
                _ => anyhow::bail!("{error}"),
            }
        }
        found
            .warnings
            .extend(named.placeholders.iter().map(ToString::to_string));
        for service in named.services {
            let name: ServiceName = match service.name.parse() {
                Ok(name) => name,
                Err(error) => {
                    found.warnings.push(format!("{}: {error}", source.name));
                    continue;
                }
            };
            for (file, line, object) in &service.found {
                printer.detail(&format!("{file}, line {line}, {object}: Service {name}"));
                found.callers.push((name.clone(), object.clone()));
            }
            if !found.services.contains(&name) {
                found.services.push(name);
            }
        }
        let objects = manifest::objects(&source.name, &source.content).objects;
        nothing &= objects.is_empty() && named.errors.is_empty();
        found
            .objects
            .extend(objects.into_iter().map(|located| located.id));
    }
    if nothing {
        found.warnings.push(
            "what -f names holds no webhook configuration, no CustomResourceDefinition with a \
             conversion webhook and no APIService: it adds no names"
                .to_owned(),
        );
    }
    Ok(found)
}

/// Errors in documents that were not looked at, since they hold nothing of interest: worth
/// telling only when a whole file holds nothing of interest.
fn unread(source: &sources::Source, named: &manifest::Services) -> Vec<manifest::DocumentError> {
    let silent =
        named.services.is_empty() && named.placeholders.is_empty() && named.errors.is_empty();
    if !silent {
        return Vec::new();
    }
    manifest::documents(&source.name, &source.content)
        .filter_map(|document| manifest::to_value(&document).err())
        .collect()
}

/// Makes sure that the directory holds a good pair, and says what that took.
pub(super) fn ensure(
    args: &CertArgs,
    found: &FoundServices,
    more_hosts: &[Host],
    now: OffsetDateTime,
) -> anyhow::Result<Ensured> {
    let locations = Locations::from_process();
    let path = args
        .cert_dir
        .clone()
        .unwrap_or_else(|| locations.serving_certs());
    let dir = CertDir::new(&path).chosen_by("--cert-dir");
    let mut warnings = found.warnings.clone();
    let hosts: Vec<Host> = args.hosts.iter().chain(more_hosts).cloned().collect();
    let machine = machine_name(&mut warnings);
    let names = |kept: &[San]| {
        collect_names(&NameSources {
            machine: machine.clone(),
            hosts: &hosts,
            services: &found.services,
            cluster_domain: &args.cluster_domain,
            kept,
        })
    };
    let required = names(&[]);
    crate::pki::check_size(&required)?;
    let wanted = Wanted {
        names: &required,
        algorithm: args.algorithm,
        renew_at: RENEW_AT,
        force: args.force,
    };

    // Most runs find everything in order; only a change takes the lock.
    let (existing, _) = read_existing(&dir)?;
    // Last, since it may make a CA: what is refused so far leaves nothing behind.
    let authority = args.ca.load(&locations, now)?;
    if let Some(mode) = authority.open_mode {
        let key = authority.key.display();
        warnings.push(format!(
            "{key} has mode {mode:04o}: others than its owner can read it; chmod 600 {key}"
        ));
    }
    if let (LeafPlan::Keep, Existing::Pair { leaf, .. }) = (
        plan_leaf(&existing, &wanted, &authority.authority, now),
        existing,
    ) {
        return Ok(Ensured {
            cert_dir: path,
            leaf: *leaf,
            authority,
            reason: None,
            warnings,
        });
    }
    let guard = dir.lock()?;
    let (existing, origin) = read_existing(&dir)?;
    let reason = match plan_leaf(&existing, &wanted, &authority.authority, now) {
        LeafPlan::Issue(reason) => reason,
        LeafPlan::Keep => {
            let Existing::Pair { leaf, .. } = existing else {
                anyhow::bail!("the certificate directory changed while it was read; run again");
            };
            return Ok(Ensured {
                cert_dir: path,
                leaf: *leaf,
                authority,
                reason: None,
                warnings,
            });
        }
    };
    // What `attach` or an earlier `-f` asked for stays covered, unless the user starts over.
    let keeps_names = !args.force && origin == Some(Origin::Ours);
    let kept = if keeps_names { existing.names() } else { &[] };
    let mut all = names(kept);
    if crate::pki::check_size(&all).is_err() {
        warnings.push(format!(
            "{} names that the pair had before are dropped: with those that are needed now \
             they are too many for one certificate",
            all.len() - required.len()
        ));
        all = required;
    }
    let common_name = common_name(&found.services);
    let validity = Lifetime::of(args.validity).starting(now);
    let grant = Grant::serving(Some(&common_name), all, validity);
    let ca_name = authority.certificate.display().to_string();
    let NewPair { leaf, pair } = pair::issue(
        &authority.authority,
        &ca_name,
        &grant,
        args.algorithm.unwrap_or_default(),
        now,
    )?;
    if leaf.validity.not_after < validity.not_after {
        warnings.push(pair::ends_early(&leaf, args.validity));
    }
    let force = if args.force { Force::Yes } else { Force::No };
    guard.write(&pair, force).map_err(|error| match error {
        // Why it was to be replaced at all.
        error @ store::Error::Foreign { .. } => {
            anyhow::Error::new(error).context(reason.to_string())
        }
        error => error.into(),
    })?;
    Ok(Ensured {
        cert_dir: path,
        leaf,
        authority,
        reason: Some(reason),
        warnings,
    })
}

/// The CA's bundle as it would be used, without making anything.
pub(super) fn existing_bundle(args: &CertArgs, now: OffsetDateTime) -> anyhow::Result<TrustBundle> {
    let dir = CertDir::new(args.directory()).chosen_by("--cert-dir");
    match read_existing(&dir)?.0 {
        Existing::Pair {
            bundle: Some(bundle),
            ..
        } => Ok(bundle),
        _ => {
            let authority = args.ca.preview(&Locations::from_process(), now)?;
            Ok(TrustBundle::new([authority.trust_anchor().clone()]))
        }
    }
}

/// What a certificate directory holds, and who wrote it.
pub(in crate::cli) fn read_existing(
    dir: &CertDir,
) -> Result<(Existing, Option<Origin>), store::Error> {
    Ok(match dir.read()? {
        Contents::Empty => (Existing::Nothing, None),
        Contents::Half {
            present,
            missing,
            origin,
        } => (
            Existing::Unusable(format!("{present} without {missing}")),
            Some(origin),
        ),
        Contents::Pair { pair, origin } => (
            Existing::read(&pair.cert, &pair.key, pair.ca.as_deref()),
            Some(origin),
        ),
    })
}

/// The machine's own name, when it can be in a certificate.
fn machine_name(warnings: &mut Vec<String>) -> Option<Host> {
    let name = gethostname::gethostname().to_string_lossy().into_owned();
    match name.trim_end_matches('.').parse() {
        Ok(host) => Some(host),
        Err(error) => {
            warnings.push(format!("the machine's own name is left out: {error}"));
            None
        }
    }
}

fn common_name(services: &[ServiceName]) -> String {
    services.first().map_or_else(
        || "localhost".to_owned(),
        |service| format!("{service}.svc"),
    )
}

/// Writes the result to stdout.
pub(super) fn show(
    ensured: &Ensured,
    printer: &Printer,
    now: OffsetDateTime,
) -> anyhow::Result<()> {
    let report = report(ensured);
    if printer.format() == Format::Name {
        return printer.raw(format!("{}\n", ensured.cert_dir.display()).as_bytes());
    }
    printer.result(&report, || report::text(&report, &ensured.leaf, now))
}

fn report(ensured: &Ensured) -> Report {
    let Ensured {
        cert_dir,
        leaf,
        authority,
        reason,
        warnings,
    } = ensured;
    let ca = authority.authority.certificate();
    Report {
        changed: reason.is_some(),
        reason: reason.as_ref().map(ReasonReport::of),
        cert_dir: cert_dir.clone(),
        certificate: cert_dir.join(store::CERT),
        key: cert_dir.join(store::KEY),
        ca_certificate: cert_dir.join(store::CA),
        names: crate::cli::report::names(&leaf.names),
        not_before: instant(leaf.validity.not_before),
        not_after: instant(leaf.validity.not_after),
        serial: leaf.serial.clone(),
        fingerprint: leaf.fingerprint(),
        key_algorithm: leaf.public_key.kind().to_string(),
        authority: AuthorityReport {
            subject: ca.subject.to_string(),
            certificate: authority.certificate.clone(),
            key: authority.key.clone(),
            not_after: instant(ca.validity.not_after),
            fingerprint: ca.fingerprint(),
            created: authority.made.clone(),
        },
        warnings: warnings.clone(),
    }
}

fn next_step(args: &CertArgs, ensured: &Ensured) -> String {
    let is_default = args
        .cert_dir
        .as_deref()
        .is_none_or(|dir| dir == default_dir());
    let start = if is_default {
        "start your operator (make run)".to_owned()
    } else {
        format!(
            "start your operator with --webhook-cert-path={}",
            ensured.cert_dir.display()
        )
    };
    format!("next: {start}, then `certtool local-dev attach` to have the cluster call this machine")
}

fn default_dir() -> PathBuf {
    Locations::from_process().serving_certs()
}

impl CertArgs {
    /// The directory that will hold the pair.
    pub(super) fn directory(&self) -> PathBuf {
        self.cert_dir
            .as_deref()
            .map_or_else(default_dir, Path::to_path_buf)
    }
}
