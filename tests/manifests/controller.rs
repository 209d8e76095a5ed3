//! `manifests/controller`: two replicas of it, and a pod that asks them.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{
    Account, LIMIT,
    built::{block, build, documents, roles},
    cluster,
    pod::{self, Pod},
    project::{copy, repository},
    support::{self, ControlPlane, Process},
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

/// Somebody's pod, which asks for certificates.
struct Client<'a> {
    cluster: &'a ControlPlane,
    pod: Pod,
}

/// One of each kind that carries a caBundle, which asks for the signer's.
const INJECTABLE: &str = "
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingWebhookConfiguration
metadata:
  name: hook
  annotations: {certtool.dev/inject-ca-from-signer: example.com/serving}
webhooks:
- name: hook.example.com
  clientConfig: {service: {name: hook, namespace: shop}}
  admissionReviewVersions: [v1]
  sideEffects: None
  rules: [{apiGroups: [example.com], apiVersions: [v1], resources: [hooks], operations: [CREATE]}]
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata:
  name: hook
  annotations: {certtool.dev/inject-ca-from-signer: example.com/serving}
webhooks:
- name: hook.example.com
  clientConfig: {service: {name: hook, namespace: shop}}
  admissionReviewVersions: [v1]
  sideEffects: None
  rules: [{apiGroups: [example.com], apiVersions: [v1], resources: [hooks], operations: [CREATE]}]
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  name: hooks.example.com
  annotations: {certtool.dev/inject-ca-from-signer: example.com/serving}
spec:
  group: example.com
  names: {kind: Hook, plural: hooks}
  scope: Namespaced
  versions:
  - {name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object}}}
  conversion:
    strategy: Webhook
    webhook:
      clientConfig: {service: {name: hook, namespace: shop}}
      conversionReviewVersions: [v1]
---
apiVersion: apiregistration.k8s.io/v1
kind: APIService
metadata:
  name: v1.hooks.example.com
  annotations: {certtool.dev/inject-ca-from-signer: example.com/serving}
spec:
  group: hooks.example.com
  version: v1
  service: {name: hook, namespace: shop}
  groupPriorityMinimum: 100
  versionPriority: 100
";

/// Waits until each of [`INJECTABLE`] has as many CAs.
async fn until_injected(cluster: &ControlPlane, count: usize) {
    let webhook = ".webhooks[0].clientConfig.caBundle";
    for (object, field) in [
        ("mutatingwebhookconfiguration/hook", webhook),
        ("validatingwebhookconfiguration/hook", webhook),
        (
            "crd/hooks.example.com",
            ".spec.conversion.webhook.clientConfig.caBundle",
        ),
        ("apiservice/v1.hooks.example.com", ".spec.caBundle"),
    ] {
        until_bundle(cluster, object, field, count).await;
    }
}

