//! From nothing to webhooks that answer, and again without a change.

use std::{fs, path::Path};

use certtool::pki::{Certificate, San};
use serde_json::Value;

use crate::{
    Ci,
    ci::certificates,
    support::{self, ControlPlane, Options},
    world::{MUTATING, alone},
};

#[test]
fn every_kind_gets_the_ca_and_the_secret_a_pair_that_it_signed() {
    support::run(async {
        let ci = Ci::new("kinds").await;
        let paths = [
            ci.validating().await,
            ci.mutating().await,
            ci.crd().await,
            ci.api_service().await,
        ];
        let said = ci.bootstrap(&[]).done();
        for line in [
            "/hook-tls-ca: created",
            "/hook-tls: created (there was no pair)",
            "v.example.com: caBundle added",
            "m.example.com: caBundle added",
        ] {
            assert!(said.stdout.contains(line), "{line}\n{}", said.stdout);
        }
        let secret = ci.world.get(&ci.secret_path("hook-tls")).await;
        assert_eq!(secret["type"], "kubernetes.io/tls");
        let keys: Vec<_> = secret["data"].as_object().unwrap().keys().collect();
        assert_eq!(keys, ["ca.crt", "tls.crt", "tls.key"]);
        let ca = ci.entry("hook-tls-ca", "tls.crt").await;
        assert_eq!(ci.entry("hook-tls", "ca.crt").await, ca);
        // The CA's key is in its own Secret, and nowhere else.
        let ca_key = ci.entry("hook-tls-ca", "tls.key").await;
        assert!(ca_key.contains("PRIVATE KEY"));
        assert_ne!(ci.entry("hook-tls", "tls.key").await, ca_key);
        for path in &paths {
            assert_eq!(ci.bundles(path).await, [ca.as_str()], "{path}");
        }
        let host = format!("hook.{}.svc", ci.namespace());
        judge(&ci, &ca, &ci.entry("hook-tls", "tls.crt").await, &host);

        // Again: nothing.
        let secrets = ["hook-tls", "hook-tls-ca"].map(|name| ci.secret_path(name));
        let all = [&paths[..], &secrets[..]].concat();
        let before = ci.versions(&all).await;
        let said = ci.bootstrap(&["-o", "json"]).done();
        let report = said.json();
        assert_eq!(report["changed"], false, "{report}");
        assert_eq!(report["certificate"]["result"], "unchanged");
        assert_eq!(ci.versions(&all).await, before);
        ci.world.delete(&paths[3]).await;
    });
}

/// openssl's opinion of a leaf.
fn judge(ci: &Ci<'_>, ca: &str, leaf: &str, host: &str) {
    let ca = ci.file("judge-ca.crt", ca);
    let leaf = ci.file("judge-leaf.crt", leaf);
    let mut command = std::process::Command::new("openssl");
    command.args([
        "verify",
        "-x509_strict",
        "-purpose",
        "sslserver",
        "-verify_hostname",
        host,
        "-CAfile",
        &ca,
        &leaf,
    ]);
    let output = support::output(command, std::time::Duration::from_secs(20));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
}

#[test]
fn with_wait_the_api_server_proves_every_kind_by_a_request_of_its_own() {
    let cluster = alone();
    support::run(async {
        let ci = Ci::on(&cluster, "proof").await;
        let paths = [
            ci.validating().await,
            ci.mutating().await,
            ci.crd().await,
            ci.api_service().await,
        ];
        let address = ci.service().await;
        let dir = ci.cert_dir();
        let server = ci.serve(address);
        let args = ["--cert-dir", dir.to_str().unwrap(), "--wait"];
        let said = ci
            .bootstrap(&args)
            .done()
            .explains("4 webhooks are reached by the API server over TLS that it trusts");
        for path in ["/validate", "/mutate", "/convert"] {
            assert!(server.count(path) > 0, "{path}\n{}", said.stderr);
        }
        let calls = server.calls();
        let host = format!("hook.{}.svc", ci.namespace());
        assert!(calls.iter().all(|call| call.sni.as_ref() == Some(&host)));
        assert!(calls.iter().any(|call| call.path.starts_with("/apis/agg.")));
        assert_eq!(ci.world.probes().await, [""; 0]);
        // With --cert-dir alone there is no Secret of the pair, and the CA is kept all the same.
        assert!(!ci.exists(&ci.secret_path("hook-tls")).await);
        assert!(ci.exists(&ci.secret_path("hook-tls-ca")).await);
        assert_eq!(mode(&dir.join("tls.key")), 0o600);

        // It works: a request is denied, and one is let through.
        let denied = support::objects::until_config_map(
            &ci.world.client,
            ci.namespace(),
            &[("deny", "true")],
            Result::is_err,
        )
        .await;
        assert!(
            denied
                .unwrap_err()
                .to_string()
                .contains("denied by the test webhook")
        );

        let before = ci.versions(&paths[..2]).await;
        let pair = fs::read(dir.join("tls.crt")).unwrap();
        let report = ci
            .bootstrap(&[&args[..], &["-o", "json"]].concat())
            .done()
            .json();
        assert_eq!(
            (&report["changed"], &report["proven"]),
            (&false.into(), &true.into())
        );
        assert_eq!(ci.versions(&paths[..2]).await, before);
        assert_eq!(fs::read(dir.join("tls.crt")).unwrap(), pair);
        ci.world.delete(&paths[3]).await;
    });
}

fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_second_run_sends_no_write_at_all() {
    let cluster = ControlPlane::dedicated_with(&Options {
        audit_log: true,
        ..Options::default()
    });
    support::run(async {
        let ci = Ci::on(&cluster, "audit").await;
        ci.validating().await;
        ci.crd().await;
        let address = ci.service().await;
        let dir = ci.cert_dir();
        let _server = ci.serve(address);
        let secret = ci.in_namespace("hook-tls");
        let args = ["--secret", &secret, "--cert-dir", dir.to_str().unwrap()];
        ci.bootstrap(&[&args[..], &["--wait"]].concat()).done();
        let writes = || {
            let events = cluster.audit_events();
            let of_certtool = events.into_iter().filter(|event| {
                let agent = event["userAgent"].as_str().unwrap_or_default();
                let verb = event["verb"].as_str().unwrap_or_default();
                !agent.contains("kubectl")
                    && !agent.contains("kube-apiserver")
                    && ["create", "update", "patch", "delete"].contains(&verb)
                    && event["requestURI"]
                        .as_str()
                        .is_some_and(|uri| !uri.contains("/leases") && !uri.contains("dryRun=All"))
            });
            of_certtool
                .filter_map(|event| Some(event["requestURI"].as_str()?.to_owned()))
                .collect::<Vec<_>>()
        };
        let first = writes();
        assert!(
            first.iter().any(|uri| uri.contains("/secrets")),
            "{first:?}"
        );
        // The bundle before the leaf.
        let crd = first
            .iter()
            .position(|uri| uri.contains("/customresourcedefinitions/"));
        let pair = first.iter().rposition(|uri| uri.contains("/secrets"));
        assert!(crd < pair, "{first:?}");
        ci.bootstrap(&args).done();
        assert_eq!(writes()[first.len()..], [""; 0]);
        // The proof needs a configuration of its own, for as long as it takes.
        ci.bootstrap(&[&args[..], &["--wait"]].concat()).done();
        let later = writes()[first.len()..].to_vec();
        assert_eq!(later.len(), 2, "{later:?}");
        assert!(
            later
                .iter()
                .all(|uri| uri.contains("/validatingwebhookconfigurations")),
            "{later:?}"
        );
    });
}

#[test]
fn the_secret_and_the_directory_hold_the_same_pair_whichever_was_first() {
    support::run(async {
        let ci = Ci::new("places").await;
        ci.validating().await;
        let dir = ci.cert_dir();
        let (ca, secret) = (ci.in_namespace("ca"), ci.in_namespace("pair"));
        let same = async || {
            for (file, key) in [
                ("tls.crt", "tls.crt"),
                ("tls.key", "tls.key"),
                ("ca.crt", "ca.crt"),
            ] {
                let on_disk = fs::read_to_string(dir.join(file)).unwrap();
                assert_eq!(on_disk, ci.entry("pair", key).await, "{file}");
            }
        };
        let dir_alone = ["--ca-secret", &ca, "--cert-dir", dir.to_str().unwrap()];
        let both = [&dir_alone[..], &["--secret", &secret]].concat();
        ci.bootstrap(&dir_alone).done();
        let first = fs::read_to_string(dir.join("tls.crt")).unwrap();
        // The directory's pair goes into the Secret,
        ci.bootstrap(&both).done().prints("/pair: created");
        same().await;
        assert_eq!(ci.entry("pair", "tls.crt").await, first);
        // and back.
        fs::remove_dir_all(&dir).unwrap();
        ci.bootstrap(&both).done().prints("certs: created");
        same().await;
        assert_eq!(ci.entry("pair", "tls.crt").await, first);
        let report = ci
            .bootstrap(&[&both[..], &["-o", "json"]].concat())
            .done()
            .json();
        assert_eq!(report["changed"], false, "{report}");
    });
}

