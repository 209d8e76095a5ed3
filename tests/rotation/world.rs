//! A namespace with a webhook configuration in it, and a replica's identity: a service account
//! that may do what a keeper of this CA has to, and no more.

use std::path::PathBuf;
use std::process::Command;

use base64::{Engine, engine::general_purpose::STANDARD};
use certtool::authority::{CaState, Settings, read};
use certtool::cluster::{Access, Cluster, SecretData, SecretName};
use certtool::injectable::{Kind, ObjectId};
use certtool::pki::{
    Certificate, Grant, KeyAlgorithm, Lifetime, PrivateKey, San, TrustBundle, verify_server,
};
use certtool::rotation::{Error, Injectables, Keeper, Tick};
use kube::Client;
use serde_json::{Value, json};
use time::{Duration, OffsetDateTime};

use crate::files::{Files, Said};
use crate::support::{self, ControlPlane, objects, rule};

pub const NAME: &str = "hook.shop.svc";

pub struct World {
    pub control_plane: &'static ControlPlane,
    pub client: Client,
    pub namespace: String,
    pub secret: SecretName,
    pub webhook: String,
    pub files: Files,
    /// Of the service account.
    pub kubeconfig: PathBuf,
}

impl World {
    pub async fn new(name: &str) -> Self {
        let control_plane = support::control_plane();
        let client = control_plane.admin_client().await;
        let namespace = control_plane.namespace(name).await;
        let webhook = format!("{namespace}.example.com");
        let config = objects::by_service(&namespace, "hook", 443, "/", None);
        objects::validating_webhook(&client, &webhook, &namespace, &config).await;
        let secrets = [rule(&[""], &["secrets"], &["get", "create", "patch"])];
        let webhooks = [rule(
            &["admissionregistration.k8s.io"],
            &["validatingwebhookconfigurations"],
            &["get", "patch"],
        )];
        let kubeconfig = control_plane
            .service_account(&namespace, "keeper", &secrets, &webhooks)
            .await;
        Self {
            secret: format!("{namespace}/webhook-ca").parse().unwrap(),
            control_plane,
            client,
            namespace,
            webhook,
            files: Files::new(),
            kubeconfig,
        }
    }

    /// Connected as the service account.
    pub async fn cluster(&self) -> Cluster {
        connect(&self.kubeconfig).await
    }

    pub async fn replica(&self, settings: &Settings) -> Replica {
        Replica::new(self.cluster().await, &self.secret, &self.webhook, settings)
    }

    /// certtool as the service account; `%N` is the namespace, `%S` the Secret.
    pub fn command(&self, words: &str) -> Command {
        let mut command = support::certtool(self.files.home());
        command.env("KUBECONFIG", &self.kubeconfig);
        for word in words.split_whitespace() {
            let secret = self.secret.to_string();
            command.arg(word.replace("%N", &self.namespace).replace("%S", &secret));
        }
        command
    }

    #[track_caller]
    pub fn run(&self, words: &str) -> Said {
        Said::of(self.command(words))
    }

    fn secret_path(&self) -> String {
        format!("/api/v1/namespaces/{}/secrets", self.namespace)
    }

