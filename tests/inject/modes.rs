//! merge, replace and prune, and what becomes of placeholders.

use base64::{Engine, engine::general_purpose::STANDARD};
use time::Duration;

use crate::support::pki::Ca;
use crate::{Home, hook};

fn with_bundle(bundle: &str) -> String {
    hook(&format!("    caBundle: {bundle}\n    url: https://x\n"))
}

/// An expired CA in `old.crt`.
fn expired(home: &Home) {
    let mut params = rcgen::CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params
        .distinguished_name
        .push(rcgen::DnType::CommonName, "old");
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let now = time::OffsetDateTime::now_utc();
    params.not_before = now - Duration::days(9);
    params.not_after = now - Duration::days(1);
    let key = rcgen::KeyPair::generate().unwrap();
    home.write("old.crt", params.self_signed(&key).unwrap().pem());
}

/// The subjects in the only caBundle.
fn subjects(home: &Home, manifest: &str) -> Vec<String> {
    let text = manifest.split("caBundle: ").nth(1).unwrap();
    let base64 = text.split_whitespace().next().unwrap();
    let pem = STANDARD.decode(base64).unwrap();
    let mut names: Vec<_> = String::from_utf8(pem)
        .unwrap()
        .split_inclusive("-----END CERTIFICATE-----\n")
        .map(|block| {
            let known = ["ca.crt", "other.crt", "old.crt"].into_iter();
            known
                .filter(|file| home.path(file).exists())
                .find(|file| home.read(file) == block)
                .unwrap()
                .to_owned()
        })
        .collect();
    names.sort();
    names
}

#[test]
fn merge_keeps_what_is_valid_replace_and_prune_do_what_they_say() {
    let home = Home::new();
    expired(&home);
    let before = with_bundle(&home.base64(&["other.crt", "old.crt"]));
    let after = home.injected(&before);
    assert_eq!(subjects(&home, &after), ["ca.crt", "other.crt"]);
    home.piped(&before, "inject --ca ca.crt --mode merge")
        .done()
        .explains(&["no longer in a caBundle: CN=old"]);
    let replaced = home
        .piped(&before, "inject --ca ca.crt --mode replace")
        .done();
    assert_eq!(subjects(&home, &replaced.stdout), ["ca.crt"]);
    let pruned = home.piped(&before, "inject --mode prune").done();
    assert_eq!(subjects(&home, &pruned.stdout), ["other.crt"]);
    home.piped(&before, "inject --ca ca.crt --mode other")
        .refused(2, &["\"other\" is not a mode: merge, replace or prune"]);
    let several = home
        .piped(with_bundle("Cg=="), "inject --ca ca.crt --ca other.crt")
        .done();
    assert_eq!(subjects(&home, &several.stdout), ["ca.crt", "other.crt"]);
}

#[test]
fn placeholders_are_repaired() {
    let home = Home::new();
    for placeholder in [
        "Cg==",
        "",
        "\"\"",
        "' '",
        "null",
        "~",
        "${CA_BUNDLE}",
        "Cgo=",
    ] {
        let after = home.injected(with_bundle(placeholder));
        assert_eq!(subjects_quoted(&home, &after), 1, "{after}");
    }
}

fn subjects_quoted(home: &Home, manifest: &str) -> usize {
    manifest.matches(&home.base64(&["ca.crt"])).count()
}

#[test]
fn the_order_of_the_same_certificates_is_nobodys_business() {
    let home = Home::new();
    for files in [["ca.crt", "other.crt"], ["other.crt", "ca.crt"]] {
        let before = with_bundle(&home.base64(&files));
        assert_eq!(home.injected(&before), before);
    }
}

#[test]
fn the_ca_of_a_directory_is_taken() {
    let home = Home::new();
    home.write("dir/ca.crt", Ca::new("ours").pem);
    let said = home
        .piped(with_bundle("Cg=="), "inject --ca-dir dir")
        .done();
    assert!(said.stdout.contains(&home.base64(&["dir/ca.crt"])));
}
