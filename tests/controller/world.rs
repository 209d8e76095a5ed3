//! A controller with a signer of this test's own, and pods that ask it.

use std::{
    io::{Read, Write},
    net::TcpStream,
    path::PathBuf,
    process::Command,
    time::{Duration, Instant},
};

use k8s_openapi::api::rbac::v1::PolicyRule;
use serde_json::{Value, json};

use crate::{
    support::{self, ControlPlane, Process, rule},
    user::{self, World},
};

pub const GROUP: &[&str] = &["certificates.k8s.io"];

/// How long anything may take that is not about speed.
pub const SOON: Duration = Duration::from_secs(30);

/// A test's world with a CA in the Secret `ca` and a service account `controller`.
pub struct Site<'a> {
    pub world: World<'a>,
    pub kubeconfig: PathBuf,
}

impl<'a> std::ops::Deref for Site<'a> {
    type Target = World<'a>;

    fn deref(&self) -> &World<'a> {
        &self.world
    }
}

/// What the controller needs in the cluster, and nothing more.
pub fn rights(signer: &str) -> Vec<PolicyRule> {
    let mut signers = rule(GROUP, &["signers"], &["approve", "sign"]);
    signers.resource_names = Some(vec![signer.to_owned()]);
    vec![
        rule(
            GROUP,
            &["certificatesigningrequests"],
            &["get", "list", "watch"],
        ),
        rule(
            GROUP,
            &[
                "certificatesigningrequests/approval",
                "certificatesigningrequests/status",
            ],
            &["update"],
        ),
        signers,
        rule(&[""], &["services", "pods"], &["get"]),
        rule(&["events.k8s.io"], &["events"], &["create"]),
    ]
}

/// What it needs in its own namespace.
pub fn own_rights() -> Vec<PolicyRule> {
    let named = |mut rule: PolicyRule, name: &str| {
        rule.resource_names = Some(vec![name.to_owned()]);
        rule
    };
    let leases = &["coordination.k8s.io"];
    vec![
        named(rule(&[""], &["secrets"], &["get"]), "ca"),
        rule(leases, &["leases"], &["create"]),
        named(
            rule(leases, &["leases"], &["get", "patch"]),
            "certtool-controller",
        ),
    ]
}

impl Site<'static> {
    pub async fn new(name: &str) -> Self {
        Site::on(support::control_plane(), name).await
    }
}

impl<'a> Site<'a> {
    pub async fn on(cluster: &'a ControlPlane, name: &str) -> Self {
        let world = World::on(cluster, name).await;
        world.run("ca init --secret %N/ca --validity 1y").done();
        let ca = world
            .api(
                "GET",
                &format!("/api/v1/namespaces/{}/secrets/ca", world.namespace),
                &Value::Null,
            )
            .await
            .unwrap();
        world.write("ca.crt", user::decode(&ca["data"]["tls.crt"]));
        let kubeconfig = cluster
            .service_account(
                &world.namespace,
                "controller",
                &own_rights(),
                &rights(&world.signer()),
            )
            .await;
        let site = Self { world, kubeconfig };
        site.config("");
        site
    }

    /// The configuration: one signer, with these further fields (indented by four).
    pub fn config(&self, fields: &str) {
        let text = format!(
            "apiVersion: certtool.dev/v1alpha1\nkind: ControllerConfig\nsigners:\n  \
             - name: {}\n    authority: {{secret: {}/ca}}\n{fields}",
            self.signer(),
            self.namespace
        );
        self.write("config/controller.yaml", text);
    }