    fn webhook_path(&self) -> String {
        format!(
            "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/{}",
            self.webhook
        )
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

    /// The Secret as it is stored.
    pub async fn stored(&self) -> Value {
        let path = format!("{}/{}", self.secret_path(), self.secret.name);
        self.api("GET", &path, &Value::Null).await.unwrap()
    }

    /// Changes the Secret as somebody else would.
    pub async fn change(&self, patch: Value) {
        let path = format!("{}/{}", self.secret_path(), self.secret.name);
        self.api("PATCH", &path, &patch).await.unwrap();
    }

    pub async fn delete_secret(&self) {
        let path = format!("{}/{}", self.secret_path(), self.secret.name);
        self.api("DELETE", &path, &Value::Null).await.unwrap();
    }

    pub async fn create_secret(&self, object: Value) {
        self.api("POST", &self.secret_path(), &object)
            .await
            .unwrap();
    }

    /// The state in the Secret, read as certtool does.
    pub async fn state(&self) -> CaState {
        let data = data(&self.cluster().await, &self.secret).await;
        read(&self.secret.to_string(), &data.data, &data.annotations).unwrap()
    }

    /// What the webhook's caBundle holds.
    pub async fn bundle(&self) -> TrustBundle {
        let path = self.webhook_path();
        let object = self.api("GET", &path, &Value::Null).await.unwrap();
        let Some(text) = object["webhooks"][0]["clientConfig"]["caBundle"].as_str() else {
            return TrustBundle::default();
        };
        TrustBundle::from_pem(&STANDARD.decode(text).unwrap()).unwrap()
    }

    /// As Helm does: the webhook with another caBundle, or none.
    pub async fn reset_bundle(&self, pem: Option<&str>) {
        let path = self.webhook_path();
        let mut object = self.api("GET", &path, &Value::Null).await.unwrap();
        object["webhooks"][0]["clientConfig"]["caBundle"] =
            pem.map_or(Value::Null, |pem| json!(STANDARD.encode(pem)));
        self.api("PUT", &path, &object).await.unwrap();
    }

    pub async fn delete_webhook(&self) {
        let path = self.webhook_path();
        self.api("DELETE", &path, &Value::Null).await.unwrap();
    }
}

pub async fn connect(kubeconfig: &std::path::Path) -> Cluster {
    support::install_crypto_provider();
    let access = Access {
        kubeconfig: Some(kubeconfig.to_owned()),
        ..Access::default()
    };
    Cluster::connect(&access).await.unwrap()
}

pub async fn data(cluster: &Cluster, secret: &SecretName) -> SecretData {
    cluster.get_secret(secret).await.unwrap().unwrap()
}

/// One replica: a keeper, and the certificates that it signs.
pub struct Replica {
    pub cluster: Cluster,
    pub keeper: Keeper,
    injectables: Injectables,
}

impl Replica {
    pub fn new(cluster: Cluster, secret: &SecretName, webhook: &str, settings: &Settings) -> Self {
        let object = ObjectId {
            kind: Kind::ValidatingWebhookConfiguration,
            name: webhook.to_owned(),
        };
        Self {
            keeper: Keeper::new(cluster.clone(), secret.clone(), settings.clone()),
            cluster,
            injectables: Injectables::new(vec![object]),
        }
    }

    pub async fn tick(&mut self, now: OffsetDateTime) -> Result<Tick, Error> {
        let Self {
            cluster,
            keeper,
            injectables,
        } = self;
        let (injectables, cluster) = (&*injectables, &*cluster);
        let publish = |trust: Option<certtool::authority::Trust>| async move {
            injectables.publish(cluster, trust.as_ref(), now).await
        };
        keeper.tick(publish, now).await
    }

    /// Ticks until nothing is left to do at this instant.
    pub async fn settle(&mut self, now: OffsetDateTime) -> Tick {
        for _ in 0..10 {
            let tick = self.tick(now).await.unwrap();
            if tick.did.is_none() {
                return tick;
            }
        }
        panic!("ten steps at one instant");
    }
}

/// A certificate of the CA that signs by this tick.
pub fn leaf(tick: &Tick, now: OffsetDateTime, life: Duration) -> Certificate {
    let signing = tick.standing.signing(now).unwrap();
    let key = PrivateKey::generate(KeyAlgorithm::Ed25519).unwrap();
    let names = vec![San::Dns(NAME.to_owned())];
    let grant = Grant::serving(None, names, Lifetime::of(life).starting(now));
    let serial = certtool::random_serial().unwrap();
    signing
        .authority
        .issue(key.public_key(), &grant, now, serial)
        .unwrap()
}

/// Whether the API server would trust this certificate.
pub fn is_trusted(leaf: &Certificate, bundle: &TrustBundle, now: OffsetDateTime) -> bool {
    verify_server(leaf, &[], bundle, &[], now).is_ok()
}
