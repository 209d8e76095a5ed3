//! A developer's machine (a home directory), a cluster, and webhooks in it.

use std::{
    path::PathBuf,
    process::Command,
    sync::{Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};

use kube::Client;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    ANNOTATION,
    support::{self, ControlPlane, Process, webhook::Webhook},
};

/// How long one command may take.
pub const LIMIT: Duration = Duration::from_secs(60);

pub const MUTATING: &str = "mutatingwebhookconfigurations";
pub const VALIDATING: &str = "validatingwebhookconfigurations";
pub const CRDS: &str = "customresourcedefinitions";

/// A control plane that one test at a time has to itself: for what is about everything in
/// a cluster.
pub fn alone() -> MutexGuard<'static, ControlPlane> {
    static ALONE: OnceLock<Mutex<ControlPlane>> = OnceLock::new();
    let plane = ALONE.get_or_init(|| Mutex::new(ControlPlane::dedicated()));
    plane.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One test's developer. Everything it makes in the cluster bears its namespace's name.
pub struct World<'a> {
    pub cluster: &'a ControlPlane,
    pub client: Client,
    pub namespace: String,
    pub home: TempDir,
    kubeconfig: PathBuf,
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
            home: tempfile::tempdir().unwrap(),
            kubeconfig: cluster.kubeconfig(),
        }
    }

    /// The same developer on another machine.
    pub fn elsewhere(&self) -> Self {
        self.as_user(self.kubeconfig.clone())
    }

    /// Another machine and other credentials.
    pub fn as_user(&self, kubeconfig: PathBuf) -> Self {
        Self {
            cluster: self.cluster,
            client: self.client.clone(),
            namespace: self.namespace.clone(),
            home: tempfile::tempdir().unwrap(),
            kubeconfig,
        }
    }

    /// `certtool local-dev ARGS`, not started yet.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = support::certtool(self.home.path());
        command
            .env("USER", "ann")
            .env("KUBECONFIG", &self.kubeconfig)
            .arg("local-dev")
            .args(args);
        command
    }

    /// Runs `certtool local-dev ARGS` to its end.
    pub fn local_dev(&self, args: &[&str]) -> Said {
        Said::of(self.command(args))
    }

    /// `attach` of all that bears this test's label.
    pub fn attach(&self, port: u16, args: &[&str]) -> Said {
        let (port, label) = (port.to_string(), self.label());
        self.local_dev(&[&["attach", "-l", &label, "--port", &port], args].concat())
    }

    /// `detach` of all that bears this test's label.
    pub fn detach(&self, args: &[&str]) -> Said {
        let label = self.label();
        self.local_dev(&[&["detach", "-l", &label], args].concat())
    }

    pub fn start(&self, args: &[&str]) -> Process {
        Process::spawn(self.command(args))
    }

    /// The label that everything of this test has.
    pub fn label(&self) -> String {
        format!("test={}", self.namespace)
    }

    /// Where controller-runtime would look.
    pub fn cert_dir(&self) -> PathBuf {
        self.home
            .path()
            .join("tmp/k8s-webhook-server/serving-certs")
    }

    /// A webhook server on this machine that serves what `local-dev` wrote.
    pub fn serve(&self) -> Webhook {
        Webhook::start(([127, 0, 0, 1], 0), &self.cert_dir())
    }

    /// A configuration `NAMESPACE-NAME` whose webhooks (their names and paths) call the Service
    /// `hook`; its path in the API.
    pub async fn configuration(&self, kind: &str, name: &str, webhooks: &[(&str, &str)]) -> String {
        let webhooks: Vec<_> = webhooks
            .iter()
            .map(|(name, path)| self.webhook(name, &self.service(path)))
            .collect();
        let object = json!({ "metadata": self.metadata(name), "webhooks": webhooks });
        self.create(
            &format!("/apis/admissionregistration.k8s.io/v1/{kind}"),
            object,
        )
        .await
    }

    /// A webhook for ConfigMaps of this test's namespace, with everything set that can be.
    pub fn webhook(&self, name: &str, client_config: &Value) -> Value {
        json!({
            "name": name,
            "clientConfig": client_config,
            "rules": [{
                "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"],
                "operations": ["CREATE"], "scope": "Namespaced",
            }],
            "namespaceSelector": {
                "matchLabels": { "kubernetes.io/metadata.name": self.namespace }
            },
            "objectSelector": { "matchExpressions": [{ "key": "skip", "operator": "DoesNotExist" }] },
            "matchConditions": [{ "name": "some", "expression": "object.kind != 'Other'" }],
            "matchPolicy": "Exact",
            "failurePolicy": "Fail",
            "sideEffects": "None",
            "admissionReviewVersions": ["v1", "v1beta1"],
            "timeoutSeconds": 7,
        })
    }

    /// A `clientConfig` as an operator's manifests have it.
    pub fn service(&self, path: &str) -> Value {
        json!({ "service": { "name": "hook", "namespace": self.namespace, "path": path } })
    }

    /// A CRD that is converted by the Service `hook`; its path in the API.
    pub async fn crd(&self) -> String {
        let version = |name: &str, field: &str| {
            json!({
                "name": name, "served": true, "storage": name == "v1",
                "schema": { "openAPIV3Schema": { "type": "object", "properties": {
                    "spec": { "type": "object", "properties": { field: { "type": "string" } } }
                }}}
            })
        };
        let group = self.group();
        let mut metadata = self.metadata("");
        metadata["name"] = json!(format!("widgets.{group}"));
        let object = json!({
            "metadata": metadata,
            "spec": {
                "group": group,
                "scope": "Namespaced",
                "names": { "plural": "widgets", "singular": "widget", "kind": "Widget" },
                "versions": [version("v1", "hostname"), version("v1beta1", "host")],
                "conversion": {
                    "strategy": "Webhook",
                    "webhook": {
                        "conversionReviewVersions": ["v1", "v1beta1"],
                        "clientConfig": self.service("/convert"),
                    },
                },
            }
        });
        let path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
        let path = self.create(path, object).await;
        // Its status is written a moment later.
        support::eventually(Duration::from_secs(20), || async {
            let object = self.get(&path).await;
            let conditions = object["status"]["conditions"].as_array();
            let established = |condition: &Value| {
                condition["type"] == "Established" && condition["status"] == "True"
            };
            match conditions.is_some_and(|all| all.iter().any(established)) {
                true => Ok(()),
                false => Err(object.to_string()),
            }
        })
        .await;
        path
    }

    /// The API group of [`World::crd`].
    pub fn group(&self) -> String {
        format!("{}.example.com", self.namespace)
    }

    fn metadata(&self, name: &str) -> Value {
        json!({
            "name": format!("{}-{name}", self.namespace),
            "labels": { "test": self.namespace },
            "annotations": { "kept": "yes" },
        })
    }

    pub async fn create(&self, collection: &str, object: Value) -> String {
        let created = self.request("POST", collection, &object).await.unwrap();
        let name = created["metadata"]["name"].as_str().unwrap();
        format!("{collection}/{name}")
    }

    /// An object, by its path in the API.
    pub async fn get(&self, path: &str) -> Value {
        self.request("GET", path, &Value::Null).await.unwrap()
    }

    /// The object without what every write changes.
    pub async fn content(&self, path: &str) -> Value {
        let mut object = self.get(path).await;
        let metadata = object["metadata"].as_object_mut().unwrap();
        for bookkeeping in ["resourceVersion", "generation", "managedFields"] {
            metadata.shift_remove(bookkeeping);
        }
        object
    }

    pub async fn contents(&self, paths: &[String]) -> Vec<Value> {
        let mut all = Vec::new();
        for path in paths {
            all.push(self.content(path).await);
        }
        all
    }

    pub async fn delete(&self, path: &str) {
        self.request("DELETE", path, &Value::Null).await.unwrap();
    }

    /// Changes an object as somebody else would, with a JSON merge patch.
    pub async fn patch(&self, path: &str, patch: &Value) {
        self.request("PATCH", path, patch).await.unwrap();
    }

    /// Replaces an object by what `change` makes of it.
    pub async fn edit(&self, path: &str, change: impl Fn(&mut Value)) {
        let mut object = self.get(path).await;
        change(&mut object);
        self.request("PUT", path, &object).await.unwrap();
    }

    pub async fn request(&self, verb: &str, path: &str, body: &Value) -> kube::Result<Value> {
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
            .uri(format!("{path}?fieldManager=kubectl"))
            .header("content-type", content)
            .body(body)
            .unwrap();
        self.client.request(request).await
    }

    /// The clientConfigs of an object, in order.
    pub async fn client_configs(&self, path: &str) -> Vec<Value> {
        let object = self.get(path).await;
        if path.contains(CRDS) {
            return vec![object["spec"]["conversion"]["webhook"]["clientConfig"].clone()];
        }
        let webhooks = object["webhooks"].as_array().unwrap();
        webhooks
            .iter()
            .map(|webhook| webhook["clientConfig"].clone())
            .collect()
    }

    /// The urls that an object's webhooks call, the empty text for a Service.
    pub async fn urls(&self, path: &str) -> Vec<String> {
        let configs = self.client_configs(path).await;
        configs
            .iter()
            .map(|config| config["url"].as_str().unwrap_or_default().to_owned())
            .collect()
    }

    /// The configurations of probes that are there now.
    pub async fn probes(&self) -> Vec<String> {
        let path = format!("/apis/admissionregistration.k8s.io/v1/{VALIDATING}");
        let list = self.get(&path).await;
        let items = list["items"].as_array().unwrap();
        items
            .iter()
            .filter_map(|item| item["metadata"]["name"].as_str())
            .filter(|name| name.starts_with("certtool-probe"))
            .map(str::to_owned)
            .collect()
    }
}