#[test]
fn a_ca_in_a_directory_or_in_files_is_used_as_it_is() {
    support::run(async {
        let ci = Ci::new("cas").await;
        let path = ci.validating().await;
        let dir = ci.world.home.path().join("ca");
        let dir = dir.to_str().unwrap();
        ci.bootstrap(&["--ca-dir", dir])
            .done()
            .prints(&format!("CA in {dir}: created"));
        let ca = fs::read_to_string(format!("{dir}/ca.crt")).unwrap();
        assert_eq!(ci.bundles(&path).await, [ca.as_str()]);
        assert!(!ci.exists(&ci.secret_path("hook-tls-ca")).await);
        let (cert, key) = (format!("{dir}/ca.crt"), format!("{dir}/ca.key"));
        let report = ci
            .bootstrap(&["--ca", &cert, "--ca-key", &key, "-o", "json"])
            .done()
            .json();
        assert_eq!(report["changed"], false, "{report}");
        assert_eq!(report["authority"]["file"], cert.as_str());
    });
}

#[test]
fn a_dry_run_says_what_would_be_done_and_does_nothing() {
    support::run(async {
        let ci = Ci::new("dry").await;
        let path = ci.validating().await;
        let dir = ci.cert_dir();
        let before = ci.versions(std::slice::from_ref(&path)).await;
        let secret = ci.in_namespace("hook-tls");
        for (mode, suffix) in [("client", "(dry run)"), ("server", "(server dry run)")] {
            let dry_run = format!("--dry-run={mode}");
            let args = [
                "--secret",
                &secret,
                "--cert-dir",
                dir.to_str().unwrap(),
                "--wait",
                &dry_run,
            ];
            ci.bootstrap(&args)
                .done()
                .prints(&format!("/hook-tls-ca: created {suffix}"))
                .prints(&format!("/hook-tls: created (there was no pair) {suffix}"))
                .prints(&format!("certs: created (there was no pair) {suffix}"))
                .prints(&format!("v.example.com: caBundle added {suffix}"));
        }
        assert_eq!(ci.versions(&[path]).await, before);
        assert!(!ci.exists(&ci.secret_path("hook-tls")).await);
        assert!(!ci.exists(&ci.secret_path("hook-tls-ca")).await);
        assert!(!dir.exists());
    });
}

#[test]
fn results_are_data_names_or_lines() {
    support::run(async {
        let ci = Ci::new("output").await;
        ci.validating().await;
        let said = ci.bootstrap(&["-o", "name"]).done();
        let name = ci.named("v");
        assert_eq!(
            said.stdout,
            format!("secret/hook-tls-ca\nsecret/hook-tls\nvalidatingwebhookconfiguration/{name}\n")
        );
        let yaml = ci.bootstrap(&["-o", "yaml"]).done();
        let yaml: Value = serde_yaml::from_str(&yaml.stdout).unwrap();
        assert_eq!(yaml["secret"]["name"], ci.in_namespace("hook-tls").as_str());
        assert_eq!(yaml["objects"][0]["kind"], "ValidatingWebhookConfiguration");
        assert_eq!(
            yaml["certificate"]["names"][1]["value"],
            format!("hook.{}.svc", ci.namespace())
        );
        let quiet = ci.bootstrap(&["-q"]).done();
        assert_eq!(quiet.stderr, "");
        // No key in any output.
        let loud = ci.bootstrap(&["-v", "--force"]).done();
        assert!(!format!("{}{}", loud.stdout, loud.stderr).contains("PRIVATE KEY"));
    });
}

#[test]
fn the_names_are_the_services_and_what_is_asked_for_besides() {
    support::run(async {
        let ci = Ci::new("names").await;
        ci.configuration(MUTATING, "m", &[("m.example.com", "hook", "/mutate")])
            .await;
        ci.bootstrap(&[
            "--host",
            "10.1.2.3,hook.example.com",
            "--cluster-domain",
            "corp.local",
        ])
        .done();
        let leaf = ci.entry("hook-tls", "tls.crt").await;
        let leaf = Certificate::all_from_pem(leaf.as_bytes())
            .unwrap()
            .remove(0);
        let names: Vec<_> = leaf.names.iter().map(San::value).collect();
        let ns = ci.namespace();
        for name in [
            format!("hook.{ns}"),
            format!("hook.{ns}.svc"),
            format!("hook.{ns}.svc.corp.local"),
            "hook.example.com".to_owned(),
            "10.1.2.3".to_owned(),
        ] {
            assert!(names.contains(&name), "{name} in {names:?}");
        }
        assert_eq!(certificates(&ci.entry("hook-tls", "ca.crt").await), 1);
    });
}
