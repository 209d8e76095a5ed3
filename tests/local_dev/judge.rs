//! openssl, which knows nothing of certtool, says what a certificate is worth.

use std::{path::Path, process::Command};

use crate::{LIMIT, support};

/// Runs openssl with these words, and it succeeds; what it printed.
#[track_caller]
pub(crate) fn openssl(dir: &Path, words: &str) -> String {
    let (success, text) = try_openssl(dir, words);
    assert!(success, "openssl {words}: {text}");
    text
}

fn try_openssl(dir: &Path, words: &str) -> (bool, String) {
    let mut command = Command::new("openssl");
    command.args(words.split_whitespace()).current_dir(dir);
    let output = support::output(command, LIMIT);
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(text).unwrap())
}

/// The pair in a directory is one that a TLS client accepts for these names, given
/// `ca.crt` alone, and its key belongs to it.
#[track_caller]
pub(crate) fn accepts(certs: &Path, names: &[&str]) {
    for name in names {
        let (success, text) = verify(certs, name);
        assert!(success, "{name}: {text}");
    }
    let certificate = openssl(certs, "x509 -in tls.crt -noout -pubkey");
    let key = openssl(certs, "pkey -in tls.key -pubout");
    assert_eq!(certificate, key, "the key belongs to another certificate");
}

/// It does not accept it for this one.
#[track_caller]
pub(crate) fn rejects(certs: &Path, name: &str) {
    let (success, text) = verify(certs, name);
    assert!(!success && text.contains("mismatch"), "{name}: {text}");
}

fn verify(certs: &Path, name: &str) -> (bool, String) {
    let is_address = name.parse::<std::net::IpAddr>().is_ok();
    let option = if is_address {
        "-verify_ip"
    } else {
        "-verify_hostname"
    };
    // What is sent to a client is all it has: nothing from the system's own store.
    let words = format!(
        "verify -x509_strict -purpose sslserver -no-CApath -no-CAstore -partial_chain \
         -CAfile ca.crt -untrusted tls.crt {option} {name} tls.crt"
    );
    try_openssl(certs, &words)
}

/// `openssl x509 -text` of the certificate.
#[track_caller]
pub(crate) fn text(certs: &Path) -> String {
    openssl(certs, "x509 -in tls.crt -noout -text")
}