/// The last part of an object's path in the API.
pub fn name(path: &str) -> &str {
    path.rsplit('/').next().unwrap()
}

/// The object without the record of its originals, and without annotations if that was all.
pub fn unmarked(mut object: Value) -> Value {
    let metadata = object["metadata"].as_object_mut().unwrap();
    if let Some(annotations) = metadata.get_mut("annotations") {
        annotations
            .as_object_mut()
            .unwrap()
            .shift_remove(ANNOTATION);
    }
    object
}

/// What a command printed and how it ended.
#[derive(Debug)]
pub struct Said {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Said {
    pub fn of(command: Command) -> Self {
        let output = support::output(command, LIMIT);
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    #[track_caller]
    pub fn done(self) -> Self {
        self.ended(0)
    }

    #[track_caller]
    pub fn ended(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{}\n{}", self.stdout, self.stderr);
        self
    }

    #[track_caller]
    pub fn prints(self, text: &str) -> Self {
        assert!(
            self.stdout.contains(text),
            "no {text:?} in\n{}\n{}",
            self.stdout,
            self.stderr
        );
        self
    }

    #[track_caller]
    pub fn explains(self, text: &str) -> Self {
        assert!(
            self.stderr.contains(text),
            "no {text:?} in\n{}\n{}",
            self.stderr,
            self.stdout
        );
        self
    }

    #[track_caller]
    pub fn without(self, text: &str) -> Self {
        let all = format!("{}{}", self.stdout, self.stderr);
        assert!(!all.contains(text), "{text:?} in\n{all}");
        self
    }

    /// The result as data.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap()
    }
}
