//! CAs that somebody else made: they work as they are, or it is said why not.

use serde_json::json;

use crate::{Files, World, support};

/// Extensions as `openssl req -x509` and kubeadm write them.
const CA: &str = "-addext keyUsage=critical,keyCertSign,cRLSign,digitalSignature";

fn with_request() -> Files {
    let files = Files::new();
    files.csr("hook", "DNS:hook.shop.svc");
    files
}

#[test]
fn keys_in_every_encoding_work_as_they_are() {
    let files = with_request();
    for (name, commands) in [
        ("pkcs1", vec!["genrsa -traditional -out pkcs1.key 2048"]),
        (
            "pkcs8-rsa",
            vec!["genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out pkcs8-rsa.key"],
        ),
        // With the EC PARAMETERS block that openssl writes in front.
        (
            "sec1",
            vec!["ecparam -name prime256v1 -genkey -out sec1.key"],
        ),
        (
            "sec1-384",
            vec!["ecparam -name secp384r1 -genkey -noout -out sec1-384.key"],
        ),
        (
            "pkcs8-ec",
            vec!["genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-521 -out pkcs8-ec.key"],
        ),
        (
            "ed25519",
            vec!["genpkey -algorithm ED25519 -out ed25519.key"],
        ),
    ] {
        for command in commands {
            files.openssl(command);
        }
        files.openssl(&format!(
            "req -new -x509 -key {name}.key -out {name}.crt -subj /CN={name} -days 30 {CA}"
        ));
        files
            .certtool(&format!(
                "sign --csr hook.csr --ca {name}.crt --ca-key {name}.key --out hook-{name}.crt"
            ))
            .done();
        assert!(
            files.verifies(
                &format!("{name}.crt"),
                &format!("hook-{name}.crt"),
                "hook.shop.svc"
            ),
            "{name}"
        );
        files
            .certtool(&format!("ca show --ca {name}.crt"))
            .done()
            .prints("leaf certificates, and CAs without limit");
    }
}

#[test]
fn kubeadms_directory_works_as_it_is() {
    let files = with_request();
    std::fs::create_dir(files.path("pki")).unwrap();
    files.openssl("genrsa -traditional -out pki/ca.key 2048");
    files.openssl(&format!(
        "req -new -x509 -key pki/ca.key -out pki/ca.crt -subj /CN=kubernetes -days 3650 {CA} -addext subjectAltName=DNS:kubernetes"
    ));
    let before = (files.list("pki"), files.read("pki/ca.crt"));
    files
        .certtool("sign --csr hook.csr --ca-dir pki --out hook.crt")
        .done();
    assert!(files.verifies("pki/ca.crt", "hook.crt", "hook.shop.svc"));
    assert_eq!(
        (files.list("pki"), files.read("pki/ca.crt")),
        before,
        "nothing was written there"
    );
}

#[test]
fn the_test_clusters_own_ca_signs() {
    let cluster = support::control_plane();
    let files = with_request();
    let pki = cluster.dir().join("pki");
    files
        .certtool(&format!(
            "sign --csr hook.csr --ca-dir {} --out hook.crt",
            pki.display()
        ))
        .done();
    assert!(files.verifies(
        pki.join("ca.crt").to_str().unwrap(),
        "hook.crt",
        "hook.shop.svc"
    ));
}

