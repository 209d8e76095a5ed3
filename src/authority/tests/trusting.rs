//! What becomes of a caBundle, and of an entry of a ConfigMap.

use time::Duration;

use super::fixtures::{NOW, make, steady};
use crate::authority::{EntryPlan, Reason};
use crate::injectable::{CaBundle, Decision, encode};
use crate::pki::TrustBundle;
use crate::plan::BundleMode;

fn field(pem: &str) -> CaBundle {
    CaBundle::of_text(&encode(pem.as_bytes()))
}

fn set(decision: &Decision) -> TrustBundle {
    match decision {
        Decision::Set(pem) => TrustBundle::from_pem(pem).unwrap(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_certificates_of_others_stay_and_those_that_were_ours_leave() {
    let (mut secret, settings) = steady();
    let other = make(&settings, 9, NOW).certificate().to_pem();
    let a = secret.state().current.authority.certificate().clone();
    let b = make(&settings, 2, NOW);
    let merge = |state: &crate::authority::CaState, there: &CaBundle| {
        state.trust().plan(there, BundleMode::Merge, NOW)
    };
    let there = field(&other);
    let with_a = set(&merge(&secret.state(), &there));
    assert_eq!(with_a.certificates().len(), 2);
    let there = field(&with_a.to_pem());
    assert_eq!(merge(&secret.state(), &there), Decision::Keep);
    assert!(secret.state().trust().is_in(&there));

    let state = secret.change(|state| {
        let started = state.started(b.clone(), Reason::Scheduled, &settings, NOW);
        started.proven(NOW).switched(&settings, NOW)
    });
    assert!(!state.trust().is_in(&there));
    let with_both = set(&merge(&state, &there));
    assert_eq!(with_both.certificates().len(), 3);
    let there = field(&with_both.to_pem());
    let state = secret.change(|state| state.dropped(&[a.fingerprint()], NOW));
    let without_a = set(&merge(&state, &there));
    assert_eq!(without_a.certificates().len(), 2);
    assert!(!without_a.certificates().contains(&a));
    assert!(state.trust().is_in(&there), "more than enough is enough");
    let there = field(&without_a.to_pem());
    assert_eq!(merge(&state, &there), Decision::Keep);
}

#[test]
fn a_replica_with_an_old_state_does_not_undo_what_a_newer_one_published() {
    let (mut secret, settings) = steady();
    let old = secret.state();
    let b = make(&settings, 2, NOW);
    let new = secret.change(|state| state.started(b, Reason::Scheduled, &settings, NOW));
    let there = field(&new.trust().bundle.to_pem());
    assert_eq!(
        old.trust().plan(&there, BundleMode::Merge, NOW),
        Decision::Keep
    );
}

#[test]
fn former_cas_are_forgotten_once_they_have_ended_or_are_trusted_again() {
    let (mut secret, settings) = steady();
    let b = make(&settings, 2, NOW);
    secret.change(|state| state.started(b, Reason::Scheduled, &settings, NOW));
    let c = make(&settings, 3, NOW);
    let state = secret.change(|state| state.started(c, Reason::Scheduled, &settings, NOW));
    assert_eq!(state.former.len(), 1);
    let d = make(&settings, 4, NOW);
    let later = NOW + Duration::days(31);
    let state = secret.change(|state| state.started(d, Reason::Scheduled, &settings, later));
    assert_eq!(state.former.len(), 0);
}

#[test]
fn what_is_no_bundle_is_replaced() {
    let (secret, _) = steady();
    let trust = secret.state().trust();
    for there in [
        CaBundle::Absent,
        CaBundle::Empty,
        CaBundle::of_text("Cg=="),
        CaBundle::of_text("${CA_BUNDLE}"),
    ] {
        assert!(!trust.is_in(&there));
        assert_eq!(
            set(&trust.plan(&there, BundleMode::Merge, NOW)),
            trust.bundle
        );
    }
}

#[test]
fn an_entry_is_written_only_when_it_means_something_else() {
    let (mut secret, settings) = steady();
    let trust = secret.state().trust();
    let ours = trust.bundle.to_pem();
    let plan = |found: Option<&str>| trust.plan_entry(found, true, NOW);
    assert_eq!(plan(None), EntryPlan::Set(ours.clone()));
    assert_eq!(plan(Some(&ours)), EntryPlan::Keep);
    let torn = format!("{ours}-----BEGIN CERTIFICATE-----\ngarbage");
    for spoilt in ["", "garbage", &ours[..40], &torn] {
        assert_eq!(plan(Some(spoilt)), EntryPlan::Set(ours.clone()), "{spoilt}");
    }
    let other = make(&settings, 9, NOW).certificate().to_pem();
    let EntryPlan::Set(both) = plan(Some(&other)) else {
        panic!("nothing set");
    };
    assert!(both.contains(&ours) && both.contains(&other));
    // In another order.
    let turned = match both.starts_with(&ours) {
        true => format!("{other}{ours}"),
        false => format!("{ours}{other}"),
    };
    assert_eq!(plan(Some(&turned)), EntryPlan::Keep);
    let a = secret.state().current.authority.certificate().fingerprint();
    let b = make(&settings, 2, NOW);
    let without_a = secret.change(|state| {
        let started = state.started(b, Reason::Scheduled, &settings, NOW);
        let switched = started.proven(NOW).switched(&settings, NOW);
        switched.dropped(&[a], NOW)
    });
    let after = without_a.trust().plan_entry(Some(&ours), true, NOW);
    assert_eq!(after, EntryPlan::Set(without_a.trust().bundle.to_pem()));
}

#[test]
fn an_entry_of_somebody_elses_is_added_and_never_changed() {
    let (secret, settings) = steady();
    let trust = secret.state().trust();
    let ours = trust.bundle.to_pem();
    let other = make(&settings, 9, NOW).certificate().to_pem();
    let plan = |found: Option<&str>| trust.plan_entry(found, false, NOW);
    assert_eq!(plan(None), EntryPlan::Set(ours.clone()));
    assert_eq!(plan(Some(&format!("{other}{ours}"))), EntryPlan::Keep);
    for lacking in ["", "garbage", &other] {
        assert_eq!(plan(Some(lacking)), EntryPlan::NotOurs, "{lacking}");
    }
}
