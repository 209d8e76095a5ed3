//! Tricks with who asks, for what, and for how long.

use super::*;

const CODE: &str = "RequesterNotAllowed";
const ACCOUNT_GROUPS: [&str; 2] = ["system:serviceaccounts", "system:serviceaccounts:team-a"];

fn named(what: &'static str, username: &str, says: &'static str) -> Escape {
    let request = Request {
        username: username.to_owned(),
        ..request()
    };
    (what, request, CODE, says)
}

fn users() -> Vec<Escape> {
    let spoofed = |what, username: &str, groups: &[&str]| {
        let request = Request {
            username: username.to_owned(),
            groups: strings(groups),
            ..request()
        };
        (what, request, CODE, "no rule allows")
    };
    vec![
        spoofed(
            "a user with a pod's extra fields",
            "mallory",
            &["system:authenticated"],
        ),
        spoofed(
            "a user in the groups of service accounts",
            "mallory",
            &ACCOUNT_GROUPS,
        ),
        spoofed(
            "a cluster administrator",
            "kubernetes-admin",
            &["system:masters"],
        ),
        spoofed(
            "a node with a pod's extra fields",
            "system:node:node-1",
            &["system:nodes"],
        ),
        spoofed(
            "nobody in particular",
            "system:anonymous",
            &["system:unauthenticated"],
        ),
        spoofed("an empty user name", "", &ACCOUNT_GROUPS),
        spoofed("a user named like the namespace", "team-a", &ACCOUNT_GROUPS),
        spoofed(
            "the prefix of service accounts in upper case",
            "System:ServiceAccount:team-a:hook",
            &ACCOUNT_GROUPS,
        ),
        spoofed(
            "a blank before the prefix",
            " system:serviceaccount:team-a:hook",
            &ACCOUNT_GROUPS,
        ),
        spoofed(
            "a prefix of an identity provider",
            "oidc:system:serviceaccount:team-a:hook",
            &ACCOUNT_GROUPS,
        ),
        spoofed(
            "the group's name as user name",
            "system:serviceaccounts:team-a",
            &ACCOUNT_GROUPS,
        ),
    ]
}

fn impostors() -> Vec<Escape> {
    let grouped = |what, groups: &[&str]| {
        let request = Request {
            groups: strings(groups),
            ..request()
        };
        (what, request, CODE, "not in the groups")
    };
    vec![
        named(
            "a service account's name with a fifth part",
            "system:serviceaccount:team-a:hook:x",
            "is not system:serviceaccount",
        ),
        named(
            "a service account's name with a sixth part",
            "system:serviceaccount:team-b:x:team-a:hook",
            "is not system:serviceaccount",
        ),
        named(
            "a service account's name with three parts",
            "system:serviceaccount:team-a",
            "is not system:serviceaccount",
        ),
        named(
            "a service account without a name",
            "system:serviceaccount:team-a:",
            "not names of",
        ),
        named(
            "a service account without a namespace",
            "system:serviceaccount::hook",
            "not names of",
        ),
        named(
            "a service account of every namespace",
            "system:serviceaccount:*:hook",
            "not names of",
        ),
        named(
            "a namespace with a dot",
            "system:serviceaccount:team-a.svc:hook",
            "not names of",
        ),
        named(
            "a namespace in upper case",
            "system:serviceaccount:TEAM-A:hook",
            "not names of",
        ),
        named(
            "a namespace with a slash",
            "system:serviceaccount:team-a/x:hook",
            "not names of",
        ),
        named(
            "a line feed behind the name",
            "system:serviceaccount:team-a:hook\n",
            "not names of",
        ),
        named(
            "a placeholder as namespace",
            "system:serviceaccount:{namespace}:hook",
            "not names of",
        ),
        named(
            "another namespace's user name with one's own groups",
            "system:serviceaccount:team-b:hook",
            "not in the groups",
        ),
        grouped(
            "a service account's name without its groups",
            &["system:authenticated"],
        ),
        grouped(
            "a service account's name with another namespace's group",
            &["system:serviceaccounts", "system:serviceaccounts:team-b"],
        ),
        grouped(
            "a service account's name with a group that begins like its own",
            &[
                "system:serviceaccounts",
                "system:serviceaccounts:team-a-prod",
            ],
        ),
        grouped(
            "a service account's name with its namespace's group alone",
            &["system:serviceaccounts:team-a"],
        ),
        grouped("a service account's name without any group", &[]),
    ]
}

