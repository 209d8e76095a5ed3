//! Forged requests, submitted to a real API server by whom each of them needs: none is signed.
//!
//! The forgeries are those of the policy's own tests (`src/policy/tests/forged`). There a
//! request is a value with everything that an API server says of its requester. Here those by
//! a pod are submitted with that pod's token, the others by an administrator who impersonates
//! the requester, extra fields included: the API server itself writes down who asked.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::{Engine, engine::general_purpose::STANDARD};
use k8s_openapi::api::rbac::v1::PolicyRule;
use kube::Client;
use serde_json::{Value, json};

use self::forged::{all, by_user, plain, request};
use self::policy::Request;
use crate::{
    support::{self, ControlPlane},
    user::{REQUESTS, certificate, conditions},
    world::{SOON, Site, own_rights, rights},
};

#[path = "../../src/policy/tests/forged/mod.rs"]
mod forged;

/// What the forgeries take for certtool's: a request is kept as it is written, for nobody but
/// the API server and the controller is to read it.
pub mod pki {
    pub use certtool::pki::{
        Attribute, DistinguishedName, KeyAlgorithm, PrivateKey, San, create_csr,
    };

    /// PEM, or what is given out as such.
    #[derive(Debug, Clone)]
    pub struct Csr(pub Vec<u8>);

    /// Nothing is read, so nothing is wrong.
    #[derive(Debug, Clone)]
    pub enum CsrError {}

    impl Csr {
        pub fn from_pem(pem: &[u8]) -> Result<Self, CsrError> {
            Ok(Self(pem.to_vec()))
        }

        pub fn from_der(der: &[u8]) -> Result<Self, CsrError> {
            use base64::{Engine, engine::general_purpose::STANDARD};
            let encoded = STANDARD.encode(der);
            let lines: Vec<_> = encoded.as_bytes().chunks(64).collect();
            let lines = String::from_utf8(lines.join(&b'\n')).unwrap();
            let label = "CERTIFICATE REQUEST";
            let pem = format!("-----BEGIN {label}-----\n{lines}\n-----END {label}-----\n");
            Ok(Self(pem.into_bytes()))
        }

        pub fn to_pem(&self) -> String {
            String::from_utf8(self.0.clone()).unwrap()
        }
    }
}

/// See [`pki`].
pub mod policy {
    use std::collections::BTreeMap;

    use super::pki::{Csr, CsrError};

    #[derive(Debug, Clone)]
    pub struct Request {
        pub signer_name: String,
        pub username: String,
        pub uid: String,
        pub groups: Vec<String>,
        pub extra: BTreeMap<String, Vec<String>>,
        pub usages: Vec<String>,
        pub expiration_seconds: Option<i64>,
        pub csr: Result<Csr, CsrError>,
    }
}

/// Signs by the shipped policy.
const SERVING: &str = "certtool.dev/webhook-serving";
/// Signs what a human approved.
const BY_HAND: &str = "certtool.dev/by-hand";
/// Leaves alone who is no service account.
const LENIENT: &str = "certtool.dev/lenient";
/// Signed by nobody here.
const NOBODYS: &str = "certtool.dev/nobodys";

/// The cluster that the forgeries expect: in namespace `team-a` a pod `hook-0` of account
/// `hook`, and the Services that they name.
struct Stage<'a> {
    site: Site<'a>,
    admin: Client,
    pod: Client,
    pod_uid: String,
}