#[test]
fn what_is_no_ca_signs_nothing_and_the_reason_is_said() {
    let files = with_request();
    let make = |name: &str, options: &str| {
        files.openssl(&format!(
            "req -new -x509 -newkey rsa:2048 -nodes -keyout {name}.key -out {name}.crt -subj /CN={name} {options}"
        ));
    };
    make("good", &format!("-days 30 {CA}"));
    make(
        "leaf",
        "-days 30 -addext basicConstraints=critical,CA:FALSE",
    );
    make(
        "nosign",
        "-days 30 -addext keyUsage=critical,digitalSignature",
    );
    files.ca_between("expired", -20, -10);
    files.ca_between("future", 10, 20);
    files.openssl("req -new -newkey rsa:2048 -nodes -keyout v1.key -out v1.csr -subj /CN=v1");
    files.openssl("x509 -req -in v1.csr -signkey v1.key -days 30 -out v1.crt");
    files.openssl("pkey -in good.key -aes256 -passout pass:secret -out encrypted.key");
    files.openssl("rsa -in good.key -aes256 -passout pass:secret -traditional -out encrypted1.key");
    files.write("garbage", "nothing of use");
    files.write("cut.key", &files.read("good.key")[..900]);
    for (cert, key, why) in [
        ("leaf.crt", "leaf.key", "is not a CA"),
        ("v1.crt", "v1.key", "X.509 version 1"),
        ("nosign.crt", "nosign.key", "lacks keyCertSign"),
        ("expired.crt", "expired.key", "is not valid at"),
        ("future.crt", "future.key", "is not valid at"),
        (
            "good.crt",
            "leaf.key",
            "does not belong to the CA certificate CN=good",
        ),
        ("good.crt", "encrypted.key", "encrypted with a passphrase"),
        ("good.crt", "encrypted1.key", "encrypted with a passphrase"),
        ("good.crt", "garbage", "no private key found"),
        ("good.crt", "good.crt", "found CERTIFICATE"),
        ("good.crt", "cut.key", "malformed PEM"),
        (
            "garbage",
            "good.key",
            "could not read the CA certificate garbage",
        ),
        (
            "good.key",
            "good.key",
            "could not read the CA certificate good.key",
        ),
        (
            "hook.csr",
            "good.key",
            "could not read the CA certificate hook.csr",
        ),
        ("missing.crt", "good.key", "could not open missing.crt"),
        ("good.crt", "missing.key", "could not open missing.key"),
    ] {
        files
            .certtool(&format!(
                "sign --csr hook.csr --ca {cert} --ca-key {key} --out hook.crt"
            ))
            .ended(1)
            .prints_nothing()
            .explains(why)
            .says_nothing_of("panicked");
        assert!(!files.exists("hook.crt"), "{cert} {key}");
    }
    files
        .certtool("sign --csr hook.csr --ca good.crt --ca-key good.key --out hook.crt")
        .done();
    files
        .certtool("sign --csr hook.csr --ca-dir missing")
        .ended(1)
        .explains("certtool ca init --out-dir missing");
}

#[test]
fn a_chain_that_does_not_hold_is_refused() {
    let files = with_request();
    for name in ["one", "other"] {
        files.openssl(&format!(
            "req -new -x509 -newkey rsa:2048 -nodes -keyout {name}.key -out {name}.crt -subj /CN={name} -days 30 {CA}"
        ));
    }
    files.write(
        "chain.pem",
        files.read("one.crt") + &files.read("other.crt"),
    );
    files
        .certtool("sign --csr hook.csr --ca chain.pem --ca-key one.key")
        .ended(1)
        .prints_nothing()
        .explains("the chain is out of order");
}

#[test]
fn a_secret_of_the_usual_layout_works_with_its_root_in_ca_crt() {
    support::run(async {
        let world = World::new("layout").await;
        world.openssl(&format!("req -new -x509 -newkey rsa:2048 -nodes -keyout root.key -out root.crt -subj /CN=Root -days 30 {CA}"));
        world.openssl(
            "req -new -newkey rsa:2048 -nodes -keyout tls.key -out int.csr -subj /CN=Intermediate",
        );
        world.write(
            "ext",
            "basicConstraints=critical,CA:TRUE,pathlen:0\nkeyUsage=critical,keyCertSign\n",
        );
        world.openssl(
            "x509 -req -in int.csr -CA root.crt -CAkey root.key -days 20 -extfile ext -out tls.crt",
        );
        let data = json!({ "tls.crt": world.read("tls.crt"), "tls.key": world.read("tls.key"), "ca.crt": world.read("root.crt") });
        let secret = json!({ "metadata": { "name": "signer" }, "type": "kubernetes.io/tls", "stringData": data });
        let path = format!("/api/v1/namespaces/{}/secrets", world.namespace);
        world.api("POST", &path, &secret).await.unwrap();
        world
            .run("issue --name @hook --signer %S --service hook.%N --cert-dir serving --ca-secret %N/signer")
            .done();
        assert_eq!(
            world.read("serving/ca.crt"),
            world.read("root.crt"),
            "the root is to be trusted"
        );
        world.openssl(
            "verify -x509_strict -CAfile root.crt -untrusted serving/tls.crt serving/tls.crt",
        );
        assert_eq!(
            world
                .read("serving/tls.crt")
                .matches("BEGIN CERTIFICATE")
                .count(),
            2
        );

        let empty = json!({ "metadata": { "name": "empty" }, "stringData": { "ca.crt": "x" } });
        world.api("POST", &path, &empty).await.unwrap();
        world.csr("x", "DNS:x");
        world
            .run("sign --csr x.csr --ca-secret %N/empty")
            .ended(1)
            .explains("it has no tls.crt; a CA's Secret has tls.crt and tls.key");
    });
}
