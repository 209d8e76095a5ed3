//! The operator in `tests/operator`: a controller-runtime manager whose webhook server is
//! the real consumer of a certificate.
//!
//! ```ignore
//! let cluster = ControlPlane::dedicated();
//! let address = support::next_cluster_ip();
//! cluster.apply(&operator::manifests(&Manifests { cluster_ip: Some(address), ..Manifests::default() }));
//! // … certtool writes a pair to `certificates` and fills in the caBundle …
//! let operator = Operator::start(&Options {
//!     kubeconfig: Some(cluster.kubeconfig()),
//!     cert_dir: Some(certificates),
//!     host: address.into(),
//!     port: 443,
//!     ..Options::default()
//! });
//! cluster.apply(operator::WIDGET_V1BETA1);
//! ```
//!
//! The CRD's name is fixed, so a control plane has room for one operator at a time.

use std::{
    env, fs,
    fs::File,
    io::Write,
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, ExitStatus, Output, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// Admitted, and turned grey by the defaulting webhook.
pub const WIDGET_V1: &str = "\
apiVersion: example.certtool.dev/v1
kind: Widget
metadata: {name: small, namespace: default}
spec: {width: 3, height: 4}
";

/// The same kind in the version that is converted on its way in: 5 wide, 6 high.
pub const WIDGET_V1BETA1: &str = "\
apiVersion: example.certtool.dev/v1beta1
kind: Widget
metadata: {name: small-v1beta1, namespace: default}
spec: {size: 5x6}
";

/// Refused by the validating webhook, with [`TOO_WIDE_MESSAGE`].
pub const WIDGET_TOO_WIDE: &str = "\
apiVersion: example.certtool.dev/v1
kind: Widget
metadata: {name: large, namespace: default}
spec: {width: 101, height: 4}
";

/// What the API server says of [`WIDGET_TOO_WIDE`] when it got through to the webhook.
pub const TOO_WIDE_MESSAGE: &str = "spec.width: Invalid value: 101: must not be greater than 100";

/// The CustomResourceDefinition that converts by webhook.
pub const CRD: &str = "widgets.example.certtool.dev";
/// The namespace that `config/default` chooses.
pub const NAMESPACE: &str = "operator-system";
/// The Service in front of the webhook server.
pub const SERVICE: &str = "operator-webhook-service";
pub const MUTATING: &str = "operator-mutating-webhook-configuration";
pub const VALIDATING: &str = "operator-validating-webhook-configuration";

/// Below `TMPDIR`, where controller-runtime looks for `tls.crt` and `tls.key` unless told.
pub const DEFAULT_CERT_DIR: &str = "k8s-webhook-server/serving-certs";

/// How long a build may take; a machine without Go's build cache needs minutes.
const BUILD_LIMIT: Duration = Duration::from_secs(580);
const RENDER_LIMIT: Duration = Duration::from_secs(30);

/// How an operator is run.
#[derive(Clone, Debug)]
pub struct Options {
    /// `--webhook-cert-path`; without it [`DEFAULT_CERT_DIR`] in `tmpdir`.
    pub cert_dir: Option<PathBuf>,
    /// `TMPDIR`; without it a directory of this operator's own.
    pub tmpdir: Option<PathBuf>,
    /// The address that the webhook server binds to.
    pub host: IpAddr,
    pub port: u16,
    /// Without it one that leads nowhere: the webhooks work without an API server.
    pub kubeconfig: Option<PathBuf>,
    /// `--health-probe-bind-address`; without it there are no probes.
    pub probes: Option<SocketAddr>,
    /// More arguments.
    pub args: Vec<String>,
    /// More environment variables.
    pub env: Vec<(String, String)>,
    /// How long it may take until it serves.
    pub limit: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            cert_dir: None,
            tmpdir: None,
            host: IpAddr::V4(Ipv4Addr::LOCALHOST),
            port: 9443,
            kubeconfig: None,
            probes: None,
            args: Vec::new(),
            env: Vec::new(),
            limit: Duration::from_secs(30),
        }
    }
}

/// A running operator. It is killed when this is dropped, or when the test is killed.
#[derive(Debug)]
pub struct Operator {
    child: Child,
    /// What [`GUARD`] waits for.
    lifeline: Option<ChildStdin>,
    address: SocketAddr,
    dir: PathBuf,
}

impl Operator {
    /// Builds it unless it is built; the path of its binary. Where a test has no minutes to
    /// spare, run `scripts/operator` beforehand.
    pub fn build() -> PathBuf {
        static BINARY: OnceLock<PathBuf> = OnceLock::new();
        BINARY
            .get_or_init(|| {
                let output = run(
                    &mut Command::new(repository().join("scripts/operator")),
                    BUILD_LIMIT,
                );
                PathBuf::from(String::from_utf8(output.stdout).unwrap().trim_end())
            })
            .clone()
    }

