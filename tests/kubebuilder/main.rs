//! A kubebuilder project gets its certificates in three ways, and each time its operator
//! admits, defaults, denies and converts, called by its Service.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    unreachable_pub
)]

#[path = "../support/operator.rs"]
#[allow(clippy::unwrap_used, clippy::panic, dead_code, unreachable_pub)]
mod operator;
#[allow(dead_code)]
mod project;
#[path = "../support/mod.rs"]
mod support;

use std::{fs, time::Duration};

use project::{Project, SERVICE};

const LIMIT: Duration = Duration::from_secs(60);

#[test]
fn kustomize_build_piped_through_inject_into_kubectl_apply() {
    support::run(async {
        let project = Project::new();
        project.pair();
        project.shell(
            "kustomize build config/test | certtool inject --ca ca/ca.crt | kubectl apply -f -",
        );
        let _operator = project.start_operator();
        project.works().await;
    });
}

#[test]
fn inject_into_the_cluster_after_kubectl_apply() {
    support::run(async {
        let project = Project::new();
        project.pair();
        project.shell("kustomize build config/test | kubectl apply -f -");
        let _operator = project.start_operator();
        let webhooks = format!(
            "--webhook {} --webhook {}",
            operator::MUTATING,
            operator::VALIDATING
        );
        let crd = operator::CRD;
        project.shell(&format!(
            "certtool inject --cluster {webhooks} --crd {crd} --ca ca/ca.crt"
        ));
        project.works().await;
    });
}

#[test]
fn bootstrap_before_the_operator_is_there_and_before_its_objects_are() {
    support::run(async {
        let project = Project::new();
        let mut run = project.start(&format!(
            "bootstrap --service {SERVICE} --secret operator-system/webhook-server-cert \
             --cert-dir certs --wait"
        ));
        run.wait_for("waiting: there is no namespace \"operator-system\"", LIMIT);
        project.shell("kustomize build config/test | kubectl apply -f -");
        run.wait_for("connection refused", LIMIT);
        let _operator = project.start_operator();
        let status = run.wait(LIMIT);
        assert!(status.success(), "{}", run.stderr());
        for line in [
            "Secret operator-system/webhook-server-cert: created",
            "MutatingWebhookConfiguration/operator-mutating-webhook-configuration mwidget-v1.kb.io: caBundle added",
            "ValidatingWebhookConfiguration/operator-validating-webhook-configuration vwidget-v1.kb.io: caBundle added",
            "CustomResourceDefinition/widgets.example.certtool.dev: caBundle added",
        ] {
            assert!(run.stdout().contains(line), "{line}\n{}", run.stdout());
        }
        assert!(
            run.stderr().contains("3 webhooks are reached"),
            "{}",
            run.stderr()
        );
        project.works().await;
    });
}

#[test]
fn bootstrap_when_the_operator_serves_the_pair_of_another_ca_already() {
    support::run(async {
        let project = Project::new();
        project.pair();
        project.shell("kustomize build config/test > install.yaml; kubectl apply -f install.yaml");
        let operator = project.start_operator();
        let said = project.shell("certtool bootstrap -f install.yaml --cert-dir certs --wait");
        assert!(said.contains("the pair was signed by another CA"), "{said}");
        assert!(operator.certificates_loaded() >= 2, "{}", operator.log());
        project.works().await;
        let again =
            project.shell("certtool bootstrap -f install.yaml --cert-dir certs --wait -o json");
        let report: serde_json::Value = serde_json::from_str(&again).unwrap();
        assert_eq!(report["changed"], false, "{report}");
        assert_eq!(report["proven"], true);
    });
}

#[test]
fn the_lines_for_a_bare_api_server_work() {
    let page = project::repository().join("docs/bootstrap.md");
    let page = fs::read_to_string(page).unwrap();
    let block = page
        .split("```bash\n")
        .find(|block| block.starts_with("# The operator runs here"))
        .unwrap();
    let block = block.split("```").next().unwrap();
    support::run(async {
        let project = Project::new();
        project.shell("kustomize build config/test > install.yaml");
        project.install_manager();
        let block = block.replace("=443", &format!("={}", project.port()));
        // The manager of the example ends with it.
        project.shell(&format!(
            "trap 'kill $(jobs -p)' EXIT\n{block}\nkubectl get widgets -A"
        ));
    });
}
