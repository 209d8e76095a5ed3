//! `sign --csr`: files, directories, stdin and stdout.

use serde_json::json;

use crate::{
    Files,
    files::{EC, Said},
};

fn with_ca() -> Files {
    let files = Files::new();
    files.certtool("ca init --out-dir ca").done();
    files
}

#[test]
fn one_request_goes_to_stdout_or_to_a_file() {
    let files = with_ca();
    files.csr("hook", "DNS:hook.shop.svc,IP:10.0.0.1");
    let said = files.certtool("sign --csr hook.csr --ca-dir ca").done();
    assert!(said.stdout.starts_with("-----BEGIN CERTIFICATE-----\n"));
    files.write("stdout.crt", &said.stdout);
    assert!(files.verifies("ca/ca.crt", "stdout.crt", "10.0.0.1"));
    let said = files
        .certtool_reading("hook.csr", "sign --csr - --out - --ca-dir ca")
        .done();
    files.write("piped.crt", &said.stdout);
    assert!(files.verifies("ca/ca.crt", "piped.crt", "hook.shop.svc"));
    assert_ne!(
        files.x509("stdout.crt", "-serial"),
        files.x509("piped.crt", "-serial")
    );

    files
        .certtool("sign --csr hook.csr --ca-dir ca --out hook.crt")
        .done()
        .prints("hook.crt written, valid until");
    let written = files.read("hook.crt");
    files
        .certtool("sign --csr hook.csr --ca-dir ca --out hook.crt")
        .ended(1)
        .explains("hook.crt exists, and is not overwritten without --force");
    assert_eq!(files.read("hook.crt"), written);
    files
        .certtool("sign --csr hook.csr --ca-dir ca --out hook.crt --force")
        .done();
    assert_ne!(files.read("hook.crt"), written);
    let data = files
        .certtool("sign --csr hook.csr --ca-dir ca --out new.crt -o json")
        .done()
        .json();
    assert_eq!(data["items"][0]["certificate"], "new.crt");
}

#[test]
fn a_dry_run_makes_no_certificate() {
    let files = with_ca();
    files.csr("hook", "DNS:hook.shop.svc");
    files
        .certtool("sign --csr hook.csr --ca-dir ca --dry-run")
        .done()
        .prints_nothing()
        .explains("would be signed");
    files
        .certtool("sign --csr hook.csr --ca-dir ca --out hook.crt --dry-run")
        .done()
        .prints("(dry run)");
    files
        .certtool("sign --csr hook.csr --ca-dir ca --out-dir out --dry-run")
        .done()
        .prints("signed 1, not signed 0 (dry run)");
    assert!(!files.exists("hook.crt") && !files.exists("out"));
}

