//! `manifests/sidecar` in a kubebuilder project, as the README and `docs/sidecar.md` add it.

use std::{collections::BTreeSet, fs, process::Command, time::Duration};

use serde_json::{Value, json};

use crate::{
    Account, LIMIT,
    built::{block, build, documents, roles},
    cluster, controller,
    operator::{self, Operator},
    pod::{self, Pod},
    project::{Project, copy, repository},
    security::assert_confined,
    support::{self, ControlPlane, Process},
    waiting::{certificates_in, until_bundle, until_event},
};

const MANAGER: &str = "operator-controller-manager";
const MOUNTED: &str = "/tmp/k8s-webhook-server/serving-certs";

/// The project with an overlay `config/certtool`, in which `..` has certtool's sources beside it.
pub fn project(overlay: &str) -> Project {
    project_in(cluster(), overlay)
}

/// The same in another cluster.
pub fn project_in(cluster: ControlPlane, overlay: &str) -> Project {
    let project = Project::over("../certtool", cluster);
    let sources = project.path().join("certtool/manifests");
    copy(&repository().join("manifests"), &sources);
    let dir = project.path().join("config/certtool");
    fs::create_dir(&dir).unwrap();
    let overlay = overlay.replace("path/to/certtool", "../../certtool");
    fs::write(dir.join("kustomization.yaml"), overlay).unwrap();
    project
}

/// A patch that adds options to the sidecar's.
pub fn adding<'a>(options: impl IntoIterator<Item = &'a str>) -> String {
    let add = |option| {
        let path = "/spec/template/spec/initContainers/0/args/-";
        format!("    - {{op: add, path: {path}, value: {option}}}\n")
    };
    let adds: String = options.into_iter().map(add).collect();
    format!("- target: {{kind: Deployment}}\n  patch: |-\n{adds}")
}

/// The manager's pod, with the sidecar in it, not started yet, at the Service's address.
pub async fn deploy(project: &Project) -> Pod {
    let mut pod = pods(project, 1).await.remove(0);
    pod.listens_at(9443, project.address());
    pod
}

/// As many pods, not started yet.
pub async fn pods(project: &Project, count: usize) -> Vec<Pod> {
    let cluster = project.cluster();
    let (manifests, objects) = build(&project.path().join("config/test"));
    let namespace = json!({
        "apiVersion": "v1", "kind": "Namespace",
        "metadata": {
            "name": operator::NAMESPACE,
            "labels": { "pod-security.kubernetes.io/enforce": "restricted" },
        },
    });
    cluster.try_kubectl(&["create", "-f", "-"], &namespace.to_string());
    let words = ["apply", "--validate=strict", "-f", "-"];
    let applied = cluster.try_kubectl(&words, &manifests);
    let stderr = String::from_utf8_lossy(&applied.stderr);
    assert!(applied.status.success(), "{stderr}");
    let pods = pod::of_deployment(cluster, operator::NAMESPACE, MANAGER, count).await;
    for pod in &pods {
        is_as_documented(pod);
    }
    roles_are_what_the_options_need(&pods[0], &objects);
    pods
}

fn is_as_documented(pod: &Pod) {
    let spec = &pod.object["spec"];
    let sidecar = pod.container("certtool");
    assert_eq!(spec["initContainers"][0], *sidecar);
    assert_eq!(sidecar["restartPolicy"], "Always");
    assert_confined(spec, sidecar);
    let volumes = spec["volumes"].as_array().unwrap();
    let volumes: Vec<_> = volumes
        .iter()
        .filter(|volume| volume["name"] == "webhook-certs")
        .collect();
    assert_eq!(
        volumes,
        [
            &json!({ "name": "webhook-certs", "emptyDir": { "medium": "Memory", "sizeLimit": "1Mi" } })
        ]
    );
    let mounts = |name: &str| {
        let mounts = pod.container(name)["volumeMounts"].as_array().unwrap();
        let mut at = mounts.iter().filter(|mount| mount["mountPath"] == MOUNTED);
        at.next().unwrap().clone()
    };
    assert_eq!(mounts("certtool")["readOnly"], Value::Null);
    assert_eq!(mounts("manager")["readOnly"], true);
    assert_eq!(mounts("manager")["name"], "webhook-certs");
}

/// `--rbac-for` with the container's own options prints the roles of the components.
fn roles_are_what_the_options_need(pod: &Pod, objects: &[Value]) {
    let account = format!("{}/{}", pod.namespace(), pod.account());
    let mut command = support::certtool(pod.kubeconfig().parent().unwrap());
    command.args(pod.plain_args("certtool"));
    command.args(["--rbac-for", &account]);
    let output = support::output(command, LIMIT);
    assert!(output.status.success(), "{output:?}");
    let printed = documents(std::str::from_utf8(&output.stdout).unwrap());
    assert_eq!(roles(objects, "certtool-sidecar-"), roles(&printed, ""));
}