    /// The same with a CA that certtool makes: `managed` are fields of that, `fields` further ones
    /// of the signer. Returns an account that may keep that CA and has more rights, in the CA's
    /// namespace and in the cluster.
    pub async fn manage(
        &self,
        managed: &str,
        fields: &str,
        (in_namespace, in_cluster): (&[PolicyRule], &[PolicyRule]),
    ) -> PathBuf {
        let secret = format!("/api/v1/namespaces/{}/secrets/ca", self.namespace);
        self.api("DELETE", &secret, &Value::Null).await.unwrap();
        self.config(fields);
        let config = self.read("config/controller.yaml");
        let secret = format!("secret: {}/ca", self.namespace);
        let config = config.replace(
            &format!("authority: {{{secret}}}"),
            &format!("authority: {{managed: {{{secret}, {managed}}}}}"),
        );
        self.write("config/controller.yaml", config);
        let mut own = own_rights();
        own.push(rule(&[""], &["secrets"], &["create"]));
        let mut change = rule(&[""], &["secrets"], &["patch"]);
        change.resource_names = Some(vec!["ca".to_owned()]);
        own.push(change);
        own.extend_from_slice(in_namespace);
        let cluster = [rights(&self.signer()).as_slice(), in_cluster].concat();
        self.cluster
            .service_account(&self.namespace, "keeper", &own, &cluster)
            .await
    }

    /// The CA's Secret.
    pub async fn secret(&self) -> Value {
        let path = format!("/api/v1/namespaces/{}/secrets/ca", self.namespace);
        self.api("GET", &path, &Value::Null).await.unwrap()
    }

    pub fn start(&self) -> Controller {
        self.start_with(&self.kubeconfig, "--leader-elect=false")
    }

    pub fn start_with(&self, kubeconfig: &std::path::Path, more: &str) -> Controller {
        self.start_changed(kubeconfig, more, |_| {})
    }

    /// The same with another environment.
    pub fn start_changed(
        &self,
        kubeconfig: &std::path::Path,
        more: &str,
        change: impl FnOnce(&mut Command),
    ) -> Controller {
        let port = support::free_port();
        let words = format!(
            "controller --config config/controller.yaml --listen 127.0.0.1:{port} --log-format json {more}"
        );
        let mut command = self.command(&words);
        command.env("KUBECONFIG", kubeconfig);
        change(&mut command);
        let mut controller = Controller {
            process: Process::spawn(command),
            port,
        };
        controller.process.wait_for("\"started\"", SOON);
        controller
    }

