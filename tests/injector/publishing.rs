//! Bundle before leaf: a CA's bundle is everywhere before it signs.

use std::time::{Duration, Instant};

use k8s_openapi::api::rbac::v1::PolicyRule;
use serde_json::{Value, json};

use crate::{
    site::{KINDS, SOON, Site, rights},
    support,
};

#[test]
fn a_rotation_reaches_every_object_before_the_new_ca_signs() {
    support::run(async {
        let site = Site::new("rotate").await;
        site.config("annotations: true");
        let mut paths = vec![site.crd().await, site.api_service().await];
        for number in 0..10 {
            paths.push(
                site.validating(&format!("v{number}"), &["one", "two"])
                    .await,
            );
            paths.push(site.mutating(&format!("m{number}"), &["one"]).await);
        }
        for path in &paths {
            site.annotate(path, &site.by_signer()).await;
        }
        let _controller = site.start();
        let mut ca = site.made().await;
        for path in &paths {
            site.holds(path, &ca).await;
        }
        for _ in 0..2 {
            site.run("ca rotate --secret %N/ca").done();
            let deadline = Instant::now() + Duration::from_secs(60);
            loop {
                // What signs is read first: then whatever is seen after that holds it already.
                let signs = site.ca().await.unwrap();
                for path in &paths {
                    for bundle in site.bundles(path).await {
                        assert!(bundle.contains(&signs), "{path} does not hold what signs");
                    }
                }
                if signs != ca {
                    ca = signs;
                    break;
                }
                assert!(Instant::now() < deadline, "the CA was not replaced");
            }
        }
    });
}

/// The rights, with `patch` on validating configurations limited to these names.
fn patching(names: &[String]) -> Vec<PolicyRule> {
    let mut rules = rights(&KINDS);
    for rule in &mut rules {
        if rule.resources.as_deref() == Some(&["validatingwebhookconfigurations".to_owned()]) {
            rule.verbs.retain(|verb| verb != "patch");
        }
    }
    let mut named = support::rule(
        &["admissionregistration.k8s.io"],
        &["validatingwebhookconfigurations"],
        &["patch"],
    );
    named.resource_names = Some(names.to_vec());
    rules.push(named);
    rules
}

#[test]
fn an_object_that_cannot_be_patched_blocks_the_switch_and_is_named() {
    support::run(async {
        let cluster = support::control_plane();
        let mut site = Site::new("blocked").await;
        let path = site.validating("hook", &["one"]).await;
        site.annotate(&path, &site.by_signer()).await;
        site.config("annotations: true");
        let all = site.kubeconfig.clone();
        {
            let _controller = site.start();
            site.holds(&path, &site.made().await).await;
        }
        let ca = site.made().await;
        let mut rules = patching(&["another".to_owned()]);
        let requests = &["certificatesigningrequests"];
        rules.push(support::rule(
            &["certificates.k8s.io"],
            requests,
            &["get", "list", "watch"],
        ));
        site.kubeconfig = cluster
            .service_account(&site.namespace, "less", &crate::site::own_rights(), &rules)
            .await;
        site.run("ca rotate --secret %N/ca").done();
        {
            let mut controller = site.start();
            controller
                .process
                .wait_for("the CA waits for objects that do not hold", SOON);
            let log = controller.process.stderr();
            assert!(log.contains(&site.name("hook")), "{log}");
            let note = site.event(&path, "InjectionFailed").await;
            assert!(note.contains("verbs: [\"patch\"]"), "{note}");
            tokio::time::sleep(Duration::from_secs(5)).await;
            assert_eq!(site.ca().await.unwrap(), ca, "the new CA must not sign");
        }
        // With the right it goes on.
        let _controller = site.start_as(&all, "--leader-elect=false");
        support::eventually(Duration::from_secs(60), || async {
            match site.ca().await.unwrap() == ca {
                true => Err("not switched".to_owned()),
                false => Ok(()),
            }
        })
        .await;
    });
}

#[test]
fn a_ca_that_was_deleted_while_nobody_looked_is_not_replaced() {
    support::run(async {
        let site = Site::new("deleted").await;
        site.config("annotations: true");
        let path = site.validating("hook", &["one"]).await;
        site.annotate(&path, &site.by_signer()).await;
        let ca = {
            let _controller = site.start();
            let ca = site.made().await;
            site.holds(&path, &ca).await;
            ca
        };
        site.delete(&format!("{}/ca", site.secrets())).await;
        let mut controller = site.start();
        controller
            .process
            .wait_for("is still in a trust bundle", SOON);
        tokio::time::sleep(Duration::from_secs(3)).await;
        assert_eq!(site.ca().await, None);
        assert_eq!(site.bundles(&path).await, [ca]);
        // Nobody trusts it any more: a first start.
        let reset: Value = json!({ "webhooks": [site.webhook("one.example.com", site.service())] });
        site.patch(&path, &reset).await;
        let next = site.made().await;
        site.holds(&path, &next).await;
    });
}