fn start_manager(pod: &Pod, args: &[&str]) -> Operator {
    let address = pod.address(9443);
    Operator::start(&operator::Options {
        kubeconfig: Some(pod.kubeconfig()),
        cert_dir: Some(pod.volume("webhook-certs")),
        host: address.ip(),
        port: address.port(),
        args: args.iter().map(ToString::to_string).collect(),
        ..operator::Options::default()
    })
}

/// Starts the containers in the kubelet's order: the manager once the sidecar has started.
pub async fn start(pod: &Pod, args: &[&str]) -> (Process, Operator) {
    let mut sidecar = pod.start("certtool");
    let manager = start_beside(pod, &mut sidecar, args).await;
    (sidecar, manager)
}

/// The manager, once the sidecar that was started has got a pair for it.
pub async fn start_beside(pod: &Pod, sidecar: &mut Process, args: &[&str]) -> Operator {
    sidecar.wait_for("health and metrics", LIMIT);
    pod.passes("certtool", "startupProbe").await;
    let manager = start_manager(pod, args);
    pod.passes("certtool", "livenessProbe").await;
    pod.passes("certtool", "readinessProbe").await;
    manager
}

fn serial(pod: &Pod) -> String {
    let mut command = Command::new("openssl");
    let file = pod.volume("webhook-certs").join("tls.crt");
    command.args(["x509", "-noout", "-serial", "-in"]).arg(file);
    String::from_utf8(support::output(command, LIMIT).stdout).unwrap()
}

/// It renews when it is asked to, and keeps its pair when it is started again.
async fn renews_and_restarts(pod: &Pod, mut sidecar: Process) -> Process {
    let first = serial(pod);
    sidecar.signal("USR1");
    support::eventually(LIMIT, || async {
        match serial(pod) == first {
            true => Err("the first certificate".to_owned()),
            false => Ok(()),
        }
    })
    .await;
    let second = serial(pod);
    sidecar.terminate(LIMIT);
    let sidecar = pod.start("certtool");
    pod.passes("certtool", "readinessProbe").await;
    assert_eq!(serial(pod), second);
    sidecar
}

async fn event(project: &Project, pod: &Pod, reason: &str) {
    let uid = pod.object["metadata"]["uid"].as_str().unwrap();
    let (cluster, namespace) = (project.cluster(), operator::NAMESPACE);
    until_event(cluster, namespace, reason, ("uid", uid)).await;
}

fn validating_object() -> String {
    format!("validatingwebhookconfiguration/{}", operator::VALIDATING)
}

fn account<'a>(project: &'a Project, pod: &Pod) -> Account<'a> {
    Account {
        cluster: project.cluster(),
        namespace: operator::NAMESPACE.to_owned(),
        name: pod.account().to_owned(),
        roles: "certtool-sidecar-",
    }
}

#[test]
fn with_a_ca_of_its_own_the_project_works_with_the_rights_it_needs_and_no_more() {
    support::run_within(Duration::from_secs(240), async {
        let overlay = block("docs/sidecar.md", "config/certtool/kustomization.yaml");
        let project = project(&(overlay + &adding(SHORTER_LIFE)));
        let pod = deploy(&project).await;
        let (sidecar, manager) = start(&pod, &[]).await;
        project.works().await;
        let sidecar = renews_and_restarts(&pod, sidecar).await;
        event(&project, &pod, "CertificateIssued").await;
        project.works().await;

        // The next CA is in every bundle before it signs.
        project.shell("certtool ca rotate --secret operator-system/webhook-ca");
        let client = ".webhooks[0].clientConfig.caBundle";
        for (kind, name, path) in [
            ("mutatingwebhookconfiguration", operator::MUTATING, client),
            (
                "validatingwebhookconfiguration",
                operator::VALIDATING,
                client,
            ),
            (
                "crd",
                operator::CRD,
                ".spec.conversion.webhook.clientConfig.caBundle",
            ),
        ] {
            let object = format!("{kind}/{name}");
            until_bundle(project.cluster(), &object, path, 2).await;
        }
        project.works().await;
        account(&project, &pod).has_what_it_needs_and_no_more();
        drop((sidecar, manager));
    });
}

#[test]
fn the_readme_adds_it_in_ten_lines() {
    let overlay = block("README.md", "config/certtool/kustomization.yaml");
    assert!(overlay.lines().count() <= 10, "{overlay}");
    support::run(async {
        let project = project(&overlay);
        // The operator of the tests converts, too, which the README's is silent about.
        let pod = deploy(&project).await;
        let (_sidecar, _manager) = start(&pod, &[]).await;
        let client = ".webhooks[0].clientConfig.caBundle";
        until_bundle(project.cluster(), &validating_object(), client, 1).await;
        assert_eq!(account(&project, &pod).denied(), BTreeSet::new());
    });
}