#[test]
fn the_good_of_a_directory_are_signed_and_the_bad_are_said_with_the_reason() {
    let files = with_ca();
    std::fs::create_dir(files.path("csrs")).unwrap();
    // Two names that differ after a dot.
    for name in ["hook.shop", "hook.web", "plain"] {
        files.csr(&format!("csrs/{name}"), &format!("DNS:{name}.svc"));
    }
    files.write("csrs/garbage.csr", "not a request");
    files.write("csrs/certificate.csr", files.read("ca/ca.crt"));
    files.write("csrs/notes.txt", "not looked at");
    std::fs::create_dir(files.path("csrs/directory.csr")).unwrap();
    let said = files
        .certtool("sign --csr csrs --ca-dir ca --out-dir out")
        .ended(1)
        .prints("signed 3, not signed 3\n")
        .explains("csrs/garbage.csr: no certificate signing request found")
        .explains("csrs/certificate.csr: no certificate signing request found, but a CERTIFICATE")
        .explains("csrs/directory.csr: ");
    assert!(!said.stderr.contains("notes.txt"));
    assert_eq!(
        files.list("out"),
        ["hook.shop.crt", "hook.web.crt", "plain.crt"]
    );
    for name in ["hook.shop", "hook.web", "plain"] {
        assert!(files.verifies(
            "ca/ca.crt",
            &format!("out/{name}.crt"),
            &format!("{name}.svc")
        ));
        files.assert_pair(&format!("out/{name}.crt"), &format!("csrs/{name}.key"));
    }

    // Again: nothing is overwritten, and the new one is signed all the same.
    let before = files.read("out/plain.crt");
    files.csr("csrs/new", "DNS:new.svc");
    files
        .certtool("sign --csr csrs/plain.csr --csr csrs/new.csr --ca-dir ca --out-dir out")
        .ended(1)
        .prints("signed 1, not signed 1\n")
        .explains("out/plain.crt exists, and is not overwritten without --force");
    assert_eq!(files.read("out/plain.crt"), before);
    let data = files
        .certtool("sign --csr csrs --ca-dir ca --out-dir out --force -o json")
        .ended(1)
        .json();
    let items = data["items"].as_array().unwrap();
    assert_eq!(items.len(), 7);
    let failed = items
        .iter()
        .filter(|item| item["error"].is_string())
        .count();
    assert_eq!(failed, 3);
    assert!(
        items
            .iter()
            .all(|item| item["certificate"].is_string() != item["error"].is_string())
    );
    assert_ne!(files.read("out/plain.crt"), before);
}

#[test]
fn every_certificate_of_many_has_a_serial_number_of_its_own() {
    let files = with_ca();
    std::fs::create_dir(files.path("csrs")).unwrap();
    files.csr("csrs/r0", "DNS:hook.shop.svc");
    for n in 1..200 {
        std::fs::copy(
            files.path("csrs/r0.csr"),
            files.path(&format!("csrs/r{n}.csr")),
        )
        .unwrap();
    }
    files
        .certtool("sign --csr csrs --ca-dir ca --out-dir out")
        .done()
        .prints("signed 200, not signed 0");
    let serials: std::collections::HashSet<_> = files
        .list("out")
        .iter()
        .map(|name| {
            let pem = std::fs::read(files.path(&format!("out/{name}"))).unwrap();
            certtool::pki::Certificate::all_from_pem(&pem).unwrap()[0]
                .serial
                .clone()
        })
        .collect();
    assert_eq!(serials.len(), 200);
}

#[test]
fn where_certificates_go_must_be_clear() {
    let files = with_ca();
    std::fs::create_dir_all(files.path("a")).unwrap();
    std::fs::create_dir_all(files.path("b")).unwrap();
    std::fs::create_dir_all(files.path("none")).unwrap();
    files.csr("a/hook", "DNS:hook.shop.svc");
    std::fs::copy(files.path("a/hook.csr"), files.path("b/hook.csr")).unwrap();
    for (words, code, why) in [
        ("--csr a/hook.csr --csr b/hook.csr", 2, "--out-dir"),
        ("--csr a", 2, "--out-dir"),
        ("--csr a/hook.csr --out x --out-dir out", 2, "--out-dir"),
        ("--csr - --out-dir out", 2, "from stdin has no name"),
        (
            "--csr a/hook.csr --csr b/hook.csr --out-dir out",
            1,
            "would both become out/hook.crt",
        ),
        (
            "--csr none --out-dir out",
            1,
            "no .csr file in this directory",
        ),
        ("--csr nothing.csr", 1, "could not open nothing.csr"),
    ] {
        files
            .certtool(&format!("sign {words} --ca-dir ca"))
            .ended(code)
            .prints_nothing()
            .explains(why);
        assert!(!files.exists("out"), "{words}");
    }
    files
        .certtool("sign --csr a/hook.csr")
        .ended(2)
        .explains("which CA signs?");
    // Given twice, it is signed once.
    files
        .certtool("sign --csr a --csr a/hook.csr --ca-dir ca --out-dir out")
        .done()
        .prints("signed 1, not signed 0");
}

