//! Two replicas, killed with SIGKILL at any moment while their CA rotates.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::time::{Duration, Instant};

use base64::{Engine, engine::general_purpose::STANDARD};
use certtool::pki::{Certificate, TrustBundle, verify_server};
use kube::Client;
use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::{
    publishing::{publishes, trust_bundle},
    support::{self, Process, Random},
    user::{REQUESTS, World, certificate, decode},
    world::{SOON, Site},
};

const KILLS: usize = 100;
const VALIDATING: &str = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations";

/// What a test of this kind sees of the cluster.
struct Watched<'a> {
    site: &'a Site<'a>,
    pod: Client,
    csr: String,
    asked: usize,
    /// What was given out, by its request's name.
    given: Vec<Certificate>,
}

impl<'a> Watched<'a> {
    async fn new(site: &'a Site<'a>, pod: &World<'_>) -> Self {
        pod.csr("hook", &format!("DNS:{}", site.host("hook")));
        Self {
            site,
            pod: site.cluster.client(&site.path("hook.kubeconfig")).await,
            csr: STANDARD.encode(pod.read("hook.csr")),
            asked: 0,
            given: Vec::new(),
        }
    }

    async fn ask(&mut self) {
        self.asked += 1;
        let object = json!({
            "apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest",
            "metadata": { "name": self.site.name(&format!("r{}", self.asked)) },
            "spec": {
                "request": self.csr, "signerName": self.site.signer(),
                "usages": ["digital signature", "server auth"], "expirationSeconds": 600,
            },
        });
        let post = http::Request::post(REQUESTS)
            .header("content-type", "application/json")
            .body(object.to_string().into_bytes())
            .unwrap();
        let _: Value = self.pod.request(post).await.unwrap();
    }

