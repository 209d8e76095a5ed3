//! Every field of the language: a request that it allows, and one that tries to get
//! past it.

mod decisions;
mod names;

use super::*;
use crate::pki::Attribute;

/// A policy with one rule: these fields, and defaults that allow nothing unusual.
fn policy(fields: &str) -> Policy {
    let mut rule = vec![
        ("requester", "{serviceAccounts: ['*/*']}"),
        ("names", "{dns: ['hook.{namespace}.svc']}"),
        (
            "usages",
            "{allowed: [digital signature, key encipherment, server auth]}",
        ),
        ("keys", "[ecdsa-p256]"),
        ("lifetime", "{maximum: 24h}"),
    ];
    let mut top = String::new();
    for line in fields
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
    {
        let (field, value) = line.split_once(": ").unwrap();
        match rule.iter_mut().find(|(known, _)| *known == field) {
            Some(entry) => entry.1 = value,
            None if field == "subject" => rule.push((field, value)),
            None => top.push_str(&format!("{line}\n")),
        }
    }
    let rule: String = rule
        .iter()
        .map(|(field, value)| format!("    {field}: {value}\n"))
        .collect();
    Policy::from_yaml(&format!(
        "apiVersion: certtool.dev/v1alpha1\nkind: ApprovalPolicy\n\
         signerNames: [certtool.dev/webhook-serving, no.example.com/x]\n{top}\
         rules:\n  - name: only\n{rule}"
    ))
    .unwrap()
}

fn one(name: &str) -> Request {
    naming(&[name])
}

fn subject(parts: &[(Attribute, &str)]) -> Request {
    let rdns: Vec<_> = parts
        .iter()
        .map(|(kind, value)| vec![(kind.clone(), (*value).to_owned())])
        .collect();
    asking(csr(
        &DistinguishedName::from_rdns(&rdns),
        &dns(&["hook.team-a.svc"]),
    ))
}

fn code(request: &Request, policy: &Policy) -> &'static str {
    match settle(request, policy) {
        Decision::Approve { .. } => "Approve",
        Decision::Deny { reason, .. } => reason.code(),
        Decision::Ignore { reason } => match reason {
            Ignored::OtherSigner(_) => "OtherSigner",
            Ignored::OtherRequester(_) => "OtherRequester",
            Ignored::Unknown { .. } => "Unknown",
        },
    }
}

/// A policy's fields, a request that they allow, one that they do not, and why.
fn check(fields: &str, allow: &Request, escape: &Request, why: &str) {
    let policy = policy(fields);
    assert_eq!(code(allow, &policy), "Approve", "{fields}");
    assert_eq!(code(escape, &policy), why, "{fields}");
}

#[test]
fn signer_names_cover_themselves_alone() {
    let good = one("hook.team-a.svc");
    for name in [
        "certtool.dev/webhook-serving-2",
        "certtool.dev/webhook",
        "CERTTOOL.dev/webhook-serving",
        "kubernetes.io/kube-apiserver-client",
        "",
    ] {
        let other = Request {
            signer_name: name.to_owned(),
            ..good.clone()
        };
        check("", &good, &other, "OtherSigner");
    }
}

#[test]
fn the_cluster_domain_is_the_policys() {
    let fields = "clusterDomain: k8s.example\nnames: {services: ['*.{namespace}']}";
    check(
        fields,
        &one("hook.team-a.svc.k8s.example"),
        &one("hook.team-a.svc.cluster.local"),
        "NameNotAllowed",
    );
}

#[test]
fn other_requesters_are_denied_or_left_alone() {
    let good = one("hook.team-a.svc");
    let user = by_user(good.clone(), "ann", &["system:authenticated"]);
    check("", &good, &user, "RequesterNotAllowed");
    check("otherRequesters: Ignore", &good, &user, "OtherRequester");
    // Whoever is let in by a rule is decided about, whatever is wrong with the request.
    let policy = policy("otherRequesters: Ignore");
    assert_eq!(code(&one("evil.com"), &policy), "NameNotAllowed");
}

