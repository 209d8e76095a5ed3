//! Later runs: nothing when nothing is to be done, and otherwise why.

use std::{fs, thread, time::Duration as StdDuration};

use rcgen::ExtendedKeyUsagePurpose;
use serde_json::json;
use time::Duration;

use crate::{
    Home,
    home::{assert_unchanged, names, snapshot},
    judge,
    made::Leaf,
};

#[test]
fn a_second_run_says_unchanged_and_touches_no_file() {
    let home = Home::new();
    let args = ["--host=a.example", "--service=hook.shop"];
    home.done(&args);
    let before = snapshot(home.path());
    let ran = home.done(&args);
    let unchanged = "unchanged: the pair is valid, matches and covers the names";
    assert_eq!(ran.line("certificate "), unchanged);
    assert!(!ran.stdout.contains("created"), "{ran:?}");
    // With fewer names, another life, or in another form, too.
    home.done(&[]);
    home.done(&["--validity=1y", "-o", "yaml"]);
    let report = home.report(&["--service=hook.shop"]);
    assert_eq!(report["changed"], json!(false));
    assert_eq!(report["reason"], json!(null));
    assert_eq!(report["authority"]["created"], json!(null));
    assert_unchanged(&before, home.path());
}

#[test]
fn a_read_only_ca_and_pair_are_enough_for_an_unchanged_run() {
    let home = Home::new();
    let before = home.report(&[]);
    for dir in [home.certs(), home.ca()] {
        let mut permissions = fs::metadata(&dir).unwrap().permissions();
        permissions.set_readonly(true);
        fs::set_permissions(&dir, permissions).unwrap();
    }
    let after = home.report(&[]);
    assert_eq!(after["changed"], json!(false));
    assert_eq!(after["fingerprint"], before["fingerprint"]);
}

#[test]
fn a_name_added_is_named_and_the_names_before_it_stay() {
    let home = Home::new();
    home.done(&["--host=old.example", "--service=hook.shop"]);
    let report = home.report(&["--host=new.example"]);
    let message = "the certificate lacked new.example";
    assert_eq!(
        report["reason"],
        json!({"code": "NamesMissing", "message": message})
    );
    judge::accepts(
        &home.certs(),
        &["new.example", "old.example", "hook.shop.svc", "::1"],
    );
    assert_eq!(home.reason(&["--host=old.example"]), "unchanged");
}

#[test]
fn a_wildcard_covers_what_it_matches_and_no_more() {
    let home = Home::new();
    home.done(&["--host=*.apps.example"]);
    assert_eq!(home.reason(&["--host=x.apps.example"]), "unchanged");
    assert_eq!(home.reason(&["--host=x.y.apps.example"]), "NamesMissing");
    assert_eq!(home.reason(&["--host=apps.example"]), "NamesMissing");
}

#[test]
fn force_starts_over_with_exactly_the_names_asked_for() {
    let home = Home::new();
    home.done(&["--host=old.example"]);
    let report = home.report(&["--force", "--host=new.example"]);
    assert_eq!(report["reason"]["code"], json!("Forced"));
    let names = names(&report);
    assert!(names.contains(&"DNS:new.example".to_owned()), "{names:?}");
    assert!(!names.contains(&"DNS:old.example".to_owned()), "{names:?}");
}

#[test]
fn another_algorithm_is_a_reason_only_when_it_is_asked_for() {
    let home = Home::new();
    home.done(&["--host=old.example"]);
    let report = home.report(&["--algorithm=ed25519"]);
    assert_eq!(report["reason"]["code"], json!("Algorithm"));
    assert!(
        report["reason"]["message"]
            .as_str()
            .unwrap()
            .contains("ed25519")
    );
    judge::accepts(&home.certs(), &["old.example"]);
    assert_eq!(home.reason(&[]), "unchanged");
}

#[test]
fn a_pair_that_time_has_passed_over_is_renewed_with_its_names() {
    const DAY: Duration = Duration::DAY;
    for (begins, ends, code, words) in [
        (-DAY * 20, DAY * 10, "unchanged", ""),
        (
            -DAY * 28,
            DAY * 2,
            "RenewalDue",
            "due for renewal, since it ends on 20",
        ),
        (-DAY * 30, -DAY, "Expired", "expired on 20"),
        (-DAY * 30, -Duration::SECOND, "Expired", "expired on 20"),
        (DAY, DAY * 30, "NotYetValid", "was not valid before 20"),
    ] {
        let home = Home::new();
        home.done(&[]);
        let mut asked = vec!["localhost", "127.0.0.1", "::1", "kept.example"];
        let report = home.report(&[]);
        let machine = names(&report)
            .get(3)
            .map(|name| name["DNS:".len()..].to_owned());
        asked.extend(machine.as_deref());
        let leaf = Leaf {
            names: &asked,
            begins,
            ends,
            ..Leaf::default()
        };
        leaf.put(&home.ca(), &home.certs());
        let before = snapshot(home.path());
        let report = home.report(&[]);
        let found = report["reason"]["code"].as_str().unwrap_or("unchanged");
        assert_eq!(found, code, "{report}");
        if code == "unchanged" {
            assert_unchanged(&before, home.path());
            continue;
        }
        let message = report["reason"]["message"].as_str().unwrap();
        assert!(
            message.contains(words) && message.ends_with('Z'),
            "{message}"
        );
        judge::accepts(&home.certs(), &["localhost", "kept.example"]);
        assert_eq!(home.reason(&[]), "unchanged");
    }
}

