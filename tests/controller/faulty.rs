//! A way to the API server that is slow, refuses, hangs, or lies about a watch.

use std::{
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use hyper::{
    Request, Response, StatusCode,
    body::{Bytes, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use kube::Client;
use serde_json::{Value, json};
use tokio::sync::oneshot;

use crate::user::World;

/// What is wrong, with requests whose path has a part in it.
#[derive(Debug, Clone)]
pub struct Fault {
    part: &'static str,
    kind: Kind,
    /// Every how many-th of these requests.
    every: usize,
    /// How often at most.
    at_most: usize,
}

#[derive(Debug, Clone)]
enum Kind {
    None,
    Hang,
    Delay(Duration),
    Status(u16, &'static str),
    /// The request is done, and its answer is lost.
    LoseAnswer,
    /// A watch that is open, or is opened, ends with 410.
    Gone,
}

impl Fault {
    pub fn none() -> Self {
        Self::of("", Kind::None)
    }

    pub fn hang(part: &'static str) -> Self {
        Self::of(part, Kind::Hang)
    }

    pub fn delay(part: &'static str, delay: Duration) -> Self {
        Self::of(part, Kind::Delay(delay))
    }

    pub fn status(part: &'static str, code: u16, reason: &'static str) -> Self {
        Self::of(part, Kind::Status(code, reason))
    }

    pub fn lose_answer(part: &'static str) -> Self {
        Self::of(part, Kind::LoseAnswer)
    }

    pub fn gone() -> Self {
        Self::of("watch=", Kind::Gone)
    }

    fn of(part: &'static str, kind: Kind) -> Self {
        Self {
            part,
            kind,
            every: 1,
            at_most: usize::MAX,
        }
    }

    /// Only so often.
    pub fn at_most(self, at_most: usize) -> Self {
        Self { at_most, ..self }
    }

    /// Only every n-th request.
    pub fn every(self, every: usize) -> Self {
        Self { every, ..self }
    }
}

/// Ends when it is dropped.
pub struct Proxy {
    kubeconfig: PathBuf,
    state: Arc<State>,
    _stop: oneshot::Sender<()>,
}

struct State {
    client: Client,
    fault: Mutex<Fault>,
    seen: AtomicUsize,
    hit: AtomicUsize,
}

type Body = UnsyncBoxBody<Bytes, Box<dyn std::error::Error + Send + Sync>>;

impl Proxy {
    /// One with these credentials.
    pub fn new(world: &World<'_>, kubeconfig: &Path) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let (ready, readied) = std::sync::mpsc::channel();
        let credentials = kubeconfig.to_owned();
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let config = kube::Config::from_custom_kubeconfig(
                    kube::config::Kubeconfig::read_from(credentials).unwrap(),
                    &kube::config::KubeConfigOptions::default(),
                )
                .await
                .unwrap();
                let state = Arc::new(State {
                    client: Client::try_from(config).unwrap(),
                    fault: Mutex::new(Fault::none()),
                    seen: AtomicUsize::new(0),
                    hit: AtomicUsize::new(0),
                });
                ready.send(Arc::clone(&state)).unwrap();
                tokio::select! {
                    () = serve(listener, state) => {}
                    _ = stopped => {}
                }
            });
        });
        let name = format!("proxy-{}", address.port());
        let namespace = &world.namespace;
        world.write(&name, leading_to(address, namespace).to_string());
        Self {
            kubeconfig: world.path(&name),
            state: readied.recv().unwrap(),
            _stop: stop,
        }
    }

    pub fn kubeconfig(&self) -> PathBuf {
        self.kubeconfig.clone()
    }

    pub fn set(&self, fault: Fault) {
        self.state.hit.store(0, Ordering::SeqCst);
        self.state.seen.store(0, Ordering::SeqCst);
        *self.state.fault.lock().unwrap() = fault;
    }

    /// How many requests the fault has hit.
    pub fn hits(&self) -> usize {
        self.state.hit.load(Ordering::SeqCst)
    }
}

fn leading_to(address: SocketAddr, namespace: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "x",
        "clusters": [{ "name": "x", "cluster": { "server": format!("http://{address}") } }],
        "users": [{ "name": "x", "user": {} }],
        "contexts": [{ "name": "x", "context": { "cluster": "x", "user": "x", "namespace": namespace } }],
    })
}

async fn serve(listener: TcpListener, state: Arc<State>) {
    let listener = tokio::net::TcpListener::from_std(listener).unwrap();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let state = Arc::clone(&state);
        let service = service_fn(move |request| pass_on(Arc::clone(&state), request));
        tokio::spawn(async move {
            let _ = http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

/// An error ends the connection.
async fn pass_on(
    state: Arc<State>,
    request: Request<Incoming>,
) -> Result<Response<Body>, Box<dyn std::error::Error + Send + Sync>> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let target = parts.uri.path_and_query().unwrap().to_string();
    let fault = state.fault.lock().unwrap().clone();
    let concerned = target.contains(fault.part)
        && (state.seen.fetch_add(1, Ordering::SeqCst) + 1).is_multiple_of(fault.every);
    let concerned = concerned && state.hit.load(Ordering::SeqCst) < fault.at_most;
    if concerned && !matches!(fault.kind, Kind::None) {
        state.hit.fetch_add(1, Ordering::SeqCst);
        match fault.kind {
            Kind::Hang => std::future::pending::<()>().await,
            Kind::Delay(delay) => tokio::time::sleep(delay).await,
            Kind::Status(code, reason) => return Ok(refusal(code, reason)),
            Kind::Gone => return Ok(gone()),
            Kind::None | Kind::LoseAnswer => {}
        }
    }
    let mut upstream = Request::builder().method(parts.method).uri(target);
    for (name, value) in &parts.headers {
        if ["content-type", "accept"].contains(&name.as_str()) {
            upstream = upstream.header(name, value);
        }
    }
    let upstream = upstream.body(kube::client::Body::from(body.to_vec()))?;
    let response = state.client.send(upstream).await?;
    if concerned && matches!(fault.kind, Kind::LoseAnswer) {
        return Err("the answer is lost".into());
    }
    let (mut parts, body) = response.into_parts();
    parts.headers.remove("content-length");
    parts.headers.remove("transfer-encoding");
    let body =
        body.map_err(|error| -> Box<dyn std::error::Error + Send + Sync> { Box::new(error) });
    Ok(Response::from_parts(parts, body.boxed_unsync()))
}

fn refusal(code: u16, reason: &str) -> Response<Body> {
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": format!("a {reason} of the test's"), "reason": reason, "code": code,
    });
    answer(code, &status.to_string())
}

/// As the API server ends a watch whose version is too old.
fn gone() -> Response<Body> {
    let event = json!({ "type": "ERROR", "object": {
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": "too old resource version", "reason": "Expired", "code": 410,
    }});
    answer(200, &format!("{event}\n"))
}

fn answer(code: u16, body: &str) -> Response<Body> {
    let body = Full::new(Bytes::from(body.to_owned()))
        .map_err(|never| -> Box<dyn std::error::Error + Send + Sync> { match never {} });
    let mut response = Response::new(body.boxed_unsync());
    *response.status_mut() = StatusCode::from_u16(code).unwrap();
    let json = "application/json".parse().unwrap();
    response.headers_mut().insert("content-type", json);
    response
}