#[test]
fn service_accounts_are_matched_by_namespace_and_name() {
    let fields = "requester: {serviceAccounts: ['team-a/hook', 'infra-*/*']}";
    let good = one("hook.team-a.svc");
    check(
        fields,
        &good,
        &by_account(good.clone(), "team-a", "hooks"),
        "RequesterNotAllowed",
    );
    let infra = by_account(one("hook.infra-1.svc"), "infra-1", "any");
    let near = by_account(one("hook.infra.svc"), "infra", "any");
    check(fields, &infra, &near, "RequesterNotAllowed");
}

#[test]
fn users_are_matched_by_name_and_bind_no_placeholder() {
    let fields = "requester: {usernames: ['*@example.com']}\nnames: {dns: [a.example.com]}";
    let ann = by_user(one("a.example.com"), "ann@example.com", &[]);
    let bob = by_user(one("a.example.com"), "bob@example.org", &[]);
    check(fields, &ann, &bob, "RequesterNotAllowed");
    let account = one("a.example.com");
    check(fields, &ann, &account, "RequesterNotAllowed");
    let fields = "requester: {usernames: [ann]}\nnames: {dns: [a.b, 'hook.{namespace}.svc']}";
    let mut spoofed = by_user(one("hook.team-a.svc"), "ann", &[]);
    spoofed.extra = request().extra;
    let ann = by_user(one("a.b"), "ann", &[]);
    check(fields, &ann, &spoofed, "NameNotAllowed");
}

#[test]
fn groups_narrow_down_and_stand_alone() {
    let fields = "requester: {usernames: ['*'], groups: [admins, owners]}\nnames: {dns: [a.b]}";
    let ann = by_user(one("a.b"), "ann", &["owners"]);
    let bob = by_user(one("a.b"), "bob", &["owner", "system:masters"]);
    check(fields, &ann, &bob, "RequesterNotAllowed");
    let fields = "requester: {groups: [admins]}\nnames: {dns: [a.b]}";
    check(
        fields,
        &by_user(one("a.b"), "x:y:z", &["admins"]),
        &by_user(one("a.b"), "x:y:z", &["system:admins"]),
        "RequesterNotAllowed",
    );
    // A group that lets in everybody does not let in a false service account, or nobody.
    let fields = "requester: {groups: ['system:authenticated']}\nnames: {dns: [a.b]}";
    let everybody = by_user(one("a.b"), "ann", &["system:authenticated"]);
    let name = "system:serviceaccount:team-a:hook";
    let impostor = by_user(one("a.b"), name, &["system:authenticated"]);
    check(fields, &everybody, &impostor, "RequesterNotAllowed");
    let both = ["system:authenticated", "system:unauthenticated"];
    let nobody = by_user(one("a.b"), "system:anonymous", &both);
    check(fields, &everybody, &nobody, "RequesterNotAllowed");
}

#[test]
fn an_access_review_must_allow_the_requester() {
    let fields = "requester: {serviceAccounts: ['*/*'], accessReview: true}";
    let good = one("hook.team-a.svc");
    let refused = Request {
        signer_name: "no.example.com/x".to_owned(),
        ..good.clone()
    };
    check(fields, &good, &refused, "SignerAccessDenied");
    assert_eq!(
        needed_facts(&good, &policy(fields)),
        [Question::SignerAccess {
            signer_name: good.signer_name.clone()
        }]
    );
    // An answer about another signer is none.
    let mut facts = Facts::default();
    facts.set_signer_access("no.example.com/x", true);
    let decision = decide(&good, &policy(fields), &facts);
    assert!(matches!(decision, Decision::Ignore { .. }), "{decision:?}");
}

