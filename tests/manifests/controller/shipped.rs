//! Two replicas with the configuration and the rights that are shipped.

use std::{
    fs,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::{
    NAMESPACE, account,
    client::Client,
    event,
    objects::{injectable, until_injected},
    printed, replicas, succeeds,
};
use crate::{
    Account, LIMIT,
    built::{build, roles},
    cluster,
    pod::Pod,
    project::repository,
    rights::Right,
    support::{self, ControlPlane, Process},
};

/// The number of the pod that holds the Lease.
async fn leader(cluster: &ControlPlane, pods: &[Pod], but: Option<usize>) -> usize {
    let words = ["get", "lease", "certtool-controller", "-n", NAMESPACE];
    let words = [words.as_slice(), &["-o", "jsonpath={.spec.holderIdentity}"]].concat();
    support::eventually(LIMIT, || async {
        let holder = cluster.try_kubectl(&words, "");
        let holder = String::from_utf8(holder.stdout).unwrap();
        let of = |pod: &Pod| holder.starts_with(&format!("{}_", pod.name()));
        let number = pods.iter().position(of);
        number
            .filter(|number| Some(*number) != but)
            .ok_or_else(|| format!("the Lease is held by {holder:?}"))
    })
    .await
}

#[test]
fn two_replicas_as_their_service_account_have_the_rights_they_need_and_no_more() {
    support::run(async {
        let cluster = &cluster();
        let mut pods = replicas(cluster).await;
        let mut processes: Vec<Process> = pods.iter().map(|pod| pod.start("controller")).collect();
        for pod in &pods {
            pod.passes("controller", "livenessProbe").await;
            pod.passes("controller", "readinessProbe").await;
        }
        let first = leader(cluster, &pods, None).await;
        processes[first].wait_for("the CA that signs", LIMIT);
        let client = Client::new(cluster).await;

        // Its Service comes later than the pod, which is waited for.
        client.asks("early", "hook.shop");
        processes[first].wait_for("Service hook.shop does not exist", LIMIT);
        client.service("hook");
        client.gets("early").await;
        let began = Instant::now();
        client.asks("hook", "hook.shop");
        client.gets("hook").await;
        println!("submitted and issued within {:?}", began.elapsed());
        event(cluster, "default", "CertificateIssued", "hook").await;
        client.asks("forged", "kubernetes.default");
        let why = client.is_denied("forged").await;
        assert!(why.contains("kubernetes.default"), "{why}");

        cluster.apply(&injectable());
        until_injected(cluster, 1).await;

        // A configuration that is refused is an Event of the pod.
        let config_map = |text: &str| {
            json!({
                "apiVersion": "v1", "kind": "ConfigMap",
                "metadata": { "name": "controller", "namespace": NAMESPACE },
                "data": { "controller.yaml": text },
            })
        };
        let shipped = repository().join("manifests/controller/controller.yaml");
        let shipped = fs::read_to_string(shipped).unwrap();
        for text in [shipped.replace("signers", "singers"), shipped] {
            cluster.apply(&config_map(&text).to_string());
            pods[first].mount(cluster);
            let said = ["singers", "taken over"][usize::from(!text.contains("singers"))];
            processes[first].wait_for(said, LIMIT);
        }
        let name = pods[first].name();
        event(cluster, NAMESPACE, "ConfigurationRefused", name).await;

        // The CA rotates as soon as it is asked to.
        let home = pods[first].kubeconfig();
        let home = home.parent().unwrap();
        let rotate = "ca rotate --secret certtool-system/serving-ca";
        succeeds(home, &cluster.kubeconfig(), rotate);
        until_injected(cluster, 2).await;

        // The leader is gone, and the other goes on.
        processes[first].signal("KILL");
        processes[first].wait(LIMIT);
        leader(cluster, &pods, Some(first)).await;
        client.asks("later", "hook.shop");
        client.gets("later").await;

        let account = account(cluster);
        account.has_what_it_needs_and_no_more();
        drop(processes);
        each_way_to_be_wrong_is_noticed(&account);
        without_a_right_beside_a_request(&client, &mut pods).await;
    });
}

/// The check itself can fail.
fn each_way_to_be_wrong_is_noticed(account: &Account<'_>) {
    // A verb too many.
    let patch = r#"[{"op": "add", "path": "/rules/0/verbs/-", "value": "delete"}]"#;
    patch_role(account.cluster, patch);
    let unused: Vec<_> = account.unused().iter().map(ToString::to_string).collect();
    assert_eq!(
        unused,
        ["delete secrets./serving-ca in certtool-system"],
        "of the rule {patch:?}"
    );
}

/// The rights that the API server looks up beside a request are in no log: without each of them,
/// nothing is signed, and the log of the controller says which one is missing.
async fn without_a_right_beside_a_request(client: &Client<'_>, pods: &mut [Pod]) {
    let cluster = client.cluster;
    let role = "certtool-certtool-system-controller";
    let words = ["get", "clusterrole", role, "-o", "json"];
    let shipped: Value = serde_json::from_str(&cluster.kubectl(&words)).unwrap();
    let rules = shipped["rules"].as_array().unwrap();
    let beside: Vec<_> = account(cluster)
        .granted()
        .into_iter()
        .filter(Right::is_beside)
        .collect();
    assert_eq!(beside.len(), 2);
    for (number, missing) in beside.iter().enumerate() {
        let left = rules.iter().filter(|rule| {
            rule["resources"] != json!([missing.resource]) || rule["verbs"] != json!([missing.verb])
        });
        let mut less = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
            "metadata": { "name": role },
        });
        less["rules"] = left.cloned().collect();
        assert_eq!(less["rules"].as_array().unwrap().len(), rules.len() - 1);
        let replaced = cluster.try_kubectl(&["replace", "-f", "-"], &less.to_string());
        assert!(replaced.status.success(), "{replaced:?}");
        let mut process = pods[number].start("controller");
        let request = format!("without-{}", missing.verb);
        client.asks(&request, "hook.shop");
        let says = format!("not permitted to {} requests", missing.verb);
        process.wait_for(&says, LIMIT);
        assert!(client.request(&request)["status"]["certificate"].is_null());
        process.terminate(LIMIT);
    }
}

#[test]
fn a_missing_verb_is_noticed() {
    support::run(async {
        let cluster = &cluster();
        let pods = replicas(cluster).await;
        let patch = r#"[{"op": "replace", "path": "/rules/0/verbs", "value": ["patch"]}]"#;
        patch_role(cluster, patch);
        tokio::time::sleep(Duration::from_secs(1)).await;
        let mut process = pods[0].start("controller");
        process.wait_for("verbs: [\\\"get\\\"]", LIMIT);
        let denied = account(cluster).denied();
        let denied: Vec<_> = denied.iter().map(ToString::to_string).collect();
        assert_eq!(denied, ["get secrets./serving-ca in certtool-system"]);
    });
}

/// Changes the rights on Secrets.
fn patch_role(cluster: &ControlPlane, patch: &str) {
    let words = ["patch", "role", "certtool-controller", "--type=json"];
    let words = [words.as_slice(), &["-p", patch, "-n", NAMESPACE]].concat();
    cluster.kubectl(&words);
}

#[test]
fn the_roles_are_those_that_the_configuration_needs() {
    let dir = repository().join("manifests/controller");
    let config = fs::read_to_string(dir.join("controller.yaml")).unwrap();
    let (_, objects) = build(&dir);
    assert_eq!(roles(&objects, "certtool"), roles(&printed(&config), ""));
}