    /// Requests of this test, by name.
    async fn requests(&self) -> BTreeMap<String, Value> {
        let path = format!(
            "{REQUESTS}?fieldSelector=spec.signerName%3D{}",
            self.site.signer()
        );
        let list = self.site.api("GET", &path, &Value::Null).await.unwrap();
        let named = |item: &Value| {
            (
                item["metadata"]["name"].as_str().unwrap().to_owned(),
                item.clone(),
            )
        };
        list["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(named)
            .collect()
    }

    /// First the certificates, then what is trusted: what was given out before has to be trusted
    /// after. What is known is deleted.
    async fn check(&mut self) -> usize {
        let mut new = Vec::new();
        for (name, object) in self.requests().await {
            let kinds = crate::user::conditions(&object);
            assert!(
                !kinds.contains(&"Denied") && !kinds.contains(&"Failed"),
                "{object}"
            );
            if let Some(pem) = certificate(&object) {
                new.extend(
                    TrustBundle::from_pem(pem.as_bytes())
                        .unwrap()
                        .certificates()
                        .to_vec(),
                );
                let path = format!("{REQUESTS}/{name}");
                self.site.api("DELETE", &path, &Value::Null).await.unwrap();
            }
        }
        if !new.is_empty() {
            let bundles = self.bundles().await;
            for leaf in &new {
                for bundle in &bundles {
                    assert_trusted(leaf, bundle);
                }
            }
        }
        let found = new.len();
        self.given.extend(new);
        found
    }

    /// What clients trust by the ConfigMap, and the API server by each webhook.
    async fn bundles(&self) -> Vec<TrustBundle> {
        let found = crate::publishing::find(self.site, &self.site.namespace).await;
        let text = found.unwrap_or_default()["data"]["ca.crt"].clone();
        let mut texts = vec![text.as_str().unwrap_or_default().as_bytes().to_vec()];
        let object = self
            .site
            .api("GET", &webhooks(self.site), &Value::Null)
            .await;
        let object = object.unwrap();
        for webhook in object["webhooks"].as_array().unwrap() {
            let bundle = &webhook["clientConfig"]["caBundle"];
            texts.push(bundle.as_str().map_or_else(Vec::new, |_| decode(bundle)));
        }
        let bundle = |text: &Vec<u8>| TrustBundle::from_pem(text).unwrap_or_default();
        texts.iter().map(bundle).collect()
    }

    /// Asks for a rotation whenever none is under way, as `ca rotate` does.
    async fn rotate(&self) {
        let path = format!("/api/v1/namespaces/{}/secrets/ca", self.site.namespace);
        let Ok(secret) = self.site.api("GET", &path, &Value::Null).await else {
            return;
        };
        let asked = &secret["metadata"]["annotations"]["certtool.dev/rotate"];
        if asked.is_null() && secret["data"]["next.crt"].is_null() {
            let annotations = json!({ "certtool.dev/rotate": "requested" });
            let patch = json!({ "metadata": { "annotations": annotations } });
            self.site.api("PATCH", &path, &patch).await.unwrap();
        }
    }
}

#[track_caller]
fn assert_trusted(leaf: &Certificate, bundle: &TrustBundle) {
    let verified = verify_server(leaf, &[], bundle, &[], OffsetDateTime::now_utc());
    assert!(
        verified.is_ok(),
        "{} is not trusted: {verified:?}",
        leaf.issuer
    );
}

/// The path of the configuration of two webhooks that call the holders of the certificates.
fn webhooks(site: &Site<'_>) -> String {
    format!("{VALIDATING}/{}", site.name("hooks"))
}

async fn make_webhooks(site: &Site<'_>) {
    let webhook = |name: &str| {
        json!({
            "name": name, "admissionReviewVersions": ["v1"], "sideEffects": "None", "rules": [],
            "clientConfig": { "service": { "namespace": site.namespace, "name": "hook" } },
        })
    };
    let object = json!({
        "metadata": { "name": site.name("hooks") },
        "webhooks": [webhook("one.example.com"), webhook("two.example.com")],
    });
    site.api("POST", VALIDATING, &object).await.unwrap();
}

fn replica(site: &Site<'_>, kubeconfig: &std::path::Path) -> Process {
    let words = "controller --config config/controller.yaml --listen 127.0.0.1:0 --leader-elect \
                 --lease-duration 6s --log-format json";
    let mut command: Command = site.command(words);
    command.env("KUBECONFIG", kubeconfig);
    Process::spawn(command)
}

#[test]
fn a_hundred_kills_of_two_replicas_leave_every_certificate_trusted() {
    support::run_within(Duration::from_secs(480), async {
        let site = Site::new("kill").await;
        let namespace = site.namespace.as_str();
        let fields = format!(
            "    limits: {{maximum: 10m}}\n{}injection:\n  targets:\n    \
             - {{kind: ValidatingWebhookConfiguration, names: [{}], signer: {}}}\n",
            trust_bundle(&[namespace]),
            site.name("hooks"),
            site.signer(),
        );
        make_webhooks(&site).await;
        let injects = support::rule(
            &["admissionregistration.k8s.io"],
            &["validatingwebhookconfigurations"],
            &["get", "list", "watch", "patch"],
        );
        let rights: (&[_], &[_]) = (&publishes(), &[injects]);
        let managed = "life: 1d, settle: 300ms";
        let account = site.manage(managed, &fields, rights).await;
        let pod = site.pod("hook").await;
        let mut watched = Watched::new(&site, &pod).await;
        let mut replicas: Vec<_> = (0..2).map(|_| replica(&site, &account)).collect();
        let lease = format!(
            "/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/certtool-controller"
        );
        let mut random = Random::new();
        let (mut terms, mut leaders) = (0, BTreeSet::new());
        let began = Instant::now();
        for kill in 0..KILLS {
            let until = Instant::now() + Duration::from_millis(300 + random.below(2200));
            while Instant::now() < until {
                watched.ask().await;
                watched.rotate().await;
                watched.check().await;
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            let index = usize::try_from(random.below(2)).unwrap();
            let running = replicas[index].is_running();
            assert!(
                running,
                "a replica ended by itself: {}",
                replicas[index].stderr()
            );
            replicas[index].signal("KILL");
            let log = replicas[index].stderr();
            crate::files::assert_no_key(&log);
            replicas[index] = replica(&site, &account);
            assert!(
                kill < 20 || !watched.given.is_empty(),
                "nothing signed after {kill} kills: {}",
                replicas[0].stderr()
            );
            // Half of the time the other one need not wait for the end of a dead leader's lease.
            let found = site.api("GET", &lease, &Value::Null).await;
            let found = found.unwrap_or_default();
            let Some(holder) = found["spec"]["holderIdentity"].as_str() else {
                continue;
            };
            leaders.insert(holder.to_owned());
            if log.contains(holder) {
                terms += 1;
                if random.below(2) == 0 {
                    let _ = site.api("DELETE", &lease, &Value::Null).await;
                }
            }
        }
        let took = began.elapsed();
        // Left alone, they come to an end of everything that was begun.
        support::eventually(Duration::from_secs(60), || async {
            let secret = site.secret().await;
            let next = &secret["data"]["next.crt"];
            let asked = &secret["metadata"]["annotations"]["certtool.dev/rotate"];
            match next.is_null() && asked.is_null() {
                true => Ok(()),
                false => Err(format!("still rotating: {}", replicas[0].stderr())),
            }
        })
        .await;
        watched.ask().await;
        let limit = Instant::now() + SOON;
        while !watched.requests().await.is_empty() {
            watched.check().await;
            assert!(Instant::now() < limit, "{}", replicas[0].stderr());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let secret = site.secret().await;
        let data = secret["data"].as_object().unwrap();
        let data = data
            .iter()
            .map(|(entry, value)| (entry.clone(), decode(value)))
            .collect();
        let state = certtool::authority::read("ca", &data, &BTreeMap::new()).unwrap();
        let trusted = state.trust().bundle;
        support::eventually(SOON, || async {
            let bundles = watched.bundles().await;
            match bundles.iter().all(|bundle| *bundle == trusted) {
                true => Ok(()),
                false => Err(format!("{bundles:?}, not {trusted:?}")),
            }
        })
        .await;
        for leaf in &watched.given {
            assert_trusted(leaf, &trusted);
        }
        let mut signed: BTreeMap<String, usize> = BTreeMap::new();
        for leaf in &watched.given {
            *signed.entry(leaf.issuer.to_string()).or_default() += 1;
        }
        println!(
            "{KILLS} kills in {took:?}, {terms} of them of a leader, {} leaders seen; {} \
             certificates of {} CAs, {} CAs trusted at the end",
            leaders.len(),
            watched.given.len(),
            signed.len(),
            trusted.certificates().len(),
        );
        assert_eq!(watched.given.len(), watched.asked);
        assert!(signed.len() >= 5, "{signed:?}");
        assert!(terms >= 10, "{terms}");
    });
}
