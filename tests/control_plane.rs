//! The control plane that the other tests rely on, tested itself.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

mod support;

use std::{
    fs,
    path::Path,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret};
use kube::{Api, api::ListParams};
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
use serde_json::{Value, json};
use support::{ControlPlane, Options, Process, objects, pki::Ca, rule, webhook::Webhook};

#[test]
fn the_api_server_answers_with_a_version_that_parses() {
    support::run(async {
        let client = support::control_plane().admin_client().await;
        let version = client.apiserver_version().await.unwrap();
        assert_eq!(version.major, "1");
        assert!(version.minor.parse::<u32>().unwrap() >= 36, "{version:?}");
    });
}

#[test]
fn a_service_account_may_do_what_it_was_granted_and_nothing_else() {
    support::run(async {
        let cluster = support::control_plane();
        let namespace = cluster.namespace("rbac").await;
        let rights = [rule(&[""], &["configmaps"], &["list"])];
        let kubeconfig = cluster
            .service_account(&namespace, "reader", &rights, &[])
            .await;
        let client = cluster.client(&kubeconfig).await;

        let granted: Api<ConfigMap> = Api::namespaced(client.clone(), &namespace);
        granted.list(&ListParams::default()).await.unwrap();

        let refused: Api<Secret> = Api::namespaced(client, &namespace);
        let error = refused.list(&ListParams::default()).await.unwrap_err();
        let kube::Error::Api(status) = error else {
            panic!("{error}")
        };
        assert_eq!(status.code, 403, "{status:?}");
    });
}

#[test]
fn a_webhook_behind_a_service_is_called_by_the_name_of_the_service() {
    support::run(async {
        let cluster = support::control_plane();
        let client = cluster.admin_client().await;
        let namespace = cluster.namespace("service").await;
        let port = support::service_port();
        let address = objects::service(&client, &namespace, "hook", port).await;
        let host = format!("hook.{namespace}.svc");

        let directory = tempfile::tempdir().unwrap();
        let ca = Ca::new("test");
        ca.write_pair(directory.path(), &[&host]);
        let webhook = Webhook::start(address, directory.path());

        let config = objects::by_service(&namespace, "hook", port, "/validate", Some(&ca.pem));
        objects::validating_webhook(&client, &namespace, &namespace, &config).await;
        let config = objects::by_service(&namespace, "hook", port, "/mutate", Some(&ca.pem));
        objects::mutating_webhook(&client, &namespace, &namespace, &config).await;

        let denied =
            objects::until_config_map(&client, &namespace, &[("deny", "true")], |answer| {
                answer.is_err()
            })
            .await
            .unwrap_err();
        assert!(
            denied.to_string().contains("denied by the test webhook"),
            "{denied}"
        );
        let made = objects::until_config_map(&client, &namespace, &[], |answer| {
            answer
                .as_ref()
                .is_ok_and(|object| object.metadata.annotations.is_some())
        })
        .await
        .unwrap();
        assert_eq!(
            made.metadata.annotations.unwrap()["test.certtool.dev/mutated"],
            "true"
        );
        let calls = webhook.calls();
        assert!(
            webhook.count("/validate") > 0 && webhook.count("/mutate") > 0,
            "{calls:?}"
        );
        assert!(
            calls.iter().all(|call| call.sni.as_deref() == Some(&host)),
            "{calls:?}"
        );
    });
}

#[test]
fn a_rotated_pair_is_served_to_the_next_request_and_a_strange_ca_is_refused() {
    support::run(async {
        let cluster = support::control_plane();
        let client = cluster.admin_client().await;
        let namespace = cluster.namespace("rotation").await;
        let directory = tempfile::tempdir().unwrap();
        let ca = Ca::new("test");
        ca.write_pair(directory.path(), &["127.0.0.1"]);
        let webhook = Webhook::start(([127, 0, 0, 1], 0), directory.path());

        let config = objects::by_url(webhook.address(), "/validate", Some(&ca.pem));
        objects::validating_webhook(&client, &namespace, &namespace, &config).await;
        let denies = |answer: &kube::Result<ConfigMap>| answer.is_err();
        objects::until_config_map(&client, &namespace, &[("deny", "true")], denies)
            .await
            .unwrap_err();
        let before = webhook.calls().pop().unwrap().leaf;

        ca.write_pair(directory.path(), &["127.0.0.1"]);
        objects::until_config_map(&client, &namespace, &[], Result::is_ok)
            .await
            .unwrap();
        assert_ne!(webhook.calls().pop().unwrap().leaf, before);

        Ca::new("stranger").write_pair(directory.path(), &["127.0.0.1"]);
        let error = objects::until_config_map(&client, &namespace, &[], Result::is_err)
            .await
            .unwrap_err();
        assert!(error.to_string().contains("x509"), "{error}");
        // The server reads the client's alert a moment after the client gave up.
        support::eventually(Duration::from_secs(10), || async {
            webhook
                .failures()
                .pop()
                .ok_or_else(|| "the server saw no failed handshake".to_owned())
        })
        .await;
    });
}

