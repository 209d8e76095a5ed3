//! What scripts rely on: formats, the environment, exit codes, and streams.

use std::{fs, process::Command};

use serde_json::{Value, json};

use crate::{
    Home,
    authorities::{EC, openssl_ca},
    home::{names, ran, under},
    judge,
};

#[test]
fn json_has_the_documented_keys_and_says_the_truth() {
    let home = Home::new();
    let ran = home.done(&["--service=hook.shop", "-o", "json"]);
    let report = ran.json();
    let keys = |value: &Value| {
        value
            .as_object()
            .unwrap()
            .keys()
            .cloned()
            .collect::<Vec<_>>()
    };
    assert_eq!(
        keys(&report),
        [
            "changed",
            "reason",
            "certDir",
            "certificate",
            "key",
            "caCertificate",
            "names",
            "notBefore",
            "notAfter",
            "serial",
            "fingerprint",
            "keyAlgorithm",
            "authority",
            "warnings",
        ]
    );
    let authority = [
        "subject",
        "certificate",
        "key",
        "notAfter",
        "fingerprint",
        "created",
    ];
    assert_eq!(keys(&report["authority"]), authority);
    assert_eq!(report["changed"], json!(true));
    assert_eq!(
        report["reason"],
        json!({"code": "Missing", "message": "there was no pair"})
    );
    assert_eq!(report["certDir"], json!(home.certs()));
    assert_eq!(report["certificate"], json!(home.certs().join("tls.crt")));
    assert_eq!(report["key"], json!(home.certs().join("tls.key")));
    assert_eq!(report["caCertificate"], json!(home.certs().join("ca.crt")));
    assert_eq!(
        report["authority"]["certificate"],
        json!(home.ca().join("ca.crt"))
    );
    assert!(names(&report).contains(&"DNS:hook.shop.svc".to_owned()));
    // The hint is on the other stream.
    assert!(ran.stderr.starts_with("next: "), "{}", ran.stderr);

    let words = "x509 -in tls.crt -noout -serial -fingerprint -sha256 -enddate -dateopt iso_8601";
    let seen = judge::openssl(&home.certs(), words);
    let said = |key: &str| report[key].as_str().unwrap().to_owned();
    let line = |name: &str| {
        let line = seen.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_else(|| panic!("{name}: {seen}"))
            .replace(':', "")
            .to_lowercase()
    };
    assert_eq!(
        line("serial=").trim_start_matches('0'),
        said("serial").trim_start_matches('0')
    );
    assert_eq!(line("sha256 Fingerprint="), said("fingerprint"));
    let until = said("notAfter").replace(['T', ':'], "").replace('Z', "z");
    assert_eq!(line("notAfter=").replace(' ', ""), until);
}

#[test]
fn yaml_says_the_same_as_json() {
    let home = Home::new();
    home.done(&[]);
    let yaml = home.done(&["-o", "yaml"]).stdout;
    let yaml: Value = serde_yaml::from_str(&yaml).unwrap();
    assert_eq!(yaml, home.report(&[]));
}

#[test]
fn name_is_the_directory_alone() {
    let home = Home::new();
    let expected = format!("{}\n", home.certs().display());
    assert_eq!(home.done(&["-o", "name"]).stdout, expected);
    assert_eq!(home.done(&["-o", "name"]).stdout, expected);
}

#[test]
fn quiet_leaves_the_result_and_errors_alone() {
    let home = Home::new();
    let ran = home.done(&["-q", "--validity=20y"]);
    assert_eq!(ran.stderr, "");
    assert_eq!(ran.line("certificate "), "written: there was no pair");
    home.refuses(&["-q", "-f", "missing"], &["missing"]);
    // Warnings are data too, and data is not silenced.
    home.done(&["--force"]);
    let report = home.report(&["-q", "--force", "--validity=20y"]);
    assert_eq!(report["warnings"].as_array().unwrap().len(), 1);
}

