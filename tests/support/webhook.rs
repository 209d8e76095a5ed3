//! A small HTTPS server that the API server can call as a webhook.
//!
//! | path | what it does |
//! |---|---|
//! | `/validate` | denies objects labelled `deny=true` |
//! | `/mutate` | adds the annotation `test.certtool.dev/mutated: "true"` |
//! | `/convert` | renames `spec.host` (v1beta1) to `spec.hostname` (v1) and back |
//! | `/apis/GROUP/VERSION` | answers discovery as an aggregated API server does |
//!
//! It reads `tls.crt` and `tls.key` anew, of one directory, at each connection and serves
//! one request on each, so that a rotation shows in the very next request.

use std::{
    fs, io,
    net::{SocketAddr, TcpListener},
    path::Path,
    sync::{Arc, Mutex},
    thread::{self, JoinHandle},
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use http_body_util::{BodyExt, Full};
use hyper::{Request, Response, StatusCode, body::Bytes, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use serde_json::{Value, json};
use tokio::{net::TcpStream, sync::oneshot};
use tokio_rustls::TlsAcceptor;

/// One request that was answered.
#[derive(Clone, Debug)]
pub struct Call {
    pub path: String,
    /// The name that the client asked for in its TLS hello.
    pub sni: Option<String>,
    /// The leaf that the client was shown.
    pub leaf: CertificateDer<'static>,
}

/// The server; it stops when this is dropped.
pub struct Webhook {
    address: SocketAddr,
    seen: Arc<Mutex<Seen>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Seen {
    calls: Vec<Call>,
    failures: Vec<String>,
}

impl Webhook {
    /// Listens at once: on `127.96.x.y:443` behind a Service, or on `127.0.0.1:0`.
    pub fn start(address: impl Into<SocketAddr>, cert_dir: &Path) -> Self {
        super::install_crypto_provider();
        let address = address.into();
        let listener = TcpListener::bind(address)
            .unwrap_or_else(|error| panic!("the webhook cannot listen on {address}: {error}"));
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::default();
        let (stop, stopped) = oneshot::channel();
        let (cert_dir, log) = (cert_dir.to_owned(), Arc::clone(&seen));
        let thread = thread::spawn(move || serve(listener, &cert_dir, &log, stopped));
        Self {
            address,
            seen,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The requests that were answered, oldest first.
    pub fn calls(&self) -> Vec<Call> {
        self.seen.lock().unwrap().calls.clone()
    }

    /// How many requests for a path were answered.
    pub fn count(&self, path: &str) -> usize {
        self.calls().iter().filter(|call| call.path == path).count()
    }

    /// Why connections came to nothing: `bad certificate` and the like.
    pub fn failures(&self) -> Vec<String> {
        self.seen.lock().unwrap().failures.clone()
    }
}

impl Drop for Webhook {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn serve(
    listener: TcpListener,
    cert_dir: &Path,
    seen: &Arc<Mutex<Seen>>,
    mut stopped: oneshot::Receiver<()>,
) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        loop {
            let accepted = tokio::select! {
                _ = &mut stopped => return,
                accepted = listener.accept() => accepted,
            };
            let Ok((stream, _)) = accepted else { continue };
            let (cert_dir, seen) = (cert_dir.to_owned(), Arc::clone(seen));
            tokio::spawn(async move {
                let served = serve_connection(stream, &cert_dir, &seen);
                let failure = match tokio::time::timeout(Duration::from_secs(30), served).await {
                    Ok(Ok(())) => return,
                    Ok(Err(error)) => error.to_string(),
                    Err(_) => "timed out".to_owned(),
                };
                seen.lock().unwrap().failures.push(failure);
            });
        }
    });
}

async fn serve_connection(
    stream: TcpStream,
    cert_dir: &Path,
    seen: &Mutex<Seen>,
) -> io::Result<()> {
    let (config, leaf) = load(cert_dir).map_err(io::Error::other)?;
    let stream = TlsAcceptor::from(Arc::new(config)).accept(stream).await?;
    let sni = stream.get_ref().1.server_name().map(str::to_owned);
    let service = service_fn(|request: Request<hyper::body::Incoming>| {
        let (sni, leaf) = (sni.clone(), leaf.clone());
        async move {
            let path = request.uri().path().to_owned();
            let body = request.into_body().collect().await?.to_bytes();
            let (status, answer) = respond(&path, &body);
            seen.lock().unwrap().calls.push(Call { path, sni, leaf });
            let mut response = Response::new(Full::new(Bytes::from(answer.to_string())));
            *response.status_mut() = status;
            response
                .headers_mut()
                .insert("content-type", "application/json".parse().unwrap());
            Ok::<_, hyper::Error>(response)
        }
    });
    http1::Builder::new()
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service)
        .await
        .map_err(io::Error::other)
}

/// Where the files are is resolved once, so that a pair written between the two reads
/// does not give the certificate of the one and the key of the other.
fn load(cert_dir: &Path) -> Result<(ServerConfig, CertificateDer<'static>), String> {
    let resolved =
        fs::canonicalize(cert_dir.join("tls.crt")).map_err(|error| format!("tls.crt: {error}"))?;
    let cert_dir = resolved.parent().unwrap_or(cert_dir);
    let chain = CertificateDer::pem_file_iter(cert_dir.join("tls.crt"))
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| format!("tls.crt: {error}"))?;
    let key = PrivateKeyDer::from_pem_file(cert_dir.join("tls.key"))
        .map_err(|error| format!("tls.key: {error}"))?;
    let leaf = chain.first().ok_or("tls.crt: no certificate")?.clone();
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|error| error.to_string())?;
    Ok((config, leaf))
}

