//! `certtool bootstrap`: everything that makes a test cluster's webhooks work, in one
//! command that can be run again.
//!
//! One attempt goes through all of it: CA, pair, caBundle, proof. Whatever is in order is left
//! alone, so that an attempt which fails is simply made again, by `--wait` or by the user.

mod authority;
mod objects;
mod pair;
mod proof;
mod report;
mod waiting;

use std::path::PathBuf;

use anyhow::bail;
use clap::Args;
use time::{Duration, OffsetDateTime};

use self::objects::{Choice, Found};
use self::pair::KeyNames;
use self::report::Ledger;
use self::waiting::{NotYet, Waiting};
use super::authority::CaArgs;
use super::dry_run::DryRunArgs;
use super::kubernetes::KubernetesArgs;
use super::local_dev::certs::{cluster_domain, find_services_in};
use super::{ExitStatus, Printer, UsageError, duration, runtime};
use crate::cluster::{Cluster, Mode, SecretName};
use crate::injectable::{FailurePolicy, ObjectId};
use crate::pki::{Host, KeyAlgorithm, San, ServiceName};

/// Make a cluster's webhooks work: CA, serving pair, caBundle, and proof
///
/// For CI. Makes a CA unless there is one, puts a serving pair for the Service into a Secret
/// (and, with --cert-dir, into a directory), and the CA into the caBundle of the objects that
/// are named, or of all that call the Service. With --wait it waits for what is not there
/// yet, and until the API server has reached every webhook by a request of its own. Run
/// again, it changes nothing.
#[derive(Debug, Args)]
pub(super) struct Bootstrap {
    /// The Service in front of the webhook server, as NAME.NAMESPACE; repeatable, or separated
    /// by commas [default: those that the manifests under -f call]
    #[arg(long = "service", value_name = "NAME.NAMESPACE", value_delimiter = ',')]
    services: Vec<ServiceName>,
    /// Another DNS name, IP address or wildcard to be valid for; repeatable, or separated by commas
    #[arg(long = "host", value_name = "HOST", value_delimiter = ',')]
    hosts: Vec<Host>,
    /// The cluster's DNS domain
    #[arg(long, value_name = "DOMAIN", default_value = "cluster.local", value_parser = cluster_domain)]
    cluster_domain: String,
    /// The Secret of the serving pair, made if missing
    /// [default: NAMESPACE/NAME-tls of the Service, or none with --cert-dir]
    #[arg(long, value_name = "NAMESPACE/NAME")]
    secret: Option<SecretName>,
    /// A directory for the same pair: tls.crt, tls.key and ca.crt
    #[arg(long, value_name = "DIR")]
    cert_dir: Option<PathBuf>,
    /// Create the Secrets' namespaces if they are missing
    #[arg(long)]
    create_namespace: bool,
    /// Entry of the Secret for the certificate
    #[arg(long, value_name = "KEY", default_value = "tls.crt")]
    cert_name: String,
    /// Entry of the Secret for its private key
    #[arg(long, value_name = "KEY", default_value = "tls.key")]
    key_name: String,
    /// Entry of the Secret for the CA's certificate
    #[arg(long, value_name = "KEY", default_value = "ca.crt")]
    ca_name: String,
    /// A mutating or validating webhook configuration; mwc/NAME or vwc/NAME means one of the
    /// kinds; repeatable
    #[arg(long = "webhook", value_name = "NAME")]
    webhooks: Vec<String>,
    /// A CustomResourceDefinition with a conversion webhook; repeatable
    #[arg(long = "crd", value_name = "NAME", value_delimiter = ',')]
    crds: Vec<String>,
    /// An APIService; repeatable
    #[arg(long = "apiservice", value_name = "NAME")]
    apiservices: Vec<String>,
    /// Manifests that name the objects and the Service: a file, a directory, or - for stdin;
    /// repeatable
    #[arg(short, long = "filename", value_name = "FILE|DIR|-")]
    filenames: Vec<PathBuf>,
    /// Make the pair, and leave the objects alone
    #[arg(long, conflicts_with_all = ["webhooks", "crds", "apiservices", "failure_policy"])]
    no_inject: bool,
    /// Set the webhooks' failurePolicy to Fail or Ignore; with --wait after the proof
    #[arg(long, value_name = "POLICY")]
    failure_policy: Option<FailurePolicy>,
    /// Wait for what is not there yet, and until the API server has reached every webhook
    #[arg(long)]
    wait: bool,
    /// How long to wait
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = duration::parse)]
    timeout: Duration,
    /// How long the certificate is valid
    #[arg(long, value_name = "DURATION", default_value = "1y", value_parser = duration::parse)]
    validity: Duration,
    /// The key's algorithm: ecdsa-p256 (default), ecdsa-p384, ed25519, rsa-2048, rsa-3072, rsa-4096
    #[arg(long, value_name = "ALGORITHM")]
    algorithm: Option<KeyAlgorithm>,
    /// Issue a new pair in any case; replace a pair that certtool did not write
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    dry_run: DryRunArgs,
    #[command(flatten)]
    ca: CaArgs,
}

/// After this fraction of its life a pair is issued anew.
const RENEW_AT: f64 = 0.67;

