//! `certtool sidecar`: keeps the pair fresh beside the server that uses it.

mod options;
mod pod;
mod rbac;

use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use time::Duration;
use tokio::signal::unix::{SignalKind, signal};

use self::options::{From, Options};
use super::genkey::NameArgs;
use super::kubernetes::KubernetesArgs;
use super::{ExitStatus, Printer, TimedOut, duration, instant, runtime};
use crate::cluster::{Cluster, SecretName};
use crate::pki::{KeyAlgorithm, San};
use crate::serve;
use crate::sidecar::{self, Config, Happening, OnceError, Outcome, PodName, Signer, pod_events};
use crate::store::{Access, CertDir, Force};

/// Keep a certificate fresh beside the server that uses it
///
/// Gets a pair, writes it to --cert-dir in one step, and renews it in time, for as long as it
/// runs; with --once it gets one pair and ends, as an init container does. The key is made here
/// and goes nowhere else. If a renewal fails, the old pair stays, and it is tried again.
///
/// SIGUSR1 renews at once.
#[derive(Debug, Args)]
pub(super) struct Sidecar {
    #[command(flatten)]
    names: NameArgs,
    /// Directory of tls.crt, tls.key and ca.crt, which the server reads
    #[arg(long, value_name = "DIR")]
    cert_dir: Option<PathBuf>,
    /// Ask this signer through the CertificateSigningRequest API
    #[arg(long, value_name = "SIGNER", help_heading = "Issuer")]
    signer: Option<String>,
    /// Sign with a CA of the replicas' own, which this Secret holds
    #[arg(long, value_name = "NAMESPACE/NAME", help_heading = "Issuer")]
    ca_secret: Option<SecretName>,
    /// With --ca-secret: how long a CA is valid; it is replaced in time [default: 90d]
    #[arg(long, value_name = "DURATION", value_parser = duration::parse, help_heading = "Issuer")]
    ca_validity: Option<Duration>,
    /// With --ca-secret: put the CA into the webhooks of this configuration; repeatable
    #[arg(long = "webhook", value_name = "NAME", help_heading = "Issuer")]
    webhooks: Vec<String>,
    /// With --ca-secret: put the CA into the conversion of this CRD; repeatable
    #[arg(long = "crd", value_name = "NAME", help_heading = "Issuer")]
    crds: Vec<String>,
    /// With --signer: what clients trust, for ca.crt and as a check; read again when it changes
    #[arg(long, value_name = "FILE", help_heading = "Issuer")]
    ca: Option<PathBuf>,
    /// With --signer: the same, from a ConfigMap [default KEY: ca.crt]
    #[arg(long, value_name = "NAMESPACE/NAME[:KEY]", help_heading = "Issuer")]
    trust_bundle: Option<String>,
    /// The key's algorithm [default: ecdsa-p256]
    #[arg(long, value_name = "ALGORITHM")]
    algorithm: Option<KeyAlgorithm>,
    /// How long a certificate is to be valid; a signer may shorten it
    #[arg(long, value_name = "DURATION", default_value = "24h", value_parser = duration::parse)]
    validity: Duration,
    /// Renew after this fraction of its life, or up to a tenth of that earlier
    #[arg(long, value_name = "FRACTION", default_value = "0.67", value_parser = fraction)]
    renew_at: f64,
    /// Get one pair and end
    #[arg(long)]
    once: bool,
    /// How long an attempt may take; with --once, all of them
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = duration::parse)]
    timeout: Duration,
    /// Let the group of the files read the key (0640): for a server with another user
    #[arg(long)]
    group_read: bool,
    /// Replace files that certtool did not write
    #[arg(long)]
    force: bool,
    /// Serve /healthz, /startupz, /readyz and /metrics here
    #[arg(long, value_name = "[HOST]:PORT", help_heading = "Health")]
    listen: Option<String>,
    /// Look whether the server at this address shows the new certificate
    #[arg(long, value_name = "HOST:PORT", help_heading = "Health")]
    probe: Option<String>,
    /// Ready only while the server shows the certificate on disk
    #[arg(long, help_heading = "Health")]
    require_served: bool,
    /// The signal that makes the server reload its files
    #[arg(
        long,
        value_name = "SIGNAL",
        help_heading = "Servers that do not watch their files"
    )]
    reload_signal: Option<String>,
    /// The file with the server's process number
    #[arg(
        long,
        value_name = "FILE",
        help_heading = "Servers that do not watch their files"
    )]
    reload_pid_file: Option<PathBuf>,
    /// The command that makes the server reload: a program and its arguments, without a shell
    #[arg(
        long,
        value_name = "COMMAND",
        help_heading = "Servers that do not watch their files"
    )]
    reload_exec: Option<String>,
    /// Print the RBAC that a ServiceAccount needs for these options, and end
    #[arg(long, value_name = "NAMESPACE/NAME")]
    rbac_for: Option<crate::NamespacedName>,
}

fn fraction(text: &str) -> Result<f64, String> {
    let fraction = text.parse::<f64>().ok();
    fraction
        .filter(|fraction| *fraction > 0.0 && *fraction < 1.0)
        .ok_or_else(|| "it must lie between 0 and 1, such as 0.67".to_owned())
}

