//! The controller: requests for the configured signers are approved by policy and signed, and
//! caBundles follow their CAs, by one of several replicas.
//!
//! * [`config`] (pure): the file
//! * `decide` (pure): what to do with one request next
//! * `signer`: the watch, the queue and the work on each request
//! * `authorities`: the CA of each signer
//! * `trust_bundle`: the CA as a ConfigMap, for clients
//! * `publishing`: a CA's bundle, everywhere before it signs
//! * `injection` (pure): which object gets which bundle, and what its caBundles become
//! * `injector`: the watches, the queue and the work on each object; a CA's bundle before it signs
//! * `queue`: what waits, each once, with a back-off of its own
//! * `gate`, `leader`: nobody writes but the leader
//! * `reload`, `readiness`, `metrics`, `reporter`: what is seen from outside
//!
//! Invariants: nothing is written while the gate is closed; a request that fails holds up no
//! other; a configuration that is refused changes nothing.

pub mod config;

mod authorities;
mod decide;
mod gate;
mod injection;
mod injector;
mod leader;
mod metrics;
mod publishing;
mod queue;
mod readiness;
mod reload;
mod reporter;
mod signer;
mod trust_bundle;

use std::future::{Future, pending};
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use futures::FutureExt;
use futures::future::join_all;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tracing::info;

use self::config::Config;
use self::injector::Injector;
use self::leader::Election;
use self::metrics::Metrics;
use self::readiness::Readiness;
use self::signer::{Active, Context};
use crate::cluster::{Access, Cluster};
use crate::serve::{Status, serve};

/// How the process runs.
#[derive(Debug)]
pub struct Options {
    /// How the API server is reached.
    pub access: Access,
    /// The file that is watched.
    pub config_path: PathBuf,
    /// Where health and metrics are served.
    pub listener: Option<TcpListener>,
    /// How a leader is elected; `None` for the only replica.
    pub election: Option<LeaderElection>,
}

/// How a leader is elected.
#[derive(Debug, Clone)]
pub struct LeaderElection {
    /// The Lease's namespace.
    pub namespace: String,
    /// The Lease's name.
    pub name: String,
    /// How long a leader that says nothing is still the leader, in whole seconds.
    pub duration: Duration,
}

/// Runs until SIGTERM or SIGINT; then finishes what was begun and gives the lease back.
///
/// # Errors
/// When it cannot start; nothing that happens later ends it.
pub async fn run(
    options: Options,
    cluster: Cluster,
    config: Config,
    text: String,
) -> anyhow::Result<()> {
    let identity = identity()?;
    let metrics = Metrics::new();
    let readiness = Readiness::default();
    let (keeper, gate) = gate::gate();
    let (reporter, events) = reporter::reporter(&identity, &metrics);
    let context = Context {
        cluster: cluster.clone(),
        gate: gate.clone(),
        metrics: metrics.clone(),
        reporter: reporter.clone(),
        readiness: readiness.clone(),
    };
    let (configs, config) = watch::channel(Arc::new(config));
    let (stopping, stop) = watch::channel(false);
    let (ending, end) = watch::channel(false);

    let interrupted = interrupted()?;
    let working = async {
        generations(&context, config, stop.clone()).await;
        info!("finished what was begun");
        ending.send_replace(true);
    };
    let serving = async {
        let Some(listener) = options.listener else {
            return Ok(());
        };
        let status = Arc::new(Seen {
            metrics: metrics.clone(),
            readiness,
        });
        let listener = tokio::net::TcpListener::from_std(listener)
            .context("could not serve health and metrics")?;
        serve(listener, status, raised(end.clone())).await;
        Ok::<_, anyhow::Error>(())
    };
    let electing = async {
        let Some(election) = &options.election else {
            keeper.open();
            metrics.set_leader(true);
            return raised(end.clone()).await;
        };
        let election = Election {
            namespace: election.namespace.clone(),
            name: election.name.clone(),
            duration: election.duration,
            identity: identity.clone(),
        };
        // A client of its own: an answer about the lease is wanted soon or not at all.
        match Cluster::connect_impatiently(&options.access, leader::ANSWER).await {
            Ok(cluster) => {
                let end = raised(end.clone());
                election.run(&cluster, &keeper, &metrics, end).await;
            }
            Err(error) => tracing::error!("no leader can be elected: {error}"),
        }
    };
    let beside = async {
        let reloading = reload::follow(&options.config_path, text, &configs, &metrics, &reporter);
        tokio::select! {
            () = raised(end.clone()) => {}
            () = reloading => {}
            () = events.run(&cluster, &gate) => {}
        }
    };
    let stopped = async {
        tokio::select! {
            () = interrupted => {
                info!("asked to end");
                stopping.send_replace(true);
            }
            () = raised(end.clone()) => {}
        }
    };
    info!(identity, version = env!("CARGO_PKG_VERSION"), "started");
    let (served, (), (), (), ()) = futures::join!(serving, working, electing, beside, stopped);
    served
}