#[test]
fn options_say_what_the_certificate_says() {
    let files = with_ca();
    files.csr("hook", "DNS:hook.shop.svc");
    let mut command = files.command("sign --csr hook.csr --ca-dir ca --validity 12h --host new.shop.svc --host 10.9.8.7 --out hook.crt");
    command.args(["--usage", "client auth", "--usage", "digital signature"]);
    Said::of(command).done();
    let names = files.x509("hook.crt", "-ext subjectAltName");
    assert!(
        names.contains("DNS:new.shop.svc, IP Address:10.9.8.7"),
        "{names}"
    );
    assert!(!names.contains("hook.shop.svc"), "{names}");
    let usages = files.x509("hook.crt", "-ext extendedKeyUsage");
    assert!(
        usages.contains("Client") && !usages.contains("Server"),
        "{usages}"
    );
    let hours = (files.not_after("hook.crt") - crate::files::now()) / 3600;
    assert!((11..=12).contains(&hours), "{hours}");
}

#[test]
fn nothing_but_key_and_names_is_taken_from_a_request() {
    let files = with_ca();
    files.openssl(&format!(
        "req -new {EC} -keyout k -out hook.csr -subj /CN=hook -addext subjectAltName=DNS:hook.shop.svc \
         -addext basicConstraints=critical,CA:TRUE,pathlen:3 -addext keyUsage=keyCertSign -addext extendedKeyUsage=codeSigning -addext 1.2.3.4=DER:0500"
    ));
    files
        .certtool("sign --csr hook.csr --ca-dir ca --out hook.crt")
        .done();
    let text = files.x509("hook.crt", "-text");
    assert!(text.contains("CA:FALSE"), "{text}");
    for never in ["CA:TRUE", "Certificate Sign", "Code Signing", "1.2.3.4"] {
        assert!(!text.contains(never), "{never} in {text}");
    }
    // The signing config refuses what it cannot mean.
    let profile = json!({ "usages": ["server auth"], "expiry": "24h" });
    files.write(
        "signing.json",
        json!({ "signing": { "default": profile } }).to_string(),
    );
    files
        .certtool("sign --csr hook.csr --ca-dir ca --config signing.json")
        .ended(1)
        .prints_nothing()
        .explains("the request asks for a CA certificate");
}

#[test]
fn many_are_signed_with_a_progress_bar_on_a_terminal_and_without_one_in_a_script() {
    let files = with_ca();
    std::fs::create_dir(files.path("csrs")).unwrap();
    for name in ["a", "b", "c"] {
        files.csr(&format!("csrs/{name}"), &format!("DNS:{name}.svc"));
    }
    let sign = "sign --csr csrs --ca-dir ca --out-dir out --force";
    let said = files.certtool(sign).done();
    assert_eq!(said.stderr, "");
    let program = files.command(sign);
    let shell = format!("{} {sign}", program.get_program().to_str().unwrap());
    for (shell, shown) in [(shell.clone(), true), (format!("{shell} -q"), false)] {
        let mut command = std::process::Command::new("script");
        command
            .args(["-qec", &shell, "/dev/null"])
            .current_dir(files.home());
        let said = Said::of(command).done().prints("signed 3, not signed 0");
        assert_eq!(said.stdout.contains("3/3"), shown, "{}", said.stdout);
    }
}

#[test]
fn a_profile_that_signs_nothing_is_named_with_its_file_before_any_request_is_read() {
    let files = with_ca();
    std::fs::create_dir(files.path("csrs")).unwrap();
    files.csr("csrs/a", "DNS:a.svc");
    files.csr("csrs/b", "DNS:b.svc");
    files.write(
        "signing.json",
        r#"{ "signing": { "default": { "expiry": "24h" } } }"#,
    );
    let said = files
        .certtool("sign --csr csrs --ca-dir ca --out-dir out --config signing.json")
        .ended(1)
        .prints_nothing()
        .explains("signing.json: the default profile has no \"usages\"");
    assert_eq!(said.stderr.matches("usages").count(), 1, "{said:?}");
    assert!(!files.exists("out"));
}