#[test]
fn a_conversion_webhook_and_an_aggregated_api_behind_a_service_are_called() {
    support::run(async {
        let cluster = support::control_plane();
        let client = cluster.admin_client().await;
        let namespace = cluster.namespace("kinds").await;
        let port = support::service_port();
        let address = objects::service(&client, &namespace, "hook", port).await;
        let directory = tempfile::tempdir().unwrap();
        let ca = Ca::new("test");
        ca.write_pair(directory.path(), &[&format!("hook.{namespace}.svc")]);
        let webhook = Webhook::start(address, directory.path());

        let group = format!("{namespace}.certtool.dev");
        let config = objects::by_service(&namespace, "hook", port, "/convert", Some(&ca.pem));
        objects::converted_crd(&client, &group, &config).await;
        let widget = json!({
            "apiVersion": format!("{group}/v1beta1"), "kind": "Widget",
            "metadata": { "name": "w", "namespace": namespace }, "spec": { "host": "example" },
        });
        support::eventually(Duration::from_secs(30), || async {
            let output = cluster.try_kubectl(&["apply", "-f", "-"], &widget.to_string());
            let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
            if output.status.success() {
                Ok(())
            } else {
                Err(stderr)
            }
        })
        .await;
        let resource = format!("widgets.v1.{group}/w");
        let stored = cluster.kubectl(&["get", "-n", &namespace, &resource, "-o", "json"]);
        let stored: Value = serde_json::from_str(&stored).unwrap();
        assert_eq!(stored["spec"]["hostname"], "example", "{stored}");
        assert!(webhook.count("/convert") > 0);

        let group = format!("aggregated-{group}");
        let target = (namespace.as_str(), "hook", port);
        objects::api_service(&client, &group, target, Some(&ca.pem)).await;
        let name = format!("apiservice/v1.{group}");
        cluster.kubectl(&["wait", "--for=condition=Available", &name, "--timeout=50s"]);
        assert!(webhook.count(&format!("/apis/{group}/v1")) > 0);
        cluster.kubectl(&["delete", &name]);
    });
}

#[test]
fn with_the_controller_manager_namespaces_live_and_die_and_requests_are_signed() {
    support::run(async {
        let cluster = ControlPlane::dedicated_with(&Options {
            controller_manager: true,
            ..Options::default()
        });
        let namespace = cluster.namespace("managed").await;
        let account = ["get", "serviceaccount", "default", "-n", &namespace];
        support::eventually(Duration::from_secs(30), || async {
            let output = cluster.try_kubectl(&account, "");
            let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
            if output.status.success() {
                Ok(())
            } else {
                Err(stderr)
            }
        })
        .await;

        let key = KeyPair::generate().unwrap();
        let mut subject = CertificateParams::default();
        subject.distinguished_name = DistinguishedName::new();
        subject
            .distinguished_name
            .push(DnType::CommonName, "somebody");
        let request = subject.serialize_request(&key).unwrap().pem().unwrap();
        cluster.apply(
            &json!({
                "apiVersion": "certificates.k8s.io/v1",
                "kind": "CertificateSigningRequest",
                "metadata": { "name": namespace },
                "spec": {
                    "request": STANDARD.encode(request),
                    "signerName": "kubernetes.io/kube-apiserver-client",
                    "usages": ["client auth"],
                },
            })
            .to_string(),
        );
        cluster.kubectl(&["certificate", "approve", &namespace]);
        let csr = format!("csr/{namespace}");
        let signed = "--for=jsonpath={.status.certificate}";
        cluster.kubectl(&["wait", signed, &csr, "--timeout=30s"]);
        cluster.kubectl(&["delete", "namespace", &namespace, "--timeout=40s"]);
    });
}

