//! `certtool controller`.

mod rbac;

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use serde_json::{Value, json};

use super::kubernetes::KubernetesArgs;
use super::{ExitStatus, Printer, UsageError, input, logs, runtime};
use crate::NamespacedName;
use crate::cluster::Cluster;
use crate::controller::config::{AuthoritySource, Config, Signer};
use crate::controller::{self, LeaderElection, Options};
use crate::pki::{KeyAlgorithm, Usage};

/// Sign, approve and inject in a cluster, by a configuration file
///
/// Watches the CertificateSigningRequests of the configured signers, approves what their
/// policies allow, denies what they forbid and signs what is approved. Several replicas elect a
/// leader; the others are ready to take over. Runs until SIGTERM.
#[derive(Debug, Args)]
pub(super) struct Controller {
    /// The configuration; changes of the file are picked up
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Check the configuration, say what it means, and end
    #[arg(long)]
    check: bool,
    /// Where /healthz, /readyz and /metrics are served; "none" for nowhere
    #[arg(long, value_name = "[HOST]:PORT", default_value = ":8080")]
    listen: String,
    /// Elect a leader, so that one of several replicas writes [default: true in a cluster]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    leader_elect: Option<bool>,
    /// Namespace of the Lease [default: the namespace of the pod or of the context]
    #[arg(long, value_name = "NAMESPACE")]
    leader_election_namespace: Option<String>,
    /// Name of the Lease
    #[arg(long, value_name = "NAME", default_value = "certtool-controller")]
    leader_election_name: String,
    /// How long a leader that says nothing is still the leader
    #[arg(long, value_name = "DURATION", default_value = "12s", value_parser = lease_duration)]
    lease_duration: Duration,
    /// Print the RBAC that a ServiceAccount needs for this configuration, and end
    #[arg(long, value_name = "NAMESPACE/NAME", conflicts_with = "check")]
    rbac_for: Option<NamespacedName>,
}

/// Longer than a watch stays silent.
const ANSWER: Duration = Duration::from_secs(60);

fn lease_duration(text: &str) -> Result<Duration, String> {
    let duration = super::duration::parse(text)?.unsigned_abs();
    let whole = Duration::from_secs(duration.as_secs());
    if whole < Duration::from_secs(6) || whole > Duration::from_secs(3600) {
        return Err("a lease lasts between 6s and 1h".to_owned());
    }
    Ok(whole)
}

pub(super) fn run(
    args: &Controller,
    kubernetes: &KubernetesArgs,
    printer: &Printer,
) -> anyhow::Result<ExitStatus> {
    let (config, text) = load(&args.config)?;
    if args.check {
        let data = json!({
            "signers": config.signers.iter().map(describe).collect::<Vec<_>>(),
        });
        printer.result(&data, || render(&config))?;
        return Ok(ExitStatus::Done);
    }
    if let Some(account) = &args.rbac_for {
        // In a cluster it is the default.
        let lease = args.leader_elect.unwrap_or(true).then(|| NamespacedName {
            namespace: args
                .leader_election_namespace
                .clone()
                .unwrap_or_else(|| account.namespace.clone()),
            name: args.leader_election_name.clone(),
        });
        let objects = rbac::manifests(&config, lease.as_ref(), account);
        super::rbac::print(&objects, printer)?;
        return Ok(ExitStatus::Done);
    }
    let listener = listen(&args.listen)?;
    logs::start(printer);
    runtime::current_thread()?.block_on(async {
        let access = kubernetes.access();
        let cluster = Cluster::connect_impatiently(&access, ANSWER).await?;
        let in_cluster = std::env::var_os("KUBERNETES_SERVICE_HOST").is_some();
        let election = args
            .leader_elect
            .unwrap_or(in_cluster)
            .then(|| LeaderElection {
                namespace: args
                    .leader_election_namespace
                    .clone()
                    .unwrap_or_else(|| cluster.namespace.clone()),
                name: args.leader_election_name.clone(),
                duration: args.lease_duration,
            });
        let options = Options {
            access,
            config_path: args.config.clone(),
            listener,
            election,
        };
        controller::run(options, cluster, config, text).await?;
        Ok(ExitStatus::Done)
    })
}

fn load(path: &Path) -> anyhow::Result<(Config, String)> {
    if path.as_os_str() == "-" {
        return Err(UsageError("--config names a file, which is watched".to_owned()).into());
    }
    let (name, text) = input::read(path)?;
    let text = String::from_utf8(text).with_context(|| format!("{name} is not UTF-8"))?;
    let config = Config::from_yaml(&text)
        .with_context(|| format!("the configuration {name} cannot be used"))?;
    Ok((config, text))
}

fn listen(address: &str) -> anyhow::Result<Option<TcpListener>> {
    if address == "none" {
        return Ok(None);
    }
    let candidates = match address.strip_prefix(':') {
        // Both families, or IPv4 alone where the kernel has no other.
        Some(port) => vec![format!("[::]:{port}"), format!("0.0.0.0:{port}")],
        None => vec![address.to_owned()],
    };
    let mut last = None;
    for candidate in candidates {
        match TcpListener::bind(&candidate) {
            Ok(listener) => {
                listener.set_nonblocking(true)?;
                return Ok(Some(listener));
            }
            Err(error) => last = Some(error),
        }
    }
    match last {
        Some(error) => Err(error).with_context(|| {
            format!("cannot listen on {address:?}: choose another with --listen [HOST]:PORT")
        }),
        None => bail!("--listen is empty"),
    }
}

fn authority(signer: &Signer) -> String {
    match &signer.authority {
        AuthoritySource::Managed(managed) => {
            format!("Secret {}, made and rotated by certtool", managed.secret)
        }
        AuthoritySource::Secret(name) => format!("Secret {name}, somebody else's"),
        AuthoritySource::Files { certificate, key } => {
            format!("files {} and {}", certificate.display(), key.display())
        }
    }
}

fn describe(signer: &Signer) -> Value {
    let usages: Vec<_> = signer.limits.usages().map(Usage::name).collect();
    let keys: Vec<_> = signer.limits.keys().map(KeyAlgorithm::name).collect();
    json!({
        "name": signer.name(),
        "authority": authority(signer),
        "approve": signer.approve,
        "maximumSeconds": signer.limits.maximum().whole_seconds(),
        "defaultSeconds": signer.limits.default_life().whole_seconds(),
        "usages": usages,
        "keys": keys,
    })
}

fn render(config: &Config) -> String {
    let mut text = String::new();
    for signer in &config.signers {
        let about = super::duration::about;
        let does = if signer.approve {
            "approves by its policy and signs"
        } else {
            "signs what others approve"
        };
        let usages: Vec<_> = signer.limits.usages().map(Usage::name).collect();
        text.push_str(&format!(
            "signer {}\n  {does}\n  CA           {}\n  at most      {}\n  usages       {}\n",
            signer.name(),
            authority(signer),
            about(signer.limits.maximum()),
            usages.join(", "),
        ));
    }
    text
}
