//! An admission webhook that needs neither cert-manager nor a sidecar: it runs certtool's loop
//! in its own process, and its TLS configuration follows the certificate directory.
//!
//! ```bash
//! cargo run --example webhook -- 0.0.0.0:9443 hook.shop shop/hook-ca hook.example.com /run/certs
//! ```
//!
//! The arguments: where to listen, the Service, the Secret of the replicas' own CA, the
//! ValidatingWebhookConfiguration, and a directory for the pair. The webhook denies objects with
//! the label `deny: "true"`. The rights that it needs are printed by
//! `certtool sidecar --service … --ca-secret … --webhook … --cert-dir … --rbac-for NS/ACCOUNT`.

use std::error::Error;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use certtool::authority::Settings;
use certtool::cluster::{Access, Cluster, SecretName};
use certtool::injectable::{Kind, ObjectId};
use certtool::pki::{San, ServiceName};
use certtool::resolver::DirResolver;
use certtool::sidecar::{Config, OwnCa, Sidecar};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

type Failure = Box<dyn Error + Send + Sync>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    certtool::install_crypto_provider();
    let options = Options::from_args(std::env::args().skip(1))?;
    let cluster = Cluster::connect(&Access::default()).await?;
    run(options, cluster).await
}

/// What the webhook is told.
pub struct Options {
    /// Where it listens.
    pub listen: SocketAddr,
    /// The Service that the API server calls.
    pub service: ServiceName,
    /// The Secret of the CA.
    pub ca_secret: SecretName,
    /// The configuration that calls the webhook.
    pub configuration: String,
    /// Where the pair is kept.
    pub cert_dir: PathBuf,
}

impl Options {
    fn from_args(mut args: impl Iterator<Item = String>) -> Result<Self, Failure> {
        let mut next = |what: &str| args.next().ok_or_else(|| format!("missing: {what}"));
        Ok(Self {
            listen: next("address to listen on")?.parse()?,
            service: next("Service, as NAME.NAMESPACE")?.parse()?,
            ca_secret: next("Secret, as NAMESPACE/NAME")?.parse()?,
            configuration: next("ValidatingWebhookConfiguration")?,
            cert_dir: next("directory")?.into(),
        })
    }
}

/// Keeps the certificate, and serves, until one of the two ends.
pub async fn run(options: Options, cluster: Cluster) -> Result<(), Failure> {
    let names = options.service.dns_names("cluster.local").map(San::Dns);
    let replica = std::env::var("POD_NAME").unwrap_or_else(|_| "hook".to_owned());
    let config = Config::new(&options.cert_dir, names.to_vec(), &replica);
    let day = time::Duration::DAY;
    let own = OwnCa {
        secret: options.ca_secret,
        settings: Settings::new(day * 90, day)?,
        objects: vec![vec![ObjectId {
            kind: Kind::ValidatingWebhookConfiguration,
            name: options.configuration,
        }]],
        service: None,
    };
    let sidecar =
        Sidecar::by_own_ca(config, cluster, own).observe(|happening| eprintln!("{happening}"));
    // Never ends by itself; in a Pod, SIGTERM ends the process.
    let keeping = sidecar.run(std::future::pending());

    let resolver = Arc::new(DirResolver::start(&options.cert_dir));
    let tls = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_cert_resolver(resolver);
    let acceptor = TlsAcceptor::from(Arc::new(tls));
    let listener = TcpListener::bind(options.listen).await?;
    let serving = async {
        loop {
            let (stream, _) = listener.accept().await?;
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                if let Err(error) = answer(stream, acceptor).await {
                    eprintln!("a connection ended: {error}");
                }
            });
        }
    };
    tokio::select! {
        kept = keeping => Ok(kept?),
        served = serving => served,
    }
}

async fn answer(stream: TcpStream, acceptor: TlsAcceptor) -> Result<(), Failure> {
    let stream = acceptor.accept(stream).await?;
    let service = service_fn(|request: Request<Incoming>| async {
        let body = request.into_body().collect().await?.to_bytes();
        let review = serde_json::from_slice(&body).unwrap_or_default();
        let answer = review_of(&review).to_string();
        let mut response = Response::new(Full::new(Bytes::from(answer)));
        let json = http::HeaderValue::from_static("application/json");
        response
            .headers_mut()
            .insert(http::header::CONTENT_TYPE, json);
        Ok::<_, hyper::Error>(response)
    });
    http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await?;
    Ok(())
}

/// The AdmissionReview that answers one.
fn review_of(review: &Value) -> Value {
    let request = &review["request"];
    let denied = request["object"]["metadata"]["labels"]["deny"] == "true";
    let mut response = json!({ "uid": request["uid"], "allowed": !denied });
    if denied {
        response["status"] = json!({ "code": 403, "message": "denied by the example" });
    }
    json!({ "apiVersion": review["apiVersion"], "kind": review["kind"], "response": response })
}
