//! `manifests/controller`: replicas of it, and a pod that asks them.

mod client;
mod objects;
mod own;
mod shipped;

use std::{fs, path::Path};

use serde_json::Value;

use crate::{
    Account, LIMIT,
    built::{build, documents},
    pod::{self, Pod},
    project::repository,
    support::{self, ControlPlane},
    waiting::until_event,
};

const NAMESPACE: &str = "certtool-system";

/// The replicas, not started yet.
pub async fn replicas(cluster: &ControlPlane) -> Vec<Pod> {
    deploy(cluster, &repository().join("manifests/controller")).await
}

/// The same of a directory with others.
pub async fn deploy(cluster: &ControlPlane, dir: &Path) -> Vec<Pod> {
    let (manifests, _) = build(dir);
    let words = ["apply", "--validate=strict", "-f", "-"];
    let applied = cluster.try_kubectl(&words, &manifests);
    let stderr = String::from_utf8_lossy(&applied.stderr);
    assert!(applied.status.success(), "{stderr}");
    // Pod Security would warn of what it does not admit.
    assert_eq!(stderr, "");
    pod::of_deployment(cluster, NAMESPACE, "controller", 2).await
}

fn account(cluster: &ControlPlane) -> Account<'_> {
    Account {
        cluster,
        namespace: NAMESPACE.to_owned(),
        name: "controller".to_owned(),
        roles: "certtool-",
    }
}

/// An Event with this reason about the object of this name.
async fn event(cluster: &ControlPlane, namespace: &str, reason: &str, object: &str) {
    until_event(cluster, namespace, reason, ("name", object)).await;
}

/// Runs certtool.
fn succeeds(home: &Path, kubeconfig: &Path, words: &str) {
    let mut command = support::certtool(home);
    command
        .env("KUBECONFIG", kubeconfig)
        .args(words.split_whitespace());
    let output = support::output(command, LIMIT);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{words}: {stderr}");
}

/// The roles that the command prints for a configuration.
fn printed(config: &str) -> Vec<Value> {
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join("controller.yaml"), config).unwrap();
    let mut command = support::certtool(home.path());
    command.args(["controller", "--config", "controller.yaml"]);
    command.args(["--rbac-for", "certtool-system/controller"]);
    let output = support::output(command, LIMIT);
    assert!(output.status.success(), "{output:?}");
    documents(std::str::from_utf8(&output.stdout).unwrap())
}