impl<'a> Stage<'a> {
    async fn new(cluster: &'a ControlPlane) -> Self {
        let site = Site::on(cluster, "escapes").await;
        let namespace = json!({ "metadata": { "name": "team-a" } });
        site.api("POST", "/api/v1/namespaces", &namespace)
            .await
            .unwrap();
        cluster.service_account("team-a", "hook", &[], &[]).await;
        // Everybody may ask, the worst that an administrator can allow.
        let role = json!({ "metadata": { "name": "everybody" }, "rules": [{
            "apiGroups": ["certificates.k8s.io"],
            "resources": ["certificatesigningrequests"],
            "verbs": ["create"],
        }]});
        let kind = |kind, name| json!({ "apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name });
        let binding = json!({
            "metadata": { "name": "everybody" },
            "roleRef": kind("ClusterRole", "everybody"),
            "subjects": [kind("Group", "system:authenticated"), kind("Group", "system:unauthenticated")],
        });
        let rbac = "/apis/rbac.authorization.k8s.io/v1";
        for (resource, object) in [("clusterroles", role), ("clusterrolebindings", binding)] {
            site.api("POST", &format!("{rbac}/{resource}"), &object)
                .await
                .unwrap();
        }
        let pod = json!({
            "metadata": { "name": "hook-0", "labels": { "app": "hook", "tier": "web" } },
            "spec": { "serviceAccountName": "hook", "containers": [{ "name": "c", "image": "x" }] },
        });
        let pod = site
            .api("POST", "/api/v1/namespaces/team-a/pods", &pod)
            .await
            .unwrap();
        let pod_uid = pod["metadata"]["uid"].as_str().unwrap().to_owned();
        for (name, spec) in [
            ("hook", json!({ "selector": { "app": "hook" } })),
            ("x-webhook", json!({ "selector": { "app": "hook" } })),
            ("other", json!({ "selector": { "app": "other" } })),
            ("manual", json!({})),
            (
                "outside",
                json!({ "selector": { "app": "hook" }, "type": "ExternalName", "externalName": "evil.com" }),
            ),
        ] {
            let mut service = json!({ "metadata": { "name": name }, "spec": spec });
            service["spec"]["ports"] = json!([{ "port": 443 }]);
            let path = "/api/v1/namespaces/team-a/services";
            site.api("POST", path, &service).await.unwrap();
        }
        let review = json!({ "spec": { "audiences": [], "boundObjectRef": {
            "apiVersion": "v1", "kind": "Pod", "name": "hook-0", "uid": pod_uid,
        }}});
        let path = "/api/v1/namespaces/team-a/serviceaccounts/hook/token";
        let token = site.api("POST", path, &review).await.unwrap();
        let text = std::fs::read_to_string(cluster.kubeconfig()).unwrap();
        let mut kubeconfig: Value = serde_yaml::from_str(&text).unwrap();
        kubeconfig["users"][0]["user"] = json!({ "token": token["status"]["token"] });
        site.write("pod.kubeconfig", kubeconfig.to_string());
        Self {
            admin: cluster.admin_client().await,
            pod: cluster.client(&site.path("pod.kubeconfig")).await,
            pod_uid,
            site,
        }
    }

    /// The controller with the three signers, as an account that may serve them.
    async fn controller(&self) -> crate::world::Controller {
        let secret = format!("authority: {{secret: {}/ca}}", self.site.namespace);
        let config = format!(
            "apiVersion: certtool.dev/v1alpha1\nkind: ControllerConfig\nsigners:\n  \
             - name: {SERVING}\n    {secret}\n    waitForObjects: 0s\n  \
             - name: {BY_HAND}\n    {secret}\n    approve: false\n  \
             - name: {LENIENT}\n    {secret}\n    policy:\n      otherRequesters: Ignore\n      \
             rules:\n        - name: pods\n          requester: {{serviceAccounts: [\"*/*\"]}}\n          \
             names: {{services: [\"*.{{namespace}}\"]}}\n          \
             usages: {{allowed: [digital signature, key encipherment, server auth]}}\n          \
             keys: [ecdsa-p256]\n          lifetime: {{maximum: 1d, whenAbsent: Maximum}}\n"
        );
        self.site.write("config/controller.yaml", config);
        let cluster: Vec<PolicyRule> = [SERVING, BY_HAND, LENIENT]
            .into_iter()
            .flat_map(rights)
            .collect();
        let account = self
            .site
            .cluster
            .service_account(&self.site.namespace, "escapes", &own_rights(), &cluster)
            .await;
        let controller = self.site.start_with(&account, "--leader-elect=false");
        controller.until_ready();
        controller
    }

    /// Submits a request, by its requester.
    async fn submit(&self, name: &str, request: &Request) -> kube::Result<Value> {
        let csr = request.csr.as_ref().unwrap();
        let mut spec = json!({
            "request": STANDARD.encode(&csr.0), "signerName": request.signer_name, "usages": request.usages,
        });
        if let Some(seconds) = request.expiration_seconds {
            spec["expirationSeconds"] = json!(seconds);
        }
        let object = json!({
            "apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest",
            "metadata": { "name": name }, "spec": spec,
        });
        let mut post = http::Request::post(REQUESTS).header("content-type", "application/json");
        let client = match self.is_the_pods(request) {
            true => &self.pod,
            false => {
                post = post.header("impersonate-user", &request.username);
                post = post.header("impersonate-uid", &request.uid);
                for group in &request.groups {
                    post = post.header("impersonate-group", group);
                }
                for (key, value) in self.extra(request) {
                    let header = format!("impersonate-extra-{}", key.replace('/', "%2f"));
                    for value in value {
                        post = post.header(&header, value);
                    }
                }
                &self.admin
            }
        };
        let post = post.body(object.to_string().into_bytes()).unwrap();
        client.request(post).await
    }

    fn is_the_pods(&self, asked: &Request) -> bool {
        let own = request();
        asked.username == own.username && asked.groups == own.groups && asked.extra == own.extra
    }

    /// The extra fields, with the real pod's UID.
    fn extra(&self, request: &Request) -> BTreeMap<String, Vec<String>> {
        let mut extra = request.extra.clone();
        for value in extra
            .values_mut()
            .flatten()
            .filter(|value| *value == "pod-uid-1")
        {
            value.clone_from(&self.pod_uid);
        }
        extra
    }

    /// All requests by name.
    async fn list(&self) -> BTreeMap<String, Value> {
        let list = self.site.api("GET", REQUESTS, &Value::Null).await.unwrap();
        let items = list["items"].as_array().unwrap();
        let named = |item: &Value| {
            (
                item["metadata"]["name"].as_str().unwrap().to_owned(),
                item.clone(),
            )
        };
        items.iter().map(named).collect()
    }

    async fn approve(&self, name: &str, object: &Value) {
        let mut object = object.clone();
        object["status"]["conditions"] = json!([{
            "type": "Approved", "status": "True", "reason": "Human", "message": "looks good",
        }]);
        let path = format!("{REQUESTS}/{name}/approval");
        self.site.api("PUT", &path, &object).await.unwrap();
    }
}

/// Whether somebody who authenticates could have this name and these groups: an API server
/// knows nobody without a name or with a line feed in it, and no service account without its
/// groups. The policy refuses them all the same; its own tests say so.
fn exists(request: &Request) -> bool {
    let name = &request.username;
    !name.is_empty()
        && name.trim() == name
        && !name.chars().any(char::is_control)
        && !request.groups.is_empty()
}

/// What the API server itself refuses to store: it reads the PKCS #10 with Go's parser, and
/// checks its signature, the usages and the lifetime.
const REFUSED_AT_ONCE: [&str; 5] = [
    "MalformedRequest",
    "SignatureNotAccepted",
    "UsageNotAllowed",
    "UsageMissing",
    "LifetimeNotAllowed",
];

fn to(signer: &str, request: Request) -> Request {
    Request {
        signer_name: signer.to_owned(),
        ..request
    }
}

fn condition(object: &Value) -> (&str, &str, &str) {
    let condition = &object["status"]["conditions"][0];
    let text = |field: &str| condition[field].as_str().unwrap_or_default();
    (text("type"), text("reason"), text("message"))
}

#[test]
fn no_forged_request_is_signed_and_each_is_refused_for_its_own_reason() {
    support::run(async {
        let cluster = ControlPlane::dedicated();
        let stage = Stage::new(&cluster).await;
        let controller = stage.controller().await;
        let mut forged = Vec::new();
        let mut genuine = Vec::new();
        let (mut refused, mut unknown) = (Vec::new(), Vec::new());
        for (index, (what, request, code, says)) in all().into_iter().enumerate() {
            if index % 20 == 0 {
                let name = format!("genuine-{index}");
                stage.submit(&name, &plain()).await.unwrap();
                genuine.push(name);
            }
            if !exists(&request) {
                unknown.push(what);
                continue;
            }
            let name = format!("forged-{index}");
            match stage.submit(&name, &request).await {
                Ok(object) => {
                    let asked = &object["spec"];
                    assert_eq!(asked["username"], request.username, "{what}");
                    assert_eq!(asked["signerName"], SERVING, "{what}");
                    forged.push((name, what, code, says));
                }
                Err(error) => {
                    assert!(REFUSED_AT_ONCE.contains(&code), "{what}: {error}");
                    refused.push(what);
                }
            }
        }
        // Approved by a human who did not look: what can never be signed.
        let mut by_hand = Vec::new();
        for (index, (what, asked, code, _)) in all().into_iter().enumerate() {
            let usages = asked.usages != request().usages && code == "UsageNotAllowed";
            let name = format!("by-hand-{index}");
            if (usages || ["MalformedRequest", "SignatureNotAccepted"].contains(&code))
                && let Ok(object) = stage.submit(&name, &to(BY_HAND, asked)).await
            {
                stage.approve(&name, &object).await;
                by_hand.push((name, what));
            }
        }
        // Nobody's business: another signer's, and users about whom a policy says nothing.
        let mut left = Vec::new();
        for (index, (_, request, ..)) in all().into_iter().enumerate().step_by(12) {
            let name = format!("nobodys-{index}");
            if exists(&request) && stage.submit(&name, &to(NOBODYS, request)).await.is_ok() {
                left.push(name);
            }
        }
        for user in ["mallory", "kubernetes-admin", "system:node:node-1"] {
            let name = format!("lenient-{}", left.len());
            let request = by_user(plain(), user, &["system:authenticated"]);
            stage.submit(&name, &to(LENIENT, request)).await.unwrap();
            left.push(name);
        }
        let objects = support::eventually(SOON, || async {
            let objects = stage.list().await;
            let ended = |name: &String| match name.starts_with("genuine") {
                true => certificate(&objects[name]).is_some(),
                false => conditions(&objects[name])
                    .iter()
                    .any(|kind| *kind != "Approved"),
            };
            let expected = forged.iter().map(|(name, ..)| name).chain(&genuine);
            let expected = expected.chain(by_hand.iter().map(|(name, _)| name));
            let open: Vec<_> = expected.filter(|name| !ended(name)).collect();
            match open.is_empty() {
                true => Ok(objects),
                false => Err(format!("{open:?}\n{}", controller.process.stderr())),
            }
        })
        .await;
        // A moment for what should not happen.
        controller.until_metric("requests_total", "outcome=\"left\"", SOON, |n| n == 3.0);
        tokio::time::sleep(Duration::from_secs(1)).await;
        let mut wrong = Vec::new();
        for (name, what, code, says) in &forged {
            let (kind, reason, message) = condition(&objects[name]);
            if (kind, reason) != ("Denied", *code) || !message.contains(says) {
                wrong.push(format!("{what}: {kind} {reason} {message}"));
            }
        }
        for (name, what) in &by_hand {
            let failed = objects[name]["status"]["conditions"][1].clone();
            if failed["type"] != "Failed" || failed["reason"] != "SignerValidationFailure" {
                wrong.push(format!(
                    "{what}, approved by hand: {}",
                    objects[name]["status"]
                ));
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        let objects = stage.list().await;
        for name in &left {
            assert_eq!(conditions(&objects[name]), [""; 0], "{name}");
        }
        let signed: Vec<_> = objects
            .iter()
            .filter(|(_, object)| certificate(object).is_some())
            .map(|(name, _)| name)
            .collect();
        genuine.sort();
        assert_eq!(signed, genuine.iter().collect::<Vec<_>>());
        for name in &genuine {
            stage
                .site
                .write("x.crt", certificate(&objects[name]).unwrap());
            assert!(stage.site.verifies("ca.crt", "x.crt", "hook.team-a.svc"));
        }
        println!(
            "{} denied, {} failed, {} left alone, {} signed; {} refused by the API server: {refused:?}; \
             nobody could ask: {unknown:?}",
            forged.len(),
            by_hand.len(),
            left.len(),
            genuine.len(),
            refused.len(),
        );
        assert!(forged.len() >= 190, "{}", forged.len());
        assert!(by_hand.len() >= 20, "{by_hand:?}");
        assert!(left.len() >= 15, "{left:?}");
        crate::files::assert_no_key(&controller.process.stderr());
    });
}
