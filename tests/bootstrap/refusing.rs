//! What is not ours stays, and what is broken is said.

use std::fs;

use crate::{
    Ci,
    support::{self, pki::Ca},
};

/// A pair of somebody else's CA: certificate, key, CA.
fn foreign(ci: &Ci<'_>) -> [String; 3] {
    let ca = Ca::new("certgen");
    let dir = ci.world.home.path().join("foreign");
    let host = format!("hook.{}.svc", ci.namespace());
    ca.write_pair(&dir, &[&host]);
    let read = |name: &str| fs::read_to_string(dir.join(name)).unwrap();
    [read("tls.crt"), read("tls.key"), ca.pem]
}

#[test]
fn a_secret_of_somebody_else_is_replaced_by_force_alone() {
    support::run(async {
        let ci = Ci::new("foreign").await;
        let path = ci.validating().await;
        let [cert, key, ca] = foreign(&ci);
        let data = [
            ("tls.crt", cert.as_str()),
            ("tls.key", &key),
            ("ca.crt", &ca),
        ];
        ci.create_secret("hook-tls", "kubernetes.io/tls", &data)
            .await;
        ci.bootstrap(&[])
            .ended(1)
            .explains(&format!(
                "Secret {} was not made by certtool",
                ci.in_namespace("hook-tls")
            ))
            .explains("a certificate that CN=certgen signed")
            .explains("--force");
        assert_eq!(ci.entry("hook-tls", "tls.crt").await, cert);
        assert_eq!(ci.bundles(&path).await, [""]);
        ci.bootstrap(&["--force"])
            .done()
            .prints("/hook-tls: updated");
        assert_ne!(ci.entry("hook-tls", "tls.crt").await, cert);
        // From now on it is known by its signature.
        ci.bootstrap(&["--host", "x.example.com"])
            .done()
            .prints("/hook-tls: updated");

        ci.create_secret("other", "Opaque", &[("password", "x")])
            .await;
        let other = ci.in_namespace("other");
        ci.bootstrap(&["--secret", &other])
            .ended(1)
            .explains("holds other entries");
        ci.create_secret("half", "Opaque", &[("tls.crt", "x")])
            .await;
        let half = ci.in_namespace("half");
        ci.bootstrap(&["--secret", &half])
            .ended(1)
            .explains("no pair that reads (tls.crt without tls.key)");
        ci.create_secret(
            "basic",
            "kubernetes.io/basic-auth",
            &[("username", "x"), ("password", "y")],
        )
        .await;
        let basic = ci.in_namespace("basic");
        ci.bootstrap(&["--secret", &basic, "--force"])
            .ended(1)
            .explains("is of type kubernetes.io/basic-auth");
    });
}

#[test]
fn a_cas_key_is_never_replaced_not_even_by_force() {
    support::run(async {
        let ci = Ci::new("ca").await;
        ci.validating().await;
        let mut init = support::certtool(ci.world.home.path());
        let secret = ci.in_namespace("signer");
        init.env("KUBECONFIG", ci.world.cluster.kubeconfig())
            .args(["ca", "init", "--secret", &secret]);
        crate::world::Said::of(init).done();
        let key = ci.entry("signer", "tls.key").await;
        ci.bootstrap(&["--secret", &secret, "--force"])
            .ended(1)
            .explains("holds the CA")
            .explains(&format!("--ca-secret {secret}"));
        assert_eq!(ci.entry("signer", "tls.key").await, key);
        // It signs well, though.
        ci.bootstrap(&["--ca-secret", &secret])
            .done()
            .prints(&format!("CA in Secret {secret}: unchanged"));
    });
}

#[test]
fn a_ca_that_cannot_sign_is_refused_with_the_reason() {
    support::run(async {
        let ci = Ci::new("bad-ca").await;
        let path = ci.validating().await;
        let [cert, key, ca] = foreign(&ci);
        let other = Ca::new("other");
        let ca_secret = ci.in_namespace("bad");
        let args = ["--ca-secret", ca_secret.as_str()];
        for (data, reason) in [
            (
                [("tls.crt", cert.as_str()), ("tls.key", key.as_str())],
                "CA",
            ),
            (
                [
                    ("tls.crt", ca.as_str()),
                    ("tls.key", other.key_pem.as_str()),
                ],
                "key",
            ),
            (
                [("tls.crt", "garbage"), ("tls.key", key.as_str())],
                "could not read the CA certificate",
            ),
            (
                [("tls.crt", ca.as_str()), ("tls.key", "garbage")],
                "could not read the CA key",
            ),
        ] {
            ci.create_secret("bad", "kubernetes.io/tls", &data).await;
            let said = ci
                .bootstrap(&args)
                .ended(1)
                .explains(&format!("Secret {ca_secret}"))
                .explains(reason);
            assert!(!said.stderr.contains("-----BEGIN"), "{}", said.stderr);
            ci.world.delete(&ci.secret_path("bad")).await;
        }
        ci.create_secret("bad", "Opaque", &[("other", "x")]).await;
        ci.bootstrap(&args).ended(1).explains("it has no tls.crt");
        assert!(!ci.exists(&ci.secret_path("hook-tls")).await);
        assert_eq!(ci.bundles(&path).await, [""]);
    });
}

#[test]
fn an_expired_ca_is_kept_and_named() {
    support::run(async {
        let ci = Ci::new("expired").await;
        let path = ci.validating().await;
        let secret = ci.in_namespace("short");
        let mut init = support::certtool(ci.world.home.path());
        init.env("KUBECONFIG", ci.world.cluster.kubeconfig()).args([
            "ca",
            "init",
            "--validity",
            "1s",
            "--secret",
            &secret,
        ]);
        crate::world::Said::of(init).done();
        tokio::time::sleep(std::time::Duration::from_secs(2)).await;
        let key = ci.entry("short", "tls.key").await;
        ci.bootstrap(&["--ca-secret", &secret])
            .ended(1)
            .explains(&format!("Secret {secret}"))
            .explains("a CA is never replaced")
            .explains("expired");
        assert_eq!(ci.entry("short", "tls.key").await, key);
        assert_eq!(ci.bundles(&path).await, [""]);
    });
}

#[test]
fn files_of_somebody_else_are_replaced_by_force_alone() {
    support::run(async {
        let ci = Ci::new("files").await;
        ci.validating().await;
        let [cert, ..] = foreign(&ci);
        ci.bootstrap(&["--cert-dir", "foreign"])
            .ended(1)
            .explains("foreign/tls.crt")
            .explains("--force");
        let path = ci.world.home.path().join("foreign/tls.crt");
        assert_eq!(fs::read_to_string(&path).unwrap(), cert);
        ci.bootstrap(&["--cert-dir", "foreign", "--force"]).done();
        assert_ne!(fs::read_to_string(&path).unwrap(), cert);
    });
}
