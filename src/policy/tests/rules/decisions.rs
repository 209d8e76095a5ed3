//! Several rules, facts, and what is granted in the end.

use super::*;
use crate::pki::Serial;

#[test]
fn any_rule_may_allow_but_no_two_together() {
    let first = "{serviceAccounts: ['team-a/*']}\n    names: {dns: [a.x]}";
    let rule = |name: &str, requester: &str| {
        format!(
            "  - name: {name}\n    requester: {requester}\n    keys: [ecdsa-p256]\n    \
             usages: {{allowed: [digital signature, key encipherment, server auth]}}\n    \
             lifetime: {{maximum: 24h}}\n"
        )
    };
    let policy = Policy::from_yaml(&format!(
        "apiVersion: certtool.dev/v1alpha1\nkind: ApprovalPolicy\n\
         signerNames: [certtool.dev/webhook-serving]\nrules:\n{}{}{}",
        rule("a", first),
        rule(
            "b",
            "{serviceAccounts: ['*/*']}\n    names: {dns: [b.x], maxNames: 1}"
        ),
        rule("c", "{serviceAccounts: ['x/*']}\n    names: {dns: [c.x]}"),
    ))
    .unwrap();
    let by = |names: &[&str]| match settle(&naming(names), &policy) {
        Decision::Approve { rule, .. } => rule,
        Decision::Deny { rule, reason } => {
            format!("{} {}", rule.unwrap_or_default(), reason.code())
        }
        Decision::Ignore { reason } => reason.to_string(),
    };
    assert_eq!(by(&["a.x"]), "a");
    assert_eq!(by(&["b.x"]), "b");
    assert_eq!(by(&["a.x", "b.x"]), "a NameNotAllowed");
    assert_eq!(by(&["c.x"]), "a NameNotAllowed");
}

#[test]
fn a_rule_that_needs_no_fact_decides_before_one_that_waits_for_one() {
    let text = DEFAULT_POLICY.to_owned()
        + &DEFAULT_POLICY[DEFAULT_POLICY.find("  - name").unwrap()..]
            .replace("webhook-serving", "second")
            .replace("SelectsPod", "None");
    let policy = Policy::from_yaml(&text).unwrap();
    assert_eq!(needed_facts(&request(), &policy), []);
    let decision = decide(&request(), &policy, &Facts::default());
    assert!(matches!(decision, Decision::Approve { rule, .. } if rule == "second"));
}

#[test]
fn a_missing_fact_never_approves() {
    let policy = shipped();
    let questions = needed_facts(&request(), &policy);
    assert_eq!(questions.len(), 2, "{questions:?}");
    for left_out in &questions {
        let some: Vec<_> = questions
            .iter()
            .filter(|q| *q != left_out)
            .cloned()
            .collect();
        let Decision::Ignore { reason } = decide(&request(), &policy, &look_up(&some)) else {
            panic!("decided without {left_out}")
        };
        assert!(
            reason.to_string().contains(&left_out.to_string()),
            "{reason}"
        );
    }
}

#[test]
fn a_certificate_says_what_was_granted_in_normal_form() {
    use crate::pki::{Authority, CaSpec, Lifetime, NameConstraints, Usage};
    let asked = asking(csr(
        &DistinguishedName::common_name_only("HOOK.team-a.SVC"),
        &dns(&["Hook.Team-A.svc", "hook.team-a", "hook.team-a.SVC"]),
    ));
    let now = time::macros::datetime!(2026-11-21 12:00 UTC);
    let spec = CaSpec {
        subject: DistinguishedName::common_name_only("ca"),
        validity: Lifetime::of(time::Duration::days(365)).starting(now),
        path_length: Some(0),
        name_constraints: NameConstraints::default(),
    };
    let key = PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap();
    let authority = Authority::self_signed(&spec, key, Serial::from_random([1; 20])).unwrap();
    let grant = terms(&asked, &shipped()).grant(now);
    let key = &asked.csr.as_ref().unwrap().public_key;
    let serial = Serial::from_random([2; 20]);
    let leaf = authority.issue(key, &grant, now, serial).unwrap();
    assert_eq!(leaf.names, dns(&["hook.team-a.svc", "hook.team-a"]));
    assert_eq!(leaf.subject.common_names(), ["hook.team-a.svc"]);
    assert_eq!(leaf.ca, None);
    assert_eq!(
        leaf.extended_usages.as_deref(),
        Some(&[Usage::ServerAuth][..])
    );
    assert_eq!(
        leaf.validity.not_after,
        now + time::Duration::minutes(24 * 60 - 5)
    );
}
