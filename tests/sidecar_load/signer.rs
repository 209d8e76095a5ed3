//! The same with `--signer`: the controller has the CA, signs, rotates and injects.

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    thread,
    time::{Duration, Instant},
};

use crate::{
    deployment::{Deployment, alone},
    files::{LIMIT, Said},
    load::{at_least, rate},
    operator,
    support::{self, Process, rule},
    world::{World, until},
};

const LONGEST: Duration = Duration::from_secs(420);
/// The service account of the controller.
const CONTROLLER: &str = "controller";

/// The API takes no shorter life than ten minutes: leaves are renewed, and the CA is replaced, long
/// before they end.
fn configuration(namespace: &str) -> String {
    let mut text = format!(
        "apiVersion: certtool.dev/v1alpha1
kind: ControllerConfig
signers:
  - name: {namespace}.example.com/serving
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
"
    );
    for (kind, name) in [
        ("MutatingWebhookConfiguration", operator::MUTATING),
        ("ValidatingWebhookConfiguration", operator::VALIDATING),
        ("CustomResourceDefinition", operator::CRD),
    ] {
        let _ = writeln!(
            text,
            "    - {{kind: {kind}, names: [{name}], signer: {namespace}.example.com/serving}}"
        );
    }
    text
}

/// The controller with the rights that it prints for its configuration.
async fn controller(world: &World<'_>) -> Process {
    let (cluster, namespace) = (world.cluster, &world.namespace);
    world.write("controller.yaml", configuration(namespace));
    let verbs = &["get", "list", "watch", "patch"];
    let configurations = &[
        "mutatingwebhookconfigurations",
        "validatingwebhookconfigurations",
    ];
    let injects = [
        rule(
            &["admissionregistration.k8s.io"],
            &configurations[..1],
            verbs,
        ),
        rule(
            &["admissionregistration.k8s.io"],
            &configurations[1..],
            verbs,
        ),
        rule(
            &["apiextensions.k8s.io"],
            &["customresourcedefinitions"],
            verbs,
        ),
    ];
    let kubeconfig = cluster
        .service_account(namespace, CONTROLLER, &[], &injects)
        .await;
    let rights = world
        .admin("controller --config controller.yaml --rbac-for %N/controller")
        .done();
    cluster.apply(&rights.stdout);
    let mut command = world.admin_command(
        "controller --config controller.yaml --listen 127.0.0.1:0 --leader-elect=false",
    );
    command
        .env("KUBECONFIG", kubeconfig)
        .env("POD_NAMESPACE", namespace);
    let process = Process::spawn(command);
    let deadline = Instant::now() + LIMIT;
    let published = ["get", "configmap", "trust", "-n", namespace];
    while !cluster.try_kubectl(&published, "").status.success() {
        assert!(Instant::now() < deadline, "{}", process.stderr());
        thread::sleep(Duration::from_millis(100));
    }
    process
}

#[test]
fn with_the_controller_as_the_signer_no_request_fails_either() {
    let cluster = alone();
    support::run_within(LONGEST * 2, async {
        let words = "--service operator-webhook-service.%N --listen 127.0.0.1:0 --signer %S \
                     --validity 10m --renew-at 0.0025 --trust-bundle %N/trust";
        let mut process = None;
        let mut deployment = Deployment::prepared(&cluster, words, async |world| {
            process = Some(controller(world).await);
        })
        .await;
        let mut process = process.unwrap();
        let load = deployment.load();
        let (started, first) = (Instant::now(), deployment.issued());
        let mut seen: BTreeSet<String> = deployment.signing_ca().into_iter().collect();
        let least = at_least(30);
        let rotate = |world: &World<'_>| {
            Said::of(world.admin_command("ca rotate --secret %N/webhook-ca --now")).done();
        };
        rotate(&deployment.world);
        loop {
            let before = seen.len();
            seen.extend(deployment.signing_ca());
            let renewed = deployment.issued() - first;
            let (rotated, elapsed) = (seen.len() - 1, started.elapsed());
            let asked = load.admitted() >= rate() * least.as_secs();
            if renewed > 100 && rotated >= 3 && asked && elapsed >= least {
                break;
            }
            if before != seen.len() {
                rotate(&deployment.world);
            }
            assert!(
                elapsed < LONGEST,
                "{renewed} renewals, {rotated} rotations, {} requests\n{}\n{}",
                load.admitted(),
                process.stderr(),
                deployment.said()
            );
            load.assert_none_failed();
            thread::sleep(Duration::from_millis(500));
        }
        let renewed = deployment.issued() - first;
        let sum = load.stop();
        println!(
            "{} requests in {:.0} s, {renewed} renewals, {} rotations, {} failed",
            sum.admitted,
            sum.seconds,
            seen.len() - 1,
            sum.failures.len(),
        );
        assert!(sum.failures.is_empty(), "{}", sum.failures.join("\n"));
        assert!(process.is_running());
        deployment.assert_no_mismatch();
        deployment.assert_served();
        until(|| (!deployment.world.requests().is_empty()).then_some(()));
        process.terminate(LIMIT);
    });
}