#[test]
fn messages_can_be_json_too() {
    let home = Home::new();
    let ran = home.done(&["--log-format=json", "--validity=20y"]);
    let messages = ran
        .stderr
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    let levels: Vec<_> = messages.map(|message| message["level"].clone()).collect();
    assert_eq!(levels, ["warning", "info"]);
    let refused = home.run(&["--log-format=json", "-f", "missing"]);
    let message: Value = serde_json::from_str(&refused.stderr).unwrap();
    assert_eq!((refused.code, &message["level"]), (1, &json!("error")));
    assert!(message["message"].as_str().unwrap().contains("missing"));
}

#[test]
fn every_long_option_has_an_environment_variable() {
    let home = Home::new();
    home.write("hook.yaml", include_bytes!("fixtures/kustomize-build.yaml"));
    let mut command = home.command(&[]);
    for (name, value) in [
        ("CERT_DIR", "certs"),
        ("CA_DIR", "ca"),
        ("HOST", "a.example,b.example"),
        ("SERVICE", "hook.shop"),
        ("FILENAME", "hook.yaml"),
        ("CLUSTER_DOMAIN", "corp.example"),
        ("VALIDITY", "36h"),
        ("ALGORITHM", "ed25519"),
        ("OUTPUT", "json"),
        ("QUIET", "1"),
    ] {
        command.env(format!("CERTTOOL_{name}"), value);
    }
    let done = ran(command);
    assert_eq!((done.code, done.stderr.as_str()), (0, ""), "{done:?}");
    let report = done.json();
    assert_eq!(report["certDir"], json!("certs"));
    assert_eq!(report["authority"]["key"], json!("ca/ca.key"));
    assert_eq!(report["keyAlgorithm"], json!("Ed25519"));
    judge::accepts(
        &home.path().join("certs"),
        &[
            "a.example",
            "b.example",
            "hook.shop.svc.corp.example",
            "operator-webhook-service.operator-system.svc",
        ],
    );
}

#[test]
fn flags_in_the_environment_are_switched_on_and_off_as_people_write_it() {
    let home = Home::new();
    home.done(&[]);
    for (value, changed) in [
        ("1", true),
        ("true", true),
        ("yes", true),
        ("on", true),
        ("0", false),
        ("false", false),
        ("no", false),
        ("off", false),
        ("", false),
    ] {
        let mut command = home.command(&["-o", "json"]);
        command.env("CERTTOOL_FORCE", value);
        assert_eq!(ran(command).json()["changed"], json!(changed), "{value:?}");
    }
    let mut command = home.command(&[]);
    command.env("CERTTOOL_FORCE", "perhaps");
    ran(command).is_refusal(2, &["--force", "perhaps"]);
}

#[test]
fn the_command_line_comes_before_the_environment() {
    let home = Home::new();
    openssl_ca(home.path(), "other", EC, "");
    let with = |args: &[&str], variables: &[(&str, &str)]| {
        let mut command = home.command(&[args, &["-o", "json", "--force"]].concat());
        command.envs(variables.iter().copied());
        let done = ran(command);
        assert_eq!(done.code, 0, "{args:?} {variables:?}: {done:?}");
        done.json()
    };
    let report = with(&["--cert-dir=typed"], &[("CERTTOOL_CERT_DIR", "variable")]);
    assert_eq!(report["certDir"], json!("typed"));
    // A typed option silences the variables that it conflicts with.
    let typed = ["--ca=other.crt", "--ca-key=other.key"];
    let report = with(&typed, &[("CERTTOOL_CA_DIR", "ca")]);
    assert_eq!(report["authority"]["subject"], json!("O=Org, CN=other"));
    let variables = [
        ("CERTTOOL_CA", "other.crt"),
        ("CERTTOOL_CA_KEY", "other.key"),
    ];
    assert_eq!(
        with(&[], &variables)["authority"]["subject"],
        json!("O=Org, CN=other")
    );
    let report = with(&["--ca-dir", "ca"], &variables);
    assert_eq!(report["authority"]["certificate"], json!("ca/ca.crt"));
    with(&["-v"], &[("CERTTOOL_QUIET", "1")]);
    // An empty variable is none.
    let report = with(&[], &[("CERTTOOL_CERT_DIR", ""), ("CERTTOOL_HOST", "")]);
    assert_eq!(report["certDir"], json!(home.certs()));
}

