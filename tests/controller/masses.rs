//! Many requests: memory, and that nobody else's are even looked at.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::STANDARD};
use futures::StreamExt;
use kube::Client;
use serde_json::{Value, json};

use crate::{
    support::{self, ControlPlane, Options},
    user::{REQUESTS, World},
    world::{SOON, Site},
};

/// Creates a request as quickly as a client can.
pub async fn create(client: &Client, site: &Site<'_>, pod: &World<'_>, csr: &str, name: &str) {
    create_for(client, &site.signer(), &pod.read(csr), &site.name(name)).await;
}

async fn create_for(client: &Client, signer: &str, csr: &str, name: &str) {
    let object = json!({
        "apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest",
        "metadata": { "name": name },
        "spec": {
            "request": STANDARD.encode(csr),
            "signerName": signer,
            "usages": ["digital signature", "key encipherment", "server auth"],
        },
    });
    let post = http::Request::post(REQUESTS)
        .header("content-type", "application/json")
        .body(object.to_string().into_bytes())
        .unwrap();
    client.request::<Value>(post).await.unwrap();
}

#[test]
fn ten_thousand_requests_of_another_signer_are_not_even_seen() {
    let limit = Duration::from_secs(400);
    let _watchdog = support::watchdog(limit);
    support::run_within(limit, async {
        let options = Options {
            audit_log: true,
            ..Options::default()
        };
        let cluster = ControlPlane::dedicated_with(&options);
        let site = Site::on(&cluster, "masses").await;
        let pod = site.pod("hook").await;
        pod.csr("hook", &format!("DNS:{}", site.host("hook")));
        let csr = pod.read("hook.csr");
        let client = site.client.clone();
        let flood = |from: usize, to: usize| {
            let (client, csr) = (client.clone(), csr.clone());
            futures::stream::iter(from..to)
                .map(move |number| {
                    let (client, csr) = (client.clone(), csr.clone());
                    async move {
                        let name = format!("irrelevant-{number}");
                        create_for(&client, "other.example.com/flood", &csr, &name).await;
                    }
                })
                .buffer_unordered(16)
                .for_each(|()| async {})
        };
        // Half of them before it starts, half of them while it runs.
        flood(0, 5000).await;
        let controller = site.start();
        controller.until_ready();
        let (before, _) = controller.memory();
        flood(5000, 10_000).await;
        site.ask(&pod, "hook", "hook");
        site.certified("hook", &site.host("hook")).await;
        let (_, peak) = controller.memory();
        assert!(peak < before + 8 * 1024, "{before} KiB, at most {peak} KiB");
        controller.until_metric("requests_total", "", SOON, |n| n == 2.0);
        let account = format!("system:serviceaccount:{}:controller", site.namespace);
        let listed: Vec<String> = cluster
            .audit_events()
            .iter()
            .filter(|event| event["user"]["username"] == account)
            .filter(|event| ["list", "watch"].contains(&event["verb"].as_str().unwrap()))
            .map(|event| event["requestURI"].as_str().unwrap().to_owned())
            .collect();
        assert!(!listed.is_empty());
        for uri in listed {
            assert!(uri.contains("fieldSelector=spec.signerName"), "{uri}");
        }
    });
}

#[test]
fn a_thousand_requests_at_once_are_all_signed() {
    support::run(async {
        let site = Site::new("thousand").await;
        let pod = site.pod("hook").await;
        pod.csr("hook", &format!("DNS:{}", site.host("hook")));
        let csr = pod.read("hook.csr");
        let client = site.cluster.client(&site.path("hook.kubeconfig")).await;
        let controller = site.start();
        controller.until_ready();
        futures::stream::iter(0..1000)
            .map(|number| {
                let (client, csr, site) = (&client, &csr, &site);
                async move {
                    let name = site.name(&format!("m{number}"));
                    create_for(client, &site.signer(), csr, &name).await;
                }
            })
            .buffer_unordered(16)
            .for_each(|()| async {})
            .await;
        controller.until_metric("requests_total", "outcome=\"issued\"", 2 * SOON, |issued| {
            issued == 1000.0
        });
        controller.until_metric("requests_total", "outcome=\"approved\"", SOON, |n| {
            n == 1000.0
        });
        controller.until_metric("queue_length", "", SOON, |length| length == 0.0);
        let conflicts = controller.metric("conflicts_total", "").unwrap_or_default();
        assert!(conflicts < 10.0, "{conflicts} conflicts with itself");
    });
}
