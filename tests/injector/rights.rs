//! Each right that the injector is given is needed, and the log says which one is missing.

use std::time::Duration;

use k8s_openapi::api::rbac::v1::PolicyRule;
use serde_json::json;

use crate::{
    site::{KINDS, Site, own_rights, rights},
    support,
};

const SECRET: &str = "certtool.dev/inject-ca-from-secret";

/// These rights without one verb on one resource (a Secret that is a source).
fn without(rules: Vec<PolicyRule>, resource: &str, verb: &str) -> Vec<PolicyRule> {
    let mut rules = rules;
    for rule in &mut rules {
        let is = rule.resources.as_deref() == Some(&[resource.to_owned()]);
        let of_a_ca = rule.resource_names.as_deref() == Some(&["ca".to_owned()]);
        if is && !of_a_ca {
            rule.verbs.retain(|had| had != verb);
        }
    }
    rules
}

#[test]
fn each_right_is_needed() {
    support::run(async {
        let site = Site::new("injectrights").await;
        site.config("annotations: true, checkEvery: 1s");
        let allow = json!({ "certtool.dev/allow-direct-injection": "true" });
        site.secret("one", &allow).await;
        let resource = "validatingwebhookconfigurations";
        let on_objects = ["get", "list", "watch", "patch"].map(|verb| (resource, verb));
        let on_secrets = ["get", "list", "watch"].map(|verb| ("secrets", verb));
        for (index, (resource, verb)) in on_objects.into_iter().chain(on_secrets).enumerate() {
            let path = site.validating(&format!("v{index}"), &["one"]).await;
            site.annotate(&path, &site.by_secret(SECRET, "one")).await;
            let kubeconfig = site
                .cluster
                .service_account(
                    &site.namespace,
                    &format!("less{index}"),
                    &without(own_rights(), resource, verb),
                    &without(rights(&KINDS), resource, verb),
                )
                .await;
            let mut controller = site.start_as(&kubeconfig, "--leader-elect=false");
            let rule = format!("resources: [\\\"{resource}\\\"], verbs: [\\\"{verb}\\\"]");
            controller.process.wait_for(&rule, Duration::from_secs(20));
            if verb != "watch" {
                assert_eq!(
                    site.bundles(&path).await,
                    [""],
                    "without {verb} on {resource}"
                );
            }
            drop(controller);
            site.delete(&path).await;
        }
    });
}
