//! The operator's project on a machine of its own, and a cluster to itself.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
    time::Duration,
};

use tempfile::TempDir;

use crate::{
    LIMIT,
    operator::{self, Operator},
    support::{self, ControlPlane, Process},
};

/// The webhook's Service.
pub const SERVICE: &str = "operator-webhook-service.operator-system";

pub struct Project {
    home: TempDir,
    cluster: ControlPlane,
    address: SocketAddr,
}

pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// What a script of the repository prints: the path of what it has built, by now or earlier.
pub fn built(script: &str, args: &[&str]) -> PathBuf {
    let mut command = Command::new(repository().join("scripts").join(script));
    command.args(args);
    let output = support::output(command, Duration::from_secs(580));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    PathBuf::from(String::from_utf8(output.stdout).unwrap().trim())
}

/// `$PATH` with certtool, kubectl and kustomize in front.
fn path() -> &'static str {
    static PATH: OnceLock<String> = OnceLock::new();
    PATH.get_or_init(|| {
        let certtool = Path::new(env!("CARGO_BIN_EXE_certtool")).parent().unwrap();
        let kustomize = built("kustomize", &[]);
        let kubectl = built("control-plane", &["path"]);
        format!(
            "{}:{}:{}:{}",
            certtool.display(),
            kustomize.parent().unwrap().display(),
            kubectl.display(),
            std::env::var("PATH").unwrap()
        )
    })
}

impl Project {
    /// `config/test` is the project's `config/default` on a machine without kube-proxy.
    pub fn new() -> Self {
        Self::over("../default", ControlPlane::dedicated())
    }

    /// The same over another directory of the project.
    pub fn over(base: &str, cluster: ControlPlane) -> Self {
        let home = tempfile::tempdir().unwrap();
        let address = SocketAddr::from((support::next_cluster_ip(), support::service_port()));
        copy(
            &repository().join("tests/operator/config"),
            &home.path().join("config"),
        );
        fs::create_dir(home.path().join("config/test")).unwrap();
        let overlay = home.path().join("config/test/kustomization.yaml");
        fs::write(overlay, overlay_for(base, address)).unwrap();
        Self {
            home,
            cluster,
            address,
        }
    }

    pub fn cluster(&self) -> &ControlPlane {
        &self.cluster
    }

    pub fn path(&self) -> &Path {
        self.home.path()
    }

    /// Of the webhook's Service.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// A CA in `ca`, and a pair for the Service in `certs`.
    pub fn pair(&self) {
        self.shell(&format!(
            "certtool local-dev --ca-dir ca --service {SERVICE} --cert-dir certs"
        ));
    }

    /// Runs lines in a shell, in the project; what they print.
    pub fn shell(&self, script: &str) -> String {
        self.shell_within(LIMIT, script)
    }

    pub fn shell_within(&self, limit: Duration, script: &str) -> String {
        let mut command = Command::new("bash");
        self.environment(&mut command)
            .args(["-c", &format!("set -euo pipefail\n{script}")]);
        let output = support::output(command, limit);
        let stdout = String::from_utf8(output.stdout).unwrap();
        assert!(
            output.status.success(),
            "{script}\n{stdout}\n{}",
            String::from_utf8_lossy(&output.stderr)
        );
        stdout
    }

    /// Starts `certtool ARGS`.
    pub fn start(&self, args: &str) -> Process {
        let mut command = support::certtool(self.home.path());
        self.environment(&mut command).args(args.split_whitespace());
        Process::spawn(command)
    }

    fn environment<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        let home = support::certtool(self.home.path());
        command.env_clear();
        for (key, value) in home.get_envs() {
            command.env(key, value.unwrap());
        }
        command
            .env("PATH", path())
            .env("KUBECONFIG", self.cluster.kubeconfig())
            .env("WEBHOOK_HOST", self.address.ip().to_string())
            .current_dir(self.home.path())
    }

    /// The operator, behind the Service, with the pair in `certs`.
    pub fn start_operator(&self) -> Operator {
        Operator::start(&operator::Options {
            kubeconfig: Some(self.cluster.kubeconfig()),
            cert_dir: Some(self.home.path().join("certs")),
            host: self.address.ip(),
            port: self.address.port(),
            ..operator::Options::default()
        })
    }

    /// `bin/manager`: the operator, without the ports that all operators have in common.
    pub fn install_manager(&self) {
        let bin = self.home.path().join("bin");
        fs::create_dir(&bin).unwrap();
        let script = format!(
            "#!/bin/sh\nexec {} --health-probe-bind-address 0 \"$@\"\n",
            Operator::build().display()
        );
        fs::write(bin.join("manager"), script).unwrap();
        self.shell("chmod +x bin/manager");
    }

    /// The operator's webhooks do what they are for.
    pub async fn works(&self) {
        let cluster = &self.cluster;
        support::eventually(Duration::from_secs(20), || async {
            let made = cluster.try_kubectl(&["apply", "-f", "-"], operator::WIDGET_V1);
            match made.status.success() {
                true => Ok(()),
                false => Err(String::from_utf8_lossy(&made.stderr).into_owned()),
            }
        })
        .await;
        let color = "jsonpath={.spec.color}";
        let widget = "widgets.v1.example.certtool.dev/small";
        assert_eq!(cluster.kubectl(&["get", widget, "-o", color]), "grey");
        let denied = cluster.try_kubectl(&["create", "-f", "-"], operator::WIDGET_TOO_WIDE);
        let denied = String::from_utf8_lossy(&denied.stderr).into_owned();
        assert!(denied.contains(operator::TOO_WIDE_MESSAGE), "{denied}");
        let converted = "widgets.v1beta1.example.certtool.dev/small";
        let size = "jsonpath={.spec.size}";
        assert_eq!(cluster.kubectl(&["get", converted, "-o", size]), "3x4");
        cluster.apply(operator::WIDGET_V1BETA1);
    }
}

/// `config/default` for a machine without kube-proxy: the Service's address is one of this
/// machine, and the API server connects to it.
fn overlay_for(base: &str, address: SocketAddr) -> String {
    let (ip, port) = (address.ip(), address.port());
    let webhook = "/webhooks/0/clientConfig/service/port";
    let conversion = "/spec/conversion/webhook/clientConfig/service/port";
    let patch = |kind: &str, name: &str, path: &str, value: &str| {
        format!(
            "- target: {{kind: {kind}, name: {name}}}\n  patch: '[{{\"op\": \"add\", \"path\": \"{path}\", \"value\": {value}}}]'\n"
        )
    };
    let port = port.to_string();
    let patches = [
        patch(
            "Service",
            ".*webhook-service",
            "/spec/clusterIP",
            &format!("\"{ip}\""),
        ),
        patch("Service", ".*webhook-service", "/spec/ports/0/port", &port),
        patch("MutatingWebhookConfiguration", ".*", webhook, &port),
        patch("ValidatingWebhookConfiguration", ".*", webhook, &port),
        patch("CustomResourceDefinition", ".*", conversion, &port),
    ];
    format!("resources: [{base}]\npatches:\n{}", patches.concat())
}

/// A directory with all that is in it.
pub fn copy(from: &Path, to: &Path) {
    for entry in walkdir::WalkDir::new(from) {
        let entry = entry.unwrap();
        let to = to.join(entry.path().strip_prefix(from).unwrap());
        if entry.file_type().is_dir() {
            fs::create_dir_all(to).unwrap();
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}
