//! Forged requests against the shipped policy. Each is one sentence, and ends denied
//! for the reason expected: a request refused for another reason proves nothing.
//!
//! All are tried twice: with the shipped policy, and without the look at the Service,
//! which would hide a hole in the rules about names.

use super::forged::all;
use super::*;

/// Refusals for what the cluster says: without the check they are approvals, as the
/// policy then says.
const FROM_FACTS: [&str; 2] = ["ServiceDoesNotSelectPod", "PodMismatch"];

#[test]
fn every_forged_request_is_denied_for_its_own_reason() {
    let mut wrong = Vec::new();
    for (what, request, code, says) in all() {
        match settle(&request, &shipped()) {
            Decision::Deny { reason, .. }
                if reason.code() == code && reason.to_string().contains(says) => {}
            Decision::Deny { reason, .. } => {
                wrong.push(format!("{what}: {} {reason}", reason.code()));
            }
            other => wrong.push(format!("{what}: {other:?}")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn without_the_look_at_services_no_other_escape_opens() {
    let unchecked = DEFAULT_POLICY.replace("SelectsPod", "None");
    let unchecked = Policy::from_yaml(&unchecked).unwrap();
    assert_eq!(needed_facts(&request(), &unchecked), []);
    for (what, request, code, _) in all() {
        let needs_pod = refusal(&request, &shipped()) == Refusal::NotAPod;
        if !FROM_FACTS.contains(&code) && !needs_pod {
            let decision = settle(&request, &unchecked);
            assert!(!matches!(decision, Decision::Approve { .. }), "{what}");
        }
    }
}

#[test]
fn no_fact_is_asked_for_a_request_that_is_refused_by_itself() {
    for (what, request, code, _) in all() {
        if !FROM_FACTS.contains(&code) {
            assert_eq!(needed_facts(&request, &shipped()), [], "{what}");
        }
    }
}

#[test]
fn the_escapes_are_many_and_told_apart() {
    let mut sentences: Vec<&str> = all().iter().map(|escape| escape.0).collect();
    let count = sentences.len();
    sentences.sort_unstable();
    sentences.dedup();
    assert_eq!(sentences.len(), count);
    assert!(count >= 100, "{count}");
}

#[test]
fn a_forged_request_without_a_trick_is_approved() {
    terms(&forged::plain(), &shipped());
}

#[test]
fn openssls_honest_request_is_approved() {
    let request = Request {
        csr: Csr::from_pem(include_bytes!("data/honest.csr")),
        ..request()
    };
    let terms = terms(&request, &shipped());
    assert_eq!(
        terms.names(),
        naming(&["hook.team-a.svc"]).csr.unwrap().names
    );
}
