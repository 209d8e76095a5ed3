//! The loop that keeps a certificate fresh beside the server that uses it.
//!
//! `certtool sidecar` is this loop with a command line. A server in Rust can run it in its own
//! process, together with [`crate::resolver`], and needs no other container:
//!
//! ```no_run
//! use certtool::cluster::{Access, Cluster};
//! use certtool::sidecar::{Config, Sidecar, Signer};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! certtool::install_crypto_provider();
//! let cluster = Cluster::connect(&Access::default()).await?;
//! let names = vec!["hook.shop.svc".parse::<certtool::pki::Host>()?.to_san()];
//! let config = Config::new("/tmp/k8s-webhook-server/serving-certs", names, "hook-0");
//! let signer = Signer::new("example.com/serving", "hook-0");
//! let sidecar = Sidecar::by_signer(config, cluster, signer)
//!     .observe(|happening| eprintln!("{happening}"));
//! let handle = sidecar.handle();
//! let serving = std::future::pending::<()>(); // the server itself
//! tokio::select! {
//!     ended = sidecar.run(std::future::pending()) => ended?,
//!     () = serving => handle.renew(), // or whenever a new certificate is wanted
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Invariants:
//! * What to do is decided by [`crate::plan`], from the wall clock, on a short tick as well as
//!   on timers: a suspended laptop or a clock that jumps delays a renewal by a tick.
//! * The old pair stays in force until the new one was checked and is complete on disk.
//! * The pair in memory is the one that belongs on disk: what another hand does to the files is
//!   undone at once, without asking anybody.
//! * No failure ends the loop, once it has found that it can write to the directory.

mod disk;
mod failure;
mod happening;
mod held;
mod issuer;
mod own;
mod pod_events;
mod reload;
mod retry;
mod served;
mod signer;
mod source;
mod status;
mod trust;
mod turn;

use std::future::Future;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use time::OffsetDateTime;
use tokio::sync::watch;
use tokio::time::Instant;

pub use self::failure::Failure;
pub use self::happening::{Happening, Observer};
pub use self::own::OwnCa;
pub use self::pod_events::{PodName, pod_events};
pub use self::reload::Reload;
pub use self::served::Probe;
pub use self::signer::Signer;
pub use self::trust::TrustSource;

use self::issuer::Issuer;
use self::own::OwnIssuer;
use self::signer::SignerIssuer;
use self::status::Shared;
use self::turn::Turn;
use crate::cluster::Cluster;
use crate::pki::{KeyAlgorithm, San};
use crate::plan::{Seed, instant};
use crate::serve;
use crate::store::{self, CertDir, DirWatch, Force, Stamp};

/// What goes on and on is said again so often.
const REMINDER: Duration = Duration::from_secs(300);
/// How often the loop looks at the clock and at the directory: three `stat`s.
const TICK: Duration = Duration::from_secs(2);

/// What to keep, and where.
#[derive(Debug, Clone)]
pub struct Config {
    /// The directory.
    pub dir: CertDir,
    /// Whether files that certtool did not write are replaced.
    pub force: Force,
    /// The names, these and no others.
    pub names: Vec<San>,
    /// The key's algorithm; a pair whose key is of another kind is replaced only if one is
    /// given.
    pub algorithm: Option<KeyAlgorithm>,
    /// After which fraction of its life a certificate is renewed; up to a tenth of that
    /// earlier.
    pub renew_at: f64,
    /// What tells replicas apart.
    pub seed: Seed,
    /// What has to be trusted.
    pub trust: TrustSource,
    /// How the server is told.
    pub reload: Option<Reload>,
    /// Where the server is asked what it serves.
    pub probe: Option<Probe>,
    /// Whether readiness takes that the server shows the pair on disk.
    pub require_served: bool,
}