#[test]
fn a_common_name_is_one_of_the_names_or_forbidden() {
    let with = |name: &str| subject(&[(Attribute::CommonName, name)]);
    let good = with("Hook.team-a.svc");
    check("", &good, &with("evil.com"), "SubjectNotAllowed");
    let none = one("hook.team-a.svc");
    check(
        "subject: {commonName: Forbidden}",
        &none,
        &good,
        "SubjectNotAllowed",
    );
}

#[test]
fn organizations_are_those_written() {
    let with = |names: &[&'static str]| {
        let all: Vec<_> = names
            .iter()
            .map(|name| (Attribute::Organization, *name))
            .collect();
        subject(&all)
    };
    let fields = "subject: {organizations: [Example Ltd, Shop]}";
    let good = with(&["Shop", "Example Ltd"]);
    for escape in [
        &["example ltd"][..],
        &["Shop", "system:masters"],
        &["Example Ltd "],
        &[""],
    ] {
        check(fields, &good, &with(escape), "SubjectNotAllowed");
    }
    assert_eq!(
        terms(&good, &policy(fields)).subject().organizations(),
        ["Shop", "Example Ltd"]
    );
}

#[test]
fn usages_are_within_the_allowed_and_have_the_required() {
    let with = |usages: &[&str]| Request {
        usages: strings(usages),
        ..one("hook.team-a.svc")
    };
    let fields = "usages: {allowed: [digital signature, client auth], required: [client auth]}";
    let good = with(&["client auth", "signing", "client auth"]);
    check(fields, &good, &with(&["digital signature"]), "UsageMissing");
    check(
        fields,
        &good,
        &with(&["client auth", "server auth"]),
        "UsageNotAllowed",
    );
    assert_eq!(
        terms(&good, &policy(fields)).usages(),
        [
            crate::pki::Usage::DigitalSignature,
            crate::pki::Usage::ClientAuth
        ]
    );
    let unrequired = "usages: {allowed: [server auth]}";
    check(
        unrequired,
        &with(&["server auth"]),
        &with(&[]),
        "UsageMissing",
    );
}

#[test]
fn keys_are_those_written() {
    let with = |algorithm| {
        let key = PrivateKey::generate(algorithm).unwrap();
        let names = dns(&["hook.team-a.svc"]);
        asking(signed_by(&key, &DistinguishedName::empty(), &names))
    };
    let ed25519 = with(KeyAlgorithm::Ed25519);
    let p384 = with(KeyAlgorithm::EcdsaP384);
    check("keys: [ed25519]", &ed25519, &p384, "KeyNotAllowed");
    check("keys: [ecdsa-p384]", &p384, &ed25519, "KeyNotAllowed");
    let p521 = with(KeyAlgorithm::EcdsaP521);
    check("keys: [ecdsa-p521]", &p521, &p384, "KeyNotAllowed");
    let rsa = with(KeyAlgorithm::Rsa2048);
    check("keys: [rsa-2048]", &rsa, &p521, "KeyNotAllowed");
    check("keys: [ecdsa-p521, rsa-3072]", &p521, &rsa, "KeyNotAllowed");
}

#[test]
fn lifetimes_are_within_the_maximum_and_said() {
    let with = |seconds| Request {
        expiration_seconds: seconds,
        ..one("hook.team-a.svc")
    };
    let fields = "lifetime: {maximum: 1h}";
    check(
        fields,
        &with(Some(3600)),
        &with(Some(3601)),
        "LifetimeNotAllowed",
    );
    check(fields, &with(Some(600)), &with(None), "LifetimeNotAllowed");
    let lenient = "lifetime: {maximum: 1h, whenAbsent: Maximum}";
    check(lenient, &with(None), &with(Some(-1)), "LifetimeNotAllowed");
    let lifetime = |seconds| terms(&with(seconds), &policy(lenient)).lifetime();
    assert_eq!(lifetime(None), time::Duration::hours(1));
    assert_eq!(lifetime(Some(900)), time::Duration::minutes(15));
}
