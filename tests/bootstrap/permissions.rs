//! Rights: exactly those of the page, and each that is missing is named.

use std::{fs, path::Path};

use k8s_openapi::api::rbac::v1::PolicyRule;
use serde_json::Value;

use crate::{Ci, support, world::alone};

/// The rules of the page, each with one verb: of the Role, and of the ClusterRole.
fn documented() -> [Vec<PolicyRule>; 2] {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/bootstrap.md");
    let page = fs::read_to_string(page).unwrap();
    let block = page
        .split("```yaml\n")
        .find(|block| block.contains("kind: ClusterRole"))
        .unwrap();
    let block = block.split("```").next().unwrap();
    ["\nkind: Role\n", "\nkind: ClusterRole\n"].map(|kind| {
        let document = block
            .split("---\n")
            .find(|document| document.contains(kind))
            .unwrap();
        let document: Value = serde_yaml::from_str(document).unwrap();
        let rules: Vec<PolicyRule> = serde_json::from_value(document["rules"].clone()).unwrap();
        rules.iter().flat_map(singles).collect()
    })
}

fn singles(rule: &PolicyRule) -> Vec<PolicyRule> {
    let mut singles = Vec::new();
    for resource in rule.resources.iter().flatten() {
        for verb in &rule.verbs {
            singles.push(PolicyRule {
                resources: Some(vec![resource.clone()]),
                verbs: vec![verb.clone()],
                ..rule.clone()
            });
        }
    }
    singles
}

#[test]
fn the_rights_of_the_page_suffice_and_each_is_needed_and_named() {
    let cluster = alone();
    support::run(async {
        let ci = Ci::on(&cluster, "rights").await;
        ci.validating().await;
        ci.mutating().await;
        ci.crd().await;
        let api_service = ci.api_service().await;
        let address = ci.service().await;
        let dir = ci.cert_dir();
        let cluster = ci.world.cluster;
        let [role, cluster_role] = documented();
        let secret = ci.in_namespace("hook-tls");
        let args = [
            "--secret",
            &secret,
            "--cert-dir",
            dir.to_str().unwrap(),
            "--wait",
            "--timeout",
            "30s",
        ];
        let _server = ci.serve(address);
        let all: Vec<_> = role.iter().chain(&cluster_role).collect();
        for (number, without) in all.iter().enumerate() {
            let rest = |rules: &[PolicyRule]| -> Vec<PolicyRule> {
                rules
                    .iter()
                    .filter(|rule| rule != without)
                    .cloned()
                    .collect()
            };
            let name = format!("less-{number}");
            let kubeconfig = cluster
                .service_account(ci.namespace(), &name, &rest(&role), &rest(&cluster_role))
                .await;
            let user = ci.as_user(kubeconfig);
            let (verb, resource) = (&without.verbs[0], &without.resources.as_ref().unwrap()[0]);
            let mut args = args.to_vec();
            if (verb.as_str(), resource.as_str()) == ("patch", "secrets") {
                // Only a renewal needs it.
                ci.bootstrap(&["--secret", &secret]).done();
                args.push("--force");
            }
            let said = user.bootstrap(&args);
            let needed = format!("resources: [{resource:?}], verbs: [{verb:?}]");
            said.ended(1)
                .explains(&format!("not allowed to {verb} {resource}"))
                .explains(&needed);
            // What was made without that right is in nobody's way.
            for name in ["hook-tls", "hook-tls-ca"] {
                let path = ci.secret_path(name);
                if ci.exists(&path).await {
                    ci.world.delete(&path).await;
                }
            }
            for probe in ci.world.probes().await {
                let path = format!(
                    "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/{probe}"
                );
                ci.world.delete(&path).await;
            }
        }
        let _ = fs::remove_dir_all(&dir);
        let kubeconfig = cluster
            .service_account(ci.namespace(), "all", &role, &cluster_role)
            .await;
        let user = ci.as_user(kubeconfig);
        user.bootstrap(&args).done();
        // A renewal needs no other rights.
        user.bootstrap(&[&args[..], &["--force"]].concat()).done();
        ci.world.delete(&api_service).await;
    });
}
