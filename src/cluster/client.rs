//! A connection to the API server, configured as kubectl's.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;
use tokio::sync::{OwnedRwLockReadGuard, RwLock};

use super::call::Call;
use super::connection::{Connection, Way};
use super::error::{Error, Result};
use super::patience::Patience;
use super::server_clock::ServerClock;
use crate::pki::{Certificate, TrustBundle};

/// How to reach the cluster, as given on the command line.
#[derive(Debug, Clone, Default)]
pub struct Access {
    /// `--kubeconfig`
    pub kubeconfig: Option<PathBuf>,
    /// `--context`
    pub context: Option<String>,
    /// `--namespace`
    pub namespace: Option<String>,
    /// `--as`
    pub impersonate: Option<String>,
}

/// A cluster that can be asked.
#[derive(Clone)]
pub struct Cluster {
    client: kube::Client,
    /// What the client sends its requests by.
    connection: Connection,
    /// Held, shared, by what has to be finished before the process ends.
    busy: Arc<RwLock<()>>,
    /// What is done when the API server does not answer; without it, that is an error.
    patience: Option<Arc<Patience>>,
    clock: ServerClock,
    /// The API server's URL.
    pub server: http::Uri,
    /// The namespace of `--namespace` or the context.
    pub namespace: String,
    /// The name that the API server's certificate is checked for, if not the URL's host.
    pub tls_server_name: Option<String>,
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Cluster({})", self.server)
    }
}

/// An answer that takes longer is an error: every wait ends.
const ANSWER: Duration = Duration::from_secs(60);

impl Cluster {
    /// Reads the configuration; nothing is sent yet.
    ///
    /// # Errors
    /// When there is no configuration, or it cannot be used.
    pub async fn connect(access: &Access) -> Result<Self> {
        Self::connect_with(access, ANSWER, None, true).await
    }

    /// As [`Cluster::connect`], for a client that waits for an API server that restarts or is
    /// overloaded.
    ///
    /// # Errors
    /// As [`Cluster::connect`].
    pub async fn connect_patiently(access: &Access, patience: Patience) -> Result<Self> {
        Self::connect_with(access, ANSWER, Some(Arc::new(patience)), false).await
    }

    /// As [`Cluster::connect`], for whoever tries again by themselves: each answer takes
    /// `answer` at most, and every error is told at once.
    ///
    /// # Errors
    /// As [`Cluster::connect`].
    pub async fn connect_impatiently(access: &Access, answer: Duration) -> Result<Self> {
        Self::connect_with(access, answer, None, false).await
    }

    async fn connect_with(
        access: &Access,
        answer: Duration,
        patience: Option<Arc<Patience>>,
        retry: bool,
    ) -> Result<Self> {
        let clock = ServerClock::default();
        let way = Way {
            access: access.clone(),
            answer,
            retry,
            clock: clock.clone(),
        };
        let config = way.configuration().await?;
        let server = config.cluster_url.clone();
        let namespace = config.default_namespace.clone();
        let tls_server_name = config.tls_server_name.clone();
        let connection = Connection::open(way, config)?;
        Ok(Self {
            client: kube::Client::new(connection.clone(), namespace.clone()),
            connection,
            clock,
            busy: Arc::default(),
            patience,
            server,
            namespace,
            tls_server_name,
        })
    }

    /// The CA of the API server's own certificate, as this client was configured with it;
    /// `None` when it was not, or with something that is no certificate.
    #[must_use]
    pub fn api_server_ca(&self) -> Option<TrustBundle> {
        let roots = self.connection.roots()?;
        let certificates = roots.iter().map(|der| Certificate::from_der(der));
        let certificates: Result<Vec<_>, _> = certificates.collect();
        let bundle = TrustBundle::new(certificates.ok()?);
        (!bundle.is_empty()).then_some(bundle)
    }

    /// The client itself, for what kube's crates do with one.
    pub(crate) fn client(&self) -> kube::Client {
        self.client.clone()
    }

    /// The API server's time, to about a second: what its last answer said, and how long ago
    /// that was. `None` before the first answer.
    #[must_use]
    pub fn server_time(&self) -> Option<time::OffsetDateTime> {
        self.clock.now()
    }

    /// Keeps [`Cluster::settled`] waiting.
    pub(super) fn busy(&self) -> Option<OwnedRwLockReadGuard<()>> {
        self.busy.clone().try_read_owned().ok()
    }

    /// Waits until everything that was begun here is cleaned up, such as a probe that was
    /// interrupted.
    pub async fn settled(&self) {
        drop(self.busy.write().await);
    }

    /// Sends one request.
    pub(super) async fn send<T: DeserializeOwned>(
        &self,
        call: &Call,
        request: Prepared,
    ) -> Result<T> {
        let text = self.send_text(call, request).await?;
        serde_json::from_str(&text).map_err(|error| Error::Other {
            call: Box::new(call.clone()),
            why: format!("the answer does not read: {error}"),
        })
    }

    /// Sends one request, again and again if there is patience; the answer as it is.
    pub(super) async fn send_text(&self, call: &Call, request: Prepared) -> Result<String> {
        let Some(patience) = &self.patience else {
            return self.send_once(call, request).await;
        };
        let request = prepared(call, request)?;
        let mut trial = patience.begin();
        loop {
            let answer = trial
                .limited(&self.server, self.send_once(call, Ok(request.clone())))
                .await;
            match answer {
                Ok(text) => {
                    trial.answered();
                    return Ok(text);
                }
                Err(error) => trial.forgive(error).await?,
            }
        }
    }

    /// Sends one request, once.
    pub(super) async fn send_once(&self, call: &Call, request: Prepared) -> Result<String> {
        self.client
            .request_text(prepared(call, request)?)
            .await
            .map_err(|error| Error::of(call, &self.server.to_string(), &error))
    }

    pub(super) fn patience(&self) -> Option<&Patience> {
        self.patience.as_deref()
    }
}

/// A request as kube makes it, or why it cannot be made.
pub(super) type Prepared = std::result::Result<http::Request<Vec<u8>>, kube::core::request::Error>;

fn prepared(call: &Call, request: Prepared) -> Result<http::Request<Vec<u8>>> {
    request.map_err(|error| Error::Other {
        call: Box::new(call.clone()),
        why: error.to_string(),
    })
}
