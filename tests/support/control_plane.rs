//! A real etcd and kube-apiserver, started by `scripts/control-plane`.
//!
//! One serves all tests of a run: `$CERTTOOL_TEST_CONTROL_PLANE` names its directory, or,
//! without that, the first test of a program that asks starts one. The script then runs
//! as a supervisor which holds a pipe from this process: when this process ends, however
//! it ends, the pipe closes and the servers go.

use std::{
    env, fs,
    io::{BufRead, BufReader, Read, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Output, Stdio},
    sync::{
        Mutex, OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use k8s_openapi::api::{
    authentication::v1::TokenRequest,
    authorization::v1::SubjectAccessReview,
    core::v1::{Namespace, ServiceAccount},
    rbac::v1::{ClusterRole, ClusterRoleBinding, PolicyRule, Role, RoleBinding},
};
use kube::{
    Api, Client, Config,
    api::PostParams,
    config::{KubeConfigOptions, Kubeconfig},
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// The control plane that all tests share: leave it as you found it.
pub fn control_plane() -> &'static ControlPlane {
    static SHARED: OnceLock<ControlPlane> = OnceLock::new();
    SHARED.get_or_init(|| match env::var_os("CERTTOOL_TEST_CONTROL_PLANE") {
        Some(dir) => ControlPlane::existing(Path::new(&dir)),
        None => ControlPlane::start(&Options::default()),
    })
}

/// How a dedicated control plane differs from the shared one.
#[derive(Debug, Default)]
pub struct Options {
    /// Start kube-controller-manager too: namespaces empty, default service accounts
    /// appear, `kubernetes.io/kube-apiserver-client` and the like are signed.
    pub controller_manager: bool,
    /// Keep a line for each request: [`ControlPlane::audit_events`].
    pub audit_log: bool,
    /// More arguments for kube-apiserver.
    pub api_server_args: Vec<String>,
}

pub struct ControlPlane {
    dir: PathBuf,
    supervisor: Option<Mutex<Supervisor>>,
}

impl ControlPlane {
    /// One for this test alone, which may break it. It goes when this is dropped.
    pub fn dedicated() -> Self {
        Self::start(&Options::default())
    }

    pub fn dedicated_with(options: &Options) -> Self {
        Self::start(options)
    }

    fn existing(dir: &Path) -> Self {
        assert!(
            dir.join("kubeconfig").is_file(),
            "$CERTTOOL_TEST_CONTROL_PLANE is {}, where no control plane is: \
             run `scripts/control-plane up` or unset it",
            dir.display()
        );
        Self {
            dir: dir.to_owned(),
            supervisor: None,
        }
    }

    fn start(options: &Options) -> Self {
        let dir = tempfile::Builder::new()
            .prefix("certtool-control-plane-")
            .tempdir()
            .unwrap()
            .keep();
        let mut command = Command::new(script());
        // A test is no place to build for minutes: it fails and says what to run.
        command.args(["run", "--no-build", "--dir"]).arg(&dir);
        if options.controller_manager {
            command.arg("--controller-manager");
        }
        if options.audit_log {
            command.arg("--audit-log");
        }
        for argument in &options.api_server_args {
            command.args(["--api-server-arg", argument]);
        }
        let supervisor = Supervisor::spawn(command);
        Self {
            dir,
            supervisor: Some(Mutex::new(supervisor)),
        }
    }

    /// Where the state lives: `kubeconfig`, `pki/ca.crt`, `pki/ca.key`, `logs/`.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The administrator's kubeconfig file (`system:masters`).
    pub fn kubeconfig(&self) -> PathBuf {
        self.dir.join("kubeconfig")
    }

    /// `https://127.0.0.1:PORT`
    pub fn server(&self) -> String {
        let port = fs::read_to_string(self.dir.join("ports/kube-apiserver")).unwrap();
        format!("https://127.0.0.1:{}", port.trim())
    }

    /// A client with all rights, bound to the calling test's runtime.
    pub async fn admin_client(&self) -> Client {
        self.client(&self.kubeconfig()).await
    }

    /// A client for a kubeconfig file.
    pub async fn client(&self, kubeconfig: &Path) -> Client {
        super::install_crypto_provider();
        let kubeconfig = Kubeconfig::read_from(kubeconfig).unwrap();
        let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
            .await
            .unwrap();
        Client::try_from(config).unwrap()
    }

    /// Makes a namespace that no other test uses and returns its name.
    pub async fn namespace(&self, prefix: &str) -> String {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("{prefix}-{}-{number}", std::process::id());
        let namespaces: Api<Namespace> = Api::all(self.admin_client().await);
        create(&namespaces, json!({ "metadata": { "name": name } })).await;
        name
    }

    /// Makes a service account with these rights and no others, and returns the path of a
    /// kubeconfig with its token. Returns once the API server grants what it was given.
    pub async fn service_account(
        &self,
        namespace: &str,
        name: &str,
        namespaced: &[PolicyRule],
        cluster: &[PolicyRule],
    ) -> PathBuf {
        let client = self.admin_client().await;
        let subjects = json!([{ "kind": "ServiceAccount", "name": name, "namespace": namespace }]);
        let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), namespace);
        create(&accounts, json!({ "metadata": { "name": name } })).await;
        if !namespaced.is_empty() {
            let roles: Api<Role> = Api::namespaced(client.clone(), namespace);
            create(
                &roles,
                json!({ "metadata": { "name": name }, "rules": namespaced }),
            )
            .await;
            let bindings: Api<RoleBinding> = Api::namespaced(client.clone(), namespace);
            let role = json!({
                "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name
            });
            create(
                &bindings,
                json!({ "metadata": { "name": name }, "roleRef": role, "subjects": subjects }),
            )
            .await;
        }
        if !cluster.is_empty() {
            let unique = format!("{namespace}:{name}");
            let roles: Api<ClusterRole> = Api::all(client.clone());
            create(
                &roles,
                json!({ "metadata": { "name": unique }, "rules": cluster }),
            )
            .await;
            let bindings: Api<ClusterRoleBinding> = Api::all(client.clone());
            let role = json!({
                "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": unique
            });
            create(
                &bindings,
                json!({ "metadata": { "name": unique }, "roleRef": role, "subjects": subjects }),
            )
            .await;
        }
        for rule in namespaced {
            await_granted(&client, namespace, name, rule, Some(namespace)).await;
        }
        for rule in cluster {
            await_granted(&client, namespace, name, rule, None).await;
        }
        self.token_kubeconfig(namespace, name).await
    }

    /// Returns once the API server grants a service account what a role says, in a namespace or
    /// in the cluster.
    pub async fn until_granted(
        &self,
        namespace: &str,
        name: &str,
        rule: &PolicyRule,
        within: Option<&str>,
    ) {
        await_granted(&self.admin_client().await, namespace, name, rule, within).await;
    }

    /// A kubeconfig with a fresh token of a service account that exists.
    pub async fn token_kubeconfig(&self, namespace: &str, name: &str) -> PathBuf {
        let accounts: Api<ServiceAccount> = Api::namespaced(self.admin_client().await, namespace);
        let request: TokenRequest = serde_json::from_value(json!({
            "metadata": {}, "spec": { "audiences": [], "expirationSeconds": 7200 }
        }))
        .unwrap();
        let answer = accounts
            .create_token_request(name, &PostParams::default(), &request)
            .await
            .unwrap();
        let token = answer.status.unwrap().token;
        let mut kubeconfig: Value =
            serde_yaml::from_str(&fs::read_to_string(self.kubeconfig()).unwrap()).unwrap();
        kubeconfig["users"][0]["user"] = json!({ "token": token });
        kubeconfig["contexts"][0]["context"]["namespace"] = json!(namespace);
        let directory = self.dir.join("kubeconfigs");
        fs::create_dir_all(&directory).unwrap();
        let path = directory.join(format!("{namespace}-{name}"));
        fs::write(&path, kubeconfig.to_string()).unwrap();
        path
    }

    /// kubectl as the administrator; panics when it fails, else returns its stdout.
    pub fn kubectl(&self, args: &[&str]) -> String {
        let output = self.try_kubectl(args, "");
        assert!(
            output.status.success(),
            "kubectl {args:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    }

    /// `kubectl apply -f -`
    pub fn apply(&self, manifest: &str) {
        let output = self.try_kubectl(&["apply", "-f", "-"], manifest);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success(),
            "kubectl apply: {stderr}\n{manifest}"
        );
    }

    /// kubectl as the administrator, with something on stdin.
    pub fn try_kubectl(&self, args: &[&str], stdin: &str) -> Output {
        let mut input = tempfile::tempfile().unwrap();
        input.write_all(stdin.as_bytes()).unwrap();
        std::io::Seek::rewind(&mut input).unwrap();
        let mut command = Command::new(kubectl_path());
        command
            .arg("--kubeconfig")
            .arg(self.kubeconfig())
            .arg("--cache-dir")
            .arg(self.dir.join("kubectl-cache"))
            .args(args)
            .stdin(input);
        super::output(command, Duration::from_secs(60))
    }

    /// The requests so far, as `audit.k8s.io/v1` events. Needs [`Options::audit_log`].
    pub fn audit_events(&self) -> Vec<Value> {
        let log = fs::read_to_string(self.dir.join("audit.log")).unwrap_or_default();
        log.lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect()
    }

    /// Stops the API server in an orderly way. Dedicated control planes only.
    pub fn stop_api_server(&self) {
        self.tell("stop kube-apiserver");
    }

    /// Kills the API server with -9.
    pub fn kill_api_server(&self) {
        self.tell("kill kube-apiserver");
    }

    /// Starts it again, on the same port, with the same data; returns when it is ready.
    pub fn start_api_server(&self) {
        self.tell("start kube-apiserver");
    }

    /// Makes the API server hang: connections open, nothing answers.
    pub fn pause_api_server(&self) {
        self.tell("pause kube-apiserver");
    }

    pub fn resume_api_server(&self) {
        self.tell("resume kube-apiserver");
    }

    fn tell(&self, line: &str) {
        let supervisor = self
            .supervisor
            .as_ref()
            .expect("only a dedicated control plane can be told to break");
        supervisor.lock().unwrap().tell(line);
    }

    /// The supervisor's process id, for tests of the supervisor.
    pub fn supervisor_id(&self) -> Option<u32> {
        let supervisor = self.supervisor.as_ref()?;
        Some(supervisor.lock().unwrap().child.id())
    }

    /// The process id of `etcd`, `kube-apiserver` or `kube-controller-manager`.
    pub fn process_id(&self, name: &str) -> u32 {
        let pid = fs::read_to_string(self.dir.join("pids").join(name)).unwrap();
        pid.trim().parse().unwrap()
    }
}

/// `scripts/control-plane run`, on the other end of a pipe.
struct Supervisor {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
}

impl Supervisor {
    fn spawn(mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", script().display()));
        let mut stderr = child.stderr.take().unwrap();
        let said = thread::spawn(move || {
            let mut text = String::new();
            let _ = stderr.read_to_string(&mut text);
            text
        });
        let mut supervisor = Self {
            stdin: child.stdin.take(),
            stdout: BufReader::new(child.stdout.take().unwrap()),
            child,
        };
        let line = supervisor.line();
        if !line.starts_with("ready ") {
            supervisor.stdin = None;
            let _ = supervisor.child.wait();
            panic!(
                "no control plane to test against.\n{}",
                said.join().unwrap()
            );
        }
        supervisor
    }

    fn tell(&mut self, line: &str) {
        writeln!(self.stdin.as_mut().unwrap(), "{line}").unwrap();
        let answer = self.line();
        assert_eq!(answer, "ok", "{line}");
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        self.stdin = None;
        let deadline = Instant::now() + Duration::from_secs(20);
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(10));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A rule for [`ControlPlane::service_account`].
pub fn rule(groups: &[&str], resources: &[&str], verbs: &[&str]) -> PolicyRule {
    let owned = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
    PolicyRule {
        api_groups: Some(owned(groups)),
        resources: Some(owned(resources)),
        verbs: owned(verbs),
        ..PolicyRule::default()
    }
}

pub fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/control-plane")
}

fn kubectl_path() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| {
        let output = Command::new(script()).arg("path").output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "no kubectl: {stderr}");
        Path::new(String::from_utf8(output.stdout).unwrap().trim()).join("kubectl")
    })
}

