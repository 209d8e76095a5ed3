//! Bundles follow their sources, and objects are put right.

use std::time::{Duration, Instant};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::json;

use crate::{
    site::{SOON, Site},
    support::{self, pki::Ca},
};

const OURS: &str = "certtool.dev/inject-ca-from-secret";

/// Within a second or two, and what a busy machine adds.
const AT_ONCE: Duration = Duration::from_secs(5);

#[test]
fn a_change_of_a_secret_reaches_its_objects_and_what_left_it_leaves_them() {
    support::run(async {
        let site = Site::new("secretchange").await;
        site.config("annotations: true");
        let allow = json!({ "certtool.dev/allow-direct-injection": "true" });
        let one = site.secret("one", &allow).await;
        let path = site.validating("hook", &["one"]).await;
        site.annotate(&path, &site.by_secret(OURS, "one")).await;
        let mut controller = site.start();
        site.holds(&path, &one).await;
        let next = Ca::new("next").pem;
        let secret = format!("{}/one", site.secrets());
        let data = json!({ "data": { "ca.crt": STANDARD.encode(&next) } });
        site.patch(&secret, &data).await;
        site.holds_within(AT_ONCE, &path, &next).await;
        // One that is no bundle changes nothing and is said.
        let bad = json!({ "data": { "ca.crt": STANDARD.encode("nonsense") } });
        site.patch(&secret, &bad).await;
        let note = site.event(&path, "InjectionRefused").await;
        assert!(note.contains("ca.crt"), "{note}");
        assert_eq!(site.bundles(&path).await, std::slice::from_ref(&next));
        site.delete(&secret).await;
        controller.process.wait_for("it does not exist", SOON);
        assert_eq!(site.bundles(&path).await, [next]);
        // It is there again, and another object names it too.
        let again = site.secret("one", &allow).await;
        site.holds(&path, &again).await;
    });
}

#[test]
fn what_a_chart_resets_is_put_back_and_a_webhook_that_is_added_gets_the_bundle() {
    support::run(async {
        let site = Site::new("reset").await;
        site.config("annotations: true");
        let path = site.validating("hook", &["one"]).await;
        site.annotate(&path, &site.by_signer()).await;
        let _controller = site.start();
        let ca = site.made().await;
        site.holds(&path, &ca).await;
        let webhooks = json!({ "webhooks": [
            site.webhook("one.example.com", site.service()),
            site.webhook("two.example.com", site.service()),
        ]});
        for _ in 0..2 {
            site.patch(&path, &webhooks).await;
            let began = Instant::now();
            site.holds_within(AT_ONCE, &path, &ca).await;
            assert_eq!(site.bundles(&path).await.len(), 2);
            println!("put back within {:?}", began.elapsed());
        }
        // An annotation that is taken away leaves the object as it is.
        site.annotate(
            &path,
            &json!({ "certtool.dev/inject-ca-from-signer": null }),
        )
        .await;
        site.patch(&path, &webhooks).await;
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(site.bundles(&path).await, ["", ""]);
    });
}

#[test]
fn an_object_that_is_made_later_gets_the_bundle_and_one_that_is_made_anew_too() {
    support::run(async {
        let site = Site::new("later").await;
        site.config("annotations: true");
        let _controller = site.start();
        let ca = site.made().await;
        for _ in 0..2 {
            let path = site.mutating("hook", &["one"]).await;
            site.annotate(&path, &site.by_signer()).await;
            site.holds_within(AT_ONCE, &path, &ca).await;
            site.delete(&path).await;
        }
    });
}

#[test]
fn a_follower_writes_nothing_and_takes_over() {
    support::run(async {
        let site = Site::new("follower").await;
        site.config("annotations: true");
        let path = site.validating("hook", &["one"]).await;
        site.annotate(&path, &site.by_signer()).await;
        let elect = "--leader-elect --lease-duration 6s";
        let first = site.start_as(&site.kubeconfig, elect);
        first.until_metric("leader", "", SOON, |leader| leader == 1.0);
        let ca = site.made().await;
        site.holds(&path, &ca).await;
        let second = site.start_as(&site.kubeconfig, elect);
        second.until_ready();
        let reset = json!({ "webhooks": [site.webhook("one.example.com", site.service())] });
        site.patch(&path, &reset).await;
        site.holds(&path, &ca).await;
        assert_eq!(second.metric("injections_total", "written"), None);
        assert!(first.metric("injections_total", "written").unwrap() >= 2.0);
        drop(first);
        site.patch(&path, &reset).await;
        site.holds_within(Duration::from_secs(12), &path, &ca).await;
        assert_eq!(second.metric("injections_total", "written"), Some(1.0));
    });
}
