//! One test's user: a home directory with CAs, credentials, and injectable objects whose names
//! begin with this test's namespace.

use std::{path::PathBuf, process::Command, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use kube::Client;
use serde_json::{Value, json};

use crate::{
    Files,
    files::Said,
    support::{
        self, ControlPlane, Process,
        meddler::{Event, Meddler},
        pki::Ca,
    },
};

pub const MUTATING: &str = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations";
pub const VALIDATING: &str =
    "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations";
pub const CRDS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
pub const APISERVICES: &str = "/apis/apiregistration.k8s.io/v1/apiservices";

pub struct World<'a> {
    pub cluster: &'a ControlPlane,
    pub client: Client,
    pub namespace: String,
    pub files: Files,
    /// What `ca.crt` holds.
    pub ca: String,
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

    /// A way to the API server on which something happens.
    pub fn meddler(&self, verb: &'static str, part: &'static str, event: Event) -> Meddler {
        Meddler::on(self.cluster, self.home(), verb, part, event)
    }
}

impl<'a> World<'a> {
    pub async fn on(cluster: &'a ControlPlane, name: &str) -> Self {
        let files = Files::new();
        let ca = Ca::new("ours").pem;
        files.write("ca.crt", &ca);
        Self {
            cluster,
            client: cluster.admin_client().await,
            namespace: cluster.namespace(name).await,
            files,
            ca,
            kubeconfig: cluster.kubeconfig(),
        }
    }

    /// The same test as another user.
    pub fn as_user(&self, kubeconfig: PathBuf) -> Self {
        let files = Files::new();
        files.write("ca.crt", &self.ca);
        Self {
            cluster: self.cluster,
            client: self.client.clone(),
            namespace: self.namespace.clone(),
            files,
            ca: self.ca.clone(),
            kubeconfig,
        }
    }

    /// A name that no other test has: `@hook` in a command's words.
    pub fn name(&self, name: &str) -> String {
        format!("{}-{name}", self.namespace)
    }

    /// The API group of [`World::crd`] and [`World::api_service`].
    pub fn group(&self) -> String {
        format!("{}.example.com", self.namespace)
    }

