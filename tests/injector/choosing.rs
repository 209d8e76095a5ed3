//! Which object gets whose bundle.

use std::time::Duration;

use serde_json::json;

use crate::{
    site::{KINDS, SOON, Site, rights, untouched},
    support,
};

const OURS: &str = "certtool.dev/inject-ca-from-secret";
const THEIRS: &str = "cert-manager.io/inject-ca-from-secret";

fn allowed(by: &str) -> serde_json::Value {
    json!({ format!("{by}/allow-direct-injection"): "true" })
}

#[test]
fn an_annotated_object_of_each_kind_gets_the_bundle_of_a_signer() {
    support::run(async {
        let site = Site::new("kinds").await;
        site.config("annotations: true");
        let paths = [
            site.mutating("hook", &["one", "two"]).await,
            site.validating("hook", &["one"]).await,
            site.crd().await,
            site.api_service().await,
        ];
        let plain = site.validating("plain", &["one"]).await;
        let before = site.get(&plain).await;
        let mut contents = Vec::new();
        for path in &paths {
            site.annotate(path, &site.by_signer()).await;
            contents.push(crate::world::without_bundles(site.content(path).await));
        }
        let _controller = site.start();
        let ca = site.made().await;
        for (path, mut content) in paths.iter().zip(contents) {
            site.holds(path, &ca).await;
            // Nothing else has changed but what the API server demands.
            if content["kind"] == "APIService" {
                content["spec"]
                    .as_object_mut()
                    .unwrap()
                    .shift_remove("insecureSkipTLSVerify");
            }
            let after = crate::world::without_bundles(site.content(path).await);
            assert_eq!(after, content);
        }
        assert_eq!(untouched(&site.get(&plain).await), untouched(&before));
    });
}

#[test]
fn a_secret_is_injected_only_if_it_agrees() {
    support::run(async {
        let site = Site::new("consent").await;
        site.config("annotations: true");
        let path = site.validating("hook", &["one"]).await;
        site.annotate(&path, &site.by_secret(OURS, "one")).await;
        let ca = site.secret("one", &json!({})).await;
        let controller = site.start();
        let note = site.event(&path, "InjectionRefused").await;
        assert!(
            note.contains("certtool.dev/allow-direct-injection"),
            "{note}"
        );
        assert_eq!(site.bundles(&path).await, [""]);
        let secret = format!("{}/one", site.secrets());
        site.annotate(&secret, &allowed("certtool.dev")).await;
        site.holds(&path, &ca).await;
        controller.until_metric("injections_total", "outcome=\"refused\"", SOON, |n| {
            n >= 1.0
        });
    });
}

#[test]
fn cert_managers_annotations_count_only_with_the_switch_and_with_its_own_consent() {
    support::run(async {
        let site = Site::new("certmanager").await;
        let agreed = site.validating("agreed", &["one"]).await;
        let not_agreed = site.validating("notagreed", &["one"]).await;
        let api_server = site.validating("apiserver", &["one"]).await;
        let one = site.secret("one", &allowed("cert-manager.io")).await;
        site.secret("two", &allowed("certtool.dev")).await;
        site.annotate(&agreed, &site.by_secret(THEIRS, "one")).await;
        site.annotate(&not_agreed, &site.by_secret(THEIRS, "two"))
            .await;
        site.annotate(
            &api_server,
            &json!({ "cert-manager.io/inject-apiserver-ca": "true" }),
        )
        .await;
        let signed = site.validating("signed", &["one"]).await;
        site.annotate(&signed, &site.by_signer()).await;
        site.config("annotations: true");
        let _controller = site.start();
        site.holds(&signed, &site.made().await).await;
        for path in [&agreed, &not_agreed, &api_server] {
            assert_eq!(site.bundles(path).await, [""], "without the switch");
        }
        site.config("annotations: true, certManagerAnnotations: true");
        site.holds(&agreed, &one).await;
        let pki = site.cluster.dir().join("pki/ca.crt");
        site.holds(&api_server, &std::fs::read_to_string(pki).unwrap())
            .await;
        let note = site.event(&not_agreed, "InjectionRefused").await;
        assert!(
            note.contains("cert-manager.io/allow-direct-injection"),
            "{note}"
        );
        assert_eq!(site.bundles(&not_agreed).await, [""]);
    });
}

