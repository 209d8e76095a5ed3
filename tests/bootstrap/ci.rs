//! A CI job: a cluster, a webhook server behind a Service, and objects that call it.

use std::{fs, net::SocketAddr, path::PathBuf, process::Command};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use crate::{
    support::{self, ControlPlane, Process, objects, webhook::Webhook},
    world::{CRDS, MUTATING, Said, VALIDATING, World},
};

pub struct Ci<'a> {
    pub world: World<'a>,
    pub port: u16,
    kubeconfig: PathBuf,
}

impl Ci<'static> {
    pub async fn new(name: &str) -> Self {
        Ci::on(support::control_plane(), name).await
    }
}

impl<'a> Ci<'a> {
    pub async fn on(cluster: &'a ControlPlane, name: &str) -> Self {
        Self {
            world: World::on(cluster, name).await,
            port: support::service_port(),
            kubeconfig: cluster.kubeconfig(),
        }
    }

    /// The same job with other credentials, on a machine of its own.
    pub fn as_user(&self, kubeconfig: PathBuf) -> Self {
        Self {
            world: self.world.as_user(kubeconfig.clone()),
            port: self.port,
            kubeconfig,
        }
    }

    pub fn namespace(&self) -> &str {
        &self.world.namespace
    }

    /// `NAMESPACE/NAME`
    pub fn in_namespace(&self, name: &str) -> String {
        format!("{}/{name}", self.namespace())
    }

    /// `certtool bootstrap --service hook.NAMESPACE ARGS`, not started yet.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = support::certtool(self.world.home.path());
        command
            .env("KUBECONFIG", &self.kubeconfig)
            .arg("bootstrap")
            .args(["--service", &format!("hook.{}", self.namespace())])
            .args(args);
        command
    }

    pub fn bootstrap(&self, args: &[&str]) -> Said {
        Said::of(self.command(args))
    }

    pub fn start(&self, args: &[&str]) -> Process {
        Process::spawn(self.command(args))
    }

    pub fn cert_dir(&self) -> PathBuf {
        self.world.home.path().join("certs")
    }

    /// The Service `hook`; where its server has to listen.
    pub async fn service(&self) -> SocketAddr {
        objects::service(&self.world.client, self.namespace(), "hook", self.port).await
    }

    /// A server behind the Service that serves what is in [`Ci::cert_dir`].
    pub fn serve(&self, address: SocketAddr) -> Webhook {
        Webhook::start(address, &self.cert_dir())
    }

    pub fn client_config(&self, service: &str, path: &str) -> Value {
        objects::by_service(self.namespace(), service, self.port, path, None)
    }

    /// A configuration `NAMESPACE-NAME` of these webhooks: name, Service, path.
    pub async fn configuration(
        &self,
        kind: &str,
        name: &str,
        webhooks: &[(&str, &str, &str)],
    ) -> String {
        let object = self.configured(name, webhooks);
        self.world
            .create(
                &format!("/apis/admissionregistration.k8s.io/v1/{kind}"),
                object,
            )
            .await
    }

    pub fn configured(&self, name: &str, webhooks: &[(&str, &str, &str)]) -> Value {
        let webhooks: Vec<_> = webhooks
            .iter()
            .map(|(name, service, path)| {
                self.world.webhook(name, &self.client_config(service, path))
            })
            .collect();
        json!({
            "metadata": { "name": self.named(name), "labels": { "test": self.namespace() } },
            "webhooks": webhooks,
        })
    }

    pub async fn validating(&self) -> String {
        let webhooks = [("v.example.com", "hook", "/validate")];
        self.configuration(VALIDATING, "v", &webhooks).await
    }

    pub async fn mutating(&self) -> String {
        let webhooks = [("m.example.com", "hook", "/mutate")];
        self.configuration(MUTATING, "m", &webhooks).await
    }

    pub async fn crd(&self) -> String {
        let config = self.client_config("hook", "/convert");
        objects::converted_crd(&self.world.client, &self.world.group(), &config).await;
        format!(
            "/apis/apiextensions.k8s.io/v1/{CRDS}/widgets.{}",
            self.world.group()
        )
    }

    pub async fn api_service(&self) -> String {
        let group = format!("agg.{}", self.world.group());
        let service = (self.namespace(), "hook", self.port);
        objects::api_service(&self.world.client, &group, service, None).await;
        format!("/apis/apiregistration.k8s.io/v1/apiservices/v1.{group}")
    }

    /// `NAMESPACE-NAME`: for names of objects that have no namespace.
    pub fn named(&self, name: &str) -> String {
        format!("{}-{name}", self.namespace())
    }

    pub fn secret_path(&self, name: &str) -> String {
        format!("/api/v1/namespaces/{}/secrets/{name}", self.namespace())
    }

    /// An entry of a Secret.
    pub async fn entry(&self, secret: &str, key: &str) -> String {
        let object = self.world.get(&self.secret_path(secret)).await;
        let text = object["data"][key]
            .as_str()
            .unwrap_or_else(|| panic!("no {key} in {secret}"));
        String::from_utf8(STANDARD.decode(text).unwrap()).unwrap()
    }

    pub async fn create_secret(&self, name: &str, kind: &str, data: &[(&str, &str)]) {
        let data: serde_json::Map<_, _> = data
            .iter()
            .map(|(key, value)| ((*key).to_owned(), json!(STANDARD.encode(value))))
            .collect();
        let object = json!({ "metadata": { "name": name }, "type": kind, "data": data });
        let path = format!("/api/v1/namespaces/{}/secrets", self.namespace());
        self.world.create(&path, object).await;
    }

    /// The caBundles of an object, decoded, the empty text for none.
    pub async fn bundles(&self, path: &str) -> Vec<String> {
        let object = self.world.get(path).await;
        let configs = match object["webhooks"].as_array() {
            Some(webhooks) => webhooks
                .iter()
                .map(|webhook| webhook["clientConfig"].clone())
                .collect(),
            None if path.contains(CRDS) => {
                vec![object["spec"]["conversion"]["webhook"]["clientConfig"].clone()]
            }
            None => vec![object["spec"].clone()],
        };
        configs
            .iter()
            .map(|config| {
                let text = config["caBundle"].as_str().unwrap_or_default();
                String::from_utf8(STANDARD.decode(text).unwrap()).unwrap()
            })
            .collect()
    }

    /// The resourceVersions of objects.
    pub async fn versions(&self, paths: &[String]) -> Vec<String> {
        let mut versions = Vec::new();
        for path in paths {
            let object = self.world.get(path).await;
            versions.push(
                object["metadata"]["resourceVersion"]
                    .as_str()
                    .unwrap()
                    .to_owned(),
            );
        }
        versions
    }

    pub async fn exists(&self, path: &str) -> bool {
        self.world.request("GET", path, &Value::Null).await.is_ok()
    }

    /// A file with this content on the job's machine.
    pub fn file(&self, name: &str, content: &str) -> String {
        let path = self.world.home.path().join(name);
        fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

/// How many certificates a PEM text has.
pub fn certificates(pem: &str) -> usize {
    pem.matches("-----BEGIN CERTIFICATE-----").count()
}
