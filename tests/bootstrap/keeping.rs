//! What is kept, and what is renewed.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::STANDARD};

use crate::{Ci, ci::certificates, support};

#[test]
fn a_pair_is_renewed_when_it_does_not_do_any_more_and_the_ca_stays() {
    support::run(async {
        let ci = Ci::new("renewed").await;
        let path = ci.validating().await;
        ci.bootstrap(&["--validity", "1h"]).done();
        let ca = ci.entry("hook-tls-ca", "tls.crt").await;
        let mut leaf = ci.entry("hook-tls", "tls.crt").await;
        for (args, reason) in [
            (
                &["--host", "more.example.com"][..],
                "the certificate lacked more.example.com",
            ),
            (&["--algorithm", "rsa-2048"], "the key was not rsa-2048"),
            (&["--force"], "--force was given"),
        ] {
            ci.bootstrap(args)
                .done()
                .prints(&format!("/hook-tls: updated ({reason})"));
            let new = ci.entry("hook-tls", "tls.crt").await;
            assert_ne!(new, leaf);
            leaf = new;
            ci.bootstrap(&[]).done().prints("/hook-tls: unchanged");
        }
        // Broken by hand: the mark says that it is ours.
        ci.world
            .patch(
                &ci.secret_path("hook-tls"),
                &serde_json::json!({ "data": { "tls.key": "bm9uc2Vuc2U=" } }),
            )
            .await;
        ci.bootstrap(&[])
            .done()
            .prints("/hook-tls: updated (the pair could not be read (tls.key");
        assert_eq!(ci.entry("hook-tls-ca", "tls.crt").await, ca);
        assert_eq!(ci.bundles(&path).await, [ca]);
    });
}

#[test]
fn a_pair_that_nears_its_end_is_renewed() {
    support::run(async {
        let ci = Ci::new("ending").await;
        ci.validating().await;
        ci.bootstrap(&["--validity", "3s"]).done();
        tokio::time::sleep(Duration::from_secs(2)).await;
        let said = ci.bootstrap(&["--validity", "3s"]).done();
        assert!(
            said.stdout.contains("due for renewal") || said.stdout.contains("expired on"),
            "{}",
            said.stdout
        );
    });
}

#[test]
fn a_ca_that_was_lost_is_made_anew_and_the_old_one_stays_trusted_meanwhile() {
    support::run(async {
        let ci = Ci::new("lost").await;
        let path = ci.validating().await;
        ci.bootstrap(&[]).done();
        let old = ci.entry("hook-tls-ca", "tls.crt").await;
        ci.world.delete(&ci.secret_path("hook-tls-ca")).await;
        ci.bootstrap(&[])
            .done()
            .prints("/hook-tls-ca: created")
            .prints("/hook-tls: updated (the pair was signed by another CA");
        let bundle = ci.bundles(&path).await.remove(0);
        let new = ci.entry("hook-tls-ca", "tls.crt").await;
        assert!(bundle.contains(&old) && bundle.contains(&new), "{bundle}");
    });
}

#[test]
fn other_entries_labels_and_annotations_of_the_secret_stay() {
    support::run(async {
        let ci = Ci::new("others").await;
        ci.validating().await;
        ci.bootstrap(&[]).done();
        let path = ci.secret_path("hook-tls");
        let patch = serde_json::json!({
            "metadata": { "labels": { "team": "a" }, "annotations": { "note": "b" } },
            "data": { "keystore": "YQ==" },
        });
        ci.world.patch(&path, &patch).await;
        ci.bootstrap(&["--force"])
            .done()
            .prints("/hook-tls: updated");
        let secret = ci.world.get(&path).await;
        assert_eq!(secret["data"]["keystore"], "YQ==");
        assert_eq!(secret["metadata"]["labels"]["team"], "a");
        assert_eq!(secret["metadata"]["annotations"]["note"], "b");
    });
}

#[test]
fn an_empty_secret_of_the_right_type_is_filled() {
    support::run(async {
        let ci = Ci::new("empty").await;
        ci.validating().await;
        let empty = [("tls.crt", ""), ("tls.key", "")];
        ci.create_secret("hook-tls", "kubernetes.io/tls", &empty)
            .await;
        ci.bootstrap(&[])
            .done()
            .prints("/hook-tls: updated (there was no pair)");
        ci.create_secret("opaque", "Opaque", &[]).await;
        let secret = ci.in_namespace("opaque");
        ci.bootstrap(&["--secret", &secret])
            .done()
            .prints("/opaque: updated");
    });
}

#[test]
fn entries_can_have_the_names_that_certgen_gives_them() {
    support::run(async {
        let ci = Ci::new("certgen").await;
        let path = ci.validating().await;
        let names = [
            "--cert-name",
            "cert",
            "--key-name",
            "key",
            "--ca-name",
            "ca",
        ];
        ci.bootstrap(&names).done();
        let secret = ci.world.get(&ci.secret_path("hook-tls")).await;
        assert_eq!(secret["type"], "Opaque");
        let keys: Vec<_> = secret["data"].as_object().unwrap().keys().collect();
        assert_eq!(keys, ["ca", "cert", "key"]);
        assert_eq!(ci.bundles(&path).await, [ci.entry("hook-tls", "ca").await]);
        let report = ci
            .bootstrap(&[&names[..], &["-o", "json"]].concat())
            .done()
            .json();
        assert_eq!(report["changed"], false, "{report}");
    });
}

#[test]
fn a_ca_that_is_being_replaced_is_trusted_together_with_its_successor() {
    support::run(async {
        let ci = Ci::new("bundle").await;
        let path = ci.validating().await;
        let args = ["--secret", &ci.in_namespace("pair"), "--cert-dir", "certs"];
        ci.bootstrap(&args).done();
        let leaf = ci.entry("pair", "tls.crt").await;
        // As a rotation publishes the next CA, before it signs.
        let ca = ci.entry("pair-ca", "tls.crt").await;
        let next = support::pki::Ca::new("next").pem;
        let both = STANDARD.encode(format!("{ca}{next}"));
        ci.world
            .patch(
                &ci.secret_path("pair-ca"),
                &serde_json::json!({ "data": { "ca.crt": both } }),
            )
            .await;
        ci.bootstrap(&args)
            .done()
            .prints("/pair: updated")
            .prints("certs: updated")
            .prints("caBundle replaced");
        let on_disk = std::fs::read_to_string(ci.cert_dir().join("ca.crt")).unwrap();
        for bundle in [
            ci.bundles(&path).await.remove(0),
            ci.entry("pair", "ca.crt").await,
            on_disk,
        ] {
            assert_eq!(certificates(&bundle), 2, "{bundle}");
        }
        assert_eq!(ci.entry("pair", "tls.crt").await, leaf);
        let report = ci
            .bootstrap(&[&args[..], &["-o", "json"]].concat())
            .done()
            .json();
        assert_eq!(report["changed"], false, "{report}");
    });
}