#[test]
fn a_dedicated_api_server_can_be_stopped_started_and_audited() {
    support::run(async {
        let cluster = ControlPlane::dedicated_with(&Options {
            audit_log: true,
            ..Options::default()
        });
        let client = cluster.admin_client().await;
        let namespace = cluster.namespace("faults").await;
        let namespaces: Api<Namespace> = Api::all(client);
        cluster.stop_api_server();
        namespaces.get(&namespace).await.unwrap_err();
        cluster.start_api_server();
        namespaces.get(&namespace).await.unwrap();
        cluster.pause_api_server();
        let hung = tokio::time::timeout(Duration::from_secs(1), namespaces.get(&namespace)).await;
        assert!(hung.is_err(), "{hung:?}");
        cluster.resume_api_server();
        namespaces.get(&namespace).await.unwrap();

        let events = cluster.audit_events();
        let created =
            |event: &&Value| event["verb"] == "create" && event["objectRef"]["name"] == *namespace;
        assert_eq!(events.iter().filter(created).count(), 1);

        let processes = ["etcd", "kube-apiserver"].map(|name| cluster.process_id(name));
        let directory = cluster.dir().to_owned();
        drop(cluster);
        assert!(processes.iter().all(|&process| !runs(process, &directory)));
        assert!(!directory.exists());
    });
}

/// Set in the child that `nothing_lingers_when_a_test_program_is_killed` kills.
const HOLD: &str = "CERTTOOL_TEST_HOLD_A_CONTROL_PLANE";

#[test]
fn nothing_lingers_when_a_test_program_is_killed() {
    let _watchdog = support::watchdog(Duration::from_secs(180));
    if let Some(note) = std::env::var_os(HOLD) {
        let cluster = ControlPlane::dedicated();
        let [etcd, api] = ["etcd", "kube-apiserver"].map(|name| cluster.process_id(name));
        fs::write(&note, format!("{etcd} {api} {}\n", cluster.dir().display())).unwrap();
        thread::sleep(Duration::from_secs(120));
        return;
    }

    let directory = tempfile::tempdir().unwrap();
    let note = directory.path().join("note");
    let mut program = Command::new(std::env::current_exe().unwrap());
    program
        .args(["--exact", "nothing_lingers_when_a_test_program_is_killed"])
        .env(HOLD, &note);
    let mut program = Process::spawn(program);
    let started = Instant::now();
    let note = loop {
        match fs::read_to_string(&note) {
            Ok(note) if note.ends_with('\n') => break note,
            _ => {}
        }
        let waiting = program.is_running() && started.elapsed() < Duration::from_secs(120);
        assert!(waiting, "{}{}", program.stdout(), program.stderr());
        thread::sleep(Duration::from_millis(50));
    };
    let words = note.split_whitespace().collect::<Vec<_>>();
    let processes = [words[0], words[1]].map(|word| word.parse().unwrap());
    let state = Path::new(words[2]);
    assert!(processes.iter().all(|&process| runs(process, state)));

    program.signal("KILL");
    program.wait(Duration::from_secs(10));
    await_gone(&processes, state);
    await_removed(state);
}

#[test]
#[cfg(target_os = "linux")]
fn the_servers_go_even_when_their_supervisor_is_killed() {
    let _watchdog = support::watchdog(Duration::from_secs(180));
    let cluster = ControlPlane::dedicated();
    let processes = ["etcd", "kube-apiserver"].map(|name| cluster.process_id(name));
    let state = cluster.dir().to_owned();
    support::send_signal(cluster.supervisor_id().unwrap(), "KILL");
    await_gone(&processes, &state);
    drop(cluster);
    fs::remove_dir_all(state).unwrap();
}