    /// certtool with these credentials, not started yet. `@NAME` is a name of this test's, `%N`
    /// its namespace, `%G` its API group, `%L` the label that all of its objects have.
    pub fn command(&self, words: &str) -> Command {
        let mut command = support::certtool(self.home());
        command.env("KUBECONFIG", &self.kubeconfig);
        for word in words.split_whitespace() {
            let word = word
                .replace("%L", "test=%N")
                .replace("%N", &self.namespace)
                .replace("%G", &self.group());
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

    /// `certtool inject --cluster --ca ca.crt WORDS`
    #[track_caller]
    pub fn inject(&self, words: &str) -> Said {
        self.run(&format!("inject --cluster --ca ca.crt {words}"))
    }

    pub fn start(&self, words: &str) -> Process {
        Process::spawn(self.command(&format!("inject --cluster --ca ca.crt {words}")))
    }

    pub fn metadata(&self, name: &str) -> Value {
        json!({
            "name": name,
            "labels": { "test": self.namespace },
            "annotations": { "kept": "yes" },
        })
    }

    /// A webhook, with fields that have to stay, for objects that nobody makes.
    #[allow(clippy::needless_pass_by_value)] // json! makes values, and each is used once
    pub fn webhook(&self, name: &str, client_config: Value) -> Value {
        json!({
            "name": name,
            "clientConfig": client_config,
            "rules": [{
                "apiGroups": ["nothing.example.com"], "apiVersions": ["v1"],
                "resources": ["things"], "operations": ["CREATE"], "scope": "Namespaced",
            }],
            "namespaceSelector": { "matchLabels": { "never": "there" } },
            "matchPolicy": "Exact",
            "failurePolicy": "Ignore",
            "sideEffects": "None",
            "admissionReviewVersions": ["v1"],
            "timeoutSeconds": 7,
        })
    }

    /// The client config of this test's Service `hook`.
    pub fn service(&self) -> Value {
        self.service_named("hook")
    }

    pub fn service_named(&self, name: &str) -> Value {
        json!({ "service": { "name": name, "namespace": self.namespace, "path": "/x" } })
    }

    /// `@NAME` with these webhooks, as an object.
    pub fn configuration(&self, kind: &str, name: &str, webhooks: &[Value]) -> Value {
        json!({
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": kind,
            "metadata": self.metadata(&self.name(name)),
            "webhooks": webhooks,
        })
    }

    /// A validating configuration with webhooks `NAME.example.com` of the Service `hook`, stored;
    /// its path in the API.
    pub async fn validating(&self, name: &str, webhooks: &[&str]) -> String {
        self.configurations(VALIDATING, name, webhooks).await
    }

    pub async fn mutating(&self, name: &str, webhooks: &[&str]) -> String {
        self.configurations(MUTATING, name, webhooks).await
    }

    async fn configurations(&self, path: &str, name: &str, webhooks: &[&str]) -> String {
        let webhooks: Vec<_> = webhooks
            .iter()
            .map(|name| self.webhook(&format!("{name}.example.com"), self.service()))
            .collect();
        let kind = match path == MUTATING {
            true => "MutatingWebhookConfiguration",
            false => "ValidatingWebhookConfiguration",
        };
        let object = self.configuration(kind, name, &webhooks);
        self.create(path, &object).await
    }

    /// A CRD `widgets.%G` that is converted by a webhook, as an object.
    pub fn crd_object(&self, client_config: &Value) -> Value {
        let version = |name: &str| {
            json!({
                "name": name, "served": true, "storage": name == "v1",
                "schema": { "openAPIV3Schema": { "type": "object", "properties": {
                    "spec": { "type": "object", "properties": { "host": { "type": "string" } } }
                }}}
            })
        };
        let group = self.group();
        json!({
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": self.metadata(&format!("widgets.{group}")),
            "spec": {
                "group": group,
                "scope": "Namespaced",
                "names": { "plural": "widgets", "singular": "widget", "kind": "Widget",
                    "listKind": "WidgetList" },
                "versions": [version("v1"), version("v1beta1")],
                "conversion": {
                    "strategy": "Webhook",
                    "webhook": {
                        "conversionReviewVersions": ["v1"],
                        "clientConfig": client_config,
                    },
                },
            }
        })
    }

    /// The same, stored, with its status written.
    pub async fn crd(&self) -> String {
        let path = self.create(CRDS, &self.crd_object(&self.service())).await;
        self.established(&path).await;
        path
    }

    pub async fn established(&self, path: &str) {
        support::eventually(Duration::from_secs(20), || async {
            let object = self.get(path).await;
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
    }

    /// An APIService `v9.%G` that asks for no verification, as an object.
    pub fn api_service_object(&self) -> Value {
        let group = self.group();
        json!({
            "apiVersion": "apiregistration.k8s.io/v1",
            "kind": "APIService",
            "metadata": self.metadata(&format!("v9.{group}")),
            "spec": {
                "group": group, "version": "v9",
                "groupPriorityMinimum": 1000, "versionPriority": 10,
                "insecureSkipTLSVerify": true,
                "service": { "namespace": self.namespace, "name": "hook", "port": 443 },
            }
        })
    }

    pub async fn api_service(&self) -> String {
        self.create(APISERVICES, &self.api_service_object()).await
    }

    pub async fn create(&self, collection: &str, object: &Value) -> String {
        let created = self.request("POST", collection, object).await.unwrap();
        let name = created["metadata"]["name"].as_str().unwrap();
        format!("{collection}/{name}")
    }

    /// An object, by its path in the API.
    pub async fn get(&self, path: &str) -> Value {
        self.request("GET", path, &Value::Null).await.unwrap()
    }

    /// The object without what every write changes, and without a status.
    pub async fn content(&self, path: &str) -> Value {
        let mut object = self.get(path).await;
        object.as_object_mut().unwrap().shift_remove("status");
        let metadata = object["metadata"].as_object_mut().unwrap();
        for bookkeeping in ["resourceVersion", "generation", "managedFields"] {
            metadata.shift_remove(bookkeeping);
        }
        object
    }

    pub async fn delete(&self, path: &str) {
        self.request("DELETE", path, &Value::Null).await.unwrap();
    }

    /// Changes an object as somebody else would, with a JSON merge patch.
    pub async fn patch(&self, path: &str, patch: &Value) {
        self.request("PATCH", path, patch).await.unwrap();
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
            .uri(format!("{path}?fieldManager=somebody"))
            .header("content-type", content)
            .body(body)
            .unwrap();
        self.client.request(request).await
    }

    /// The PEM in each caBundle of an object, in order; empty where there is none.
    pub async fn bundles(&self, path: &str) -> Vec<String> {
        let object = self.get(path).await;
        configs(&object).into_iter().map(bundle).collect()
    }
}

/// The mappings that hold a caBundle.
pub fn configs(object: &Value) -> Vec<&Value> {
    match object["kind"].as_str().unwrap() {
        "CustomResourceDefinition" => {
            vec![&object["spec"]["conversion"]["webhook"]["clientConfig"]]
        }
        "APIService" => vec![&object["spec"]],
        _ => {
            let webhooks = object["webhooks"].as_array().unwrap();
            webhooks
                .iter()
                .map(|webhook| &webhook["clientConfig"])
                .collect()
        }
    }
}

pub fn bundle(config: &Value) -> String {
    let encoded = config["caBundle"].as_str().unwrap_or_default();
    String::from_utf8(STANDARD.decode(encoded).unwrap()).unwrap()
}

pub fn encoded(pem: &str) -> String {
    STANDARD.encode(pem)
}

/// The object without its caBundles.
pub fn without_bundles(mut object: Value) -> Value {
    let remove = |config: &mut Value| {
        if let Some(config) = config.as_object_mut() {
            config.shift_remove("caBundle");
        }
    };
    match object["kind"].as_str().unwrap() {
        "CustomResourceDefinition" => {
            remove(&mut object["spec"]["conversion"]["webhook"]["clientConfig"]);
        }
        "APIService" => remove(&mut object["spec"]),
        _ => {
            for webhook in object["webhooks"].as_array_mut().unwrap() {
                remove(&mut webhook["clientConfig"]);
            }
        }
    }
    object
}

/// The last part of an object's path in the API.
pub fn last(path: &str) -> &str {
    path.rsplit('/').next().unwrap()
}

pub fn version(object: &Value) -> &str {
    object["metadata"]["resourceVersion"].as_str().unwrap()
}