impl Config {
    /// A pair with these names in a directory; `replica` is a name that no other replica has.
    #[must_use]
    pub fn new(dir: impl Into<PathBuf>, names: Vec<San>, replica: &str) -> Self {
        Self {
            dir: CertDir::new(dir).with_lock_wait(Duration::from_secs(2)),
            force: Force::No,
            names,
            algorithm: None,
            renew_at: 0.67,
            seed: Seed::of(replica),
            trust: TrustSource::default(),
            reload: None,
            probe: None,
            require_served: false,
        }
    }
}

/// The loop, before it runs.
pub struct Sidecar {
    config: Config,
    issuer: Issuer,
    shared: Arc<Shared>,
    observer: Observer,
}

/// A hold on a loop that runs.
#[derive(Clone, Debug)]
pub struct Handle(Arc<Shared>);

/// What one run of [`Sidecar::once`] did.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// Whether a pair was written.
    pub is_new: bool,
    /// Its names.
    pub names: Vec<San>,
    /// Its serial number.
    pub serial: String,
    /// Who issued it.
    pub issuer: String,
    /// Until when it is valid.
    pub not_after: OffsetDateTime,
}

/// Why there was no pair in the end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OnceError {
    /// Nothing that waiting would help against.
    #[error(transparent)]
    Failed(Arc<Failure>),
    /// The time was over.
    #[error("no certificate within {} s: {last}", .after.as_secs())]
    TimedOut {
        /// The time.
        after: Duration,
        /// What was missing.
        last: String,
    },
}

impl Sidecar {
    /// A loop that asks a signer of the CertificateSigningRequest API.
    #[must_use]
    pub fn by_signer(config: Config, cluster: Cluster, signer: Signer) -> Self {
        let issuer = Issuer::Signer(Box::new(SignerIssuer::new(cluster, signer)));
        Self::new(config, issuer)
    }

    /// A loop that signs with a CA in a Secret, which it keeps and rotates together with the
    /// other replicas.
    #[must_use]
    pub fn by_own_ca(config: Config, cluster: Cluster, own: OwnCa) -> Self {
        let issuer = Issuer::Own(Box::new(OwnIssuer::new(cluster, own)));
        Self::new(config, issuer)
    }

    fn new(config: Config, issuer: Issuer) -> Self {
        let shared = Shared::new(
            config.probe.is_some(),
            config.reload.is_some(),
            config.require_served,
        );
        Self {
            config,
            issuer,
            shared: Arc::new(shared),
            observer: Arc::new(|_| {}),
        }
    }

    /// Who is told what happens.
    #[must_use]
    pub fn observe(mut self, observer: impl Fn(&Happening) + Send + Sync + 'static) -> Self {
        self.observer = Arc::new(observer);
        self
    }

    /// A hold on the loop.
    #[must_use]
    pub fn handle(&self) -> Handle {
        Handle(Arc::clone(&self.shared))
    }

    /// Runs until `shutdown`: beside the server in a `select!`, or in a task of its own.
    ///
    /// # Errors
    /// When the directory cannot be written to at the start: waiting would not help.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> Result<(), store::Error> {
        let Self {
            config,
            issuer,
            shared,
            observer,
        } = self;
        let (expect, expected) = watch::channel(None);
        let probe = config.probe.clone();
        let turn = Turn::new(
            config,
            issuer,
            Arc::clone(&shared),
            observer.clone(),
            expect,
        );
        turn.check_directory()?;
        let looking = async {
            match probe {
                Some(probe) => served::run(probe, expected, Arc::clone(&shared), observer).await,
                None => std::future::pending().await,
            }
        };
        let looping = keep_turning(turn, Arc::clone(&shared));
        tokio::select! {
            () = shutdown => {}
            () = looking => {}
            () = looping => {}
        }
        Ok(())
    }

    /// Gets one good pair, and ends: for an init container. A pair that is only due for renewal is
    /// good enough when no other can be had: the server starts by it.
    ///
    /// # Errors
    /// See [`OnceError`].
    pub async fn once(self, timeout: Duration) -> Result<Outcome, OnceError> {
        let Self {
            config,
            issuer,
            shared,
            observer,
        } = self;
        let (expect, _expected) = watch::channel(None);
        let mut turn = Turn::new(config, issuer, shared, observer.clone(), expect);
        let failed = |failure| OnceError::Failed(Arc::new(failure));
        turn.check_directory()
            .map_err(|error| failed(Failure::Store(error)))?;
        let error = match turn_until_settled(&mut turn, timeout).await {
            Ok(outcome) => return Ok(outcome),
            Err(error) => error,
        };
        let Some(kept) = turn.kept() else {
            return Err(error);
        };
        observer(&Happening::Note {
            is_warning: true,
            reason: "CertificateKept",
            message: format!(
                "the old pair is kept, and valid until {}, but it is due for renewal: {error}",
                instant(kept.not_after)
            ),
        });
        Ok(kept)
    }
}

