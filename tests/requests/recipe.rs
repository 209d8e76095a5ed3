//! The hand-made recipe from its own JSON files, step by step and in one command.

use crate::{
    Files, World,
    files::{Said, now},
    support,
    world::certificate,
};

/// `cfssl genkey`'s input: Service names, an address, ECDSA.
const SERVER: &str = r#"{
  "hosts": ["hook.shop.svc.cluster.local", "hook.shop.svc", "172.22.109.184", "127.0.0.1"],
  "CN": "hook.shop.svc",
  "key": { "algo": "ecdsa", "size": 256 }
}"#;

/// `cfssl gencert -initca`'s input.
const CA: &str = r#"{ "CN": "My Example Signer", "key": { "algo": "rsa", "size": 2048 } }"#;

/// `cfssl sign -config`'s input.
const SIGNING: &str = r#"{ "signing": { "default": {
  "usages": ["digital signature", "key encipherment", "server auth"],
  "expiry": "876000h",
  "ca_constraint": { "is_ca": false }
}}}"#;

fn write_recipe(files: &Files) {
    files.write("server.json", SERVER);
    files.write("ca.json", CA);
    files.write("signing.json", SIGNING);
}

/// The certificate is the one that the recipe gives.
fn assert_is_the_recipes(files: &Files, certificate: &str) {
    assert_eq!(
        files.x509(certificate, "-subject"),
        "subject=CN = hook.shop.svc"
    );
    assert_eq!(
        files.x509(certificate, "-issuer"),
        "issuer=CN = My Example Signer"
    );
    let names = files.x509(certificate, "-ext subjectAltName");
    for name in [
        "DNS:hook.shop.svc.cluster.local",
        "DNS:hook.shop.svc,",
        "IP Address:172.22.109.184",
        "IP Address:127.0.0.1",
    ] {
        assert!(names.contains(name), "{name} in {names}");
    }
    let usages = files.x509(
        certificate,
        "-ext keyUsage,extendedKeyUsage,basicConstraints",
    );
    for usage in [
        "Digital Signature, Key Encipherment",
        "TLS Web Server Authentication",
        "CA:FALSE",
    ] {
        assert!(usages.contains(usage), "{usage} in {usages}");
    }
    for host in ["hook.shop.svc", "172.22.109.184", "127.0.0.1"] {
        assert!(files.verifies("ca/ca.crt", certificate, host), "{host}");
    }
    assert!(!files.verifies("ca/ca.crt", certificate, "other.shop.svc"));
    // A hundred years, but never longer than the CA.
    assert_eq!(files.not_after(certificate), files.not_after("ca/ca.crt"));
}

#[test]
fn the_recipe_step_by_step_gives_a_pair_from_the_same_files() {
    support::run(async {
        let world = World::new("recipe").await;
        write_recipe(&world);
        world
            .run("genkey --from server.json")
            .done()
            .prints("server-key.pem")
            .explains("next: certtool submit");
        assert_eq!(world.mode("server-key.pem"), 0o600);
        world
            .run("submit server.csr --name @hook --signer %S")
            .done()
            .prints("created");
        world
            .run("list --signer %S --pending")
            .done()
            .prints("172.22.109.184");
        world
            .run("approve @hook")
            .done()
            .prints("CN=hook.shop.svc")
            .prints("IP:172.22.109.184");
        world
            .run("ca init --from ca.json --out-dir ca")
            .done()
            .prints("CN=My Example Signer")
            .prints("RSA 2048");
        world
            .run("sign @hook --ca-dir ca --config signing.json")
            .done()
            .prints("signed, valid until")
            .explains("a certificate ends with its CA");
        world
            .run("fetch @hook --key server-key.pem --ca ca/ca.crt --out-dir serving")
            .done()
            .prints("serving/tls.crt");

        world.assert_pair("serving/tls.crt", "serving/tls.key");
        assert_is_the_recipes(&world, "serving/tls.crt");
        let object = world.object("hook").await;
        assert_eq!(
            certificate(&object).unwrap(),
            world.read("serving/tls.crt"),
            "what the cluster has is what is served"
        );
        let usages = ["digital signature", "key encipherment", "server auth"];
        assert_eq!(object["spec"]["usages"], serde_json::json!(usages));
        world
            .run("fetch @hook")
            .done()
            .prints("-----BEGIN CERTIFICATE-----");
    });
}

#[test]
fn the_recipe_in_one_command_gives_the_same_and_changes_nothing_the_second_time() {
    support::run(async {
        let world = World::new("issue").await;
        write_recipe(&world);
        world.run("ca init --from ca.json --out-dir ca").done();
        let issue = "issue --from server.json --name @hook --signer %S --cert-dir serving \
                     --ca-dir ca --config signing.json";
        // However much is said, no key is in it.
        let mut verbose = world.command(issue);
        verbose.args(["-vv", "--log-format", "json"]);
        Said::of(verbose)
            .done()
            .prints("certificate  issued")
            .explains(r#"{"level":"debug""#);
        world.assert_pair("serving/tls.crt", "serving/tls.key");
        assert_eq!(world.mode("serving/tls.key"), 0o600);
        assert_is_the_recipes(&world, "serving/tls.crt");
        assert_eq!(world.read("serving/ca.crt"), world.read("ca/ca.crt"));
        let object = world.object("hook").await;
        let pair = world.read("serving/tls.crt");

        world.run(issue).done().prints("certificate  unchanged");
        assert_eq!(world.object("hook").await, object);
        assert_eq!(world.read("serving/tls.crt"), pair);
        // The key and the request of the work in progress are gone.
        let left = world.list("serving");
        assert!(left.iter().all(|name| !name.contains("issue")), "{left:?}");
    });
}

#[test]
fn the_ca_may_be_cfssls_own_with_its_file_names() {
    let files = Files::new();
    write_recipe(&files);
    // What `cfssl gencert -initca ca.json | cfssljson -bare ca` writes: PKCS#1.
    files.openssl("genrsa -traditional -out ca-key.pem 2048");
    files.openssl(
        "req -new -x509 -key ca-key.pem -out ca.pem -days 1825 -subj /CN=My-Signer -addext keyUsage=critical,keyCertSign,cRLSign",
    );
    files.certtool("genkey --from server.json").done();
    files
        .certtool("sign --csr server.csr --ca ca.pem --ca-key ca-key.pem --config signing.json --out tls.crt")
        .done()
        .prints("tls.crt written, valid until");
    assert!(files.verifies("ca.pem", "tls.crt", "172.22.109.184"));
    let from_now = files.not_after("tls.crt") - now();
    assert!((1824..=1825).contains(&(from_now / 86_400)), "{from_now}");
}
