//! The controller and the operator as they are shipped, called all the time while the CA changes.

use std::{fmt::Write as _, fs, path::Path, time::Duration};

use serde_json::Value;

use crate::{
    LIMIT,
    built::block,
    controller,
    load::Load,
    pod::Pod,
    project::{Project, copy, repository},
    sidecar, support,
};

/// Other webhooks that trust the same CA.
const OTHERS: usize = 100;
const CA: &str = "certtool-system/serving-ca";
const CALLS: [&str; 2] = ["--webhook-close-connections", "--zap-log-level=info"];

/// `manifests/controller`, with a settle time that a test can wait for.
fn hastened(project: &Project) -> std::path::PathBuf {
    let dir = project.path().join("controller");
    copy(&repository().join("manifests/controller"), &dir);
    let file = dir.join("controller.yaml");
    let text = fs::read_to_string(&file).unwrap();
    let secret = format!("secret: {CA}\n");
    let hastened = text.replace(&secret, &format!("{secret}      settle: 3s\n"));
    assert_ne!(text, hastened);
    fs::write(file, hastened).unwrap();
    dir
}

/// Configurations of webhooks that nobody calls.
fn others() -> String {
    let mut text = String::new();
    for number in 0..OTHERS {
        let _ = write!(
            text,
            "---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata:
  name: other-{number}
  labels: {{other: x}}
  annotations: {{certtool.dev/inject-ca-from-signer: example.com/serving}}
webhooks:
- name: other.example.certtool.dev
  admissionReviewVersions: [v1]
  sideEffects: None
  clientConfig: {{service: {{namespace: shop, name: other, path: /other}}}}
  rules:
  - {{apiGroups: [other.example.certtool.dev], apiVersions: [v1], resources: [others], operations: [CREATE]}}
"
        );
    }
    text
}

/// The bundles of all configurations.
fn bundles(project: &Project) -> Vec<String> {
    let kinds = "validatingwebhookconfigurations,mutatingwebhookconfigurations";
    let list = project.cluster().kubectl(&["get", kinds, "-o", "json"]);
    let list: Value = serde_json::from_str(&list).unwrap();
    let items = list["items"].as_array().unwrap().iter();
    let bundle = |item: &Value| {
        let bundle = item["webhooks"][0]["clientConfig"]["caBundle"].as_str();
        String::from_utf8(controller::decode(bundle.unwrap_or_default())).unwrap()
    };
    items.map(bundle).collect()
}

/// The CA that signs, PEM.
fn ca(project: &Project, secret: &str) -> String {
    let path = "jsonpath={.data.tls\\.crt}";
    let (namespace, name) = secret.split_once('/').unwrap();
    let words = ["get", "secret", name, "-n", namespace, "-o", path];
    let pem = project.cluster().kubectl(&words);
    String::from_utf8(controller::decode(&pem)).unwrap()
}

/// Whether the pair that the operator serves was signed by the CA in this file.
fn is_signed_by(ca: &Path, pod: &Pod) -> bool {
    let mut verify = std::process::Command::new("openssl");
    verify.args(["verify", "-CAfile"]).arg(ca);
    verify.arg(pod.volume("webhook-certs").join("tls.crt"));
    support::output(verify, LIMIT).status.success()
}

#[test]
fn the_ca_rotates_twice_under_load_and_no_request_fails() {
    support::run_within(Duration::from_secs(420), async {
        let overlay = "config/certtool/kustomization.yaml: a signer";
        let project = sidecar::project(&block("docs/sidecar.md", overlay));
        let replicas = controller::deploy(project.cluster(), &hastened(&project)).await;
        let controllers = replicas.iter().map(|pod| pod.start("controller"));
        let mut controllers: Vec<_> = controllers.collect();
        project.cluster().apply(&others());
        let pod = sidecar::deploy(&project).await;
        let (sidecar, _manager) = sidecar::start(&project, &pod, &CALLS).await;
        project.works().await;
        let trusted = |ca: &str| {
            bundles(&project)
                .iter()
                .filter(|held| held.contains(ca))
                .count()
        };
        let all = OTHERS + 2;
        support::eventually(LIMIT, || async {
            match trusted(&ca(&project, CA)) {
                number if number == all => Ok(()),
                number => Err(format!("{number} of {all} trust the CA")),
            }
        })
        .await;

        let load = Load::start(&project.cluster().kubeconfig());
        let mut cas = vec![ca(&project, CA)];
        for _ in 0..2 {
            let wait = "--wait --timeout 100s";
            project.shell(&format!("certtool ca rotate --secret {CA} --now {wait}"));
            let new = ca(&project, CA);
            assert!(!cas.contains(&new));
            // It signs because all trust it.
            assert_eq!(trusted(&new), all);
            load.assert_none_failed();
            let file = project.path().join("signs.crt");
            fs::write(&file, &new).unwrap();
            sidecar.signal("USR1");
            support::eventually(LIMIT, || async {
                match is_signed_by(&file, &pod) {
                    true => Ok(()),
                    false => Err("the pair is another CA's".to_owned()),
                }
            })
            .await;
            tokio::time::sleep(Duration::from_secs(5)).await;
            load.assert_none_failed();
            cas.push(new);
        }
        // Pairs of the CAs before are still valid.
        for ca in &cas {
            assert_eq!(trusted(ca), all);
        }
        let sum = load.stop();
        println!(
            "{} requests in {:.0} s, 2 rotations of the CA of {all} configurations, {} failed",
            sum.admitted,
            sum.seconds,
            sum.failures.len()
        );
        assert!(sum.failures.is_empty(), "{}", sum.failures.join("\n"));
        assert!(sum.unreachable.is_empty(), "{}", sum.unreachable.join("\n"));
        assert!(sum.admitted > 500, "{sum:?}");
        for controller in &mut controllers {
            assert!(controller.is_running(), "{}", controller.stderr());
        }
    });
}

#[test]
fn a_ca_of_the_sidecars_own_rotates_twice_under_load_and_no_request_fails() {
    support::run_within(Duration::from_secs(480), async {
        let own = "operator-system/webhook-ca";
        let overlay = "config/certtool/kustomization.yaml";
        let project = sidecar::project(&block("docs/sidecar.md", overlay));
        let pod = sidecar::deploy(&project).await;
        let (sidecar, _manager) = sidecar::start(&project, &pod, &CALLS).await;
        project.works().await;
        let load = Load::start(&project.cluster().kubeconfig());
        for _ in 0..2 {
            let before = ca(&project, own);
            project.shell(&format!("certtool ca rotate --secret {own} --now"));
            // The settle time of certificates of a day is a minute.
            let new = support::eventually(Duration::from_secs(180), || async {
                let now = ca(&project, own);
                match now == before {
                    true => Err(sidecar.stderr()),
                    false => Ok(now),
                }
            })
            .await;
            let file = project.path().join("signs.crt");
            fs::write(&file, &new).unwrap();
            support::eventually(LIMIT, || async {
                match is_signed_by(&file, &pod) {
                    true => Ok(()),
                    false => Err(format!("another CA's pair: {}", sidecar.stderr())),
                }
            })
            .await;
            tokio::time::sleep(Duration::from_secs(5)).await;
            load.assert_none_failed();
        }
        let sum = load.stop();
        println!(
            "{} requests in {:.0} s, 2 rotations",
            sum.admitted, sum.seconds
        );
        assert!(sum.failures.is_empty(), "{}", sum.failures.join("\n"));
        assert!(sum.unreachable.is_empty(), "{}", sum.unreachable.join("\n"));
    });
}
