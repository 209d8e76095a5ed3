//! Many objects: how long a changed CA takes to reach them, and how much memory a large cluster
//! takes.

use std::time::{Duration, Instant};

use base64::{Engine, engine::general_purpose::STANDARD};
use futures::{StreamExt, stream};
use serde_json::{Value, json};

use crate::{
    controller::Controller,
    site::Site,
    support::{self, ControlPlane, pki::Ca},
    world::{CRDS, VALIDATING, encoded},
};

const CONFIGURATIONS: usize = 500;
const LIMIT: Duration = Duration::from_secs(420);

/// Makes requests, several at a time.
async fn all(site: &Site<'_>, requests: Vec<(&str, String, Value)>) {
    stream::iter(requests)
        .map(|(verb, path, body)| async move {
            site.request(verb, &path, &body).await.unwrap();
        })
        .buffer_unordered(8)
        .collect::<()>()
        .await;
}

fn name(number: usize) -> String {
    format!("many-{number}")
}

/// Configurations that take their CA from the Secret `one`.
async fn configurations(site: &Site<'_>) {
    let annotation = site.by_secret("certtool.dev/inject-ca-from-secret", "one");
    let object = |number: usize| {
        let webhook = site.webhook("one.example.com", site.service());
        let mut object = site.configuration("ValidatingWebhookConfiguration", "x", &[webhook]);
        object["metadata"]["name"] = json!(name(number));
        object["metadata"]["annotations"] = annotation.clone();
        ("POST", VALIDATING.to_owned(), object)
    };
    all(site, (0..CONFIGURATIONS).map(object).collect()).await;
}

/// Gives each of them a bundle as the barest client would.
async fn patch_barely(site: &Site<'_>, pem: &str) -> Duration {
    let began = Instant::now();
    stream::iter(0..CONFIGURATIONS)
        .map(|number| async move {
            let patch = json!([{ "op": "add", "path": "/webhooks/0/clientConfig/caBundle",
                "value": encoded(pem) }]);
            let request = http::Request::patch(format!("{VALIDATING}/{}", name(number)))
                .header("content-type", "application/json-patch+json")
                .header(
                    "accept",
                    "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1",
                )
                .body(patch.to_string().into_bytes())
                .unwrap();
            site.client.request::<Value>(request).await.unwrap();
        })
        .buffer_unordered(8)
        .collect::<()>()
        .await;
    began.elapsed()
}

/// The time that a controller has had a CPU, in hundredths of a second (proc(5)).
fn cpu(controller: &Controller) -> Duration {
    let stat = format!("/proc/{}/stat", controller.process.id());
    let stat = std::fs::read_to_string(stat).unwrap();
    let fields: Vec<&str> = stat
        .rsplit_once(')')
        .unwrap()
        .1
        .split_whitespace()
        .collect();
    let ticks = |field: usize| fields[field].parse::<u64>().unwrap();
    Duration::from_millis((ticks(11) + ticks(12)) * 10)
}

async fn change(site: &Site<'_>, controller: &Controller, pem: &str) -> Duration {
    let written = || {
        controller
            .metric("injections_total", "written")
            .unwrap_or(0.0)
    };
    let before = written();
    let data = json!({ "data": { "ca.crt": STANDARD.encode(pem) } });
    let busy = cpu(controller);
    let began = Instant::now();
    site.patch(&format!("{}/one", site.secrets()), &data).await;
    while written() - before < 500.0 {
        assert!(
            began.elapsed() < Duration::from_secs(100),
            "{}",
            controller.process.stderr()
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let took = began.elapsed();
    println!(
        "of that CPU of the controller: {:?}",
        cpu(controller) - busy
    );
    for number in 0..CONFIGURATIONS {
        assert_eq!(
            site.bundles(&format!("{VALIDATING}/{}", name(number)))
                .await,
            [pem]
        );
    }
    took
}

#[test]
fn a_large_cluster_is_injected_quickly_and_in_little_memory() {
    let _watchdog = support::watchdog(LIMIT);
    support::run_within(LIMIT, async {
        let cluster = ControlPlane::dedicated();
        let site = Site::on(&cluster, "large").await;
        site.config("annotations: true");
        let allow = json!({ "certtool.dev/allow-direct-injection": "true" });
        let first = site.secret("one", &allow).await;
        configurations(&site).await;
        let controller = site.start();
        controller.until_metric(
            "injections_total",
            "written",
            Duration::from_secs(60),
            |n| n == 500.0,
        );
        let mut bare = Vec::new();
        let mut ours = Vec::new();
        for _ in 0..2 {
            ours.push(change(&site, &controller, &Ca::new("next").pem).await);
        }
        println!(
            "idle and after {CONFIGURATIONS}: {:?} KiB",
            controller.memory()
        );
        drop(controller);
        for _ in 0..2 {
            bare.push(patch_barely(&site, &first).await);
        }
        println!("bare patches {bare:?}, a changed CA {ours:?}");
        large_objects(&site).await;
        let controller = site.start();
        controller.until_metric(
            "injections_total",
            "written",
            Duration::from_secs(60),
            |n| n == 500.0,
        );
        change(&site, &controller, &Ca::new("last").pem).await;
        let (now, peak) = controller.memory();
        println!("among large objects: {now} KiB, at the peak {peak} KiB");
        assert!(peak < 60 * 1024, "{peak} KiB");
    });
}

/// 200 CRDs of 200 kB and 2,000 Secrets of 10 kB.
async fn large_objects(site: &Site<'_>) {
    let filler = "x".repeat(7_500);
    let secrets = (0..2000).map(|number| {
        let object = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": { "name": format!("filler-{number}") },
            "data": { "filler": STANDARD.encode(&filler) },
        });
        ("POST", site.secrets(), object)
    });
    all(site, secrets.collect()).await;
    let text = "x".repeat(190_000);
    let crds = (0..200).map(|number| {
        let plural = format!("things{number}");
        let object = json!({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": { "name": format!("{plural}.{}", site.group()),
                // As kubectl keeps what was applied.
                "annotations": { "kubectl.kubernetes.io/last-applied-configuration": text } },
            "spec": {
                "group": site.group(), "scope": "Namespaced",
                "names": { "plural": plural, "kind": format!("Thing{number}") },
                "versions": [{ "name": "v1", "served": false, "storage": true, "schema": {
                    "openAPIV3Schema": { "type": "object", "description": text } } }],
            },
        });
        ("POST", CRDS.to_owned(), object)
    });
    all(site, crds.collect()).await;
}
