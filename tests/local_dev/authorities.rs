//! CAs that something else made, and pairs of theirs.

use std::{fs, path::Path};

use serde_json::json;

use crate::{
    Home,
    judge::{self, openssl},
};

/// A self-signed CA of openssl's making: `NAME.crt` and `NAME.key`. `more` extends it.
pub(crate) fn openssl_ca(dir: &Path, name: &str, key: &str, more: &str) {
    openssl(dir, &format!("genpkey -out {name}.key {key}"));
    certify(dir, name, name, more);
}

/// A self-signed certificate for a key that is there. openssl leaves the key usage out.
fn certify(dir: &Path, name: &str, key: &str, more: &str) {
    let usage = match more {
        more if more.contains("keyUsage") => "",
        _ => "-addext keyUsage=critical,keyCertSign,cRLSign",
    };
    let words = "req -x509 -days 60";
    let files = format!("-key {key}.key -out {name}.crt -subj /O=Org/CN={name}");
    openssl(dir, &format!("{words} {files} {usage} {more}"));
}

pub(crate) const EC: &str = "-algorithm EC -pkeyopt ec_paramgen_curve:P-256";
pub(crate) const RSA: &str = "-algorithm RSA -pkeyopt rsa_keygen_bits:2048";

#[track_caller]
fn accepted(home: &Home, certificate: &str, key: &str) {
    let args = ["--ca", certificate, "--ca-key", key, "--host=a.example"];
    let read = || [certificate, key].map(|name| fs::read(home.path().join(name)).unwrap());
    let before = read();
    let report = home.report(&args);
    assert_eq!(report["changed"], json!(true), "{report}");
    assert_eq!(report["authority"]["certificate"], json!(certificate));
    judge::accepts(
        &home.certs(),
        &["localhost", "127.0.0.1", "::1", "a.example"],
    );
    assert_eq!(home.reason(&args), "unchanged", "{certificate}");
    // It is somebody else's, and there is no need of another.
    assert_eq!(read(), before);
    assert!(!home.ca().exists());
}

#[test]
fn an_rsa_ca_with_a_pkcs1_key_signs() {
    let home = Home::new();
    openssl_ca(home.path(), "rsa", RSA, "");
    openssl(home.path(), "rsa -in rsa.key -traditional -out pkcs1.key");
    let pem = fs::read_to_string(home.path().join("pkcs1.key")).unwrap();
    assert!(pem.starts_with("-----BEGIN RSA PRIVATE KEY-----"));
    accepted(&home, "rsa.crt", "pkcs1.key");
}

#[test]
fn an_ec_ca_with_a_sec1_key_and_its_parameters_signs() {
    let home = Home::new();
    // A parameters block comes before the key.
    openssl(home.path(), "ecparam -name secp384r1 -genkey -out sec1.key");
    let pem = fs::read_to_string(home.path().join("sec1.key")).unwrap();
    assert!(pem.starts_with("-----BEGIN EC PARAMETERS-----"));
    certify(home.path(), "ec", "sec1", "");
    accepted(&home, "ec.crt", "sec1.key");
}

#[test]
fn an_intermediate_is_served_with_its_chain_and_the_root_is_trusted() {
    let home = Home::new();
    let dir = home.path().to_owned();
    openssl_ca(&dir, "root", RSA, "");
    intermediate(&dir, "middle", "root", "pathlen:1");
    intermediate(&dir, "low", "middle", "pathlen:0");
    let read = |name| fs::read_to_string(dir.join(name)).unwrap();
    let chain = [read("low.crt"), read("middle.crt"), read("root.crt")].concat();
    fs::write(dir.join("chain.crt"), chain).unwrap();
    accepted(&home, "chain.crt", "low.key");
    let served = fs::read_to_string(home.certs().join("tls.crt")).unwrap();
    assert_eq!(served.matches("-----BEGIN").count(), 3, "leaf, low, middle");
    let bundle = fs::read_to_string(home.certs().join("ca.crt")).unwrap();
    let fingerprint = |file| openssl(&dir, &format!("x509 -in {file} -noout -fingerprint"));
    fs::write(dir.join("bundle.crt"), bundle).unwrap();
    assert_eq!(fingerprint("bundle.crt"), fingerprint("root.crt"));
}

#[test]
fn an_intermediate_without_its_root_is_trusted_itself() {
    let home = Home::new();
    openssl_ca(home.path(), "root", EC, "");
    intermediate(home.path(), "alone", "root", "pathlen:0");
    accepted(&home, "alone.crt", "alone.key");
}

/// A CA below another one.
fn intermediate(dir: &Path, name: &str, above: &str, path_length: &str) {
    openssl(dir, &format!("genpkey -out {name}.key {EC}"));
    let request = format!("req -new -key {name}.key -subj /CN={name} -out {name}.csr");
    openssl(dir, &request);
    let extensions = format!(
        "basicConstraints=critical,CA:TRUE,{path_length}\nkeyUsage=critical,keyCertSign\n\
         subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n"
    );
    fs::write(dir.join("extensions"), extensions).unwrap();
    let sign = format!("x509 -req -in {name}.csr -CA {above}.crt -CAkey {above}.key -days 50");
    openssl(dir, &format!("{sign} -extfile extensions -out {name}.crt"));
}

