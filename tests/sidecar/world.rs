//! One test's pod: a service account, a certificate directory, and a signer of its own.

use std::{
    path::PathBuf,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{
    Files,
    files::{LIMIT, Said},
    support::{self, ControlPlane, Process},
};

pub const ACCOUNT: &str = "hook";

pub struct World<'a> {
    pub cluster: &'a ControlPlane,
    pub namespace: String,
    pub files: Files,
    pub kubeconfig: PathBuf,
}

impl std::ops::Deref for World<'_> {
    type Target = Files;

    fn deref(&self) -> &Files {
        &self.files
    }
}

impl World<'static> {
    /// A pod with the rights that `certtool sidecar --rbac-for` prints for these options.
    pub async fn new(name: &str, options: &str) -> Self {
        World::on(support::control_plane(), name, options).await
    }
}

impl<'a> World<'a> {
    pub async fn on(cluster: &'a ControlPlane, name: &str, options: &str) -> Self {
        let world = Self::without_rights(cluster, name).await;
        world.grant(options).await;
        world
    }

    pub async fn without_rights(cluster: &'a ControlPlane, name: &str) -> Self {
        let namespace = cluster.namespace(name).await;
        let kubeconfig = cluster.service_account(&namespace, ACCOUNT, &[], &[]).await;
        Self {
            cluster,
            namespace,
            files: Files::new(),
            kubeconfig,
        }
    }

    /// Applies what `--rbac-for` prints, and waits until the API server knows of it.
    pub async fn grant(&self, options: &str) {
        let said = self
            .run(&format!("{options} --rbac-for %N/{ACCOUNT}"))
            .done();
        self.grant_to(ACCOUNT, &said.stdout).await;
    }

    /// Applies roles of a service account, and waits until the API server knows of them.
    pub async fn grant_to(&self, account: &str, roles: &str) {
        self.cluster.apply(roles);
        for document in roles.split("---\n") {
            let object: Value = serde_yaml::from_str(document).unwrap();
            let within = object["metadata"]["namespace"].as_str();
            for rule in object["rules"].as_array().into_iter().flatten() {
                let rule = serde_json::from_value(rule.clone()).unwrap();
                self.cluster
                    .until_granted(&self.namespace, account, &rule, within)
                    .await;
            }
        }
    }

    pub fn signer(&self) -> String {
        format!("{}.example.com/serving", self.namespace)
    }

    fn words(&self, mut command: Command, words: &str) -> Command {
        for word in words.split_whitespace() {
            let word = word.replace("%S", &self.signer());
            command.arg(word.replace("%N", &self.namespace));
        }
        command
    }

    /// `certtool sidecar` as the pod, not started yet. `%S` is the test's signer, `%N` its
    /// namespace.
    pub fn command(&self, words: &str) -> Command {
        let mut command = support::certtool(self.home());
        command
            .env("KUBECONFIG", &self.kubeconfig)
            .env("POD_NAME", "hook-0")
            .env("POD_NAMESPACE", &self.namespace)
            .env("POD_UID", "00000000-0000-0000-0000-000000000001")
            .arg("sidecar");
        self.words(command, words)
    }

    #[track_caller]
    pub fn run(&self, words: &str) -> Said {
        Said::of(self.command(words))
    }

    pub fn start(&self, words: &str) -> Process {
        Process::spawn(self.command(words))
    }

    /// certtool as the administrator.
    #[track_caller]
    pub fn admin(&self, words: &str) -> Said {
        Said::of(self.admin_command(words))
    }

    pub fn admin_command(&self, words: &str) -> Command {
        let mut command = support::certtool(self.home());
        command.env("KUBECONFIG", self.cluster.kubeconfig());
        self.words(command, words)
    }

