//! A rotation, step by step, on fixed dates.

use time::Duration;

use super::fixtures::{NOW, Stored, at, holds, lacking, make, settings, steady, waits};
use crate::authority::{
    CaState, NotNow, Observation, Phase, ReadBack, Reason, Standing, Step, Waiting, plan,
};

#[test]
fn a_rotation_goes_from_one_steady_state_to_the_next_in_order() {
    let (mut secret, settings) = steady();
    let a = secret.state().current.authority;
    let go = |secret: &Stored, seen: &Observation, now| plan(&secret.state(), &settings, seen, now);
    // Steady: nothing before two thirds of its life are over.
    let until = waits(&go(&secret, &holds(), at(1)), &Waiting::Rotation);
    assert_eq!(until, at(20));
    assert_eq!(
        secret.state().phase(&settings),
        Phase::Steady { rotates_at: at(20) }
    );
    // Publishing: B is trusted, A signs.
    assert_eq!(
        go(&secret, &holds(), at(20)),
        Step::Start(Reason::Scheduled)
    );
    let b = make(&settings, 2, at(20));
    let state =
        secret.change(|state| state.started(b.clone(), Reason::Scheduled, &settings, at(20)));
    assert_eq!(state.phase(&settings), Phase::Publishing);
    assert_eq!(state.current.authority.certificate(), a.certificate());
    assert_eq!(state.trust().bundle.certificates().len(), 2);
    assert_eq!(secret.text("ca.crt"), state.trust().bundle.to_pem());
    waits(
        &go(&secret, &lacking(), at(21)),
        &Waiting::Objects(vec!["webhook x".to_owned()]),
    );
    waits(
        &go(&secret, &Observation::none(), at(21)),
        &Waiting::Objects(vec![]),
    );
    // Settling: read back everywhere, A still signs.
    assert_eq!(go(&secret, &holds(), at(21)), Step::Prove);
    let state = secret.change(|state| state.proven(at(21)));
    let until = at(21) + settings.settle;
    assert_eq!(state.phase(&settings), Phase::Settling { until });
    assert_eq!(
        waits(&go(&secret, &holds(), at(21)), &Waiting::Settle),
        until
    );
    // B signs only if it is trusted everywhere still.
    assert_eq!(
        go(&secret, &lacking(), until),
        Step::Unprove(vec!["webhook x".to_owned()])
    );
    waits(
        &go(&secret, &Observation::none(), until),
        &Waiting::Objects(vec![]),
    );
    assert_eq!(go(&secret, &holds(), until), Step::Switch);
    // The write may take an hour to arrive: it counts when it is read.
    let state = secret.change(|state| state.switched(&settings, until - Duration::HOUR));
    assert_eq!(go(&secret, &holds(), until), Step::Stop);
    assert_eq!(state.retired[0].leaves_end, at(30) + settings.skew);
    let state = secret.change(|state| state.stopped(&settings, until));
    assert_eq!(state.current.authority.certificate(), b.certificate());
    assert_eq!(secret.text("tls.crt"), b.certificate().to_pem());
    assert_eq!(
        secret.entries(),
        [
            "authority.json",
            "ca.crt",
            "retired.crt",
            "tls.crt",
            "tls.key"
        ],
        "the key of a CA that signs no more is gone"
    );
    // Draining: A is trusted until its last leaf has ended for every clock.
    let end = until + Duration::days(1) + settings.fresh + settings.skew * 2;
    assert_eq!(state.phase(&settings), Phase::Draining { until: end });
    assert_eq!(state.trust().bundle.certificates().len(), 2);
    assert_eq!(waits(&go(&secret, &holds(), end), &Waiting::Drain), end);
    let later = end + Duration::SECOND;
    let a = a.certificate().fingerprint();
    assert_eq!(go(&secret, &lacking(), later), Step::Drop(vec![a.clone()]));
    let state = secret.change(|state| state.dropped(std::slice::from_ref(&a), later));
    assert!(matches!(state.phase(&settings), Phase::Steady { .. }));
    assert_eq!(secret.text("ca.crt"), b.certificate().to_pem());
    assert!(state.trust().former.contains(&a));
    assert!(state.knows(&a));
    waits(&go(&secret, &holds(), later), &Waiting::Rotation);
}

