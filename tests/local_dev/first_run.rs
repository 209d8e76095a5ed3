//! The first run: from nothing to files that a webhook server can use.

use std::{fs, process::Command};

use serde_json::{Value, json};

use crate::{
    Home,
    home::{mode, names, ran, under},
    judge,
};

#[test]
fn from_nothing_it_makes_a_ca_and_a_pair_that_openssl_accepts() {
    let home = Home::new();
    home.done(&[]);
    judge::accepts(&home.certs(), &["localhost", "127.0.0.1", "::1"]);
    judge::rejects(&home.certs(), "example.com");

    for file in ["tls.crt", "tls.key", "ca.crt"] {
        let content = fs::read_to_string(home.certs().join(file)).unwrap();
        assert_eq!(content.matches("-----BEGIN").count(), 1, "{file}");
    }
    let bundle = fs::read(home.certs().join("ca.crt")).unwrap();
    assert_eq!(bundle, fs::read(home.ca().join("ca.crt")).unwrap());
}

#[test]
fn keys_are_for_their_owner_alone_whatever_the_umask() {
    for umask in ["000", "022", "077", "277"] {
        let home = Home::new();
        let script = format!(r#"umask {umask}; exec "$0" "$@""#);
        let command = under(&["sh", "-c", &script], &home.command(&[]));
        let ran = ran(command);
        assert_eq!(ran.code, 0, "umask {umask}: {ran:?}");
        assert_eq!(mode(home.certs()), 0o700, "umask {umask}");
        assert_eq!(mode(home.ca()), 0o700, "umask {umask}");
        assert_eq!(mode(home.certs().join("tls.key")), 0o600, "umask {umask}");
        assert_eq!(mode(home.ca().join("ca.key")), 0o600, "umask {umask}");
        assert_eq!(mode(home.certs().join("tls.crt")), 0o644, "umask {umask}");
    }
}

#[test]
fn it_prints_what_it_wrote_for_which_names_until_when_and_the_next_step() {
    let home = Home::new();
    let ran = home.done(&["--host", "laptop.example", "--service", "hook.shop"]);
    let certs = home.certs().display().to_string();
    assert_eq!(ran.line("certificate "), "written: there was no pair");
    assert_eq!(
        ran.line("files "),
        format!("{certs}/tls.crt, tls.key, ca.crt")
    );
    let names = ran.line("names ");
    assert!(names.starts_with("localhost, 127.0.0.1, ::1, "), "{names}");
    let asked = "laptop.example, hook.shop, hook.shop.svc, hook.shop.svc.cluster.local";
    assert!(names.ends_with(asked), "{names}");
    let until = ran.line("valid until ");
    assert!(until.ends_with("Z (in 30 days)"), "{until}");
    let signed = ran.line("signed by ");
    let ca = home.ca().display().to_string();
    assert!(signed.starts_with("CN=certtool local CA "), "{signed}");
    assert!(
        signed.ends_with(&format!("(created a local CA in {ca})")),
        "{signed}"
    );
    // The next step is a hint, and hints are not the result.
    assert!(ran.stderr.starts_with("next: "), "{}", ran.stderr);
    assert!(ran.stderr.contains("local-dev attach"), "{}", ran.stderr);
    assert!(ran.stderr.contains("make run"), "{}", ran.stderr);
}

#[test]
fn with_another_directory_the_next_step_says_how_the_operator_finds_it() {
    let home = Home::new();
    let certs = home.path().join("a/b/certs");
    let ran = home.done(&["--cert-dir", certs.to_str().unwrap()]);
    let option = format!("--webhook-cert-path={}", certs.display());
    assert!(ran.stderr.contains(&option), "{}", ran.stderr);
    judge::accepts(&certs, &["localhost"]);
    assert!(!home.certs().exists());

    // The default directory by its name is the default directory.
    let ran = home.done(&["--cert-dir", home.certs().to_str().unwrap()]);
    assert!(!ran.stderr.contains("--webhook-cert-path"), "{ran:?}");
}

#[test]
fn the_ca_can_be_kept_elsewhere() {
    let home = Home::new();
    let dir = home.path().join("team ca");
    let report = home.report(&["--ca-dir", dir.to_str().unwrap()]);
    assert_eq!(mode(dir.join("ca.key")), 0o600);
    assert_eq!(report["authority"]["key"], json!(dir.join("ca.key")));
    assert!(!home.ca().exists());
    judge::accepts(&home.certs(), &["localhost"]);
}

#[test]
fn names_are_of_the_right_type_and_each_there_once() {
    let home = Home::new();
    let report = home.report(&[
        "--host=10.1.2.3",
        "--host=fd00::1",
        "--host=*.apps.example",
        "--host=LOCALHOST",
        "--host=a.example,b.example",
        "--service=hook.shop,other.shop",
        "--service=hook.shop",
        "--cluster-domain=corp.example",
    ]);
    let names: Vec<_> = names(&report);
    let machine = names.len() - 14;
    assert!(machine <= 1, "at most the machine's own name: {names:?}");
    assert_eq!(names[..3], ["DNS:localhost", "IP:127.0.0.1", "IP:::1"]);
    assert_eq!(
        names[3 + machine..],
        [
            "IP:10.1.2.3",
            "IP:fd00::1",
            "DNS:*.apps.example",
            "DNS:a.example",
            "DNS:b.example",
            "DNS:hook.shop",
            "DNS:hook.shop.svc",
            "DNS:hook.shop.svc.corp.example",
            "DNS:other.shop",
            "DNS:other.shop.svc",
            "DNS:other.shop.svc.corp.example",
        ]
    );
    let accepted = [
        "10.1.2.3",
        "fd00:0:0::1",
        "x.apps.example",
        "b.example",
        "hook.shop.svc",
        "other.shop.svc.corp.example",
    ];
    judge::accepts(&home.certs(), &accepted);
    judge::rejects(&home.certs(), "x.y.apps.example");
    judge::rejects(&home.certs(), "10.1.2.4");
}

#[test]
fn the_machines_own_name_is_covered() {
    if !can_rename_the_machine() {
        eprintln!("the machine cannot be given a name here: not tested");
        return;
    }
    let home = Home::new();
    let report = home.report_on("dev-laptop.example");
    assert!(
        names(&report).contains(&"DNS:dev-laptop.example".to_owned()),
        "{report}"
    );
    assert_eq!(report["warnings"], json!([]));
    judge::accepts(&home.certs(), &["dev-laptop.example"]);
}

#[test]
fn a_machine_name_that_no_certificate_can_carry_is_left_out_with_a_warning() {
    if !can_rename_the_machine() {
        eprintln!("the machine cannot be given a name here: not tested");
        return;
    }
    let home = Home::new();
    let report = home.report_on("Ann's laptop");
    assert_eq!(names(&report), ["DNS:localhost", "IP:127.0.0.1", "IP:::1"]);
    let warning = report["warnings"][0].as_str().unwrap();
    assert!(
        warning.contains("the machine's own name is left out"),
        "{warning}"
    );
    assert!(warning.contains("Ann's laptop"), "{warning}");
}

const RENAMED: [&str; 5] = ["unshare", "--map-root-user", "--uts", "sh", "-c"];

fn can_rename_the_machine() -> bool {
    let mut command = Command::new(RENAMED[0]);
    command.args(&RENAMED[1..]);
    command.arg("printf name > /proc/sys/kernel/hostname");
    command.output().is_ok_and(|output| output.status.success())
}

impl Home {
    #[track_caller]
    fn report_on(&self, machine: &str) -> Value {
        let script =
            format!(r#"printf '%s' "{machine}" > /proc/sys/kernel/hostname && exec "$0" "$@""#);
        let wrapper = [&RENAMED[..], &[&script]].concat();
        let ran = ran(under(&wrapper, &self.command(&["-o", "json"])));
        assert_eq!(ran.code, 0, "{ran:?}");
        ran.json()
    }
}

#[test]
fn every_algorithm_makes_a_pair_that_openssl_accepts() {
    for (algorithm, text) in [
        ("ecdsa-p256", "NIST CURVE: P-256"),
        ("ecdsa-p384", "NIST CURVE: P-384"),
        ("ed25519", "ED25519 Public-Key"),
        ("rsa-2048", "Public-Key: (2048 bit)"),
    ] {
        let home = Home::new();
        let report = home.report(&["--algorithm", algorithm]);
        judge::accepts(&home.certs(), &["localhost"]);
        let seen = judge::text(&home.certs());
        assert!(seen.contains(text), "{algorithm}: {seen}");
        let key = fs::read_to_string(home.certs().join("tls.key")).unwrap();
        assert!(
            key.starts_with("-----BEGIN PRIVATE KEY-----"),
            "no PKCS#8: {algorithm}"
        );
        assert_ne!(report["keyAlgorithm"], json!(null));
        // Without the option any algorithm will do.
        assert_eq!(home.reason(&[]), "unchanged");
        assert_eq!(home.reason(&["--algorithm", algorithm]), "unchanged");
    }
}

#[test]
fn the_leaf_says_what_a_serving_certificate_should_and_nothing_else() {
    let home = Home::new();
    home.done(&["--service", "hook.shop"]);
    let text = judge::text(&home.certs());
    for expected in [
        "Version: 3",
        "Subject: CN = hook.shop.svc",
        "TLS Web Server Authentication",
        "CA:FALSE",
        "Digital Signature",
        "X509v3 Authority Key Identifier",
    ] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
    for unexpected in ["CA:TRUE", "Certificate Sign", "Client Authentication"] {
        assert!(!text.contains(unexpected), "{unexpected}: {text}");
    }
}

#[test]
fn a_life_longer_than_the_cas_ends_with_it_and_that_is_said() {
    let home = Home::new();
    let report = home.report(&["--validity", "20y"]);
    assert_eq!(report["notAfter"], report["authority"]["notAfter"]);
    let warning = report["warnings"][0].as_str().unwrap();
    assert!(warning.contains("ends with its CA"), "{warning}");
    assert!(
        warning.contains(report["notAfter"].as_str().unwrap()),
        "{warning}"
    );
    judge::accepts(&home.certs(), &["localhost"]);
    assert_eq!(home.reason(&["--validity", "20y"]), "unchanged");
}

#[test]
fn validity_is_read_in_every_documented_form() {
    let home = Home::new();
    for (validity, left) in [
        ("90s", "90 seconds"),
        ("15m", "15 minutes"),
        ("36h", "36 hours"),
        ("30d", "30 days"),
        ("2w", "14 days"),
        ("1y", "365 days"),
        ("8760h", "365 days"),
    ] {
        let ran = home.done(&["--force", "--validity", validity]);
        let until = ran.line("valid until ");
        // A second may pass before it is printed, and then some.
        let seconds = validity == "90s" && until.contains("(in 8");
        assert!(
            seconds || until.ends_with(&format!("(in {left})")),
            "{until}"
        );
    }
}

#[test]
fn nothing_looks_for_a_cluster() {
    let home = Home::new();
    let kubeconfig = home.write("kubeconfig", "this is no kubeconfig: [");
    let mut command = home.command(&[]);
    command.env("KUBECONFIG", kubeconfig);
    command.args(["--context", "nowhere"]);
    assert_eq!(ran(command).code, 0);
}