    /// Runs it until it serves; panics with its log when it does not.
    pub fn start(options: &Options) -> Self {
        Self::try_start(options).unwrap_or_else(|log| panic!("the operator did not start:\n{log}"))
    }

    /// Runs it until it serves; the error is what went wrong and all that it logged.
    pub fn try_start(options: &Options) -> Result<Self, String> {
        let mut operator = Self::spawn(options);
        let deadline = Instant::now() + options.limit;
        loop {
            // The log tells this server from another one on the same port.
            if operator.log().contains("Serving webhook server") && operator.accepts() {
                return Ok(operator);
            }
            if let Some(status) = operator.status() {
                return Err(format!("{status}\n{}", operator.log()));
            }
            if Instant::now() >= deadline {
                return Err(format!(
                    "not within {:?}\n{}",
                    options.limit,
                    operator.log()
                ));
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Runs it without waiting for anything.
    pub fn spawn(options: &Options) -> Self {
        let dir = fresh_dir();
        let tmpdir = options.tmpdir.clone().unwrap_or_else(|| dir.join("tmp"));
        fs::create_dir_all(&tmpdir).unwrap();
        let kubeconfig = options.kubeconfig.clone().unwrap_or_else(|| {
            let path = dir.join("kubeconfig");
            fs::write(&path, KUBECONFIG_TO_NOWHERE).unwrap();
            path
        });
        let log = File::create(dir.join("log")).unwrap();

        // The shell becomes the operator, so that the process id is the operator's. Its
        // child waits for the pipe that this process holds: if it ends without a line, the
        // test was killed, and the operator goes with it.
        let mut command = Command::new("sh");
        command
            .args(["-c", GUARD, "sh"])
            .arg(Self::build())
            .arg("--kubeconfig")
            .arg(kubeconfig)
            .args(["--webhook-host", &options.host.to_string()])
            .args(["--webhook-port", &options.port.to_string()])
            .arg("--health-probe-bind-address")
            .arg(
                options
                    .probes
                    .map_or_else(|| "0".to_owned(), |address| address.to_string()),
            );
        if let Some(cert_dir) = &options.cert_dir {
            command.arg("--webhook-cert-path").arg(cert_dir);
        }
        command
            .args(&options.args)
            .env_clear()
            .env("PATH", env::var_os("PATH").unwrap_or_default())
            .env("HOME", &dir)
            .env("TMPDIR", tmpdir)
            .envs(options.env.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        let mut child = command.spawn().unwrap();
        let lifeline = child.stdin.take();
        Self {
            child,
            lifeline,
            address: SocketAddr::new(options.host, options.port),
            dir,
        }
    }

    /// Where the webhook server listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// All that it has printed.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.dir.join("log")).unwrap()).into_owned()
    }

    /// How often its certificate watcher has taken in a pair, the first one included.
    pub fn certificates_loaded(&self) -> usize {
        self.log()
            .matches("Updated current TLS certificate")
            .count()
    }

    /// A pair that it could not load is a torn one.
    #[track_caller]
    pub fn assert_no_mismatch(&self) {
        let log = self.log();
        let torn = "private key does not match public key";
        assert!(!log.contains(torn), "{}:\n{log}", self.address);
    }

    /// How it ended, or nothing while it runs.
    pub fn status(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// TERM, and the exit status that followed. Connections on which the API server has sent
    /// nothing yet hold it up for 5 s (`http.Server.Shutdown`); dropping it does not wait.
    pub fn terminate(&mut self, limit: Duration) -> ExitStatus {
        let id = self.id().to_string();
        let sent = Command::new("kill")
            .args(["-s", "TERM", &id])
            .status()
            .unwrap();
        assert!(
            sent.success(),
            "no signal TERM to the operator:\n{}",
            self.log()
        );
        let deadline = Instant::now() + limit;
        loop {
            if let Some(status) = self.status() {
                return status;
            }
            assert!(
                Instant::now() < deadline,
                "it did not end within {limit:?}:\n{}",
                self.log()
            );
            thread::sleep(Duration::from_millis(20));
        }
    }

    fn accepts(&self) -> bool {
        TcpStream::connect_timeout(&self.address, Duration::from_secs(1)).is_ok()
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("the operator at {} logged:\n{}", self.address, self.log());
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
        // Dismissed, not just let go: by now the process id may be somebody else's.
        if let Some(mut lifeline) = self.lifeline.take() {
            let _ = lifeline.write_all(b"\n");
        }
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// How `config/default` is rendered.
#[derive(Clone, Debug)]
pub struct Manifests {
    /// The webhook Service's; the API server connects to it, on `port`.
    pub cluster_ip: Option<Ipv4Addr>,
    /// Instead of [`NAMESPACE`].
    pub namespace: String,
    /// The Service's port, and the one in each `clientConfig`. 443 is what a
    /// `clientConfig` without a port means, and none is written then.
    pub port: u16,
}

impl Default for Manifests {
    fn default() -> Self {
        Self {
            cluster_ip: None,
            namespace: NAMESPACE.to_owned(),
            port: 443,
        }
    }
}

/// What a cluster gets to have the operator's webhooks: `kubectl kustomize config/default`,
/// without a caBundle, adjusted to a machine without kube-proxy.
pub fn manifests(manifests: &Manifests) -> String {
    static RENDERED: OnceLock<String> = OnceLock::new();
    let rendered = RENDERED.get_or_init(|| {
        let config = repository().join("tests/operator/config/default");
        let output = run(
            Command::new(kubectl()).arg("kustomize").arg(config),
            RENDER_LIMIT,
        );
        String::from_utf8(output.stdout).unwrap()
    });
    let documents = rendered
        .split("\n---\n")
        .map(|document| adjust(document, manifests));
    documents.collect::<Vec<_>>().join("\n---\n")
}

fn adjust(document: &str, manifests: &Manifests) -> String {
    let is_service = document.contains("\nkind: Service\n")
        && document.contains(&format!("\n  name: {SERVICE}\n"));
    let mut lines = Vec::new();
    for line in document.lines() {
        let text = line.trim_start();
        let indent = &line[..line.len() - text.len()];
        lines.push(line.replace(NAMESPACE, &manifests.namespace));
        if let Some(address) = manifests.cluster_ip
            && is_service
            && line == "spec:"
        {
            lines.push(format!("  clusterIP: {address}"));
        }
        if manifests.port != 443 {
            if is_service && text == "- port: 443" {
                lines.pop();
                lines.push(format!("{indent}- port: {}", manifests.port));
            }
            if ["path: /convert", "path: /mutate-", "path: /validate-"]
                .iter()
                .any(|path| text.starts_with(path))
            {
                lines.push(format!("{indent}port: {}", manifests.port));
            }
        }
    }
    lines.join("\n")
}

/// Configurations of webhooks of the operator's Service in a namespace that nobody calls, `NAME-0`
/// and so on, with the label `other: NAME` and annotations as a flow mapping.
pub fn others(name: &str, count: usize, namespace: &str, annotations: &str) -> String {
    let configuration = |number: usize| {
        format!(
            "---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {{name: {name}-{number}, labels: {{other: {name}}}, annotations: {annotations}}}
webhooks:
- name: other.example.certtool.dev
  admissionReviewVersions: [v1]
  sideEffects: None
  failurePolicy: Fail
  clientConfig: {{service: {{namespace: {namespace}, name: {SERVICE}, path: /other}}}}
  rules:
  - {{apiGroups: [other.example.certtool.dev], apiVersions: [v1], resources: [others], operations: [CREATE]}}
"
        )
    };
    (0..count).map(configuration).collect()
}

/// `$KUBECTL`, the one beside the test control plane's binaries, or that of `$PATH`.
fn kubectl() -> PathBuf {
    if let Some(path) = env::var_os("KUBECTL") {
        return path.into();
    }
    let found = Command::new(repository().join("scripts/control-plane"))
        .arg("path")
        .output();
    found
        .ok()
        .filter(|output| output.status.success())
        .map(|output| Path::new(String::from_utf8_lossy(&output.stdout).trim_end()).join("kubectl"))
        .filter(|path| path.is_file())
        .unwrap_or_else(|| "kubectl".into())
}

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Runs a command that must succeed, within a limit, its stderr going to the test's.
fn run(command: &mut Command, limit: Duration) -> Output {
    let described = format!("{command:?}");
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{described}: {error}"));
    // Read on the side: a full pipe would keep the command from ending.
    let mut pipe = child.stdout.take().unwrap();
    let reader = thread::spawn(move || {
        let mut stdout = Vec::new();
        std::io::copy(&mut pipe, &mut stdout).map(|_| stdout)
    });
    let deadline = Instant::now() + limit;
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if Instant::now() >= deadline {
            let _ = child.kill();
            let _ = child.wait();
            panic!("{described} took longer than {limit:?}");
        }
        thread::sleep(Duration::from_millis(10));
    };
    assert!(status.success(), "{described}: {status}");
    Output {
        status,
        stdout: reader.join().unwrap().unwrap(),
        stderr: Vec::new(),
    }
}

fn fresh_dir() -> PathBuf {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let dir = env::temp_dir().join(format!("certtool-operator-{}-{number}", std::process::id()));
    // What a killed test of the same process id may have left behind.
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir_all(&dir).unwrap();
    dir
}

const GUARD: &str = r#"
exec 3<&0
(read -r line <&3 || kill -KILL $$) >/dev/null 2>&1 &
exec "$@" </dev/null 3<&-
"#;

const KUBECONFIG_TO_NOWHERE: &str = "\
apiVersion: v1
kind: Config
clusters: [{name: nowhere, cluster: {server: 'https://127.0.0.1:1'}}]
contexts: [{name: nowhere, context: {cluster: nowhere, user: nobody}}]
users: [{name: nobody, user: {}}]
current-context: nowhere
";
