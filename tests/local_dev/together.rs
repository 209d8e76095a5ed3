//! Several runs at one time, and runs that are killed.

use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    process::Stdio,
    thread,
    time::{Duration, Instant},
};

use rcgen::{KeyPair, PublicKeyData};
use serde_json::{Value, json};

use crate::{Home, LIMIT, home::ran, judge};

/// Starts all of them, then waits for all of them.
fn together(home: &Home, runs: &[Vec<&str>]) -> Vec<Value> {
    thread::scope(|scope| {
        let handles: Vec<_> = runs
            .iter()
            .map(|args| scope.spawn(|| ran(home.command(&[args, &["-o", "json"][..]].concat()))))
            .collect();
        let done = handles.into_iter().map(|handle| handle.join().unwrap());
        done.map(|ran| {
            assert_eq!(ran.code, 0, "{ran:?}");
            ran.json()
        })
        .collect()
    })
}

#[test]
fn twenty_at_once_from_nothing_make_one_ca_and_one_pair() {
    let home = Home::new();
    let reports = together(&home, &vec![vec![]; 20]);
    let distinct = |pointer: &str| {
        let values = reports
            .iter()
            .map(|report| report.pointer(pointer).unwrap().to_string());
        values.collect::<BTreeSet<_>>().len()
    };
    assert_eq!(distinct("/authority/fingerprint"), 1);
    assert_eq!(distinct("/fingerprint"), 1);
    let count = |wanted: &dyn Fn(&Value) -> bool| reports.iter().filter(|r| wanted(r)).count();
    assert_eq!(
        count(&|report| !report["authority"]["created"].is_null()),
        1
    );
    assert_eq!(count(&|report| report["changed"] == json!(true)), 1);
    judge::accepts(&home.certs(), &["localhost"]);
    assert_eq!(
        fs::read_dir(home.ca()).unwrap().count(),
        2,
        "ca.crt and ca.key"
    );
}

#[test]
fn two_that_want_different_names_both_get_them() {
    let home = Home::new();
    for round in 0..5 {
        let [a, b] = ["a", "b"].map(|host| format!("--host={host}{round}.example"));
        together(&home, &[vec![a.as_str()], vec![b.as_str()]]);
        let hosts = ["a", "b"].map(|host| format!("{host}{round}.example"));
        judge::accepts(&home.certs(), &hosts.each_ref().map(String::as_str));
    }
    judge::accepts(&home.certs(), &["a0.example", "b0.example", "a4.example"]);
}

#[test]
fn ten_that_force_a_new_pair_at_once_leave_one_that_matches() {
    let home = Home::new();
    home.done(&[]);
    let reports = together(&home, &vec![vec!["--force"]; 10]);
    judge::accepts(&home.certs(), &["localhost"]);
    let now = home.report(&[]);
    let fingerprints: Vec<_> = reports
        .iter()
        .map(|report| &report["fingerprint"])
        .collect();
    assert!(fingerprints.contains(&&now["fingerprint"]));
}

/// Kills certtool after so long; whether it was still running.
fn killed_after(home: &Home, args: &[&str], delay: Duration) -> bool {
    use std::os::unix::process::ExitStatusExt;
    let mut command = home.command(args);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    thread::sleep(delay);
    child.kill().unwrap();
    child.wait().unwrap().signal() == Some(9)
}

/// Whether the pair by its paths, if there is one, belongs together.
fn matches(certs: &Path) -> Option<bool> {
    let key = fs::read_to_string(certs.join("tls.key")).ok()?;
    let certificate = fs::read(certs.join("tls.crt")).ok()?;
    let (_, pem) = x509_parser::pem::parse_x509_pem(&certificate).unwrap();
    let certificate = pem.parse_x509().unwrap();
    let key = KeyPair::from_pem(&key).unwrap();
    Some(certificate.public_key().raw == key.subject_public_key_info())
}

#[test]
fn a_run_that_is_killed_leaves_a_pair_that_matches_or_none() {
    let start = Instant::now();
    // The shortest of three: other tests run beside this one.
    let whole = (0..3).map(|_| {
        let (home, start) = (Home::new(), Instant::now());
        home.done(&[]);
        start.elapsed()
    });
    let whole = whole.min().unwrap();

    let (mut killed, mut whole_pairs) = (0, 0);
    let existing = Home::new();
    existing.done(&["--host=kept.example"]);
    for step in 0..40_u32 {
        let delay = whole.mul_f64(f64::from(step) * 0.025);
        killed += u32::from(killed_after(
            &existing,
            &["--force", "--host=kept.example"],
            delay,
        ));
        assert_eq!(
            matches(&existing.certs()),
            Some(true),
            "killed after {delay:?}"
        );

        if step % 2 == 0 {
            let fresh = Home::new();
            killed += u32::from(killed_after(&fresh, &[], delay));
            whole_pairs += u32::from(
                matches(&fresh.certs())
                    .inspect(|&good| assert!(good))
                    .is_some(),
            );
            // Whatever was left, the next run makes good.
            fresh.done(&[]);
            assert_eq!(matches(&fresh.certs()), Some(true));
            assert_eq!(fresh.reason(&[]), "unchanged");
        }
    }
    assert!(killed >= 10, "only {killed} runs were killed in time");
    assert!(whole_pairs < 20, "no first run was killed in time");
    assert!(start.elapsed() < LIMIT * 3);
    existing.done(&["--host=kept.example"]);
    judge::accepts(&existing.certs(), &["kept.example"]);
    existing.done(&["--force"]);
    let entries = fs::read_dir(existing.certs()).unwrap().count();
    assert_eq!(entries, 6, "three names, ..data, and two generations");
}

#[test]
fn a_ca_key_whose_certificate_was_never_written_is_used() {
    let home = Home::new();
    home.done(&[]);
    let key = fs::read(home.ca().join("ca.key")).unwrap();
    // As a kill between the two leaves it, with a file on its way.
    fs::remove_file(home.ca().join("ca.crt")).unwrap();
    fs::write(
        home.ca().join(".ca.crt.certtool-0123abcd"),
        "half of a certif",
    )
    .unwrap();
    fs::remove_dir_all(home.certs()).unwrap();
    home.done(&[]);
    assert_eq!(fs::read(home.ca().join("ca.key")).unwrap(), key);
    assert_eq!(
        fs::read_dir(home.ca()).unwrap().count(),
        2,
        "ca.crt and ca.key"
    );
    judge::accepts(&home.certs(), &["localhost"]);
}
