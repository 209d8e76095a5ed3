//! `--wait`: for objects, for a namespace, for a server, for the API server; never for ever.

use std::{fs, time::Duration};

use serde_json::json;

use crate::{
    Ci,
    support::{self, ControlPlane, pki::Ca},
    world::{LIMIT, Said, VALIDATING, alone},
};

#[test]
fn order_does_not_matter() {
    support::run(async {
        let ci = Ci::new("order").await;
        let dir = ci.cert_dir();
        let mut run = ci.start(&["--cert-dir", dir.to_str().unwrap(), "--wait"]);
        run.wait_for("waiting: no webhook configuration", LIMIT);
        // The pair is there already: a pod that mounts it need not wait for the objects.
        assert!(dir.join("tls.crt").exists());
        ci.validating().await;
        run.wait_for("waiting: ValidatingWebhookConfiguration/", LIMIT);
        run.wait_for("service \"hook\" not found", LIMIT);
        let address = ci.service().await;
        run.wait_for("connection refused", LIMIT);
        let _server = ci.serve(address);
        let status = run.wait(LIMIT);
        assert!(status.success(), "{}", run.stderr());
        assert!(
            run.stdout().contains("v.example.com: caBundle added"),
            "{}",
            run.stdout()
        );
    });
}

#[test]
fn named_objects_are_waited_for_and_those_that_are_there_are_injected_meanwhile() {
    support::run(async {
        let ci = Ci::new("some").await;
        let path = ci.validating().await;
        let args = [
            "--webhook",
            &ci.named("v"),
            "--webhook",
            &ci.named("later"),
            "--wait",
        ];
        let dir = ci.cert_dir();
        let address = ci.service().await;
        let _server = ci.serve(address);
        let mut run = ci.start(&[&args[..], &["--cert-dir", dir.to_str().unwrap()]].concat());
        run.wait_for(
            &format!(
                "waiting: there is no mutating or validating webhook configuration \"{}\"",
                ci.named("later")
            ),
            LIMIT,
        );
        assert!(!ci.bundles(&path).await[0].is_empty());
        let webhooks = [("later.example.com", "hook", "/validate")];
        ci.configuration(VALIDATING, "later", &webhooks).await;
        assert!(run.wait(LIMIT).success(), "{}", run.stderr());
    });
}

#[test]
fn a_namespace_is_waited_for_created_or_named_in_the_error() {
    support::run(async {
        let ci = Ci::new("ns").await;
        ci.validating().await;
        let missing = format!("{}-later", ci.namespace());
        let secret = format!("{missing}/pair");
        let args = ["--secret", secret.as_str()];
        ci.bootstrap(&args)
            .ended(1)
            .explains(&format!("there is no namespace \"{missing}\""))
            .explains("--create-namespace");
        ci.bootstrap(&[&args[..], &["--create-namespace", "--dry-run=server"]].concat())
            .done()
            .prints("created (server dry run)");
        let mut run = ci.start(&[&args[..], &["--no-inject", "--wait"]].concat());
        run.wait_for(
            &format!("waiting: there is no namespace \"{missing}\""),
            LIMIT,
        );
        let object = json!({ "metadata": { "name": missing } });
        ci.world.create("/api/v1/namespaces", object).await;
        assert!(run.wait(LIMIT).success(), "{}", run.stderr());

        let other = format!("{}-made", ci.namespace());
        let secret = format!("{other}/pair");
        ci.bootstrap(&["--secret", &secret, "--create-namespace"])
            .done()
            .prints(&format!("Namespace/{other}: created"));
        assert!(
            ci.exists(&format!("/api/v1/namespaces/{other}/secrets/pair"))
                .await
        );
    });
}

/// Waits in vain, for two seconds.
fn in_vain(ci: &Ci<'_>, args: &[&str]) -> Said {
    let dir = ci.world.home.path().join("elsewhere");
    let common = [
        "--wait",
        "--timeout",
        "2s",
        "--cert-dir",
        dir.to_str().unwrap(),
    ];
    ci.bootstrap(&[&common[..], args].concat()).ended(124)
}

#[test]
fn a_time_out_has_the_api_servers_own_error_and_a_hint() {
    let cluster = alone();
    support::run(async {
        let ci = Ci::on(&cluster, "vain").await;
        in_vain(&ci, &[]).explains("timed out after 2s: no webhook configuration");
        ci.validating().await;
        in_vain(&ci, &[])
            .explains("failed calling webhook")
            .explains("service \"hook\" not found")
            .explains(&format!("hint: create Service hook.{}", ci.namespace()));
        let address = ci.service().await;
        in_vain(&ci, &[])
            .explains(&format!("dial tcp {address}: connect: connection refused"))
            .explains("hint: nothing listens behind Service");

        let host = format!("hook.{}.svc", ci.namespace());
        Ca::new("other").write_pair(&ci.cert_dir(), &[&host]);
        let server = ci.serve(address);
        in_vain(&ci, &[])
            .explains(
                "tls: failed to verify certificate: x509: certificate signed by unknown authority",
            )
            .explains("hint: the server does not serve the pair of");
        drop(server);

        // The right pair, and a path that is not served.
        let nowhere = [("nowhere.example.com", "hook", "/nowhere")];
        ci.configuration(VALIDATING, "nowhere", &nowhere).await;
        fs::remove_dir_all(ci.cert_dir()).unwrap();
        let dir = ci.world.home.path().join("elsewhere");
        fs::rename(&dir, ci.cert_dir()).unwrap();
        let _server = ci.serve(address);
        let said = in_vain(&ci, &[]);
        let said = said
            .explains(&format!(
                "ValidatingWebhookConfiguration/{} nowhere.example.com is not reached",
                ci.named("nowhere")
            ))
            .explains("could not find the requested resource")
            .explains("is the webhook registered in it?");
        drop(said);
        assert_eq!(ci.world.probes().await, [""; 0]);
    });
}