/// Waits until a field holds so many CAs.
pub async fn until_bundle(cluster: &ControlPlane, object: &str, field: &str, count: usize) {
    let path = format!("jsonpath={{{field}}}");
    support::eventually(LIMIT, || async {
        let bundle = cluster.kubectl(&["get", object, "-o", &path]);
        let bundle = String::from_utf8(decode(&bundle)).unwrap();
        match bundle.matches("BEGIN CERTIFICATE").count() {
            number if number == count => Ok(()),
            other => Err(format!("{other} CAs in {object}")),
        }
    })
    .await;
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
    async fn new(cluster: &'a ControlPlane) -> Self {
        cluster.apply(CLIENT);
        let mut pods = pod::of_deployment(cluster, "shop", "hook", 1).await;
        let pod = pods.remove(0);
        Self { cluster, pod }
    }

    /// A Service of this name that selects the pod.
    fn service(&self, name: &str) {
        let service = json!({
            "apiVersion": "v1", "kind": "Service", "metadata": { "name": name, "namespace": "shop" },
            "spec": { "ports": [{ "port": 443 }], "selector": { "app": "hook" } },
        });
        self.cluster.apply(&service.to_string());
    }

    /// Asks the shipped signer for a certificate of a Service.
    fn asks(&self, request: &str, service: &str) {
        let names = format!("--service {service}");
        self.asks_signer(request, &names, "example.com/serving");
    }

    fn asks_signer(&self, request: &str, names: &str, signer: &str) {
        let dir = self.pod.kubeconfig();
        let dir = dir.parent().unwrap();
        for words in [
            format!("genkey {names} --out-dir {request}"),
            format!("submit {request}/server.csr --name {request} --signer {signer}"),
        ] {
            let mut command = support::certtool(dir);
            command
                .env("KUBECONFIG", self.pod.kubeconfig())
                .args(words.split_whitespace());
            let output = support::output(command, LIMIT);
            let stderr = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{words}: {stderr}");
        }
    }

    fn request(&self, name: &str) -> Value {
        let json = self.cluster.kubectl(&["get", "csr", name, "-o", "json"]);
        serde_json::from_str(&json).unwrap()
    }

    async fn gets(&self, request: &str) {
        support::eventually(LIMIT, || async {
            let status = self.request(request)["status"].clone();
            match status["certificate"].is_string() {
                true => Ok(()),
                false => Err(format!("{request}: {status}")),
            }
        })
        .await;
    }

    async fn is_denied(&self, request: &str) -> String {
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

/// An Event with this reason about this object.
async fn event(cluster: &ControlPlane, namespace: &str, reason: &str, object: &str) {
    support::eventually(LIMIT, || async {
        let words = ["get", "events", "-n", namespace, "-o", "json"];
        let list: Value = serde_json::from_str(&cluster.kubectl(&words)).unwrap();
        let mut events = list["items"].as_array().unwrap().iter();
        let found = events
            .any(|event| event["reason"] == reason && event["involvedObject"]["name"] == object);
        found
            .then_some(())
            .ok_or_else(|| format!("no {reason} of {object}"))
    })
    .await;
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

        cluster.apply(INJECTABLE);
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
        let mut rotate = support::certtool(pods[first].kubeconfig().parent().unwrap());
        rotate.env("KUBECONFIG", cluster.kubeconfig()).args([
            "ca",
            "rotate",
            "--secret",
            "certtool-system/serving-ca",
        ]);
        let rotated = support::output(rotate, LIMIT);
        assert!(rotated.status.success(), "{rotated:?}");
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

pub fn decode(base64: &str) -> Vec<u8> {
    use base64::{Engine, engine::general_purpose::STANDARD};
    STANDARD.decode(base64).unwrap()
}

/// The check itself can fail.
fn each_way_to_be_wrong_is_noticed(account: &Account<'_>) {
    // A verb too many.
    let patch = r#"[{"op": "add", "path": "/rules/0/verbs/-", "value": "delete"}]"#;
    let patch = [
        "patch",
        "role",
        "certtool-controller",
        "--type=json",
        "-p",
        patch,
    ];
    let patch = [patch.as_slice(), &["-n", NAMESPACE]].concat();
    account.cluster.kubectl(&patch);
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
        .filter(crate::rights::Right::is_beside)
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
        let patch = [
            "patch",
            "role",
            "certtool-controller",
            "--type=json",
            "-p",
            patch,
        ];
        cluster.kubectl(&[patch.as_slice(), &["-n", NAMESPACE]].concat());
        tokio::time::sleep(Duration::from_secs(1)).await;
        let mut process = pods[0].start("controller");
        process.wait_for("verbs: [\\\"get\\\"]", LIMIT);
        let denied = account(cluster).denied();
        let denied: Vec<_> = denied.iter().map(ToString::to_string).collect();
        assert_eq!(denied, ["get secrets./serving-ca in certtool-system"]);
    });
}

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

#[test]
fn the_roles_are_those_that_the_configuration_needs() {
    let dir = repository().join("manifests/controller");
    let config = fs::read_to_string(dir.join("controller.yaml")).unwrap();
    let (_, objects) = build(&dir);
    assert_eq!(roles(&objects, "certtool"), roles(&printed(&config), ""));
}

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
        let admin = |words: &str| {
            let mut command = support::certtool(home.path());
            command
                .env("KUBECONFIG", cluster.kubeconfig())
                .args(words.split_whitespace());
            let output = support::output(command, LIMIT);
            assert!(output.status.success(), "{words}: {output:?}");
        };
        admin("ca init --secret certtool-system/company-ca");
        admin("ca init --secret shop/vendor-ca");
        cluster.apply(VENDORS);
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

/// What the file names as an object to inject into.
const VENDORS: &str = "
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {name: vendor}
webhooks:
- name: vendor.example.com
  clientConfig: {service: {name: vendor, namespace: shop}}
  admissionReviewVersions: [v1]
  sideEffects: None
  rules: [{apiGroups: [example.com], apiVersions: [v1], resources: [hooks], operations: [CREATE]}]
";

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
