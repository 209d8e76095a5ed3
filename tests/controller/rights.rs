//! Each right that the controller is given is needed, and no other is.

use std::time::Duration;

use k8s_openapi::api::rbac::v1::PolicyRule;

use crate::{
    support,
    user::certificate,
    world::{Site, own_rights, rights},
};

/// Each verb on each resource.
fn single(rules: &[PolicyRule]) -> Vec<PolicyRule> {
    let mut all = Vec::new();
    for rule in rules {
        for resource in rule.resources.iter().flatten() {
            for verb in &rule.verbs {
                all.push(PolicyRule {
                    resources: Some(vec![resource.clone()]),
                    verbs: vec![verb.clone()],
                    ..rule.clone()
                });
            }
        }
    }
    all
}

fn without(rules: &[PolicyRule], index: usize) -> Vec<PolicyRule> {
    let mut rules = rules.to_vec();
    rules.remove(index);
    rules
}

#[test]
fn each_right_on_requests_is_needed() {
    support::run(async {
        let site = Site::new("rights").await;
        let pod = site.pod("hook").await;
        let cluster = single(&rights(&site.signer()));
        let own = single(&own_rights());
        for (index, missing) in cluster.iter().enumerate() {
            let resource = missing.resources.as_ref().unwrap()[0].clone();
            // A lost Event costs no certificate, and a request is read again only when somebody
            // was faster.
            if resource == "events"
                || missing.verbs == ["get"] && resource == "certificatesigningrequests"
            {
                continue;
            }
            let name = format!("less{index}");
            let kubeconfig = site
                .cluster
                .service_account(&site.namespace, &name, &own, &without(&cluster, index))
                .await;
            let mut controller = site.start_with(&kubeconfig, "--leader-elect=false");
            site.ask(&pod, "hook", &name);
            // It says which one is missing, as a rule to add.
            let verb = &missing.verbs[0];
            let words = format!("verbs: [\\\"{verb}\\\"]");
            controller.process.wait_for(&words, Duration::from_secs(20));
            let log = controller.process.stderr();
            assert!(
                log.contains(&format!("resources: [\\\"{resource}\\\"]")),
                "{log}"
            );
            assert_eq!(certificate(&site.object(&name).await), None, "{missing:?}");
            drop(controller);
            site.delete(&name).await;
        }
        let all = site
            .cluster
            .service_account(&site.namespace, "all", &own, &cluster)
            .await;
        let _controller = site.start_with(&all, "--leader-elect=false");
        site.ask(&pod, "hook", "all");
        site.certified("all", &site.host("hook")).await;
    });
}

#[test]
fn each_right_in_its_own_namespace_is_needed() {
    support::run(async {
        let site = Site::new("ownrights").await;
        let cluster = rights(&site.signer());
        let own = single(&own_rights());
        for (index, missing) in own.iter().enumerate() {
            let name = format!("less{index}");
            let kubeconfig = site
                .cluster
                .service_account(&site.namespace, &name, &without(&own, index), &cluster)
                .await;
            let election = "--leader-elect --lease-duration 6s";
            let mut controller = site.start_with(&kubeconfig, election);
            let resource = missing.resources.as_ref().unwrap()[0].clone();
            let words = match resource.as_str() {
                "leases" => "no leader can be elected",
                _ => "nothing can be signed",
            };
            controller.process.wait_for(words, Duration::from_secs(20));
            drop(controller);
            let lease = format!(
                "/apis/coordination.k8s.io/v1/namespaces/{}/leases/certtool-controller",
                site.namespace
            );
            let _ = site.api("DELETE", &lease, &serde_json::Value::Null).await;
        }
    });
}
