//! A way to the API server on which somebody else is always just in time: right before one
//! request of certtool's, other requests are made.

use std::{
    net::{SocketAddr, TcpListener},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
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

use crate::World;

/// A request to the API server: verb, path, body.
pub type Deed = (&'static str, String, Value);

/// Ends when it is dropped.
pub struct Meddler {
    kubeconfig: PathBuf,
    seen: Arc<AtomicUsize>,
    _stop: oneshot::Sender<()>,
}

struct Plan {
    /// Verb and part of the path of the request that the deeds come before.
    before: (&'static str, &'static str),
    deeds: Vec<Deed>,
    seen: Arc<AtomicUsize>,
}

impl Meddler {
    /// Does the deeds before the first request with this verb and this part in its path.
    pub fn before(
        world: &World<'static>,
        verb: &'static str,
        part: &'static str,
        deeds: Vec<Deed>,
    ) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(AtomicUsize::new(0));
        let plan = Plan {
            before: (verb, part),
            deeds,
            seen: Arc::clone(&seen),
        };
        let (stop, stopped) = oneshot::channel();
        let cluster = world.cluster;
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
        world.write("meddled", kubeconfig(address).to_string());
        Self {
            kubeconfig: world.path("meddled"),
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

fn kubeconfig(address: SocketAddr) -> Value {
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
) -> hyper::Result<Response<Full<Bytes>>> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let target = parts.uri.path_and_query().unwrap().to_string();
    let (verb, part) = plan.before;
    if parts.method.as_str() == verb
        && target.contains(part)
        && plan.seen.fetch_add(1, Ordering::SeqCst) == 0
    {
        for (verb, path, body) in &plan.deeds {
            let body = match body {
                Value::Null => Vec::new(),
                body => body.to_string().into_bytes(),
            };
            let (status, text) = ask(&client, verb, path, body).await;
            assert!(status.is_success(), "{verb} {path}: {text}");
        }
    }
    let (status, text) = ask(&client, parts.method.as_str(), &target, body.to_vec()).await;
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    let json = "application/json".parse().unwrap();
    response.headers_mut().insert("content-type", json);
    Ok(response)
}

async fn ask(client: &Client, verb: &str, path: &str, body: Vec<u8>) -> (StatusCode, String) {
    let content = match verb {
        "PATCH" => "application/merge-patch+json",
        _ => "application/json",
    };
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