/// What to do, resolved.
struct Job<'a> {
    args: &'a Bootstrap,
    mode: Mode,
    services: Vec<ServiceName>,
    names: Vec<San>,
    secret: Option<SecretName>,
    /// Where the CA is, unless it is in files.
    ca_secret: SecretName,
    keys: KeyNames,
    choice: Choice,
    /// Where the probe's ConfigMap would be.
    probe_namespace: String,
    printer: &'a Printer,
}

pub(super) fn run(
    args: &Bootstrap,
    kubernetes: &KubernetesArgs,
    printer: &Printer,
) -> anyhow::Result<ExitStatus> {
    let job = Job::new(args, kubernetes, printer)?;
    runtime::interruptible(async {
        let cluster = Cluster::connect(&kubernetes.access()).await?;
        let mut ledger = Ledger::default();
        if args.wait && job.mode == Mode::Apply {
            let waiting = Waiting::new(args.timeout.unsigned_abs(), printer);
            waiting
                .until_done(&cluster, async || job.attempt(&cluster, &mut ledger).await)
                .await?;
        } else {
            job.attempt(&cluster, &mut ledger).await?;
        }
        let report = ledger.report(&job)?;
        report.show(&job)?;
        Ok(ExitStatus::Done)
    })
}

impl<'a> Job<'a> {
    fn new(
        args: &'a Bootstrap,
        kubernetes: &KubernetesArgs,
        printer: &'a Printer,
    ) -> anyhow::Result<Self> {
        let found = find_services_in(&args.services, &args.filenames, printer)?;
        for warning in &found.warnings {
            printer.warning(warning);
        }
        // A Service that is named limits what the manifests say.
        let mut services = if args.services.is_empty() {
            found.services
        } else {
            args.services.clone()
        };
        let mut seen = std::collections::HashSet::new();
        services.retain(|service| seen.insert(service.clone()));
        let Some(first) = services.first() else {
            let hint = if args.filenames.is_empty() {
                "name it with --service NAME.NAMESPACE, or give the manifests with -f"
            } else {
                "what -f names calls none; name it with --service NAME.NAMESPACE"
            };
            return Err(UsageError(format!("which Service? {hint}")).into());
        };
        let default = SecretName {
            namespace: first.namespace.clone(),
            name: format!("{}-tls", first.name),
        };
        let secret = match (&args.secret, &args.cert_dir) {
            (Some(secret), _) => Some(secret.clone()),
            (None, Some(_)) => None,
            (None, None) => Some(default.clone()),
        };
        let beside = secret.as_ref().unwrap_or(&default);
        let ca_secret = args.ca.ca_secret.clone().unwrap_or_else(|| SecretName {
            namespace: beside.namespace.clone(),
            name: format!("{}-ca", beside.name),
        });
        if secret.as_ref() == Some(&ca_secret) {
            return Err(UsageError(format!(
                "--secret and --ca-secret are both {ca_secret}: the CA's key does not belong where the serving pair is mounted"
            ))
            .into());
        }
        let names = names(&services, &args.hosts, &args.cluster_domain);
        crate::pki::check_size(&names)?;
        let probe_namespace = kubernetes
            .namespace
            .clone()
            .unwrap_or_else(|| first.namespace.clone());
        Ok(Self {
            args,
            mode: args.dry_run.mode(),
            choice: Choice::new(args, &services, &found.callers)?,
            keys: KeyNames::new(args)?,
            services,
            names,
            secret,
            ca_secret,
            probe_namespace,
            printer,
        })
    }

    /// Brings everything in order, as far as it goes.
    async fn attempt(&self, cluster: &Cluster, ledger: &mut Ledger) -> anyhow::Result<()> {
        let now = OffsetDateTime::now_utc();
        let waits = self.args.wait && self.mode == Mode::Apply;
        let found = match self.args.no_inject {
            true => Found::default(),
            false => self.choice.find(cluster).await?,
        };
        let missing = found.missing();
        if let (Some(missing), false) = (&missing, waits) {
            // A mistyped name leaves nothing behind.
            bail!(
                "{missing}\nnothing was changed; --wait waits for what is applied later, and --no-inject makes the pair alone"
            );
        }
        let authority = self.ensure_authority(cluster, ledger, now).await?;
        let anchors = &authority.anchors;
        self.check_secret(cluster, &authority, ledger, now).await?;
        // The bundle before the leaf: a server that takes in the pair at once is trusted.
        let ids: Vec<_> = found.objects.iter().filter_map(ObjectId::of).collect();
        self.inject(cluster, found.objects, anchors, ledger, now)
            .await?;
        self.ensure_pair(cluster, &authority, ledger, now).await?;
        if let Some(missing) = missing {
            return Err(NotYet::new(missing).into());
        }
        if waits && !self.args.no_inject {
            self.prove(cluster, &ids, anchors, ledger).await?;
        }
        if let Some(policy) = self.args.failure_policy {
            self.set_failure_policy(cluster, &ids, policy, ledger)
                .await?;
        }
        Ok(())
    }
}

/// The names that the pair has to cover, each once.
fn names(services: &[ServiceName], hosts: &[Host], cluster_domain: &str) -> Vec<San> {
    let services = services
        .iter()
        .flat_map(|service| service.dns_names(cluster_domain))
        .map(San::Dns);
    let mut seen = std::collections::HashSet::new();
    services
        .chain(hosts.iter().map(Host::to_san))
        .filter(|name| seen.insert(name.clone()))
        .collect()
}
