//! A rotation that somebody asks for.

use time::Duration;

use super::fixtures::{Stored, at, holds, leaf, make, steady};
use crate::authority::{
    CaState, LeafDue, Phase, ROTATE_ANNOTATION, ReadBack, Reason, Standing, Step, plan,
};

#[test]
fn a_request_starts_a_rotation_once() {
    let (mut secret, settings) = steady();
    let ask = |secret: &mut Stored, how: &str| {
        secret
            .annotations
            .insert(ROTATE_ANNOTATION.to_owned(), how.to_owned());
    };
    ask(&mut secret, "requested");
    let step = plan(&secret.state(), &settings, &holds(), at(1));
    assert_eq!(step, Step::Start(Reason::Requested));
    let b = make(&settings, 2, at(1));
    secret.change(|state| state.started(b.clone(), Reason::Requested, &settings, at(1)));
    assert!(secret.annotations.is_empty(), "{:?}", secret.annotations);
    // Asked again while that goes on: it is being done.
    ask(&mut secret, "yes please");
    assert_eq!(
        plan(&secret.state(), &settings, &holds(), at(1)),
        Step::Absorb
    );
    let state = secret.change(CaState::absorbed);
    assert!(state.request.is_none() && secret.annotations.is_empty());
    assert_eq!(state.next.unwrap().authority.certificate(), b.certificate());
}

#[test]
fn a_forced_rotation_takes_a_fresh_ca_even_if_another_was_prepared() {
    let (mut secret, settings) = steady();
    let b = make(&settings, 2, at(1));
    secret.change(|state| {
        state
            .started(b.clone(), Reason::Scheduled, &settings, at(1))
            .proven(at(1))
    });
    secret
        .annotations
        .insert(ROTATE_ANNOTATION.to_owned(), "now".to_owned());
    let step = plan(&secret.state(), &settings, &holds(), at(1));
    assert_eq!(step, Step::Start(Reason::Forced));
    let c = make(&settings, 3, at(1));
    let state = secret.change(|state| state.started(c.clone(), Reason::Forced, &settings, at(1)));
    assert!(secret.annotations.is_empty());
    assert_eq!(state.phase(&settings), Phase::Publishing);
    assert!(!secret.text("ca.crt").contains(&b.certificate().to_pem()));
    assert!(
        state
            .trust()
            .former
            .contains(&b.certificate().fingerprint())
    );
    // Certificates of the CA before are replaced at once.
    let old = secret.state().current.authority;
    let old_leaf = leaf(&old, Duration::HOUR, at(1));
    let due = |state: &CaState| {
        Standing::of(state, &settings, &ReadBack::Holds, at(1)).leaf_due(&old_leaf, at(1))
    };
    assert_eq!(due(&state), LeafDue::No);
    let state = secret.change(|state| state.proven(at(1)).switched(&settings, at(1)));
    assert_eq!(due(&state), LeafDue::Now);
    assert_eq!(state.retired[0].reason, Reason::Forced);
}