fn respond(path: &str, body: &[u8]) -> (StatusCode, Value) {
    if let Some(group_version) = path.strip_prefix("/apis/") {
        return (StatusCode::OK, discovery(group_version));
    }
    let review: Value = serde_json::from_slice(body).unwrap_or_default();
    let request = &review["request"];
    let response = match path {
        "/validate" => validate(request),
        "/mutate" => mutate(request),
        "/convert" => convert(request),
        _ => return (StatusCode::NOT_FOUND, json!({ "error": "no such path" })),
    };
    let answer = json!({
        "apiVersion": review["apiVersion"], "kind": review["kind"], "response": response
    });
    (StatusCode::OK, answer)
}

fn validate(request: &Value) -> Value {
    if request["object"]["metadata"]["labels"]["deny"] == "true" {
        let message = "denied by the test webhook";
        return json!({
            "uid": request["uid"], "allowed": false, "status": { "code": 403, "message": message }
        });
    }
    json!({ "uid": request["uid"], "allowed": true })
}

fn mutate(request: &Value) -> Value {
    let mut annotations = request["object"]["metadata"]["annotations"].clone();
    if annotations.is_null() {
        annotations = json!({});
    }
    annotations["test.certtool.dev/mutated"] = json!("true");
    let patch = json!([{ "op": "add", "path": "/metadata/annotations", "value": annotations }]);
    json!({
        "uid": request["uid"],
        "allowed": true,
        "patchType": "JSONPatch",
        "patch": STANDARD.encode(patch.to_string()),
    })
}

fn convert(request: &Value) -> Value {
    let version = request["desiredAPIVersion"].as_str().unwrap_or_default();
    let (from, to) = match version.rsplit_once('/') {
        Some((_, "v1")) => ("host", "hostname"),
        _ => ("hostname", "host"),
    };
    let mut objects = request["objects"].as_array().cloned().unwrap_or_default();
    for object in &mut objects {
        object["apiVersion"] = json!(version);
        let Some(spec) = object["spec"].as_object_mut() else {
            continue;
        };
        if let Some(value) = spec.remove(from) {
            spec.insert(to.to_owned(), value);
        }
    }
    json!({
        "uid": request["uid"], "convertedObjects": objects, "result": { "status": "Success" }
    })
}

fn discovery(group_version: &str) -> Value {
    json!({
        "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version,
        "resources": [],
    })
}
