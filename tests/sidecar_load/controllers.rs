//! The controllers behind `--signer`: they have the CA, sign, rotate and inject.

use std::{fmt::Write as _, path::PathBuf};

use crate::{
    files::LIMIT,
    operator,
    support::{self, Process},
    world::World,
};

/// Their service account.
const ACCOUNT: &str = "controller";
const REPLICAS: usize = 2;

pub struct Controllers {
    replicas: Vec<Process>,
    kubeconfig: PathBuf,
}

impl Controllers {
    /// With the rights that they print for their configuration. Returns once a CA is published.
    pub async fn start(world: &World<'_>) -> Self {
        let (cluster, namespace) = (world.cluster, &world.namespace);
        world.write("controller.yaml", configuration(namespace));
        let kubeconfig = cluster.service_account(namespace, ACCOUNT, &[], &[]).await;
        let words = format!("controller --config controller.yaml --rbac-for %N/{ACCOUNT}");
        let rights = world.admin(&words).done();
        world.grant_to(ACCOUNT, &rights.stdout).await;
        let mut controllers = Self {
            replicas: Vec::new(),
            kubeconfig,
        };
        for _ in 0..REPLICAS {
            let replica = controllers.replica(world);
            controllers.replicas.push(replica);
        }
        let published = ["get", "configmap", "trust", "-n", namespace];
        support::eventually(LIMIT, || async {
            match cluster.try_kubectl(&published, "").status.success() {
                true => Ok(()),
                false => Err(controllers.said()),
            }
        })
        .await;
        controllers
    }

    fn replica(&self, world: &World<'_>) -> Process {
        let mut command = world.admin_command(
            "controller --config controller.yaml --listen 127.0.0.1:0 --leader-elect \
             --lease-duration 6s",
        );
        command
            .env("KUBECONFIG", &self.kubeconfig)
            .env("POD_NAMESPACE", &world.namespace);
        Process::spawn(command)
    }

    /// Kills one with -9, the leader or the other, and starts another one.
    #[track_caller]
    pub fn kill(&mut self, world: &World<'_>, random: usize) {
        let number = random % REPLICAS;
        self.assert_running();
        self.replicas[number].signal("KILL");
        self.replicas[number].wait(LIMIT);
        self.replicas[number] = self.replica(world);
    }

    /// None has ended by itself.
    #[track_caller]
    pub fn assert_running(&mut self) {
        for replica in &mut self.replicas {
            assert!(replica.is_running(), "{}", replica.stderr());
        }
    }

    /// The end of what each has said.
    pub fn said(&self) -> String {
        let said = self.replicas.iter().enumerate().map(|(number, replica)| {
            let said = support::last_lines(&replica.stderr(), 40);
            format!("-- controller {number}\n{said}\n")
        });
        said.collect()
    }
}

fn configuration(namespace: &str) -> String {
    let signer = format!("{namespace}.example.com/serving");
    let mut text = format!(
        "apiVersion: certtool.dev/v1alpha1
kind: ControllerConfig
signers:
  - name: {signer}
    authority:
      managed: {{secret: {namespace}/webhook-ca, life: 1h, settle: 2s}}
    limits: {{maximum: 10m}}
    trustBundle: {{configMap: trust, namespaces: [{namespace}]}}
    policy:
      rules:
        - name: hooks
          requester: {{serviceAccounts: [\"{namespace}/hook\"]}}
          names: {{services: [\"*.{{namespace}}\"], serviceCheck: Exists}}
          usages: {{allowed: [digital signature, key encipherment, server auth]}}
          keys: [ecdsa-p256]
          lifetime: {{maximum: 10m, whenAbsent: Maximum}}
injection:
  targets:
    - {{kind: ValidatingWebhookConfiguration, selector: other={namespace}, signer: {signer}}}
"
    );
    for (kind, name) in [
        ("MutatingWebhookConfiguration", operator::MUTATING),
        ("ValidatingWebhookConfiguration", operator::VALIDATING),
        ("CustomResourceDefinition", operator::CRD),
    ] {
        let _ = writeln!(
            text,
            "    - {{kind: {kind}, names: [{name}], signer: {signer}}}"
        );
    }
    text
}