fn pods() -> Vec<Escape> {
    let extra = |what, key: &str, values: &[&str], code, says| {
        let mut request = request();
        let key = format!("authentication.kubernetes.io/{key}");
        if values.is_empty() {
            request.extra.remove(&key);
        } else {
            request.extra.insert(key, strings(values));
        }
        (what, request, code, says)
    };
    const NO_POD: &str = "not known to be a pod";
    const MISMATCH: &str = "PodMismatch";
    let mut lower = request();
    let pod = lower.extra.remove("authentication.kubernetes.io/pod-name");
    lower.extra.insert("pod-name".to_owned(), pod.unwrap());
    vec![
        extra(
            "a token that is bound to no pod",
            "pod-name",
            &[],
            CODE,
            NO_POD,
        ),
        extra("a pod without a UID", "pod-uid", &[], CODE, NO_POD),
        extra(
            "two pod names",
            "pod-name",
            &["hook-0", "other-0"],
            CODE,
            NO_POD,
        ),
        extra(
            "two pod UIDs",
            "pod-uid",
            &["pod-uid-1", "pod-uid-2"],
            CODE,
            NO_POD,
        ),
        extra("an empty pod name", "pod-name", &[""], CODE, NO_POD),
        extra("an empty pod UID", "pod-uid", &[""], CODE, NO_POD),
        extra(
            "a pod name with a path",
            "pod-name",
            &["../team-b/hook-0"],
            CODE,
            NO_POD,
        ),
        ("a pod name under a key of one's own", lower, CODE, NO_POD),
        extra(
            "a pod that does not exist",
            "pod-name",
            &["gone-0"],
            MISMATCH,
            "does not exist",
        ),
        extra(
            "the UID of an earlier pod of that name",
            "pod-uid",
            &["pod-uid-0"],
            MISMATCH,
            "not the one",
        ),
        (
            "another service account than the pod's",
            by_account(request(), "team-a", "other"),
            MISMATCH,
            "not the one",
        ),
    ]
}

fn usages() -> Vec<Escape> {
    let with = |what, usages: &[&str], code, says| {
        let request = Request {
            usages: strings(usages),
            ..request()
        };
        (what, request, code, says)
    };
    const NOT_ALLOWED: &str = "UsageNotAllowed";
    vec![
        with(
            "client auth beside server auth",
            &["digital signature", "server auth", "client auth"],
            NOT_ALLOWED,
            "client auth",
        ),
        with(
            "client auth alone",
            &["digital signature", "client auth"],
            NOT_ALLOWED,
            "client auth",
        ),
        with(
            "any usage",
            &["digital signature", "server auth", "any"],
            NOT_ALLOWED,
            "\"any\"",
        ),
        with(
            "the right to sign certificates",
            &["server auth", "cert sign"],
            NOT_ALLOWED,
            "cert sign",
        ),
        with(
            "the right to sign CRLs",
            &["server auth", "crl sign"],
            NOT_ALLOWED,
            "crl sign",
        ),
        with(
            "code signing",
            &["server auth", "code signing"],
            NOT_ALLOWED,
            "code signing",
        ),
        with(
            "e-mail protection by its other name",
            &["server auth", "s/mime"],
            NOT_ALLOWED,
            "email protection",
        ),
        with(
            "OCSP signing",
            &["server auth", "ocsp signing"],
            NOT_ALLOWED,
            "ocsp signing",
        ),
        with(
            "key agreement",
            &["server auth", "key agreement"],
            NOT_ALLOWED,
            "key agreement",
        ),
        with(
            "a usage in upper case",
            &["Server Auth"],
            NOT_ALLOWED,
            "no usage of the Kubernetes API",
        ),
        with(
            "an unknown usage",
            &["server auth", "magic"],
            NOT_ALLOWED,
            "no usage of the Kubernetes API",
        ),
        with(
            "a usage by its OID",
            &["1.3.6.1.5.5.7.3.1"],
            NOT_ALLOWED,
            "no usage of the Kubernetes API",
        ),
        with(
            "no server auth",
            &["digital signature", "key encipherment"],
            "UsageMissing",
            "server auth",
        ),
        with("no usage at all", &[], "UsageMissing", "server auth"),
    ]
}

fn lifetimes() -> Vec<Escape> {
    let of = |what, seconds: i64, says| {
        let request = Request {
            expiration_seconds: Some(seconds),
            ..request()
        };
        (what, request, "LifetimeNotAllowed", says)
    };
    vec![
        of(
            "a second more than allowed",
            30 * 86_400 + 1,
            "at most 2592000",
        ),
        of("a lifetime of a hundred years", 3_155_760_000, "at most"),
        of(
            "the longest lifetime that a number can say",
            i64::MAX,
            "at most",
        ),
        of("a negative lifetime", -1, "at least 600"),
        of("the most negative lifetime", i64::MIN, "at least 600"),
        of("a lifetime of nothing", 0, "at least 600"),
        of("a second less than the API allows", 599, "at least 600"),
    ]
}

pub(super) fn escapes() -> Vec<Escape> {
    [users(), impostors(), pods(), usages(), lifetimes()].concat()
}
