//! A controller that injects, and objects of this test's alone.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use k8s_openapi::api::rbac::v1::PolicyRule;
use serde_json::{Value, json};

use crate::{
    controller::Controller,
    support::{self, ControlPlane, Process, pki::Ca, rule},
    world::World,
};

/// How long anything may take that is not about speed.
pub const SOON: Duration = Duration::from_secs(30);

pub struct Site<'a> {
    pub world: World<'a>,
    pub kubeconfig: PathBuf,
}

impl<'a> std::ops::Deref for Site<'a> {
    type Target = World<'a>;

    fn deref(&self) -> &World<'a> {
        &self.world
    }
}

/// What the injector needs in the cluster, and nothing more.
pub fn rights(kinds: &[(&str, &str)]) -> Vec<PolicyRule> {
    let mut rules: Vec<_> = kinds
        .iter()
        .map(|(group, resource)| rule(&[group], &[resource], &["get", "list", "watch", "patch"]))
        .collect();
    rules.push(rule(&["events.k8s.io"], &["events"], &["create"]));
    rules
}

/// The four kinds.
pub const KINDS: [(&str, &str); 4] = [
    (
        "admissionregistration.k8s.io",
        "mutatingwebhookconfigurations",
    ),
    (
        "admissionregistration.k8s.io",
        "validatingwebhookconfigurations",
    ),
    ("apiextensions.k8s.io", "customresourcedefinitions"),
    ("apiregistration.k8s.io", "apiservices"),
];

/// What a managed CA in the Secret `ca` and the Secrets `one` and `two` as sources need.
pub fn own_rights() -> Vec<PolicyRule> {
    let named = |mut rule: PolicyRule, names: &[&str]| {
        rule.resource_names = Some(names.iter().map(|name| (*name).to_owned()).collect());
        rule
    };
    let leases = &["coordination.k8s.io"];
    vec![
        rule(&[""], &["secrets"], &["create"]),
        named(rule(&[""], &["secrets"], &["get", "patch"]), &["ca"]),
        named(
            rule(&[""], &["secrets"], &["get", "list", "watch"]),
            &["one", "two"],
        ),
        rule(leases, &["leases"], &["create"]),
        named(
            rule(leases, &["leases"], &["get", "patch"]),
            &["certtool-controller"],
        ),
    ]
}

impl Site<'static> {
    pub async fn new(name: &str) -> Self {
        Site::on(support::control_plane(), name).await
    }
}

impl<'a> Site<'a> {
    pub async fn on(cluster: &'a ControlPlane, name: &str) -> Self {
        Self::with(cluster, name, &rights(&KINDS)).await
    }

    pub async fn with(
        cluster: &'a ControlPlane,
        name: &str,
        cluster_rights: &[PolicyRule],
    ) -> Self {
        let world = World::on(cluster, name).await;
        let mut all = cluster_rights.to_vec();
        let requests = &["certificatesigningrequests"];
        all.push(rule(
            &["certificates.k8s.io"],
            requests,
            &["get", "list", "watch"],
        ));
        let kubeconfig = cluster
            .service_account(&world.namespace, "controller", &own_rights(), &all)
            .await;
        Self { world, kubeconfig }
    }

    pub fn signer(&self) -> String {
        format!("{}.example.com/serving", self.namespace)
    }

    /// A configuration with a signer whose CA is made and rotated, and this section `injection`.
    pub fn config(&self, injection: &str) {
        self.config_with("settle: 2s", injection);
    }

    pub fn config_with(&self, managed: &str, injection: &str) {
        let text = format!(
            "apiVersion: certtool.dev/v1alpha1\nkind: ControllerConfig\nsigners:\n  \
             - name: {}\n    authority: {{managed: {{secret: {}/ca, {managed}}}}}\n    \
             limits: {{maximum: 1h}}\ninjection: {{{injection}}}\n",
            self.signer(),
            self.namespace
        );
        self.write("config/controller.yaml", text);
    }

    pub fn start(&self) -> Controller {
        self.start_as(&self.kubeconfig, "--leader-elect=false")
    }

