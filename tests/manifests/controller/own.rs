//! A configuration of one's own, as `docs/deploying.md` has it.

use std::fs;

use serde_json::json;

use super::{
    NAMESPACE, account, client::Client, deploy, event, objects::configuration, printed, succeeds,
};
use crate::{
    LIMIT,
    built::block,
    cluster,
    project::{copy, repository},
    support::{self, ControlPlane},
    waiting::until_bundle,
};

/// The blocks of docs/deploying.md, with the roles that the command prints.
#[test]
fn a_configuration_of_ones_own_has_the_rights_it_needs_and_no_more() {
    support::run(async {
        let cluster = &cluster();
        let home = tempfile::tempdir().unwrap();
        let certtool = home.path().join("certtool/manifests");
        copy(&repository().join("manifests"), &certtool);
        let dir = home.path().join("mine");
        fs::create_dir(&dir).unwrap();
        for file in ["kustomization.yaml", "controller.yaml"] {
            let text = block("docs/deploying.md", file);
            let text = text.replace("path/to/certtool", "../certtool");
            fs::write(dir.join(file), text).unwrap();
        }
        let config = fs::read_to_string(dir.join("controller.yaml")).unwrap();
        let printed = printed(&config).into_iter().map(|role| role.to_string());
        let printed: Vec<_> = printed.collect();
        fs::write(dir.join("rbac.yaml"), printed.join("\n---\n")).unwrap();
        let client = Client::new(cluster).await;
        // An entry of somebody else's, where the trust bundle is to be.
        let words = ["create", "configmap", "serving-trust", "-n", "shop"];
        cluster.kubectl(&[words.as_slice(), &["--from-literal=ca.crt=mine"]].concat());
        let pods = deploy(cluster, &dir).await;
        let admin = |words| succeeds(home.path(), &cluster.kubeconfig(), words);
        admin("ca init --secret certtool-system/company-ca");
        admin("ca init --secret shop/vendor-ca");
        // What the file names as an object to inject into.
        let vendors = configuration("ValidatingWebhookConfiguration", "vendor", "{}");
        cluster.apply(&vendors);
        let mut process = pods[0].start("controller");
        process.wait_for("the CA: Created", LIMIT);
        event(cluster, "shop", "NotCerttools", "serving-trust").await;
        cluster.kubectl(&["delete", "configmap", "serving-trust", "-n", "shop"]);
        until_trusted(cluster, 1).await;
        client.asks("early", "hook.shop");
        process.wait_for("Service hook.shop does not exist", LIMIT);
        client.service("hook");
        client.gets("early").await;
        let host = "--host hook.internal.example.com";
        // It is not denied at once: a right may come later than the pod.
        client.asks_signer("known", host, "example.com/internal");
        process.wait_for("grant it the verb", LIMIT);
        let who = "system:serviceaccount:shop:default";
        cluster.apply(&access(who));
        client.gets("known").await;
        event(cluster, "default", "CertificateIssued", "known").await;
        let field = ".webhooks[0].clientConfig.caBundle";
        until_bundle(cluster, "validatingwebhookconfiguration/vendor", field, 1).await;
        pods[0].write("configuration", "controller.yaml", "signers: 1");
        event(cluster, NAMESPACE, "ConfigurationRefused", pods[0].name()).await;
        admin("ca rotate --secret certtool-system/serving-ca");
        until_trusted(cluster, 2).await;
        account(cluster).has_what_it_needs_and_no_more();
    });
}

/// Waits until so many CAs are in the ConfigMap for clients.
async fn until_trusted(cluster: &ControlPlane, count: usize) {
    support::eventually(LIMIT, || async {
        let words = [
            "get",
            "configmap",
            "serving-trust",
            "-n",
            "shop",
            "-o",
            "yaml",
        ];
        let found = cluster.try_kubectl(&words, "").stdout;
        let found = String::from_utf8(found).unwrap();
        match found.matches("BEGIN CERTIFICATE").count() {
            number if number == count => Ok(()),
            _ => Err(format!("not {count} CAs: {found}")),
        }
    })
    .await;
}

/// The right to ask for certificates of `example.com/internal`.
fn access(user: &str) -> String {
    let group = "rbac.authorization.k8s.io";
    let role = json!({
        "apiVersion": format!("{group}/v1"), "kind": "ClusterRole",
        "metadata": { "name": "internal" },
        "rules": [{
            "apiGroups": ["certificates.k8s.io"], "resources": ["signers"],
            "resourceNames": ["example.com/internal"], "verbs": ["request"],
        }],
    });
    let binding = json!({
        "apiVersion": format!("{group}/v1"), "kind": "ClusterRoleBinding",
        "metadata": { "name": "internal" },
        "roleRef": { "apiGroup": group, "kind": "ClusterRole", "name": "internal" },
        "subjects": [{ "apiGroup": group, "kind": "User", "name": user }],
    });
    format!("{role}\n---\n{binding}")
}
