//! A way to the API server on which things happen: right before one of certtool's requests
//! somebody else is just in time, or an answer is another than the API server's.

use std::{
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use http_body_util::{BodyExt, Full};
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

use super::ControlPlane;

/// A request to the API server: verb, path, body.
pub type Deed = (&'static str, String, Value);

/// What happens when the request comes.
pub enum Event {
    /// These requests are made before the first of them.
    Deeds(Vec<Deed>),
    /// The first so many are answered with this status, and the API server does not see them.
    Answers(usize, u16),
    /// The first so many are carried out, and the connection is closed without an answer.
    Loses(usize),
    /// Each of them takes so much longer.
    Delays(Duration),
}

/// Ends when it is dropped.
pub struct Meddler {
    kubeconfig: PathBuf,
    seen: Arc<AtomicUsize>,
    _stop: oneshot::Sender<()>,
}

struct Plan {
    /// Verb and part of the path of the request that it is about.
    before: (&'static str, &'static str),
    event: Event,
    seen: Arc<AtomicUsize>,
}

impl Meddler {
    /// A way whose credentials are written to a directory. `part` is in the path of the requests
    /// that it is about.
    pub fn on(
        cluster: &'static ControlPlane,
        directory: &Path,
        verb: &'static str,
        part: &'static str,
        event: Event,
    ) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(AtomicUsize::new(0));
        let plan = Plan {
            before: (verb, part),
            event,
            seen: Arc::clone(&seen),
        };
        let (stop, stopped) = oneshot::channel();
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let client = cluster.admin_client().await;
                tokio::select! {
                    () = serve(listener, client, Arc::new(plan)) => {}
                    _ = stopped => {}
                }
            });
        });
        let kubeconfig = directory.join(format!("meddled-{}", address.port()));
        std::fs::write(&kubeconfig, config(address).to_string()).unwrap();
        Self {
            kubeconfig,
            seen,
            _stop: stop,
        }
    }

    /// The credentials that lead this way.
    pub fn kubeconfig(&self) -> PathBuf {
        self.kubeconfig.clone()
    }

    /// How many requests of the kind there were.
    pub fn seen(&self) -> usize {
        self.seen.load(Ordering::SeqCst)
    }
}

fn config(address: SocketAddr) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "x",
        "clusters": [{ "name": "x", "cluster": { "server": format!("http://{address}") } }],
        "users": [{ "name": "x", "user": {} }],
        "contexts": [{ "name": "x", "context": { "cluster": "x", "user": "x" } }],
    })
}

async fn serve(listener: TcpListener, client: Client, plan: Arc<Plan>) {
    let listener = tokio::net::TcpListener::from_std(listener).unwrap();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let (client, plan) = (client.clone(), Arc::clone(&plan));
        let service =
            service_fn(move |request| pass_on(client.clone(), Arc::clone(&plan), request));
        tokio::spawn(async move {
            let _ = http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

async fn pass_on(
    client: Client,
    plan: Arc<Plan>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Box<dyn std::error::Error + Send + Sync>> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let target = parts.uri.path_and_query().unwrap().to_string();
    let (verb, part) = plan.before;
    let mut lost = false;
    if parts.method.as_str() == verb && target.contains(part) {
        let number = plan.seen.fetch_add(1, Ordering::SeqCst);
        match &plan.event {
            Event::Deeds(deeds) if number == 0 => {
                for (verb, path, body) in deeds {
                    let body = match body {
                        Value::Null => Vec::new(),
                        body => body.to_string().into_bytes(),
                    };
                    let content = match *verb {
                        "PATCH" => "application/merge-patch+json",
                        _ => "application/json",
                    };
                    let (status, text) = ask(&client, verb, path, content, body).await;
                    assert!(status.is_success(), "{verb} {path}: {text}");
                }
            }
            Event::Answers(count, status) if number < *count => {
                let mut response = Response::new(Full::new(Bytes::from("not now")));
                *response.status_mut() = StatusCode::from_u16(*status).unwrap();
                return Ok(response);
            }
            Event::Loses(count) => lost = number < *count,
            Event::Delays(duration) => tokio::time::sleep(*duration).await,
            Event::Deeds(_) | Event::Answers(..) => {}
        }
    }
    let content = parts.headers.get("content-type");
    let content = content.map_or("application/json", |value| value.to_str().unwrap());
    let (status, text) = ask(
        &client,
        parts.method.as_str(),
        &target,
        content,
        body.to_vec(),
    )
    .await;
    if lost {
        return Err("the connection is closed".into());
    }
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    let json = "application/json".parse().unwrap();
    response.headers_mut().insert("content-type", json);
    Ok(response)
}

async fn ask(
    client: &Client,
    verb: &str,
    path: &str,
    content: &str,
    body: Vec<u8>,
) -> (StatusCode, String) {
    let request = Request::builder()
        .method(verb)
        .uri(path)
        .header("content-type", content)
        .body(body)
        .unwrap();
    match client.request_text(request).await {
        Ok(text) => (StatusCode::OK, text),
        Err(kube::Error::Api(status)) => (
            StatusCode::from_u16(status.code).unwrap(),
            serde_json::to_string(&*status).unwrap(),
        ),
        Err(error) => (StatusCode::BAD_GATEWAY, error.to_string()),
    }
}