/// Turn after turn, until there is a good pair, nothing helps, or the time is over.
async fn turn_until_settled(turn: &mut Turn, timeout: Duration) -> Result<Outcome, OnceError> {
    let deadline = Instant::now() + timeout;
    let timed_out = |last| OnceError::TimedOut {
        after: timeout,
        last,
    };
    let mut last = "nothing was tried".to_owned();
    loop {
        let Ok(next) = tokio::time::timeout_at(deadline, turn.take()).await else {
            return Err(timed_out(turn.waiting().unwrap_or(last)));
        };
        match turn.failure() {
            None => {}
            Some(failure) if failure.is_transient() => last = failure.to_string(),
            Some(failure) => return Err(OnceError::Failed(failure)),
        }
        if let Some(outcome) = turn.outcome() {
            return Ok(outcome);
        }
        let left = next - OffsetDateTime::now_utc();
        let pause = Duration::try_from(left).unwrap_or_default();
        let pause = pause.clamp(Duration::from_millis(10), TICK);
        tokio::time::sleep_until(deadline.min(Instant::now() + pause)).await;
        if Instant::now() >= deadline {
            return Err(timed_out(last));
        }
    }
}

/// Turn after turn, for ever.
async fn keep_turning(mut turn: Turn, shared: Arc<Shared>) {
    let waker = Arc::clone(&shared);
    // Something else in the directory may be written to all the time, and whoever is woken breaks off
    // what is waited for.
    let (dir, seen) = (turn.dir().clone(), Mutex::new(Stamp::default()));
    let mut files = DirWatch::start(dir.path().to_owned(), move || {
        let now = dir.stamp();
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        if *seen != now {
            *seen = now;
            waker.wake.notify_one();
        }
    });
    loop {
        let now = OffsetDateTime::now_utc();
        shared.turned(now);
        let next = turn.take().await;
        files.refresh();
        let next = turn.issuer_due().map_or(next, |due| due.min(next));
        let left = next - OffsetDateTime::now_utc();
        let pause = Duration::try_from(left).unwrap_or_default().min(TICK);
        // Nothing that is decided wrongly may take the whole core.
        let pause = pause.max(Duration::from_millis(5));
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = shared.wake.notified() => {}
        }
    }
}

impl Handle {
    /// Renews now, whatever the clock says.
    pub fn renew(&self) {
        self.0.ask();
    }

    /// What to serve as health and metrics: [`serve::serve`].
    #[must_use]
    pub fn status(&self) -> Arc<dyn serve::Status> {
        self.0.clone()
    }
}

impl std::fmt::Debug for Sidecar {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sidecar")
            .field("config", &self.config)
            .field("issuer", &self.issuer)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_may_give_the_loop_to_a_task() {
        fn spawnable<F: Future + Send + 'static>(_: F) {}
        // That it compiles is the test.
        let _ = |sidecar: Sidecar| spawnable(sidecar.run(std::future::pending()));
        let _ = |sidecar: Sidecar| spawnable(sidecar.once(Duration::ZERO));
    }
}