/// Works by one configuration after the other.
async fn generations(
    context: &Context,
    mut configs: watch::Receiver<Arc<Config>>,
    stop: watch::Receiver<bool>,
) {
    loop {
        let config = Arc::clone(&configs.borrow_and_update());
        let over = async {
            tokio::select! {
                () = raised(stop.clone()) => {}
                changed = configs.changed() => if changed.is_err() {
                    pending::<()>().await;
                },
            }
        };
        generation(context, &config, over).await;
        if *stop.borrow() {
            return;
        }
    }
}

/// Works by one configuration until `over`, and finishes what was begun.
async fn generation(context: &Context, config: &Config, over: impl Future<Output = ()>) {
    context.reporter.want(config.observability.events);
    let injector = &Injector::new(config);
    let mut active = Vec::new();
    let mut authorities = Vec::new();
    for signer in &config.signers {
        context.readiness.expect(signer.name());
        let (sender, signing) = watch::channel(authorities::unknown());
        let signer = Arc::new(signer.clone());
        active.push(Active {
            signer: Arc::clone(&signer),
            signing,
        });
        authorities.push(async move {
            authorities::follow(&signer, context, injector, &sender).await;
        });
    }
    let names: Vec<&str> = config.signers.iter().map(config::Signer::name).collect();
    info!(signers = names.join(", "), "working by this configuration");
    tokio::select! {
        biased;
        () = signer::run(context, &active, over) => {}
        // Never over, not even when there is none.
        ((), ()) = futures::future::join(join_all(authorities).map(drop), pending()) => {}
        () = injector::run(context, injector) => {}
    }
    for name in names {
        context.readiness.watching(name);
        context.metrics.forget(name);
    }
}

struct Seen {
    metrics: Metrics,
    readiness: Readiness,
}

impl Status for Seen {
    fn ready(&self) -> Result<(), String> {
        self.readiness.check()
    }

    fn metrics(&self) -> String {
        self.metrics.text()
    }
}

/// The pod's name, or the machine's, and something that no other process ever has.
fn identity() -> anyhow::Result<String> {
    let host = gethostname::gethostname().to_string_lossy().into_owned();
    let pod = std::env::var("POD_NAME")
        .ok()
        .filter(|name| !name.is_empty());
    let serial = crate::random_serial().context("could not get randomness from the kernel")?;
    let unique: String = serial
        .to_string()
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .collect();
    let unique = unique.get(..10).unwrap_or(&unique);
    Ok(format!("{}_{unique}", pod.unwrap_or(host)))
}

fn interrupted() -> anyhow::Result<impl Future<Output = ()>> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

/// Waits until the flag is raised.
async fn raised(mut flag: watch::Receiver<bool>) {
    if flag.wait_for(|raised| *raised).await.is_err() {
        pending::<()>().await;
    }
}