#[test]
fn a_server_that_takes_in_the_pair_late_is_waited_for() {
    support::run(async {
        let ci = Ci::new("late").await;
        let path = ci.validating().await;
        let address = ci.service().await;
        let host = format!("hook.{}.svc", ci.namespace());
        let old = Ca::new("old");
        old.write_pair(&ci.cert_dir(), &[&host]);
        let _server = ci.serve(address);
        let mut run = ci.start(&["--wait"]);
        run.wait_for("certificate signed by unknown authority", LIMIT);
        // What the kubelet does with a mounted Secret, after a while.
        for file in ["tls.crt", "tls.key"] {
            fs::write(ci.cert_dir().join(file), ci.entry("hook-tls", file).await).unwrap();
        }
        assert!(run.wait(LIMIT).success(), "{}", run.stderr());
        assert_eq!(
            run.stderr().matches("waiting:").count(),
            1,
            "{}",
            run.stderr()
        );
        assert!(!ci.bundles(&path).await[0].is_empty());
    });
}

#[test]
fn a_webhook_that_is_removed_in_between_is_waited_for_again() {
    support::run(async {
        let ci = Ci::new("removed").await;
        let path = ci.validating().await;
        let address = ci.service().await;
        let mut run = ci.start(&["--webhook", &ci.named("v"), "--cert-dir", "certs", "--wait"]);
        run.wait_for("connection refused", LIMIT);
        ci.world.delete(&path).await;
        run.wait_for("waiting: there is no mutating or validating", LIMIT);
        let path = ci.validating().await;
        let _server = ci.serve(address);
        assert!(run.wait(LIMIT).success(), "{}", run.stderr());
        assert!(!ci.bundles(&path).await[0].is_empty());
    });
}

#[test]
fn somebody_who_empties_the_bundle_meanwhile_does_not_win() {
    support::run(async {
        let ci = Ci::new("emptied").await;
        let path = ci.validating().await;
        let address = ci.service().await;
        let mut run = ci.start(&["--cert-dir", "certs", "--wait"]);
        run.wait_for("connection refused", LIMIT);
        ci.world
            .edit(&path, |object| {
                object["webhooks"][0]["clientConfig"]["caBundle"] = "".into();
            })
            .await;
        let _server = ci.serve(address);
        assert!(run.wait(LIMIT).success(), "{}", run.stderr());
        assert!(!ci.bundles(&path).await[0].is_empty());
    });
}

#[test]
fn an_api_server_that_restarts_is_waited_for() {
    let cluster = ControlPlane::dedicated();
    support::run(async {
        let ci = Ci::on(&cluster, "restart").await;
        ci.validating().await;
        let address = ci.service().await;
        let dir = ci.cert_dir();
        let args = ["--cert-dir", dir.to_str().unwrap(), "--wait"];
        let mut run = ci.start(&args);
        run.wait_for("connection refused", LIMIT);
        cluster.kill_api_server();
        run.wait_for("cannot reach the API server", LIMIT);
        let _server = ci.serve(address);
        cluster.start_api_server();
        assert!(run.wait(LIMIT).success(), "{}", run.stderr());

        // One that hangs does not hold up the time-out.
        cluster.pause_api_server();
        let began = std::time::Instant::now();
        let said = ci.bootstrap(&[&args[..], &["--timeout", "3s"]].concat());
        cluster.resume_api_server();
        said.ended(124).explains("does not answer");
        assert!(began.elapsed() < Duration::from_secs(15));

        // Without --wait it is an error.
        cluster.kill_api_server();
        ci.bootstrap(&[])
            .ended(1)
            .explains("cannot reach the API server");
        cluster.start_api_server();
    });
}

#[test]
fn the_failure_policy_is_set_after_the_proof() {
    support::run(async {
        let ci = Ci::new("policy").await;
        let path = ci.validating().await;
        let policy = async || {
            ci.world.get(&path).await["webhooks"][0]["failurePolicy"]
                .as_str()
                .unwrap()
                .to_owned()
        };
        ci.bootstrap(&["--cert-dir", "certs", "--failure-policy", "Ignore"])
            .done()
            .prints("v.example.com: caBundle added, failurePolicy set to Ignore");
        assert_eq!(policy().await, "Ignore");
        let address = ci.service().await;
        let args = ["--cert-dir", "certs", "--failure-policy", "fail", "--wait"];
        ci.bootstrap(&[&args[..], &["--timeout", "1s"]].concat())
            .ended(124);
        assert_eq!(policy().await, "Ignore");
        let _server = ci.serve(address);
        ci.bootstrap(&args)
            .done()
            .prints("failurePolicy set to Fail");
        assert_eq!(policy().await, "Fail");
        let report = ci
            .bootstrap(&[&args[..], &["-o", "json"]].concat())
            .done()
            .json();
        assert_eq!(report["changed"], false, "{report}");
    });
}
