//! The fields of `names`.

use super::*;

fn named(names: &[San]) -> Request {
    asking(csr(&DistinguishedName::empty(), names))
}

#[test]
fn services_are_those_written_and_checked_as_said() {
    let fields = "names: {services: ['hook.{namespace}', 'absent.{namespace}']}";
    for name in HOOK {
        check(fields, &one(name), &one("other.team-a"), "NameNotAllowed");
    }
    check(
        fields,
        &one(HOOK[0]),
        &one("absent.team-a"),
        "ServiceDoesNotSelectPod",
    );
    let any = "names: {services: ['*.{namespace}'], serviceCheck: ";
    let (other, absent) = (one("other.team-a.svc"), one("absent.team-a.svc"));
    check(
        &format!("{any}SelectsPod}}"),
        &one(HOOK[1]),
        &other,
        "ServiceDoesNotSelectPod",
    );
    check(
        &format!("{any}Exists}}"),
        &other,
        &absent,
        "ServiceDoesNotSelectPod",
    );
    check(
        &format!("{any}None}}"),
        &absent,
        &one("absent.team-b.svc"),
        "NameNotAllowed",
    );
}

#[test]
fn a_service_of_another_namespace_selects_no_pod_of_ones_own() {
    let fields = "names: {services: [hook.team-a]}";
    let other = by_account(one("hook.team-a.svc"), "team-b", "hook");
    check(
        fields,
        &one("hook.team-a.svc"),
        &other,
        "ServiceDoesNotSelectPod",
    );
}

#[test]
fn a_request_by_no_pod_is_told_so_only_where_it_matters() {
    let mut unbound = one("hook.team-a.svc");
    unbound.extra.clear();
    check(
        "names: {services: ['*.{namespace}']}",
        &one("hook.team-a.svc"),
        &unbound,
        "RequesterNotAllowed",
    );
    let by_name = "names: {services: ['*.{namespace}'], dns: ['hook.{namespace}.svc']}";
    check(by_name, &unbound, &one("hook.team-b.svc"), "NameNotAllowed");
    let exists = "names: {services: ['*.{namespace}'], serviceCheck: Exists}";
    check(exists, &unbound, &one("hook.team-b.svc"), "NameNotAllowed");
}

#[test]
fn dns_names_are_matched_label_by_label() {
    let fields =
        "names: {dns: ['{pod}.{serviceaccount}.{namespace}.example.com', 'web-*.shop.de']}";
    check(
        fields,
        &one("hook-0.hook.team-a.example.com"),
        &one("hook-1.hook.team-a.example.com"),
        "NameNotAllowed",
    );
    for escape in [
        "web-1.x.shop.de",
        "web-1.shop.de.evil.com",
        "web-.shop.de.",
        "shop.de",
        "xn--web-1.shop.de",
        "*.shop.de",
        "web-*.shop.de",
    ] {
        let escape = one(escape);
        let why = refusal(&escape, &policy(fields)).code();
        assert!(["NameNotAllowed", "InvalidName"].contains(&why), "{why}");
        check(fields, &one("WEB-1.Shop.DE"), &escape, why);
    }
}

#[test]
fn wildcards_are_allowed_one_by_one() {
    let fields = "names: {wildcards: ['*.{namespace}.example.com'], dns: ['a.example.com']}";
    check(
        fields,
        &one("*.team-a.example.com"),
        &one("x.team-a.example.com"),
        "NameNotAllowed",
    );
    for escape in [
        "*.team-b.example.com",
        "*.example.com",
        "*.x.team-a.example.com",
    ] {
        check(
            fields,
            &one("*.Team-A.example.com"),
            &one(escape),
            "NameNotAllowed",
        );
    }
    let default = by_account(one("*.default.svc"), "default", "hook");
    let fields = "names: {wildcards: ['*.{namespace}.svc']}";
    check(fields, &one("*.team-a.svc"), &default, "NameNotAllowed");
}

#[test]
fn addresses_are_matched_by_range_and_family() {
    let ip = |text: &str| named(&[San::Ip(text.parse().unwrap())]);
    let fields = "names: {ips: [10.1.0.0/16, 'fd00::/8', 192.0.2.7]}";
    check(fields, &ip("10.1.255.1"), &ip("10.2.0.1"), "NameNotAllowed");
    check(fields, &ip("fd12::1"), &ip("fe80::1"), "NameNotAllowed");
    check(
        fields,
        &ip("192.0.2.7"),
        &ip("::ffff:10.1.0.1"),
        "InvalidName",
    );
    let any = "names: {ips: ['0.0.0.0/0', '::/0']}";
    check(any, &ip("192.0.2.7"), &ip("::ffff:10.1.0.1"), "InvalidName");
    check(any, &ip("127.0.0.1"), &ip("0.0.0.0"), "InvalidName");
    check(any, &ip("::1"), &ip("255.255.255.255"), "InvalidName");
    check(any, &ip("10.0.0.1"), &one("10.0.0.1"), "InvalidName");
}

#[test]
fn uris_and_e_mail_addresses_are_allowed_exactly() {
    let uri = |text: &str| named(&[San::Uri(text.to_owned())]);
    let fields = "names: {uris: ['spiffe://d/ns/{namespace}/sa/{serviceaccount}']}";
    for escape in [
        "spiffe://d/ns/team-b/sa/hook",
        "spiffe://d/ns/team-a/sa/hook/x",
        "spiffe://D/ns/team-a/sa/hook",
        "spiffe://d/ns/team-a/sa/%68ook",
    ] {
        check(
            fields,
            &uri("spiffe://d/ns/team-a/sa/hook"),
            &uri(escape),
            "NameNotAllowed",
        );
    }
    let email = |text: &str| named(&[San::Email(text.to_owned())]);
    check(
        "names: {emails: ['{serviceaccount}@{namespace}.example.com']}",
        &email("hook@team-a.example.com"),
        &email("hook@team-b.example.com"),
        "NameNotAllowed",
    );
}

#[test]
fn names_are_counted_with_their_repetitions() {
    let fields = "names: {dns: ['*.{namespace}.svc'], maxNames: 2}";
    let name = "a.team-a.svc";
    check(
        fields,
        &naming(&[name, "b.team-a.svc"]),
        &naming(&[name; 3]),
        "TooManyNames",
    );
}