#[test]
fn the_file_chooses_by_name_and_by_label_and_a_change_of_it_is_taken_over() {
    support::run(async {
        let site = Site::new("targets").await;
        let named = site.validating("named", &["one"]).await;
        let other = site.validating("other", &["one"]).await;
        let crd = site.crd().await;
        // Without any consent: the file is the operator's word.
        let one = site.secret("one", &json!({})).await;
        let name = site.name("named");
        let targets = |more: &str| {
            format!(
                "targets: [{{kind: ValidatingWebhookConfiguration, names: [{name}], signer: {}}}, \
                 {{kind: CustomResourceDefinition, selector: test={}, secret: {}/one}}{more}]",
                site.signer(),
                site.namespace,
                site.namespace
            )
        };
        site.config(&targets(""));
        let controller = site.start();
        site.holds(&named, &site.made().await).await;
        site.holds(&crd, &one).await;
        assert_eq!(site.bundles(&other).await, [""]);
        let more = format!(
            ", {{kind: ValidatingWebhookConfiguration, names: [{}], secret: {}/one}}",
            site.name("other"),
            site.namespace
        );
        site.config(&targets(&more));
        site.holds(&other, &one).await;
        // One that is removed keeps what it has, and is not looked after any more.
        site.config(&targets(""));
        controller.until_metric("config_reloads_total", "success", SOON, |n| n == 3.0);
        tokio::time::sleep(Duration::from_secs(1)).await;
        let none = json!({ "webhooks": [site.webhook("one.example.com", site.service())] });
        site.patch(&other, &none).await;
        site.patch(&named, &none).await;
        site.holds(&named, &site.made().await).await;
        assert_eq!(site.bundles(&other).await, [""]);
    });
}

#[test]
fn contradicting_sources_are_refused_aloud_until_one_is_gone() {
    support::run(async {
        let site = Site::new("contradict").await;
        site.config("annotations: true");
        let path = site.validating("hook", &["one"]).await;
        let one = site.secret("one", &allowed("certtool.dev")).await;
        site.annotate(&path, &site.by_signer()).await;
        site.annotate(&path, &site.by_secret(OURS, "one")).await;
        let malformed = site.validating("malformed", &["one"]).await;
        site.annotate(&malformed, &json!({ OURS: "nowhere" })).await;
        let _controller = site.start();
        let note = site.event(&path, "InjectionRefused").await;
        assert!(
            note.contains("contradict") && note.contains("/one"),
            "{note}"
        );
        let note = site.event(&malformed, "InjectionRefused").await;
        assert!(note.contains("\"nowhere\" is not NAMESPACE/NAME"), "{note}");
        assert_eq!(site.bundles(&path).await, [""]);
        site.annotate(
            &path,
            &json!({ "certtool.dev/inject-ca-from-signer": null }),
        )
        .await;
        site.holds(&path, &one).await;
    });
}

#[test]
fn a_right_that_is_missing_for_one_kind_does_not_stop_the_others() {
    support::run(async {
        let cluster = support::control_plane();
        let site = Site::with(cluster, "onekind", &rights(&KINDS[..2])).await;
        site.config("annotations: true");
        let one = site.secret("one", &allowed("certtool.dev")).await;
        let paths = [
            site.mutating("hook", &["one"]).await,
            site.validating("hook", &["one"]).await,
        ];
        let crd = site.crd().await;
        for path in paths.iter().chain([&crd]) {
            site.annotate(path, &site.by_secret(OURS, "one")).await;
        }
        let mut controller = site.start();
        for path in &paths {
            site.holds(path, &one).await;
        }
        controller
            .process
            .wait_for("resources: [\\\"customresourcedefinitions\\\"]", SOON);
        controller.until_metric(
            "injection_watch_restarts_total",
            "CustomResourceDefinition",
            SOON,
            |n| n >= 1.0,
        );
        // What is not known is not proven: no CA is made for objects that may trust one already.
        controller.process.wait_for("nothing can be signed", SOON);
        assert_eq!(site.ca().await, None);
        assert_eq!(site.bundles(&crd).await, [""]);
    });
}