pub(super) fn run(
    args: &Sidecar,
    kubernetes: &KubernetesArgs,
    printer: &Printer,
) -> anyhow::Result<ExitStatus> {
    let options = args.options()?;
    if let Some(account) = &args.rbac_for {
        super::rbac::print(&rbac::manifests(&options, account), printer)?;
        return Ok(ExitStatus::Done);
    }
    runtime::current_thread()?.block_on(async {
        let pod = pod::pod();
        let cluster = Cluster::connect(&kubernetes.access()).await?;
        let sidecar = sidecar(args, options, &cluster, pod.as_ref());
        if args.once {
            once(args, sidecar, printer).await
        } else {
            keep(args, sidecar, cluster, pod, printer).await
        }
    })
}

/// The loop that the options describe.
fn sidecar(
    args: &Sidecar,
    options: Options,
    cluster: &Cluster,
    pod: Option<&PodName>,
) -> sidecar::Sidecar {
    let replica = pod::replica(pod);
    let config = Config::new(&options.cert_dir, options.names, &replica);
    let access = if args.group_read {
        Access::Group
    } else {
        Access::Owner
    };
    let dir: CertDir = config.dir.clone().with_access(access);
    let config = Config {
        dir,
        force: if args.force { Force::Yes } else { Force::No },
        algorithm: args.algorithm,
        renew_at: args.renew_at,
        trust: options.trust,
        reload: options.reload,
        probe: options.probe,
        require_served: args.require_served,
        ..config
    };
    match options.from {
        From::Signer(name) => {
            let signer = Signer {
                validity: Some(options.validity),
                timeout: options.timeout,
                ..Signer::new(&name, &replica)
            };
            sidecar::Sidecar::by_signer(config, cluster.clone(), signer)
        }
        From::Secret(own) => sidecar::Sidecar::by_own_ca(config, cluster.clone(), *own),
    }
}

fn log(printer: &Printer, happening: &Happening) {
    let text = happening.to_string();
    if happening.is_warning() {
        printer.warning(&text);
    } else {
        printer.progress(&text);
    }
}

async fn once(
    args: &Sidecar,
    sidecar: sidecar::Sidecar,
    printer: &Printer,
) -> anyhow::Result<ExitStatus> {
    let log_printer = printer.clone();
    let sidecar = sidecar.observe(move |happening| {
        // The end of it all is the result, or the error.
        if !matches!(happening, Happening::Issued { .. } | Happening::Kept { .. }) {
            log(&log_printer, happening);
        }
    });
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let outcome = tokio::select! {
        outcome = sidecar.once(args.timeout.unsigned_abs()) => outcome,
        _ = interrupt.recv() => return Ok(ExitStatus::Of(130)),
        _ = terminate.recv() => return Ok(ExitStatus::Of(143)),
    };
    match outcome {
        Ok(outcome) => show(args, &outcome, printer),
        Err(error @ OnceError::TimedOut { .. }) => Err(TimedOut(error.to_string()).into()),
        Err(error) => Err(error.into()),
    }
}

fn show(args: &Sidecar, outcome: &Outcome, printer: &Printer) -> anyhow::Result<ExitStatus> {
    let result = if outcome.is_new {
        "issued"
    } else {
        "unchanged"
    };
    let names: Vec<_> = outcome.names.iter().map(San::value).collect();
    let until = instant(outcome.not_after);
    let dir = args.cert_dir.clone().unwrap_or_default();
    let data = serde_json::json!({
        "certDir": dir, "result": result, "names": names, "notAfter": until,
        "issuer": outcome.issuer, "serial": outcome.serial,
    });
    printer.result(&data, || {
        format!(
            "certificate  {result}\nfiles        {}/tls.crt, tls.key\nnames        {}\nvalid until  {until}\nsigned by    {}\n",
            dir.display(),
            names.join(", "),
            outcome.issuer
        )
    })?;
    Ok(ExitStatus::Done)
}

async fn keep(
    args: &Sidecar,
    sidecar: sidecar::Sidecar,
    cluster: Cluster,
    pod: Option<PodName>,
    printer: &Printer,
) -> anyhow::Result<ExitStatus> {
    let listener = match &args.listen {
        Some(address) => {
            let listener = serve::bind(address)
                .await
                .with_context(|| format!("cannot listen on --listen {address}"))?;
            let address = listener.local_addr()?;
            printer.progress(&format!("health and metrics on http://{address}"));
            Some(listener)
        }
        None => None,
    };
    let events = pod.map(|pod| {
        let printer = printer.clone();
        pod_events(cluster, pod, move |error| {
            printer.warning(&format!("no Events can be written: {error}"));
        })
    });
    let log_printer = printer.clone();
    let sidecar = sidecar.observe(move |happening| {
        log(&log_printer, happening);
        if let Some(events) = &events {
            events(happening);
        }
    });
    let handle = sidecar.handle();
    if let Some(listener) = listener {
        tokio::spawn(serve::serve(
            listener,
            handle.status(),
            std::future::pending(),
        ));
    }
    let mut renew = signal(SignalKind::user_defined1())?;
    tokio::spawn(async move {
        while renew.recv().await.is_some() {
            handle.renew();
        }
    });
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let asked_to_end = async {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    };
    // To be asked to end is how a sidecar ends.
    sidecar.run(asked_to_end).await?;
    Ok(ExitStatus::Done)
}