    /// Approves and signs every request of the test's signer, by certtool's own commands.
    pub fn signs(&self, terms: &str) -> SigningThread {
        if !self.exists("ca") {
            self.admin("ca init --out-dir ca").done();
        }
        let terms = terms.to_owned();
        let list = self.admin_command("list --signer %S -o json");
        let (program, environment) = (list.get_program().to_owned(), {
            let pairs = list.get_envs();
            let pairs = pairs.map(|(key, value)| (key.to_owned(), value.map(ToOwned::to_owned)));
            pairs.collect::<Vec<_>>()
        });
        let home = self.home().to_owned();
        let signer = self.signer();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let certtool = move |words: &str| {
            let mut command = Command::new(&program);
            command.env_clear().current_dir(&home);
            for (key, value) in &environment {
                if let Some(value) = value {
                    command.env(key, value);
                }
            }
            command.args(words.split_whitespace());
            Said::of(command)
        };
        let thread = thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                let listed = certtool(&format!("list --signer {signer} -o json"));
                let list: Value = serde_json::from_str(&listed.stdout).unwrap_or_default();
                for request in list["items"].as_array().into_iter().flatten() {
                    let name = request["name"].as_str().unwrap_or_default();
                    match request["state"].as_str().unwrap_or_default() {
                        "Pending" => {
                            certtool(&format!("approve {name}"));
                            certtool(&format!("sign {name} --ca-dir ca {terms}"));
                        }
                        "Approved" => {
                            certtool(&format!("sign {name} --ca-dir ca {terms}"));
                        }
                        _ => {}
                    }
                }
                thread::sleep(Duration::from_millis(50));
            }
        });
        SigningThread {
            stop,
            thread: Some(thread),
        }
    }

    /// The requests of the test's signer.
    pub fn requests(&self) -> Vec<Value> {
        let list = self.admin("list --signer %S -o json").done().json();
        list["items"].as_array().cloned().unwrap_or_default()
    }

    /// The name of the first request, once there is one.
    pub fn first_request(&self) -> String {
        until(|| {
            self.requests()
                .first()
                .map(|r| r["name"].as_str().unwrap().to_owned())
        })
    }

    pub fn serial(&self) -> String {
        self.x509("serving/tls.crt", "-serial")
    }

    pub fn service(&self) -> String {
        format!("hook.{}.svc", self.namespace)
    }

    /// The serial number of a pair other than this one, once it is on disk.
    pub fn next_serial(&self, before: &str) -> String {
        until(|| {
            let now = self.exists("serving/tls.crt").then(|| self.serial())?;
            (now != before).then_some(now)
        })
    }

    pub fn assert_good(&self) {
        // As a server reads it: again, if the certificate was exchanged in between.
        let pair = || ["serving/tls.crt", "serving/tls.key"].map(|file| self.read(file));
        let [certificate, key] = until(|| {
            let read = pair();
            (read == pair()).then_some(read)
        });
        self.write("seen.crt", certificate);
        self.write("seen.key", key);
        self.assert_pair("seen.crt", "seen.key");
        assert!(self.verifies("ca/ca.crt", "seen.crt", &self.service()));
        assert_eq!(self.mode("serving/tls.key"), 0o600);
    }
}

/// Waits until there is an answer.
#[track_caller]
pub fn until<T>(mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + LIMIT;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "not within {LIMIT:?}");
        thread::sleep(Duration::from_millis(20));
    }
}

pub struct SigningThread {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for SigningThread {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A GET over plain HTTP: status and body.
pub fn get(address: &str, path: &str) -> (u16, String) {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let status = answer[9..12].parse().unwrap();
    let body = answer.split_once("\r\n\r\n").unwrap().1;
    (status, body.to_owned())
}

/// Where a sidecar that was told `--listen 127.0.0.1:0` listens.
pub fn address(process: &mut Process) -> String {
    process.wait_for("health and metrics on http://", LIMIT);
    let said = process.stderr();
    let address = said.split("http://").nth(1).unwrap();
    address.split_whitespace().next().unwrap().to_owned()
}

/// A metric's value.
pub fn metric(address: &str, name: &str) -> Option<f64> {
    let (_, text) = get(address, "/metrics");
    support::sample(&text, name)
}