#[test]
fn a_reader_that_has_gone_is_no_error() {
    let home = Home::new();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = home.command(&[]);
    command.stdout(writer);
    let status = command.status().unwrap();
    assert!(status.success(), "{status}");
    judge::accepts(&home.certs(), &["localhost"]);
    // Nor are streams that were never open.
    let closed = ["sh", "-c", r#"exec "$0" "$@" >&- 2>&-"#];
    assert_eq!(ran(under(&closed, &home.command(&[]))).code, 0);
}

#[test]
fn a_result_that_cannot_be_written_is_an_error() {
    let home = Home::new();
    let full = ["sh", "-c", r#"exec "$0" "$@" >/dev/full"#];
    let refused = ran(under(&full, &home.command(&[])));
    refused.is_refusal(1, &["could not write to stdout", "No space left"]);
}

#[test]
fn colour_is_for_terminals_and_can_be_refused() {
    let home = Home::new();
    let escape = |args: &[&str]| {
        home.run(&[&["-f", "missing"], args].concat())
            .stderr
            .contains('\x1b')
    };
    assert!(!escape(&[]));
    assert!(escape(&["--color=always"]));
    assert!(!escape(&["--color=never"]));

    let on_terminal = |variables: &[(&str, &str)], args: &str| {
        let program = env!("CARGO_BIN_EXE_certtool");
        let mut command = Command::new("script");
        let path = std::env::var_os("PATH").unwrap();
        let line = format!("{program} local-dev -f missing {args}");
        command.args(["-q", "-e", "-c", &line, "/dev/null"]);
        command
            .env_clear()
            .env("PATH", path)
            .env("TERM", "xterm")
            .env("HOME", home.path());
        command
            .envs(variables.iter().copied())
            .current_dir(home.path());
        let ran = ran(command);
        assert_eq!(ran.code, 1, "{ran:?}");
        assert!(ran.stdout.contains("missing"), "{ran:?}");
        ran.stdout.contains("\x1b[")
    };
    if Command::new("script").arg("--version").output().is_err() {
        eprintln!("there is no script(1) here: terminals are not tested");
        return;
    }
    assert!(on_terminal(&[], ""));
    assert!(!on_terminal(&[("NO_COLOR", "1")], ""));
    assert!(on_terminal(&[("NO_COLOR", "")], ""));
    assert!(on_terminal(&[("NO_COLOR", "1")], "--color=always"));
    assert!(!on_terminal(&[], "--color=never"));
}

#[test]
fn a_key_is_shown_nowhere() {
    let home = Home::new();
    for format in ["table", "wide", "json", "yaml", "name"] {
        let ran = home.done(&["-vv", "--force", "-o", format]);
        let secrets = [home.certs().join("tls.key"), home.ca().join("ca.key")];
        for secret in secrets.map(|path| fs::read_to_string(path).unwrap()) {
            let body: Vec<_> = secret
                .lines()
                .filter(|line| !line.starts_with('-'))
                .collect();
            assert!(body.len() >= 2);
            for line in body {
                assert!(
                    !ran.stdout.contains(line) && !ran.stderr.contains(line),
                    "{format}"
                );
            }
        }
    }
}

#[test]
fn wrong_options_are_wrong_usage() {
    let home = Home::new();
    home.refuses_usage(&["--hots=x"], &["--hots", "--host"]);
    home.refuses_usage(&["--validity=10"], &["\"10\" is not a duration", "30d"]);
    home.refuses_usage(&["--validity=0s"], &["longer than zero"]);
    home.refuses_usage(&["--validity=-1h"], &["--validity"]);
    home.refuses_usage(
        &["--algorithm=rsa-1024"],
        &["rsa-1024", "ecdsa-p256", "rsa-4096"],
    );
    home.refuses_usage(&["-o", "xml"], &["xml", "json"]);
    home.refuses_usage(&["-q", "-v"], &["--quiet", "--verbose"]);
    home.refuses_usage(&["--cert-dir="], &["--cert-dir"]);
    home.refuses_usage(&["attahc"], &["attahc", "attach"]);
}