async fn create<K>(api: &Api<K>, object: Value)
where
    K: Clone + std::fmt::Debug + DeserializeOwned + serde::Serialize,
{
    let described = object.to_string();
    let object = serde_json::from_value(object).unwrap();
    api.create(&PostParams::default(), &object)
        .await
        .unwrap_or_else(|error| panic!("creating {described}: {error}"));
}

/// The API server learns of a binding through a watch, a moment after it was written.
async fn await_granted(
    client: &Client,
    namespace: &str,
    name: &str,
    rule: &PolicyRule,
    within: Option<&str>,
) {
    let first = |list: &Option<Vec<String>>| list.as_ref().and_then(|list| list.first().cloned());
    let Some(resource) = first(&rule.resources) else {
        return;
    };
    let (resource, subresource) = match resource.split_once('/') {
        Some((resource, subresource)) => (resource, Some(subresource)),
        None => (resource.as_str(), None),
    };
    let reviews: Api<SubjectAccessReview> = Api::all(client.clone());
    for verb in &rule.verbs {
        let review: SubjectAccessReview = serde_json::from_value(json!({
            "metadata": {},
            "spec": {
                "user": format!("system:serviceaccount:{namespace}:{name}"),
                "resourceAttributes": {
                    "namespace": within,
                    "group": first(&rule.api_groups),
                    "resource": resource,
                    "subresource": subresource,
                    "verb": verb,
                    "name": first(&rule.resource_names),
                }
            }
        }))
        .unwrap();
        super::eventually(Duration::from_secs(20), || async {
            let answer = reviews.create(&PostParams::default(), &review).await;
            match answer.map(|review| review.status) {
                Ok(Some(status)) if status.allowed => Ok(()),
                other => Err(format!("{name} was not granted {rule:?}: {other:?}")),
            }
        })
        .await;
    }
}