    pub fn start_as(&self, kubeconfig: &Path, more: &str) -> Controller {
        let port = support::free_port();
        let words = format!(
            "controller --config config/controller.yaml --listen 127.0.0.1:{port} --log-format json {more}"
        );
        let mut command = self.command(&words);
        command.env("KUBECONFIG", kubeconfig);
        let mut controller = Controller {
            process: Process::spawn(command),
            port,
        };
        controller.process.wait_for("\"started\"", SOON);
        controller
    }

    /// Sets annotations of an object; null takes one away.
    pub async fn annotate(&self, path: &str, annotations: &Value) {
        let patch = json!({ "metadata": { "annotations": annotations } });
        self.patch(path, &patch).await;
    }

    /// The annotation for this test's signer.
    pub fn by_signer(&self) -> Value {
        json!({ "certtool.dev/inject-ca-from-signer": self.signer() })
    }

    /// `KEY: NAMESPACE/NAME`
    pub fn by_secret(&self, key: &str, name: &str) -> Value {
        json!({ key: format!("{}/{name}", self.namespace) })
    }

    /// A Secret with a CA of its own in `ca.crt`, and something else that is nobody's business;
    /// the CA.
    pub async fn secret(&self, name: &str, annotations: &Value) -> String {
        let pem = Ca::new(name).pem;
        let object = json!({
            "apiVersion": "v1", "kind": "Secret",
            "metadata": { "name": name, "annotations": annotations },
            "data": { "ca.crt": STANDARD.encode(&pem), "tls.key": STANDARD.encode("secret") },
        });
        self.create(&self.secrets(), &object).await;
        pem
    }

    pub fn secrets(&self) -> String {
        format!("/api/v1/namespaces/{}/secrets", self.namespace)
    }

    /// The CA that signs.
    pub async fn ca(&self) -> Option<String> {
        let path = format!("{}/ca", self.secrets());
        let secret = self.request("GET", &path, &Value::Null).await.ok()?;
        let encoded = secret["data"]["tls.crt"].as_str()?;
        Some(String::from_utf8(STANDARD.decode(encoded).unwrap()).unwrap())
    }

    /// The CA, once there is one.
    pub async fn made(&self) -> String {
        support::eventually(SOON, || async { self.ca().await.ok_or("no CA".to_owned()) }).await
    }

    /// Waits until every caBundle of an object is this one.
    pub async fn holds(&self, path: &str, bundle: &str) {
        self.holds_within(SOON, path, bundle).await;
    }

    pub async fn holds_within(&self, limit: Duration, path: &str, bundle: &str) {
        support::eventually(limit, || async {
            let bundles = self.bundles(path).await;
            match !bundles.is_empty() && bundles.iter().all(|held| held == bundle) {
                true => Ok(()),
                false => Err(format!("{path} holds {bundles:?} and not {bundle}")),
            }
        })
        .await;
    }

    /// The notes of the Events on an object with this reason.
    pub async fn events(&self, path: &str, reason: &str) -> Vec<String> {
        let uid = self.get(path).await["metadata"]["uid"].clone();
        let events = "/apis/events.k8s.io/v1/namespaces/default/events";
        let list = self.request("GET", events, &Value::Null).await.unwrap();
        let items = list["items"].as_array().unwrap().iter();
        items
            .filter(|event| event["regarding"]["uid"] == uid && event["reason"] == reason)
            .map(|event| event["note"].as_str().unwrap().to_owned())
            .collect()
    }

    /// The note of an Event, once there is one.
    pub async fn event(&self, path: &str, reason: &str) -> String {
        support::eventually(SOON, || async {
            let mut notes = self.events(path, reason).await;
            notes.pop().ok_or(format!("no Event {reason} on {path}"))
        })
        .await
    }
}

/// What an object looks like that nobody must have touched.
pub fn untouched(object: &Value) -> (&Value, &Value) {
    let metadata = &object["metadata"];
    (&metadata["uid"], &metadata["resourceVersion"])
}
