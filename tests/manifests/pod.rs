//! What a kubelet does with a pod, for the processes of its containers on this machine: arguments
//! and environment as the Pod object has them, volumes as directories, ports as free ones, the
//! ServiceAccount's token bound to the pod. Only paths, ports and the API server's address are
//! others.

use std::{
    collections::BTreeMap,
    fs,
    net::{Ipv4Addr, SocketAddr},
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{self, ControlPlane, Process};

pub struct Pod {
    pub object: Value,
    dir: TempDir,
    /// For each port of a container, where it is on this machine.
    ports: BTreeMap<u64, SocketAddr>,
}

/// The pods that the controller manager makes of a Deployment, once there are so many.
pub async fn of_deployment(
    cluster: &ControlPlane,
    namespace: &str,
    name: &str,
    count: usize,
) -> Vec<Pod> {
    let get = |what: &str| -> Value {
        let words = ["get", what, "-n", namespace, "-o", "json"];
        serde_json::from_str(&cluster.kubectl(&words)).unwrap()
    };
    let starts = format!("{name}-");
    let pods = support::eventually(Duration::from_secs(60), || async {
        let list = get("pods");
        let pods = list["items"].as_array().unwrap().clone();
        let own = |pod: &Value| {
            let name = pod["metadata"]["name"].as_str().unwrap();
            name.starts_with(&starts)
        };
        let pods: Vec<Value> = pods.into_iter().filter(own).collect();
        match pods.len() == count {
            true => Ok(pods),
            // Why a pod was not admitted stands in the ReplicaSet.
            false => Err(format!(
                "{} pods; {}",
                pods.len(),
                get("replicasets")["items"][0]["status"]
            )),
        }
    })
    .await;
    pods.into_iter().map(|pod| Pod::new(cluster, pod)).collect()
}

impl Pod {
    pub fn new(cluster: &ControlPlane, object: Value) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let containers = ["containers", "initContainers"].map(|field| &object["spec"][field]);
        let containers = containers.into_iter().filter_map(Value::as_array).flatten();
        let ports = containers.filter_map(|container| container["ports"].as_array());
        let ports = ports.flatten().map(|port| {
            let here = SocketAddr::from((Ipv4Addr::LOCALHOST, support::free_port()));
            (port["containerPort"].as_u64().unwrap(), here)
        });
        let ports = ports.collect();
        let pod = Self { object, dir, ports };
        pod.mount(cluster);
        fs::write(pod.kubeconfig(), pod.credentials(cluster)).unwrap();
        pod
    }

    pub fn name(&self) -> &str {
        self.object["metadata"]["name"].as_str().unwrap()
    }

    pub fn namespace(&self) -> &str {
        self.object["metadata"]["namespace"].as_str().unwrap()
    }

    pub fn account(&self) -> &str {
        self.object["spec"]["serviceAccountName"].as_str().unwrap()
    }

    /// With a token of the pod's ServiceAccount that is bound to the pod.
    pub fn kubeconfig(&self) -> PathBuf {
        self.dir.path().join("kubeconfig")
    }

    fn credentials(&self, cluster: &ControlPlane) -> String {
        let uid = self.object["metadata"]["uid"].as_str().unwrap();
        let token = cluster.kubectl(&[
            "create",
            "token",
            self.account(),
            "-n",
            self.namespace(),
            "--bound-object-kind=Pod",
            &format!("--bound-object-name={}", self.name()),
            &format!("--bound-object-uid={uid}"),
            "--duration=2h",
        ]);
        let admin = fs::read_to_string(cluster.kubeconfig()).unwrap();
        let mut kubeconfig: Value = serde_yaml::from_str(&admin).unwrap();
        kubeconfig["users"][0]["user"] = json!({ "token": token.trim() });
        kubeconfig["contexts"][0]["context"]["namespace"] = json!(self.namespace());
        kubeconfig.to_string()
    }

    /// Where a volume is on this machine.
    pub fn volume(&self, name: &str) -> PathBuf {
        self.dir.path().join("volumes").join(name)
    }

    /// Makes the volumes, and swaps in what their ConfigMaps hold now, as the kubelet does.
    pub fn mount(&self, cluster: &ControlPlane) {
        for volume in self.object["spec"]["volumes"].as_array().unwrap() {
            let dir = self.volume(volume["name"].as_str().unwrap());
            fs::create_dir_all(&dir).unwrap();
            let Some(config_map) = volume["configMap"]["name"].as_str() else {
                continue;
            };
            let words = ["get", "configmap", config_map, "-n", self.namespace()];
            let json = cluster.kubectl(&[words.as_slice(), &["-o", "json"]].concat());
            let object: Value = serde_json::from_str(&json).unwrap();
            swap_in(&dir, object["data"].as_object().unwrap());
        }
    }

    /// Swaps another file into a volume of a ConfigMap.
    pub fn write(&self, volume: &str, file: &str, text: &str) {
        let files = serde_json::Map::from_iter([(file.to_owned(), json!(text))]);
        swap_in(&self.volume(volume), &files);
    }

    /// The certificate that the operator is to serve.
    pub fn certificate(&self) -> String {
        fs::read_to_string(self.volume("webhook-certs").join("tls.crt")).unwrap()
    }

    /// A container, or one that runs beside it.
    pub fn container(&self, name: &str) -> &Value {
        let spec = &self.object["spec"];
        let all = ["containers", "initContainers"].map(|field| &spec[field]);
        let all = all.into_iter().filter_map(Value::as_array).flatten();
        let mut found = all.filter(|container| container["name"] == name);
        found
            .next()
            .unwrap_or_else(|| panic!("no {name} in {spec}"))
    }

    /// Says where a port is, if that is not just any.
    pub fn listens_at(&mut self, port: u64, address: SocketAddr) {
        self.ports.insert(port, address);
    }

    /// Gives the pod an address of its own, where its ports are what they are in a cluster.
    pub fn is_at(&mut self, address: Ipv4Addr) {
        for (port, here) in &mut self.ports {
            *here = (address, u16::try_from(*port).unwrap()).into();
        }
    }

    /// Where a port is.
    pub fn address(&self, port: u64) -> SocketAddr {
        self.ports[&port]
    }

    /// `certtool` as this container, with what `more` adds to its arguments.
    pub fn command(&self, container: &str, more: &[&str]) -> Command {
        let container = self.container(container);
        let environment = self.environment(container);
        let mut command = support::certtool(self.dir.path());
        command
            .env("KUBECONFIG", self.kubeconfig())
            .args(self.args(container, &environment))
            .args(more)
            .envs(environment);
        command
    }

    pub fn start(&self, container: &str) -> Process {
        Process::spawn(self.command(container, &[]))
    }

    fn environment(&self, container: &Value) -> BTreeMap<String, String> {
        let variables = container["env"].as_array().into_iter().flatten();
        let variables = variables.map(|variable| {
            let name = variable["name"].as_str().unwrap().to_owned();
            let field = variable["valueFrom"]["fieldRef"]["fieldPath"].as_str();
            let value = field.map_or_else(
                || variable["value"].as_str().unwrap().to_owned(),
                |field| self.field(field),
            );
            (name, value)
        });
        variables.collect()
    }

    fn field(&self, path: &str) -> String {
        let metadata = &self.object["metadata"];
        let path = path.strip_prefix("metadata.").unwrap();
        let annotation = path.strip_prefix("annotations['");
        let annotation = annotation.and_then(|rest| rest.strip_suffix("']"));
        let value = annotation.map_or_else(|| &metadata[path], |key| &metadata["annotations"][key]);
        value
            .as_str()
            .unwrap_or_else(|| panic!("no {path} in {metadata}"))
            .to_owned()
    }

    /// The container's own arguments as they are in the pod.
    pub fn plain_args(&self, container: &str) -> Vec<String> {
        let container = self.container(container);
        expanded(container, &self.environment(container))
    }

    fn args(&self, container: &Value, environment: &BTreeMap<String, String>) -> Vec<String> {
        let mounts = container["volumeMounts"].as_array().into_iter().flatten();
        let mounts: Vec<(String, String)> = mounts
            .map(|mount| {
                let volume = self.volume(mount["name"].as_str().unwrap());
                let path = mount["mountPath"].as_str().unwrap().to_owned();
                (path, volume.to_str().unwrap().to_owned())
            })
            .collect();
        let args = expanded(container, environment).into_iter();
        args.map(|arg| {
            let arg = mounts
                .iter()
                .fold(arg, |arg, (path, dir)| arg.replace(path, dir));
            self.with_ports(&arg)
        })
        .collect()
    }

    fn with_ports(&self, arg: &str) -> String {
        for (port, here) in &self.ports {
            let Some(before) = arg.strip_suffix(&format!(":{port}")) else {
                continue;
            };
            let before = before.strip_suffix("127.0.0.1").unwrap_or(before);
            return format!("{before}{here}");
        }
        arg.to_owned()
    }

    /// Where a probe asks, and for what.
    pub fn probe(&self, container: &str, probe: &str) -> (SocketAddr, String) {
        let container = self.container(container);
        let get = &container[probe]["httpGet"];
        let port = match get["port"].as_u64() {
            Some(port) => port,
            None => {
                let ports = container["ports"].as_array().unwrap().iter();
                let mut named = ports.filter(|port| port["name"] == get["port"]);
                let port = named.next().unwrap_or_else(|| panic!("{probe}: no port"));
                port["containerPort"].as_u64().unwrap()
            }
        };
        (self.address(port), get["path"].as_str().unwrap().to_owned())
    }

    /// Waits until a probe succeeds.
    pub async fn passes(&self, container: &str, probe: &str) {
        let (address, path) = self.probe(container, probe);
        support::eventually(Duration::from_secs(60), || async {
            match get(address, &path) {
                Some((200, _)) => Ok(()),
                other => Err(format!("{probe} of {}: {other:?}", self.name())),
            }
        })
        .await;
    }
}