#[test]
fn with_the_controllers_signer_the_project_works_with_the_rights_it_needs_and_no_more() {
    support::run_within(Duration::from_secs(240), async {
        let overlay = block(
            "docs/sidecar.md",
            "config/certtool/kustomization.yaml: a signer",
        );
        let project = project(&overlay);
        let replicas = controller::replicas(project.cluster()).await;
        let signing = replicas[0].start("controller");
        let pod = deploy(&project).await;
        let (sidecar, manager) = start(&pod, &[]).await;
        let annotation = "certtool.dev/inject-ca-from-signer";
        for (kind, name) in [
            ("mutatingwebhookconfiguration", operator::MUTATING),
            ("validatingwebhookconfiguration", operator::VALIDATING),
            ("crd", operator::CRD),
        ] {
            let words = ["get", kind, name, "-o", "json"];
            let object: Value = serde_json::from_str(&project.cluster().kubectl(&words)).unwrap();
            assert_eq!(
                object["metadata"]["annotations"][annotation],
                "example.com/serving"
            );
        }
        // The controller puts its CA into them by itself.
        project.works().await;
        let sidecar = renews_and_restarts(&pod, sidecar).await;
        event(&project, &pod, "CertificateIssued").await;
        project.works().await;
        account(&project, &pod).has_what_it_needs_and_no_more();
        drop((sidecar, manager, signing));
    });
}

/// As kubebuilder's older scaffolds have it, with an init container of the project's own.
const OLDER_WEBHOOK_PATCH: &str = "
apiVersion: apps/v1
kind: Deployment
metadata: {name: controller-manager, namespace: system}
spec:
  template:
    spec:
      initContainers:
      - name: migrate
        image: migrate
        securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
      containers:
      - name: manager
        ports: [{containerPort: 9443, name: webhook-server, protocol: TCP}]
        volumeMounts:
        - {mountPath: /tmp/k8s-webhook-server/serving-certs, name: cert, readOnly: true}
      volumes:
      - name: cert
        secret: {defaultMode: 420, secretName: webhook-server-cert}
";

/// For a certificate that works, nobody hurries while a new CA settles: a tenth of this.
const SHORTER_LIFE: [&str; 1] = ["--validity=100s"];

/// So that a CA is replaced within the test.
const SHORT_LIVES: [&str; 2] = ["--validity=6s", "--ca-validity=18s"];

#[test]
fn in_an_older_project_without_defaulting_the_ca_rotates_all_the_same() {
    let overlay = block("README.md", "config/certtool/kustomization.yaml");
    let overlay = format!("{overlay}patches:\n{}", adding(SHORT_LIVES));
    support::run(async {
        let project = project(&overlay);
        let config = project.path().join("config");
        fs::write(
            config.join("default/manager_webhook_patch.yaml"),
            OLDER_WEBHOOK_PATCH,
        )
        .unwrap();
        let webhooks = config.join("webhook/manifests.yaml");
        let text = fs::read_to_string(&webhooks).unwrap();
        let (_, validating) = text.rsplit_once("---\n").unwrap();
        fs::write(&webhooks, validating).unwrap();

        let pod = deploy(&project).await;
        let names: Vec<_> = pod.object["spec"]["volumes"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|volume| volume["name"].as_str())
            .filter(|name| !name.starts_with("kube-api-access"))
            .collect();
        assert_eq!(names, ["webhook-certs"]);
        let mut sidecar = pod.start("certtool");
        pod.passes("certtool", "startupProbe").await;
        sidecar.wait_for("waiting for webhooks that do not exist yet", LIMIT);
        sidecar.wait_for("the next CA signs from now on", LIMIT);
        let client = ".webhooks[0].clientConfig.caBundle";
        assert!(certificates_in(project.cluster(), &validating_object(), client) >= 2);
        assert_eq!(account(&project, &pod).denied(), BTreeSet::new());
    });
}

/// Another signer's name: one line.
#[test]
fn one_annotation_chooses_the_signer() {
    let overlay = block(
        "docs/sidecar.md",
        "config/certtool/kustomization.yaml: a signer",
    );
    let other = overlay.replace("example.com/serving", "other.example.org/hooks");
    assert_ne!(overlay, other);
    let project = project_without_cluster(&other);
    let (text, objects) = build(&project.path().join("config/certtool"));
    assert!(!text.contains("example.com/serving"), "{text}");
    let kinds: Vec<_> = objects
        .iter()
        .filter(|object| {
            let annotations = &object["metadata"]["annotations"];
            annotations["certtool.dev/inject-ca-from-signer"] == "other.example.org/hooks"
        })
        .map(|object| object["kind"].as_str().unwrap())
        .collect();
    for kind in [
        "CustomResourceDefinition",
        "MutatingWebhookConfiguration",
        "ValidatingWebhookConfiguration",
    ] {
        assert!(kinds.contains(&kind), "{kinds:?}");
    }
}

fn project_without_cluster(overlay: &str) -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    copy(
        &repository().join("tests/operator/config"),
        &home.path().join("config"),
    );
    copy(
        &repository().join("manifests"),
        &home.path().join("certtool/manifests"),
    );
    let dir = home.path().join("config/certtool");
    fs::create_dir(&dir).unwrap();
    let overlay = overlay.replace("path/to/certtool", "../../certtool");
    fs::write(dir.join("kustomization.yaml"), overlay).unwrap();
    home
}