#[test]
fn the_first_ca_signs_once_it_is_read_back_and_not_before() {
    let settings = settings();
    let state = CaState::first(make(&settings, 1, NOW), &settings, NOW);
    let mut secret = Stored::new(&state);
    let state = secret.state();
    assert_eq!(state.phase(&settings), Phase::Introducing);
    let standing = |read_back| Standing::of(&state, &settings, &read_back, NOW);
    for unproven in [ReadBack::Unknown, ReadBack::Lacking(vec!["x".to_owned()])] {
        let refused = standing(unproven).signing(NOW).unwrap_err();
        assert_eq!(refused, NotNow::Unproven);
    }
    // Who has read it back need not wait until that is recorded.
    let signing = standing(ReadBack::Holds).signing(NOW).unwrap();
    assert_eq!(signing.settled_at, NOW + settings.settle);
    waits(
        &plan(&state, &settings, &lacking(), NOW),
        &Waiting::Objects(vec!["webhook x".to_owned()]),
    );
    assert_eq!(plan(&state, &settings, &holds(), NOW), Step::Prove);
    let state = secret.change(|state| state.proven(NOW));
    let standing = Standing::of(&state, &settings, &ReadBack::Unknown, NOW);
    assert!(standing.signing(NOW).is_ok());
}

#[test]
fn a_ca_found_in_the_secret_is_adopted_and_drains_until_its_own_end() {
    let settings = settings();
    let found = make(&settings, 1, NOW);
    let mut secret = Stored::plain(&found);
    let state = secret.state();
    assert!(!state.is_recorded);
    assert_eq!(plan(&state, &settings, &holds(), NOW), Step::Adopt);
    let state = secret.change(|state| state.adopted(&settings));
    assert_eq!(state.current.authority.certificate(), found.certificate());
    assert_eq!(plan(&state, &settings, &holds(), NOW), Step::Prove);
    secret.change(|state| state.proven(NOW));
    // Nobody knows how long the leaves live that it signed before.
    let next = make(&settings, 2, at(20));
    secret.change(|state| {
        let started = state.started(next, Reason::Scheduled, &settings, at(20));
        started.proven(at(20))
    });
    let state = secret.change(|state| {
        let switched = state.switched(&settings, at(21));
        switched.stopped(&settings, at(21))
    });
    assert_eq!(state.retired[0].leaves_end, at(30) + settings.skew);
}

#[test]
fn a_ca_that_nothing_serves_leaves_early_but_not_before_every_signer_has_noticed() {
    let (mut secret, settings) = steady();
    let a = secret.state().current.authority.certificate().fingerprint();
    let b = make(&settings, 2, NOW);
    let state = secret.change(|state| {
        let started = state.started(b.clone(), Reason::Forced, &settings, NOW);
        let switched = started.proven(NOW).switched(&settings, NOW);
        switched.stopped(&settings, NOW)
    });
    let b = b.certificate().fingerprint();
    let seen = |in_use: &[&String]| Observation {
        in_use: Some(in_use.iter().map(|one| (*one).clone()).collect()),
        ..holds()
    };
    let soon = NOW + settings.fresh + settings.skew * 2;
    waits(
        &plan(&state, &settings, &seen(&[&b]), soon),
        &Waiting::Drain,
    );
    let later = soon + Duration::SECOND;
    waits(
        &plan(&state, &settings, &seen(&[&a, &b]), later),
        &Waiting::Drain,
    );
    waits(&plan(&state, &settings, &holds(), later), &Waiting::Drain);
    let step = plan(&state, &settings, &seen(&[&b]), later);
    assert_eq!(step, Step::Drop(vec![a]));
}

#[test]
fn longer_leaves_are_recorded_before_they_are_signed() {
    let (mut secret, mut settings) = steady();
    settings.leaf_life = Duration::days(2);
    let step = plan(&secret.state(), &settings, &holds(), at(1));
    assert_eq!(step, Step::LongerLeaves);
    let before = secret.state().current.authority;
    assert_eq!(before.latest_end(at(1)), at(2));
    let state = secret.change(|state| state.with_longer_leaves(&settings));
    assert_eq!(state.current.authority.latest_end(at(1)), at(3));
    waits(
        &plan(&state, &settings, &holds(), at(1)),
        &Waiting::Rotation,
    );
    // A replica that is still configured for shorter ones does not take that back.
    settings.leaf_life = Duration::days(1);
    waits(
        &plan(&state, &settings, &holds(), at(1)),
        &Waiting::Rotation,
    );
}

#[test]
fn a_next_ca_that_was_forgotten_for_long_is_made_anew() {
    let (mut secret, settings) = steady();
    let b = make(&settings, 2, NOW);
    let state = secret.change(|state| state.started(b, Reason::Requested, &settings, NOW));
    assert_eq!(
        plan(&state, &settings, &lacking(), at(29)),
        Step::Start(Reason::Requested)
    );
}
