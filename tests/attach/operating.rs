//! The whole of it: a real operator on this machine, called by a real API server, and a
//! cluster that is as it was afterwards.

use std::{net::Ipv4Addr, path::Path, time::Duration};

use crate::{
    World,
    operator::{self, Manifests, Operator},
    support::{self, ControlPlane, Process},
    world::{CRDS, LIMIT, MUTATING, VALIDATING, alone},
};

/// The operator's manifests in service mode, as `kubectl kustomize` renders them, in the
/// cluster and in a file.
struct Installed {
    file: String,
    paths: [String; 3],
}

fn install(cluster: &ControlPlane, home: &Path) -> Installed {
    let manifests = operator::manifests(&Manifests::default());
    cluster.apply(&manifests);
    let file = home.join("operator.yaml");
    std::fs::write(&file, manifests).unwrap();
    let admission = "/apis/admissionregistration.k8s.io/v1";
    Installed {
        file: file.to_str().unwrap().to_owned(),
        paths: [
            format!("{admission}/{MUTATING}/{}", operator::MUTATING),
            format!("{admission}/{VALIDATING}/{}", operator::VALIDATING),
            format!("/apis/apiextensions.k8s.io/v1/{CRDS}/{}", operator::CRD),
        ],
    }
}

/// `certtool local-dev run -f … -- ./operator`
fn run(world: &World<'_>, installed: &Installed, port: u16) -> Process {
    let port = port.to_string();
    let binary = Operator::build();
    world.start(&[
        "run",
        "-f",
        &installed.file,
        "--port",
        &port,
        "--",
        binary.to_str().unwrap(),
        "--webhook-port",
        &port,
        "--health-probe-bind-address",
        "0",
    ])
}

#[test]
fn an_operator_on_this_machine_admits_defaults_denies_and_converts() {
    let cluster = alone();
    support::run(async {
        let world = World::on(&cluster, "operator").await;
        let installed = install(&cluster, world.home.path());
        established(&cluster);
        let before = world.contents(&installed.paths).await;
        let mut run = run(&world, &installed, support::free_port());
        run.wait_for("3 webhooks are attached", LIMIT);

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
        cluster.kubectl(&["delete", widget]);

        // An operator takes seconds to shut down; its webhooks do not wait for that.
        run.signal("TERM");
        run.wait_for("SIGTERM: detaching", LIMIT);
        support::eventually(Duration::from_secs(4), || async {
            let now = world.contents(&installed.paths).await;
            match now == before {
                true => Ok(()),
                false => Err(format!("{now:?}")),
            }
        })
        .await;
        let status = run.wait(LIMIT);
        assert!(status.success(), "{status}\n{}", run.stderr());
        assert_eq!(world.contents(&installed.paths).await, before);
        assert_eq!(run.stdout(), "");
        world
            .local_dev(&["status"])
            .done()
            .explains("nothing is attached");
        assert_eq!(world.probes().await, [""; 0]);
    });
}

#[test]
fn an_operator_that_runs_already_is_attached_and_loads_a_new_pair_by_itself() {
    let cluster = alone();
    support::run(async {
        let world = World::on(&cluster, "loaded").await;
        let installed = install(&cluster, world.home.path());
        established(&cluster);
        let before = world.contents(&installed.paths).await;
        // First the certificates, then the operator, as the README says.
        world.local_dev(&[]).done().explains("start your operator");
        let port = support::free_port();
        let operator = Operator::start(&operator::Options {
            kubeconfig: Some(cluster.kubeconfig()),
            tmpdir: Some(world.home.path().join("tmp")),
            host: Ipv4Addr::LOCALHOST.into(),
            port,
            ..operator::Options::default()
        });
        let number = port.to_string();
        let args = ["attach", "-f", &installed.file, "--port", &number];
        world
            .local_dev(&args)
            .done()
            .explains("new pair in")
            .explains("3 webhooks are attached")
            .without("does not serve");
        assert!(operator.certificates_loaded() >= 2, "{}", operator.log());
        world
            .local_dev(&["detach"])
            .done()
            .prints(&format!("CustomResourceDefinition/{}", operator::CRD));
        assert_eq!(world.contents(&installed.paths).await, before);
    });
}

fn established(cluster: &ControlPlane) {
    let crd = format!("crd/{}", operator::CRD);
    cluster.kubectl(&["wait", "--for=condition=Established", &crd, "--timeout=20s"]);
}