    /// A pod that is selected by a Service, both of this name; certtool as that pod.
    pub async fn pod(&self, name: &str) -> World<'a> {
        self.service(name).await;
        self.pod_without_service(name).await
    }

    pub async fn service(&self, name: &str) {
        let namespace = &self.namespace;
        let service = json!({
            "apiVersion": "v1", "kind": "Service", "metadata": { "name": name },
            "spec": { "ports": [{ "port": 443 }], "selector": { "app": name } },
        });
        let services = format!("/api/v1/namespaces/{namespace}/services");
        self.api("POST", &services, &service).await.unwrap();
    }

    pub async fn pod_without_service(&self, name: &str) -> World<'a> {
        let namespace = &self.namespace;
        let asks = rule(
            GROUP,
            &["certificatesigningrequests"],
            &["create", "get", "list", "watch"],
        );
        self.cluster
            .service_account(namespace, name, &[], &[asks])
            .await;
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": { "name": name, "labels": { "app": name } },
            "spec": { "serviceAccountName": name, "containers": [{ "name": "c", "image": "x" }] },
        });
        let pods = format!("/api/v1/namespaces/{namespace}/pods");
        let uid = self.api("POST", &pods, &pod).await.unwrap()["metadata"]["uid"].clone();
        let review = json!({ "spec": { "audiences": [], "boundObjectRef": {
            "apiVersion": "v1", "kind": "Pod", "name": name, "uid": uid,
        }}});
        let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token");
        let token = self.api("POST", &path, &review).await.unwrap();
        let admin = std::fs::read_to_string(self.cluster.kubeconfig()).unwrap();
        let mut kubeconfig: Value = serde_yaml::from_str(&admin).unwrap();
        kubeconfig["users"][0]["user"] = json!({ "token": token["status"]["token"] });
        let file = format!("{name}.kubeconfig");
        self.write(&file, kubeconfig.to_string());
        self.as_user(self.path(&file))
    }

    /// `SERVICE.NAMESPACE.svc`
    pub fn host(&self, service: &str) -> String {
        format!("{service}.{}.svc", self.namespace)
    }

    /// The pod asks for a certificate of its Service as `@REQUEST`.
    pub fn ask(&self, pod: &World<'_>, service: &str, request: &str) {
        pod.csr(request, &format!("DNS:{}", self.host(service)));
        pod.run(&format!(
            "submit {request}.csr --name @{request} --signer %S"
        ))
        .done();
    }

    /// The request once it satisfies.
    pub async fn until(&self, request: &str, what: &str, is: impl Fn(&Value) -> bool) -> Value {
        support::eventually(SOON, || async {
            let object = self.object(request).await;
            match is(&object) {
                true => Ok(object),
                false => Err(format!("{request} is not {what}: {}", object["status"])),
            }
        })
        .await
    }

    /// Its certificate in `NAME.crt`, judged by openssl against the CA.
    pub async fn certified(&self, request: &str, host: &str) -> Value {
        let object = self
            .until(request, "issued", |object| {
                user::certificate(object).is_some()
            })
            .await;
        self.write(
            &format!("{request}.crt"),
            user::certificate(&object).unwrap(),
        );
        assert!(
            self.verifies("ca.crt", &format!("{request}.crt"), host),
            "openssl does not verify {request} for {host}"
        );
        object
    }

    pub async fn denied(&self, request: &str) -> Value {
        let object = self
            .until(request, "denied", |object| {
                user::conditions(object) == ["Denied"]
            })
            .await;
        assert_eq!(user::certificate(&object), None);
        object["status"]["conditions"][0].clone()
    }
}

/// A running controller.
pub struct Controller {
    pub process: Process,
    pub port: u16,
}

impl Controller {
    /// Status code and body.
    pub fn get(&self, path: &str) -> (u16, String) {
        self.ask("GET", path)
    }

    pub fn ask(&self, verb: &str, path: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(10)))
            .unwrap();
        write!(
            stream,
            "{verb} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let code = head.split(' ').nth(1).unwrap().parse().unwrap();
        (code, body.to_owned())
    }

    /// The sum of the samples of a metric whose line contains `label`; `None` if there is none.
    pub fn metric(&self, name: &str, label: &str) -> Option<f64> {
        let text = self.get("/metrics").1;
        let samples: Vec<f64> = text
            .lines()
            .filter(|line| !line.starts_with('#'))
            .filter(|line| {
                let metric = line.split(['{', ' ']).next().unwrap();
                metric == format!("certtool_controller_{name}") && line.contains(label)
            })
            .map(|line| line.rsplit(' ').next().unwrap().parse().unwrap())
            .collect();
        (!samples.is_empty()).then(|| samples.iter().sum())
    }

    #[track_caller]
    pub fn until_metric(&self, name: &str, label: &str, limit: Duration, is: impl Fn(f64) -> bool) {
        let deadline = Instant::now() + limit;
        loop {
            let value = self.metric(name, label);
            if value.is_some_and(&is) {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "{name} {label} is {value:?} after {limit:?}\n{}",
                self.process.stderr()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    pub fn until_ready(&self) {
        let deadline = Instant::now() + SOON;
        while self.get("/readyz").0 != 200 {
            assert!(Instant::now() < deadline, "{}", self.process.stderr());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Resident memory, in KiB: now and at its peak.
    pub fn memory(&self) -> (u64, u64) {
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let field = |name: &str| {
            let line = status.lines().find(|line| line.starts_with(name)).unwrap();
            line.split_whitespace().nth(1).unwrap().parse().unwrap()
        };
        (field("VmRSS:"), field("VmHWM:"))
    }
}
