//! `approve --policy`: the policy decides, with what it needs to know from the cluster.

use serde_json::json;

use crate::{World, support, world::conditions};

fn policy(world: &World<'_>, check: &str) -> String {
    format!(
        "apiVersion: certtool.dev/v1alpha1\n\
         kind: ApprovalPolicy\n\
         signerNames: [{}]\n\
         rules:\n\
         \x20 - name: serving\n\
         \x20   requester: {{serviceAccounts: [\"*/*\"]}}\n\
         \x20   names: {{services: [\"*.{{namespace}}\"], serviceCheck: {check}}}\n\
         \x20   usages: {{allowed: [digital signature, key encipherment, server auth], required: [server auth]}}\n\
         \x20   keys: [ecdsa-p256]\n\
         \x20   lifetime: {{maximum: 1d, whenAbsent: Maximum}}\n",
        world.signer()
    )
}

/// The test's user as a service account that may make requests.
async fn account<'a>(world: &World<'a>) -> World<'a> {
    let create = support::rule(
        &["certificates.k8s.io"],
        &["certificatesigningrequests"],
        &["create", "get"],
    );
    let kubeconfig = world
        .cluster
        .service_account(&world.namespace, "hook", &[], &[create])
        .await;
    world.as_user(kubeconfig)
}

#[test]
fn what_the_policy_refuses_is_not_approved_and_exits_with_4() {
    support::run(async {
        let world = World::new("policy").await;
        let account = account(&world).await;
        world.write("policy.yaml", policy(&world, "Exists"));
        let namespace = world.namespace.clone();
        let service = json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": "hook"},
            "spec": {"ports": [{"port": 443}], "selector": {"app": "hook"}},
        });
        let services = format!("/api/v1/namespaces/{namespace}/services");
        world.api("POST", &services, &service).await.unwrap();

        for (name, host) in [
            ("good", format!("hook.{namespace}.svc")),
            ("foreign", "hook.kube-system.svc".to_owned()),
            ("missing", format!("other.{namespace}.svc")),
        ] {
            account.csr(name, &format!("DNS:{host}"));
            let submit = format!("submit {name}.csr --name @{name} --signer %S");
            account.run(&submit).done();
        }
        world
            .run("approve @good --policy policy.yaml")
            .done()
            .prints("approved");
        assert_eq!(conditions(&world.object("good").await), ["Approved"]);
        for (name, why) in [("foreign", "kube-system"), ("missing", "other")] {
            world
                .run(&format!("approve @{name} --policy policy.yaml"))
                .ended(4)
                .explains("it is not approved")
                .explains(why);
            assert!(conditions(&world.object(name).await).is_empty());
        }

        // An administrator is no service account: nothing in the policy is about them.
        world.csr("admin", &format!("DNS:hook.{namespace}.svc"));
        let submit = "submit admin.csr --name @admin --signer %S";
        world.run(submit).done();
        world
            .run("approve @admin --policy policy.yaml")
            .ended(4)
            .explains("no rule allows requests of \"admin\"");
    });
}

#[test]
fn a_service_that_must_select_the_pod_needs_a_pod() {
    support::run(async {
        let world = World::new("policy-pod").await;
        let account = account(&world).await;
        world.write("policy.yaml", policy(&world, "SelectsPod"));
        account.csr("hook", &format!("DNS:hook.{}.svc", world.namespace));
        let submit = "submit hook.csr --name @hook --signer %S";
        account.run(submit).done();
        // The token is bound to no pod, so nobody can tell which pod asks.
        world
            .run("approve @hook --policy policy.yaml")
            .ended(4)
            .explains("pod");
    });
}

#[test]
fn a_policy_that_does_not_read_approves_nothing() {
    support::run(async {
        let world = World::new("policy-bad").await;
        world.submitted("hook");
        let wrong = policy(&world, "Exists").replace("usages", "usage");
        world.write("policy.yaml", wrong);
        world
            .run("approve @hook --policy policy.yaml")
            .ended(1)
            .explains("policy.yaml")
            .explains("usages");
        assert!(conditions(&world.object("hook").await).is_empty());
    });
}
