//! Names that cannot be in a certificate: refused before anything is written, with what was
//! probably meant.

use serde_json::json;

use crate::{
    Home,
    home::{assert_unchanged, names, snapshot},
    judge,
};

#[test]
fn a_host_that_is_neither_name_nor_address_is_refused_with_what_was_meant() {
    let home = Home::new();
    for (host, words) in [
        (
            "https://hook.example/x",
            &["it is a URL", "did you mean hook.example?"][..],
        ),
        ("https://[::1]:9443", &["it is a URL", "did you mean ::1?"]),
        ("a b", &["\"a b\"", "white space", "repeat --host"]),
        ("host:443", &["port", "did you mean host?"]),
        ("[fd00::1]:443", &["port", "did you mean fd00::1?"]),
        ("10.0.0.0/8", &["network", "single addresses"]),
        ("", &["it is empty"]),
        ("hook.example.", &["did you mean hook.example?"]),
        ("*", &["wildcard"]),
        ("300.1.1.1", &["looks like an IP address"]),
        ("me@host", &["e-mail"]),
        ("a..b", &["63"]),
    ] {
        let words = [words, &["--host", "neither a DNS name nor an IP address"]].concat();
        home.refuses_usage(&[&format!("--host={host}")], &words);
    }
    assert!(!home.certs().exists() && !home.ca().exists());
}

#[test]
fn one_bad_host_among_good_ones_is_enough_to_change_nothing() {
    let home = Home::new();
    home.refuses_usage(&["--host=good.example", "--host=bad host"], &["bad host"]);
    home.refuses_usage(&["--host=good.example,bad host"], &["\"bad host\""]);
}

#[test]
fn a_service_that_is_not_name_and_namespace_is_refused_with_how_to_write_it() {
    let home = Home::new();
    for (service, words) in [
        ("hook", &["no namespace", "hook.default"][..]),
        ("hook.shop.svc", &["write hook.shop"]),
        ("hook.shop.svc.cluster.local", &["write hook.shop"]),
        ("Hook.shop", &["\"Hook\"", "lower-case"]),
        ("hook.", &["\"\""]),
        ("hook/shop", &["--service"]),
        ("", &["--service"]),
    ] {
        home.refuses_usage(&["--service", service], words);
    }
    assert!(!home.certs().exists() && !home.ca().exists());
}

#[test]
fn a_cluster_domain_that_is_none_is_refused() {
    let home = Home::new();
    let long = ["abcdefgh"; 20].join(".");
    for domain in [
        "",
        "a b",
        "https://cluster.local",
        "*.local",
        "10.0.0.1",
        "cluster.local.",
        &long,
    ] {
        let args = ["--service=hook.shop", "--cluster-domain", domain];
        home.refuses_usage(
            &args,
            &["--cluster-domain", "is not a DNS domain", "cluster.local"],
        );
    }
}

#[test]
fn the_longest_service_names_fit_and_need_no_common_name() {
    let home = Home::new();
    let label = "a".repeat(63);
    home.done(&["--service", &format!("{label}.{label}")]);
    judge::accepts(
        &home.certs(),
        &[&format!("{label}.{label}.svc.cluster.local")],
    );
    let subject = judge::openssl(&home.certs(), "x509 -in tls.crt -noout -subject");
    assert_eq!(subject.trim(), "subject=");
}

#[test]
fn two_thousand_names_are_refused_and_nothing_is_written() {
    let home = Home::new();
    let hosts = many(2000);
    let args: Vec<_> = hosts.iter().map(String::as_str).collect();
    let before = snapshot(home.path());
    let refused = home.run(&args);
    refused.is_refusal(1, &["names", "at most 1000", "wildcard"]);
    assert_eq!(refused.stderr.lines().count(), 1);
    assert!(!home.ca().exists() && !home.certs().exists());
    assert_eq!(before.len(), snapshot(home.path()).len());

    // Nor when there is a pair already.
    home.done(&[]);
    let before = snapshot(home.path());
    home.run(&args).is_refusal(1, &["at most 1000"]);
    assert_unchanged(&before, home.path());
}

#[test]
fn as_many_names_as_fit_are_accepted_and_shown_in_short() {
    let home = Home::new();
    let hosts = many(990);
    let args: Vec<_> = hosts.iter().map(String::as_str).collect();
    let ran = home.done(&args);
    let shown = ran.line("names ");
    assert!(shown.ends_with(" more") && shown.len() < 1000, "{shown}");
    judge::accepts(&home.certs(), &["h0.example", "h989.example"]);
    assert!(names(&home.report(&args)).len() >= 993);
    assert_eq!(home.reason(&args), "unchanged");
}

#[test]
fn old_names_that_no_longer_fit_are_dropped_and_that_is_said() {
    let home = Home::new();
    let hosts = many(990);
    let args: Vec<_> = hosts.iter().map(String::as_str).collect();
    home.done(&args);
    let more: Vec<_> = (0..20).map(|n| format!("--host=more{n}.example")).collect();
    let args: Vec<_> = more.iter().map(String::as_str).collect();
    let report = home.report(&args);
    assert_eq!(report["reason"]["code"], json!("NamesMissing"));
    let warning = report["warnings"][0].as_str().unwrap();
    assert!(
        warning.contains("990 names") && warning.contains("dropped"),
        "{warning}"
    );
    assert!(names(&report).len() < 30);
    judge::accepts(&home.certs(), &["localhost", "more19.example"]);
}

fn many(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("--host=h{n}.example")).collect()
}
