//! The connection itself. It is made anew when the API server cannot be reached and what its
//! certificate is checked against has changed: the CA of an API server is replaced now and then, in
//! the kubeconfig or in the file that the kubelet keeps, and a process that read it once at its
//! start would be cut off for good.

use std::sync::{Arc, PoisonError, RwLock};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use http::{Request, Response};
use kube::client::{Body, ClientBuilder};
use kube::config::Config;
use tower::Service;

use super::client::Access;
use super::configuration::configuration;
use super::error::{Error, Result, causes};
use super::server_clock::ServerClock;

const CONNECT: Duration = Duration::from_secs(10);

/// How a connection is made.
pub(super) struct Way {
    pub(super) access: Access,
    /// An answer that takes longer is an error.
    pub(super) answer: Duration,
    /// Whether kube's own retries are wanted.
    pub(super) retry: bool,
    pub(super) clock: ServerClock,
}

impl Way {
    /// What is configured now.
    pub(super) async fn configuration(&self) -> Result<Config> {
        let mut config = configuration(&self.access).await?;
        // Where we wait ourselves, the client must not wait in silence.
        config.default_retry = self.retry;
        if let Some(namespace) = &self.access.namespace {
            config.default_namespace.clone_from(namespace);
        }
        if self.access.impersonate.is_some() {
            let impersonate = &self.access.impersonate;
            config.auth_info.impersonate.clone_from(impersonate);
        }
        config.connect_timeout = Some(CONNECT.min(self.answer));
        config.read_timeout = Some(self.answer);
        config.reset_reader_on_write = true;
        Ok(config)
    }

    fn client(&self, config: Config) -> Result<kube::Client> {
        let builder = ClientBuilder::try_from(config);
        let builder = builder.map_err(|error| Error::Kubeconfig(causes(&error)))?;
        Ok(builder.with_layer(&self.clock.layer()).build())
    }
}

/// A way to the API server that outlives its CA; its clones are the same one.
#[derive(Clone)]
pub(super) struct Connection {
    way: Arc<Way>,
    now: Arc<RwLock<Now>>,
}

struct Now {
    client: kube::Client,
    roots: Option<Vec<Vec<u8>>>,
}

impl Connection {
    /// By this configuration, as long as it is right.
    pub(super) fn open(way: Way, config: Config) -> Result<Self> {
        let roots = config.root_cert.clone();
        let client = way.client(config)?;
        Ok(Self {
            way: Arc::new(way),
            now: Arc::new(RwLock::new(Now { client, roots })),
        })
    }

    /// What the API server's certificate is checked against, in DER; `None` for the system's own
    /// roots.
    pub(super) fn roots(&self) -> Option<Vec<Vec<u8>>> {
        let now = self.now.read().unwrap_or_else(PoisonError::into_inner);
        now.roots.clone()
    }

    fn client(&self) -> kube::Client {
        let now = self.now.read().unwrap_or_else(PoisonError::into_inner);
        now.client.clone()
    }

    /// Takes what is configured now, if that has other roots. What cannot be read, while it is being
    /// written for one, is read the next time.
    async fn read_again(&self) {
        let Ok(config) = self.way.configuration().await else {
            return;
        };
        let roots = config.root_cert.clone();
        if roots == self.roots() {
            return;
        }
        if let Ok(client) = self.way.client(config) {
            tracing::info!("the CA of the API server is another one than before");
            let mut now = self.now.write().unwrap_or_else(PoisonError::into_inner);
            *now = Now { client, roots };
        }
    }
}

impl Service<Request<Body>> for Connection {
    type Response = Response<Body>;
    type Error = kube::Error;
    type Future = BoxFuture<'static, kube::Result<Response<Body>>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<kube::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let this = self.clone();
        async move {
            let answer = this.client().send(request).await;
            // Whoever asked tries again.
            if let Err(kube::Error::Service(_) | kube::Error::HyperError(_)) = &answer {
                this.read_again().await;
            }
            answer
        }
        .boxed()
    }
}