/// `args`, with `$(VARIABLE)` replaced.
fn expanded(container: &Value, environment: &BTreeMap<String, String>) -> Vec<String> {
    let args = container["args"].as_array().unwrap().iter();
    args.map(|arg| {
        let arg = environment
            .iter()
            .fold(arg.as_str().unwrap().to_owned(), |arg, (name, value)| {
                arg.replace(&format!("$({name})"), value)
            });
        assert!(!arg.contains("$("), "{arg} is left");
        arg
    })
    .collect()
}

/// Files in a new directory, `..data` pointing to it by one rename, and a link for each.
fn swap_in(dir: &Path, files: &serde_json::Map<String, Value>) {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let generation = format!("..{}", NUMBER.fetch_add(1, Ordering::Relaxed));
    fs::create_dir(dir.join(&generation)).unwrap();
    for (name, text) in files {
        let text = text.as_str().unwrap();
        fs::write(dir.join(&generation).join(name), text).unwrap();
    }
    symlink(&generation, dir.join("..data_tmp")).unwrap();
    fs::rename(dir.join("..data_tmp"), dir.join("..data")).unwrap();
    for name in files.keys() {
        if !dir.join(name).exists() {
            symlink(format!("..data/{name}"), dir.join(name)).unwrap();
        }
    }
}

/// A GET over plain HTTP: status and body.
pub fn get(address: SocketAddr, path: &str) -> Option<(u16, String)> {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(address).ok()?;
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .ok()?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
    )
    .ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let status = answer.get(9..12)?.parse().ok()?;
    let (_, body) = answer.split_once("\r\n\r\n")?;
    Some((status, body.to_owned()))
}