#[test]
fn up_finds_a_running_one_and_down_leaves_nothing() {
    let _watchdog = support::watchdog(Duration::from_secs(180));
    let directory = tempfile::tempdir().unwrap();
    let state = directory.path().join("state");
    let script = |args: &[&str]| {
        let mut command = Command::new(support::script());
        command.args(args).arg("--dir").arg(&state);
        support::output(command, Duration::from_secs(150))
    };
    assert_eq!(script(&["status"]).status.code(), Some(3));
    let up = script(&["up", "--no-build"]);
    assert!(
        up.status.success(),
        "{}",
        String::from_utf8_lossy(&up.stderr)
    );
    let said = String::from_utf8(up.stdout).unwrap();
    assert!(
        said.contains(&format!("export KUBECONFIG={}/kubeconfig", state.display())),
        "{said}"
    );
    let processes = pids(&state);

    let again = script(&["up", "--no-build"]);
    assert!(again.status.success());
    assert_eq!(pids(&state), processes);
    assert_eq!(script(&["status"]).status.code(), Some(0));

    assert!(script(&["down"]).status.success());
    assert!(processes.iter().all(|&process| !runs(process, &state)));
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    assert!(script(&["down"]).status.success(), "down twice is fine");
}

#[test]
fn a_directory_of_somebody_else_is_not_touched() {
    let _watchdog = support::watchdog(Duration::from_secs(60));
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("thesis.txt");
    fs::write(&file, "years of work").unwrap();
    for action in ["up", "down"] {
        let mut command = Command::new(support::script());
        command.args([action, "--dir"]).arg(directory.path());
        let output = support::output(command, Duration::from_secs(30));
        assert_eq!(output.status.success(), action == "down");
        assert_eq!(fs::read_to_string(&file).unwrap(), "years of work");
    }
}

#[test]
fn without_binaries_a_test_is_told_what_to_run() {
    let _watchdog = support::watchdog(Duration::from_secs(60));
    let directory = tempfile::tempdir().unwrap();
    let mut command = Command::new(support::script());
    command
        .args(["run", "--no-build", "--dir"])
        .arg(directory.path().join("state"))
        .env("XDG_CACHE_HOME", directory.path())
        .env_remove("KUBEBUILDER_ASSETS");
    let output = support::output(command, Duration::from_secs(30));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(
        stderr.contains("run 'scripts/control-plane build"),
        "{stderr}"
    );
}

fn pids(state: &Path) -> [u32; 2] {
    ["etcd", "kube-apiserver"].map(|name| {
        let pid = fs::read_to_string(state.join("pids").join(name)).unwrap();
        pid.trim().parse().unwrap()
    })
}

/// Is this process alive, and the one that has its state there?
fn runs(process: u32, state: &Path) -> bool {
    let output = Command::new("ps")
        .args(["-o", "args=", "-p", &process.to_string()])
        .output()
        .unwrap();
    String::from_utf8_lossy(&output.stdout).contains(state.to_str().unwrap())
}

fn await_gone(processes: &[u32], state: &Path) {
    let started = Instant::now();
    while processes.iter().any(|&process| runs(process, state)) {
        assert!(
            started.elapsed() < Duration::from_secs(20),
            "still running: {processes:?}"
        );
        thread::sleep(Duration::from_millis(20));
    }
}

fn await_removed(state: &Path) {
    let started = Instant::now();
    while state.exists() {
        assert!(
            started.elapsed() < Duration::from_secs(20),
            "{} is left",
            state.display()
        );
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_program_lives_by_the_clock_that_it_is_given() {
    let clock = support::Clock::new();
    let home = tempfile::tempdir().unwrap();
    for days in [0_i64, 3, -3] {
        clock.set(days * 86_400_000 + 1);
        let made = format!("ca{days}");
        let mut command = support::certtool(home.path());
        command.args(["ca", "init", "--out-dir", &made]);
        clock.rule(&mut command);
        let output = support::output(command, Duration::from_secs(20));
        assert!(output.status.success(), "{output:?}");
        let pem = fs::read(home.path().join(made).join("ca.crt")).unwrap();
        let (_, pem) = x509_parser::pem::parse_x509_pem(&pem).unwrap();
        let from = pem.parse_x509().unwrap().validity().not_before.timestamp();
        let now = time::OffsetDateTime::now_utc().unix_timestamp();
        let apart = now + days * 86_400 - from;
        // Dated back by five minutes.
        assert!((290..330).contains(&apart), "{days} days: {apart} s");
    }
}
