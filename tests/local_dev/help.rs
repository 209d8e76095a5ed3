//! The help: it fits, and it is true.

use std::process::Command;

use crate::{Home, Ran, home::ran, support};

const COMMANDS: [&[&str]; 7] = [
    &[],
    &["local-dev"],
    &["local-dev", "attach"],
    &["local-dev", "detach"],
    &["local-dev", "run"],
    &["local-dev", "status"],
    &["completion"],
];

fn certtool(args: &[&str], columns: &str) -> Ran {
    let home = Home::new();
    let mut command = support::certtool(home.path());
    command.args(args).env("COLUMNS", columns);
    let ran = ran(command);
    assert_eq!(ran.code, 0, "{args:?}: {ran:?}");
    assert_eq!(ran.stderr, "", "{args:?}");
    ran
}

#[test]
fn every_help_fits_a_hundred_columns_and_a_terminal_of_eighty() {
    for command in COMMANDS {
        for option in ["-h", "--help"] {
            for (columns, width) in [("", 100), ("80", 80), ("300", 100)] {
                let help = certtool(&[command, &[option]].concat(), columns).stdout;
                let long = help.lines().find(|line| line.chars().count() > width);
                assert_eq!(long, None, "{command:?} {option} at {columns:?}");
            }
        }
    }
}

#[test]
fn the_help_names_what_the_contract_names() {
    let help = certtool(&["local-dev", "--help"], "100").stdout;
    for option in [
        "--cert-dir <DIR>",
        "--ca-dir <DIR>",
        "--ca <FILE>",
        "--ca-key <FILE>",
        "--service <NAME.NAMESPACE>",
        "--host <HOST>",
        "-f, --filename <FILE|DIR|->",
        "--validity <DURATION>",
        "[default: 30d]",
        "--algorithm <ALGORITHM>",
        "ecdsa-p256 (default)",
        "--cluster-domain <DOMAIN>",
        "[default: cluster.local]",
        "--force",
        "k8s-webhook-server/serving-certs",
    ] {
        assert!(help.contains(option), "{option}: {help}");
    }
    let root = certtool(&["--help"], "100").stdout;
    for promise in [
        "Exit codes: 0 done",
        "124 timed out",
        "CERTTOOL_CERT_DIR",
        "NO_COLOR",
    ] {
        assert!(root.contains(promise), "{promise}: {root}");
    }
}

#[test]
fn the_algorithms_of_the_help_are_the_ones_that_are_accepted() {
    let help = certtool(&["local-dev", "-h"], "100").stdout;
    let words: Vec<_> = help.split([' ', ',', '\n']).collect();
    for algorithm in [
        "ecdsa-p256",
        "ecdsa-p384",
        "ed25519",
        "rsa-2048",
        "rsa-3072",
        "rsa-4096",
    ] {
        assert!(words.contains(&algorithm), "{algorithm}: {help}");
    }
    // Read, not made: a key of this size takes seconds.
    let home = Home::new();
    for algorithm in ["rsa-3072", "rsa-4096"] {
        home.refuses(&["-f", "missing", "--algorithm", algorithm], &["missing"]);
    }
}

#[test]
fn as_a_kubectl_plugin_it_calls_itself_so() {
    let home = Home::new();
    let plugin = home.path().join("kubectl-certtool");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_certtool"), &plugin).unwrap();
    let mut command = Command::new(plugin);
    command.args(["local-dev", "--help"]);
    let help = ran(command).stdout;
    assert!(help.contains("Usage: kubectl certtool local-dev"), "{help}");
}
