//! A rustls certificate resolver that follows a certificate directory.
//!
//! For a server in Rust that wants no sidecar to reload it, and none at all when it runs the
//! loop of [`crate::sidecar`] itself:
//!
//! ```no_run
//! use std::sync::Arc;
//! use certtool::resolver::DirResolver;
//!
//! certtool::install_crypto_provider();
//! let resolver = DirResolver::start("/tmp/k8s-webhook-server/serving-certs");
//! let config = rustls::ServerConfig::builder()
//!     .with_no_client_auth()
//!     .with_cert_resolver(Arc::new(resolver));
//! ```
//!
//! Invariants:
//! * The directory is resolved once for each load, so that certificate and key belong together;
//!   what does not match is not used.
//! * The last good pair is served until there is another one.
//! * A handshake does no I/O: it takes the pair that is loaded.

mod load;

use std::fmt;
use std::path::PathBuf;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

pub use self::load::{LoadError, load};
use crate::store::{CertDir, DirWatch, Stamp};

/// How often the directory is looked at when nothing announces a change.
const POLL: Duration = Duration::from_secs(10);
/// The first loads after a start that found nothing come sooner.
const FIRST_POLL: Duration = Duration::from_millis(200);

/// Serves the pair of a directory, always the newest good one.
///
/// While there is none yet, handshakes fail; [`DirResolver::is_loaded`] says so, for a
/// readiness probe. It watches from a thread of its own, which ends when this is dropped.
pub struct DirResolver {
    shared: Arc<Shared>,
    wake: Sender<Wake>,
}

struct Shared {
    dir: CertDir,
    now: RwLock<Now>,
}

#[derive(Default)]
struct Now {
    pair: Option<Arc<CertifiedKey>>,
    /// What the directory looked like before it was read.
    stamp: Stamp,
    problem: Option<Arc<LoadError>>,
    loads: u64,
}

enum Wake {
    Look,
    End,
}

impl DirResolver {
    /// Loads the pair, if there is one, and follows the directory from now on.
    ///
    /// # Panics
    /// Never; without a watch or a thread the pair is simply not followed, which
    /// [`DirResolver::reload`] can make up for.
    #[must_use]
    pub fn start(path: impl Into<PathBuf>) -> Self {
        let shared = Arc::new(Shared {
            dir: CertDir::new(path),
            now: RwLock::default(),
        });
        shared.look();
        let (wake, woken) = mpsc::channel();
        let (followed, waker) = (Arc::clone(&shared), wake.clone());
        // A thread that cannot be started leaves the pair that was loaded.
        let _ = std::thread::Builder::new()
            .name("certificates".to_owned())
            .spawn(move || {
                let mut watch = DirWatch::start(followed.dir.path(), move || {
                    let _ = waker.send(Wake::Look);
                });
                loop {
                    let pause = if followed.is_loaded() {
                        POLL
                    } else {
                        FIRST_POLL
                    };
                    match woken.recv_timeout(pause) {
                        Ok(Wake::Look) | Err(RecvTimeoutError::Timeout) => {
                            watch.refresh();
                            followed.look();
                        }
                        Ok(Wake::End) | Err(RecvTimeoutError::Disconnected) => return,
                    }
                }
            });
        Self { shared, wake }
    }

    /// Looks at the directory now, rather than when a change is noticed.
    pub fn reload(&self) {
        self.shared.look();
    }

    /// Whether there is a pair to serve.
    #[must_use]
    pub fn is_loaded(&self) -> bool {
        self.shared.is_loaded()
    }

    /// The pair that is served.
    #[must_use]
    pub fn current(&self) -> Option<Arc<CertifiedKey>> {
        self.shared.read().pair.clone()
    }

    /// Why the directory's present content is not served, if it is not.
    #[must_use]
    pub fn problem(&self) -> Option<Arc<LoadError>> {
        self.shared.read().problem.clone()
    }

    /// How many pairs were loaded so far.
    #[must_use]
    pub fn loads(&self) -> u64 {
        self.shared.read().loads
    }
}

impl Shared {
    fn read(&self) -> std::sync::RwLockReadGuard<'_, Now> {
        // Whoever panicked left a whole value.
        self.now.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_loaded(&self) -> bool {
        self.read().pair.is_some()
    }

    /// Loads what is there, unless nothing changed since it was looked at.
    fn look(&self) {
        let stamp = self.dir.stamp();
        {
            let now = self.read();
            let is_settled = now.pair.is_some() && now.problem.is_none();
            if is_settled && now.stamp == stamp {
                return;
            }
        }
        let loaded = load(&self.dir);
        let mut now = self.now.write().unwrap_or_else(PoisonError::into_inner);
        now.stamp = stamp;
        match loaded {
            Ok(pair) => {
                let is_new = now.pair.as_ref().is_none_or(|old| old.cert != pair.cert);
                if is_new {
                    now.pair = Some(Arc::new(pair));
                    now.loads += 1;
                }
                now.problem = None;
            }
            Err(error) => now.problem = Some(Arc::new(error)),
        }
    }
}

impl Drop for DirResolver {
    fn drop(&mut self) {
        let _ = self.wake.send(Wake::End);
    }
}

impl fmt::Debug for DirResolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DirResolver")
            .field("path", &self.shared.dir.path())
            .field("is_loaded", &self.is_loaded())
            .finish_non_exhaustive()
    }
}

impl ResolvesServerCert for DirResolver {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.current()
    }
}
