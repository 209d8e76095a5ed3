//! Who signs by a state, and until when.

use time::Duration;

use super::fixtures::{NOW, at, leaf, make, steady};
use crate::authority::{CaState, LeafDue, NotNow, ReadBack, Reason, Standing, Warning};

#[test]
fn nothing_is_signed_by_a_state_that_was_read_too_long_ago_or_by_a_ca_that_ended() {
    let (secret, settings) = steady();
    let standing = Standing::of(&secret.state(), &settings, &ReadBack::Unknown, NOW);
    assert!(standing.signing(NOW + settings.fresh).is_ok());
    assert_eq!(
        standing.signing(NOW + Duration::seconds(61)).unwrap_err(),
        NotNow::Stale(61)
    );
    let late = Standing::of(&secret.state(), &settings, &ReadBack::Unknown, at(31));
    assert_eq!(late.signing(at(31)).unwrap_err(), NotNow::Ended(at(30)));
    assert_eq!(late.warnings, [Warning::Ended(at(30))]);
}

#[test]
fn a_secret_that_is_read_again_says_who_signs_and_proves_nothing() {
    let (mut secret, settings) = steady();
    let before = Standing::of(&secret.state(), &settings, &ReadBack::Holds, NOW);
    let later = NOW + settings.fresh * 2;
    assert_eq!(before.signing(later).unwrap_err(), NotNow::Stale(120));
    let again = before.read_again(&secret.state(), &settings, later);
    assert!(again.signing(later).is_ok());
    // The CA that signs was read back before another one came into the bundle.
    let next = make(&settings, 2, NOW);
    let state = secret.change(|state| state.started(next, Reason::Scheduled, &settings, NOW));
    let again = before.read_again(&state, &settings, later);
    assert!(again.signing(later).is_ok());
    assert_eq!(again.trust, state.trust());
    // One that nobody has read back is not proven by reading the Secret, whatever was held before.
    let first = CaState::first(make(&settings, 1, NOW), &settings, NOW);
    let unproven = Standing::of(&first, &settings, &ReadBack::Unknown, NOW);
    for before in [unproven, before] {
        let again = before.read_again(&first, &settings, later);
        assert_eq!(again.signing(later).unwrap_err(), NotNow::Unproven);
    }
}

#[test]
fn no_leaf_outlives_what_the_record_says_of_its_ca() {
    let (secret, settings) = steady();
    let standing = Standing::of(&secret.state(), &settings, &ReadBack::Unknown, NOW);
    let ca = standing.signing(NOW).unwrap().authority;
    assert_eq!(
        leaf(&ca, Duration::days(9), NOW).validity.not_after,
        at(1),
        "cut to the longest life of a leaf"
    );
    assert_eq!(
        leaf(&ca, Duration::days(9), at(29) + Duration::hours(9))
            .validity
            .not_after,
        at(30),
        "cut to the CA's own end"
    );
}

#[test]
fn a_certificate_of_the_ca_before_is_due_soon_and_one_of_a_stranger_now() {
    let (mut secret, settings) = steady();
    let a = leaf(&secret.state().current.authority, Duration::HOUR, NOW);
    let b = make(&settings, 2, at(1));
    let state = secret.change(|state| {
        let started = state.started(b.clone(), Reason::Scheduled, &settings, NOW);
        started.proven(NOW).switched(&settings, NOW)
    });
    let standing = Standing::of(&state, &settings, &ReadBack::Holds, NOW);
    assert_eq!(standing.leaf_due(&a, NOW), LeafDue::Soon);
    assert_eq!(
        standing.leaf_due(&leaf(&b, Duration::HOUR, at(1)), NOW),
        LeafDue::No
    );
    let stranger = leaf(&make(&settings, 9, NOW), Duration::HOUR, NOW);
    assert_eq!(standing.leaf_due(&stranger, NOW), LeafDue::Now);
}