#[test]
fn a_pair_for_a_minute_is_not_due_at_once_and_one_for_a_second_expires() {
    let home = Home::new();
    home.done(&["--validity=1m"]);
    assert_eq!(home.reason(&[]), "unchanged");
    home.done(&["--validity=1s", "--force"]);
    thread::sleep(StdDuration::from_millis(2000));
    assert_eq!(home.reason(&[]), "Expired");
    judge::accepts(&home.certs(), &["localhost"]);
}

#[test]
fn a_certificate_that_is_not_for_servers_is_replaced() {
    let home = Home::new();
    home.done(&[]);
    let usage = ExtendedKeyUsagePurpose::ClientAuth;
    Leaf {
        usage,
        ..Leaf::default()
    }
    .put(&home.ca(), &home.certs());
    assert_eq!(home.reason(&[]), "NotForServing");
    judge::accepts(&home.certs(), &["localhost"]);
}

#[test]
fn a_key_that_does_not_belong_to_the_certificate_is_replaced_with_it() {
    let (home, other) = (Home::new(), Home::new());
    home.done(&["--host=kept.example"]);
    other.done(&[]);
    fs::copy(other.certs().join("tls.key"), home.certs().join("tls.key")).unwrap();
    let report = home.report(&[]);
    let message = "the key did not belong to the certificate";
    assert_eq!(
        report["reason"],
        json!({"code": "KeyMismatch", "message": message})
    );
    judge::accepts(&home.certs(), &["localhost", "kept.example"]);
}

#[test]
fn a_file_of_the_pair_that_is_gone_or_damaged_is_made_good() {
    for (file, damage, code) in [
        ("tls.crt", None, "Unusable"),
        ("tls.key", None, "Unusable"),
        ("tls.crt", Some("junk"), "Unusable"),
        ("tls.key", Some(""), "Unusable"),
        ("ca.crt", None, "BundleDiffers"),
        ("ca.crt", Some("junk"), "BundleDiffers"),
    ] {
        let home = Home::new();
        home.done(&[]);
        let path = home.certs().join(file);
        match damage {
            Some(content) => fs::write(&path, content).unwrap(),
            None => fs::remove_file(&path).unwrap(),
        }
        let report = home.report(&[]);
        assert_eq!(report["reason"]["code"], json!(code), "{file} {damage:?}");
        let message = report["reason"]["message"].as_str().unwrap();
        assert!(message.contains(file), "{message}");
        judge::accepts(&home.certs(), &["localhost"]);
        assert_eq!(home.reason(&[]), "unchanged", "{file} {damage:?}");
    }
}

#[test]
fn a_lost_ca_is_made_again_and_so_is_what_it_signed() {
    let home = Home::new();
    let before = home.report(&["--host=kept.example"]);
    fs::remove_dir_all(home.ca()).unwrap();
    let after = home.report(&[]);
    assert_eq!(after["reason"]["code"], json!("OtherCA"));
    let message = after["reason"]["message"].as_str().unwrap();
    assert!(
        message.contains(before["authority"]["subject"].as_str().unwrap()),
        "{message}"
    );
    let created = after["authority"]["created"].as_str().unwrap();
    assert!(created.contains("created a local CA"), "{created}");
    assert_ne!(
        after["authority"]["fingerprint"],
        before["authority"]["fingerprint"]
    );
    // Two CAs of one name would be told apart by nobody.
    assert_ne!(
        after["authority"]["subject"],
        before["authority"]["subject"]
    );
    judge::accepts(&home.certs(), &["localhost", "kept.example"]);
}

#[test]
fn a_lost_ca_certificate_is_made_again_for_the_same_key() {
    let home = Home::new();
    home.done(&["--host=kept.example"]);
    let key = fs::read(home.ca().join("ca.key")).unwrap();
    fs::remove_file(home.ca().join("ca.crt")).unwrap();
    let report = home.report(&[]);
    let created = report["authority"]["created"].as_str().unwrap();
    assert!(created.contains("ca.key had no certificate"), "{created}");
    assert_eq!(report["reason"]["code"], json!("OtherCA"));
    assert_eq!(fs::read(home.ca().join("ca.key")).unwrap(), key);
    judge::accepts(&home.certs(), &["localhost", "kept.example"]);
    assert_eq!(home.reason(&[]), "unchanged");
}

#[test]
fn a_lost_ca_key_is_not_made_up_for() {
    let home = Home::new();
    home.done(&[]);
    fs::remove_file(home.ca().join("ca.key")).unwrap();
    let (certificate, key) = (home.ca().join("ca.crt"), home.ca().join("ca.key"));
    let paths = [certificate.to_str().unwrap(), key.to_str().unwrap()];
    home.refuses(
        &[],
        &[
            paths[0],
            paths[1],
            "restore the key",
            "move the certificate away",
        ],
    );
    // What the message says works.
    fs::remove_file(certificate).unwrap();
    assert_eq!(home.reason(&[]), "OtherCA");
    judge::accepts(&home.certs(), &["localhost"]);
}

#[test]
fn a_ca_key_that_others_can_read_is_worth_a_warning() {
    use std::os::unix::fs::PermissionsExt;
    let home = Home::new();
    home.done(&[]);
    let key = home.ca().join("ca.key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let ran = home.done(&[]);
    let command = format!("chmod 600 {}", key.display());
    assert!(ran.stderr.starts_with("warning: "), "{}", ran.stderr);
    assert!(
        ran.stderr.contains("0644") && ran.stderr.contains(&command),
        "{}",
        ran.stderr
    );
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    assert!(!home.done(&[]).stderr.contains("warning"));
}
