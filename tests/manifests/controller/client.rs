//! A pod that asks for certificates.

use serde_json::{Value, json};

use super::succeeds;
use crate::{
    LIMIT,
    pod::{self, Pod},
    support::{self, ControlPlane},
};

/// Somebody's pod, which asks for certificates.
pub struct Client<'a> {
    pub cluster: &'a ControlPlane,
    pod: Pod,
}

const CLIENT: &str = "
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: requester}
rules:
- {apiGroups: [certificates.k8s.io], resources: [certificatesigningrequests], verbs: [create, get]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: requester}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: requester}
subjects: [{kind: ServiceAccount, name: default, namespace: shop}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: hook, namespace: shop}
spec:
  selector: {matchLabels: {app: hook}}
  template:
    metadata: {labels: {app: hook}}
    spec: {containers: [{name: hook, image: hook}]}
";

impl<'a> Client<'a> {
    pub async fn new(cluster: &'a ControlPlane) -> Self {
        cluster.apply(CLIENT);
        let mut pods = pod::of_deployment(cluster, "shop", "hook", 1).await;
        let pod = pods.remove(0);
        Self { cluster, pod }
    }

    /// A Service of this name that selects the pod.
    pub fn service(&self, name: &str) {
        let service = json!({
            "apiVersion": "v1", "kind": "Service", "metadata": { "name": name, "namespace": "shop" },
            "spec": { "ports": [{ "port": 443 }], "selector": { "app": "hook" } },
        });
        self.cluster.apply(&service.to_string());
    }

    /// Asks the shipped signer for a certificate of a Service.
    pub fn asks(&self, request: &str, service: &str) {
        let names = format!("--service {service}");
        self.asks_signer(request, &names, "example.com/serving");
    }

    pub fn asks_signer(&self, request: &str, names: &str, signer: &str) {
        let kubeconfig = self.pod.kubeconfig();
        let home = kubeconfig.parent().unwrap();
        for words in [
            format!("genkey {names} --out-dir {request}"),
            format!("submit {request}/server.csr --name {request} --signer {signer}"),
        ] {
            succeeds(home, &kubeconfig, &words);
        }
    }

    pub fn request(&self, name: &str) -> Value {
        let json = self.cluster.kubectl(&["get", "csr", name, "-o", "json"]);
        serde_json::from_str(&json).unwrap()
    }

    pub async fn gets(&self, request: &str) {
        support::eventually(LIMIT, || async {
            let status = self.request(request)["status"].clone();
            match status["certificate"].is_string() {
                true => Ok(()),
                false => Err(format!("{request}: {status}")),
            }
        })
        .await;
    }

    pub async fn is_denied(&self, request: &str) -> String {
        support::eventually(LIMIT, || async {
            let status = self.request(request)["status"].clone();
            let condition = &status["conditions"][0];
            match condition["type"] == "Denied" {
                true => Ok(condition["message"].as_str().unwrap().to_owned()),
                false => Err(format!("{request}: {status}")),
            }
        })
        .await
    }
}