#[test]
fn a_ca_like_a_kubeadm_clusters_own_signs() {
    let home = Home::new();
    // RSA 2048, PKCS#1, usages beyond those of a CA, and a DNS name in the CA itself.
    let more = "-addext keyUsage=critical,digitalSignature,keyEncipherment,keyCertSign \
                -addext subjectAltName=DNS:kubernetes";
    openssl_ca(home.path(), "kubernetes", RSA, more);
    openssl(
        home.path(),
        "rsa -in kubernetes.key -traditional -out ca.key",
    );
    accepted(&home, "kubernetes.crt", "ca.key");
}

#[test]
fn a_ca_of_every_other_kind_of_key_signs() {
    for (name, key) in [
        ("ed25519", "-algorithm ED25519"),
        ("p521", "-algorithm EC -pkeyopt ec_paramgen_curve:P-521"),
        ("rsa3072", "-algorithm RSA -pkeyopt rsa_keygen_bits:3072"),
    ] {
        let home = Home::new();
        openssl_ca(home.path(), name, key, "");
        accepted(&home, &format!("{name}.crt"), &format!("{name}.key"));
    }
}

#[test]
fn a_ca_directory_may_hold_a_ca_that_openssl_made() {
    let home = Home::new();
    let dir = home.path().join("team");
    fs::create_dir(&dir).unwrap();
    openssl_ca(&dir, "ca", EC, "");
    let report = home.report(&["--ca-dir", "team"]);
    assert_eq!(report["authority"]["subject"], json!("O=Org, CN=ca"));
    assert_eq!(report["authority"]["created"], json!(null));
    judge::accepts(&home.certs(), &["localhost"]);
}

#[test]
fn another_ca_means_another_pair_and_back() {
    let home = Home::new();
    home.done(&["--host=kept.example"]);
    openssl_ca(home.path(), "other", EC, "");
    let with = ["--ca", "other.crt", "--ca-key", "other.key"];
    assert_eq!(home.reason(&with), "OtherCA");
    judge::accepts(&home.certs(), &["localhost", "kept.example"]);
    let report = home.report(&[]);
    let message = "the pair was signed by another CA (O=Org, CN=other)";
    assert_eq!(
        report["reason"],
        json!({"code": "OtherCA", "message": message})
    );
    judge::accepts(&home.certs(), &["localhost", "kept.example"]);
}

#[test]
fn a_ca_of_the_same_name_with_another_key_is_another_ca() {
    let home = Home::new();
    fs::create_dir_all(home.path().join("again")).unwrap();
    openssl_ca(home.path(), "twin", EC, "");
    openssl_ca(&home.path().join("again"), "twin", EC, "");
    home.done(&["--ca", "twin.crt", "--ca-key", "twin.key"]);
    let again = ["--ca", "again/twin.crt", "--ca-key", "again/twin.key"];
    assert_eq!(home.reason(&again), "OtherCA");
    judge::accepts(&home.certs(), &["localhost"]);
}

/// Plain files of a pair that openssl made.
fn foreign_pair(dir: &Path) {
    fs::create_dir_all(dir).unwrap();
    openssl_ca(
        dir,
        "foreign",
        EC,
        "-addext subjectAltName=DNS:theirs.example",
    );
    fs::rename(dir.join("foreign.crt"), dir.join("tls.crt")).unwrap();
    fs::rename(dir.join("foreign.key"), dir.join("tls.key")).unwrap();
}

#[test]
fn somebody_elses_pair_stays_unless_forced() {
    let home = Home::new();
    home.done(&["--cert-dir=elsewhere"]);
    foreign_pair(&home.certs());
    let file = home.certs().join("tls.crt");
    let words = [
        "the pair was signed by another CA (O=Org, CN=foreign)",
        file.to_str().unwrap(),
        "which certtool did not write",
        "--force",
        "--cert-dir",
    ];
    home.refuses(&[], &words);

    let report = home.report(&["--force"]);
    assert_eq!(report["reason"]["code"], json!("Forced"));
    judge::accepts(&home.certs(), &["localhost"]);
    judge::rejects(&home.certs(), "theirs.example");
    // From now on it is ours.
    assert_eq!(home.reason(&[]), "unchanged");
    assert_eq!(home.reason(&["--host=a.example"]), "NamesMissing");
}

#[test]
fn half_of_somebody_elses_pair_stays_too() {
    for lone in ["tls.crt", "tls.key", "ca.crt"] {
        let home = Home::new();
        home.done(&["--cert-dir=elsewhere"]);
        fs::create_dir_all(home.certs()).unwrap();
        fs::write(home.certs().join(lone), "theirs").unwrap();
        let path = home.certs().join(lone);
        home.refuses(&[], &[path.to_str().unwrap(), "did not write", "--force"]);
        assert_eq!(fs::read(path).unwrap(), b"theirs");
        home.done(&["--force"]);
        judge::accepts(&home.certs(), &["localhost"]);
    }
}

#[test]
fn somebody_elses_copy_of_a_good_pair_is_good() {
    let home = Home::new();
    home.done(&[]);
    let copy = home.path().join("copy");
    fs::create_dir(&copy).unwrap();
    for file in ["tls.crt", "tls.key", "ca.crt"] {
        fs::copy(home.certs().join(file), copy.join(file)).unwrap();
    }
    assert_eq!(home.reason(&["--cert-dir=copy"]), "unchanged");
}

#[test]
fn other_files_in_the_directory_stay_even_when_forced() {
    let home = Home::new();
    home.write("tmp/k8s-webhook-server/serving-certs/notes.txt", "mine");
    home.done(&[]);
    home.done(&["--force"]);
    home.done(&["--force"]);
    assert_eq!(fs::read(home.certs().join("notes.txt")).unwrap(), b"mine");
}
