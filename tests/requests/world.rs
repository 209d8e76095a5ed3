//! One test's user: a home directory, credentials, and requests in a cluster whose names
//! and signer are this test's alone.

use std::{path::PathBuf, process::Command};

use base64::{Engine, engine::general_purpose::STANDARD};
use kube::Client;
use serde_json::{Value, json};

use crate::{
    Files,
    files::{Said, assert_no_key},
    support::{self, ControlPlane, Process},
};

pub const REQUESTS: &str = "/apis/certificates.k8s.io/v1/certificatesigningrequests";

pub struct World<'a> {
    pub cluster: &'a ControlPlane,
    pub client: Client,
    pub namespace: String,
    pub files: Files,
    kubeconfig: PathBuf,
}

impl std::ops::Deref for World<'_> {
    type Target = Files;

    fn deref(&self) -> &Files {
        &self.files
    }
}

impl World<'static> {
    /// On the control plane that is shared with other tests.
    pub async fn new(name: &str) -> Self {
        World::on(support::control_plane(), name).await
    }
}

impl<'a> World<'a> {
    pub async fn on(cluster: &'a ControlPlane, name: &str) -> Self {
        Self {
            cluster,
            client: cluster.admin_client().await,
            namespace: cluster.namespace(name).await,
            files: Files::new(),
            kubeconfig: cluster.kubeconfig(),
        }
    }

    /// The same test as another user, on another machine.
    pub fn as_user(&self, kubeconfig: PathBuf) -> Self {
        Self {
            cluster: self.cluster,
            client: self.client.clone(),
            namespace: self.namespace.clone(),
            files: Files::new(),
            kubeconfig,
        }
    }

    /// A signer that no other test has.
    pub fn signer(&self) -> String {
        format!("{}.example.com/serving", self.namespace)
    }

    /// A request's name that no other test has: `@hook` in a command's words.
    pub fn name(&self, name: &str) -> String {
        format!("{}-{name}", self.namespace)
    }

    /// certtool with these credentials, not started yet. `@NAME` is a name of this test's,
    /// `%S` its signer, `%N` its namespace.
    pub fn command(&self, words: &str) -> Command {
        let mut command = support::certtool(self.home());
        command.env("KUBECONFIG", &self.kubeconfig);
        for word in words.split_whitespace() {
            let word = word
                .replace("%S", &self.signer())
                .replace("%N", &self.namespace);
            command.arg(match word.strip_prefix('@') {
                Some(name) => self.name(name),
                None => word,
            });
        }
        command
    }

    #[track_caller]
    pub fn run(&self, words: &str) -> Said {
        Said::of(self.command(words))
    }

    pub fn start(&self, words: &str) -> Process {
        Process::spawn(self.command(words))
    }

    /// `NAME.csr` for one DNS name, submitted as `@NAME`.
    pub fn submitted(&self, name: &str) {
        self.csr(name, &format!("DNS:{name}.shop.svc"));
        self.run(&format!("submit {name}.csr --name @{name} --signer %S"))
            .done();
    }

    /// The same, approved.
    pub fn approved(&self, name: &str) {
        self.submitted(name);
        self.run(&format!("approve @{name}")).done();
    }

    /// A CA in the directory `ca`.
    pub fn ca(&self) {
        self.run("ca init --out-dir ca").done();
    }

    pub async fn api(&self, verb: &str, path: &str, body: &Value) -> kube::Result<Value> {
        let content = match verb {
            "PATCH" => "application/merge-patch+json",
            _ => "application/json",
        };
        let body = match body {
            Value::Null => Vec::new(),
            body => body.to_string().into_bytes(),
        };
        let request = http::Request::builder()
            .method(verb)
            .uri(path)
            .header("content-type", content)
            .body(body)
            .unwrap();
        self.client.request(request).await
    }

    /// A request as it is in the cluster, without a private key in it.
    pub async fn object(&self, name: &str) -> Value {
        let object = self.find(name).await;
        object.unwrap_or_else(|| panic!("no request {name}"))
    }

    pub async fn find(&self, name: &str) -> Option<Value> {
        let path = format!("{REQUESTS}/{}", self.name(name));
        match self.api("GET", &path, &Value::Null).await {
            Ok(object) => {
                assert_no_key(&object.to_string());
                for field in ["/spec/request", "/status/certificate"] {
                    let encoded = object.pointer(field).and_then(Value::as_str);
                    let decoded = STANDARD.decode(encoded.unwrap_or_default()).unwrap();
                    assert_no_key(&String::from_utf8_lossy(&decoded));
                }
                Some(object)
            }
            Err(kube::Error::Api(status)) if status.code == 404 => None,
            Err(error) => panic!("{error}"),
        }
    }

    /// Changes metadata or spec of a request as somebody else would.
    pub async fn patch(&self, name: &str, patch: &Value) {
        let path = format!("{REQUESTS}/{}", self.name(name));
        self.api("PATCH", &path, patch).await.unwrap();
    }

    pub async fn label(&self, name: &str, key: &str, value: &str) {
        let patch = json!({ "metadata": { "labels": { key: value } } });
        self.patch(name, &patch).await;
    }

    pub async fn delete(&self, name: &str) {
        let path = format!("{REQUESTS}/{}", self.name(name));
        self.api("DELETE", &path, &Value::Null).await.unwrap();
    }

    /// Creates a request from bytes that certtool would not submit.
    pub async fn create(&self, name: &str, request: &[u8], usages: &[&str]) -> kube::Result<Value> {
        let object = json!({
            "apiVersion": "certificates.k8s.io/v1",
            "kind": "CertificateSigningRequest",
            "metadata": { "name": self.name(name) },
            "spec": {
                "request": STANDARD.encode(request),
                "signerName": self.signer(),
                "usages": usages,
            },
        });
        self.api("POST", REQUESTS, &object).await
    }
}

/// The condition types of a request, in order.
pub fn conditions(object: &Value) -> Vec<&str> {
    let all = object["status"]["conditions"].as_array();
    all.into_iter()
        .flatten()
        .map(|condition| condition["type"].as_str().unwrap())
        .collect()
}

pub fn certificate(object: &Value) -> Option<String> {
    let encoded = object["status"]["certificate"].as_str()?;
    Some(String::from_utf8(STANDARD.decode(encoded).unwrap()).unwrap())
}

/// A field of an object that is base64.
#[allow(dead_code)]
pub fn decode(encoded: &Value) -> Vec<u8> {
    STANDARD.decode(encoded.as_str().unwrap()).unwrap()
}
