//! A clock that is wrong, or was.

use time::Duration;

use super::fixtures::{NOW, at, holds, lacking, make, steady, waits};
use crate::authority::{
    NotNow, Observation, ReadBack, Reason, Standing, Step, Waiting, clock_apart, plan,
};

#[test]
fn a_clock_that_is_wrong_neither_switches_nor_drops() {
    let (mut secret, settings) = steady();
    let b = make(&settings, 2, NOW);
    let started =
        secret.change(|state| state.started(b.clone(), Reason::Scheduled, &settings, NOW));
    let proven = secret.change(|state| state.proven(NOW));
    let wrong = Observation {
        server_time: Some(NOW),
        ..holds()
    };
    let ahead = at(3);
    let clock = Waiting::Clock(Duration::days(3));
    waits(&plan(&proven, &settings, &wrong, ahead), &clock);
    waits(&plan(&started, &settings, &wrong, ahead), &clock);
    assert_eq!(plan(&started, &settings, &holds(), ahead), Step::Prove);
    assert_eq!(plan(&proven, &settings, &holds(), ahead), Step::Switch);
    let switched = secret.change(|state| state.switched(&settings, NOW));
    waits(&plan(&switched, &settings, &wrong, ahead), &clock);
    assert_eq!(plan(&switched, &settings, &holds(), ahead), Step::Stop);
    let switched = secret.change(|state| state.stopped(&settings, NOW));
    waits(&plan(&switched, &settings, &wrong, ahead), &clock);
    assert!(matches!(
        plan(&switched, &settings, &holds(), ahead),
        Step::Drop(_)
    ));
}

#[test]
fn a_wrong_clock_begins_nothing_and_signs_nothing() {
    let (mut secret, settings) = steady();
    let wrong = |seen: Observation| Observation {
        server_time: Some(NOW),
        ..seen
    };
    let due = at(29);
    let clock = Waiting::Clock(Duration::days(29));
    let state = secret.state();
    assert_eq!(
        plan(&state, &settings, &holds(), due),
        Step::Start(Reason::Scheduled)
    );
    waits(&plan(&state, &settings, &wrong(holds()), due), &clock);
    // A lack is noticed all the same: then the settle time starts over.
    let b = make(&settings, 2, NOW);
    let proven = secret.change(|state| {
        let started = state.started(b, Reason::Scheduled, &settings, NOW);
        started.proven(NOW)
    });
    assert!(matches!(
        plan(&proven, &settings, &wrong(lacking()), due),
        Step::Unprove(_)
    ));
    // As far apart as clocks may be, and whole seconds in the API server's.
    let limit = settings.skew + Duration::seconds(2);
    for sign in [1, -1] {
        let now = NOW + limit * sign;
        assert_eq!(clock_apart(Some(NOW), &settings, now), None);
        let now = NOW + (limit + Duration::MILLISECOND) * sign;
        assert_eq!(clock_apart(Some(NOW), &settings, now), Some(now - NOW));
    }
    let standing = Standing::of(&state, &settings, &ReadBack::Holds, NOW);
    assert!(standing.signing(NOW).is_ok());
    let hour = Duration::HOUR;
    let apart = standing.clone().with_clock(Some(-hour));
    assert_eq!(apart.signing(NOW).unwrap_err(), NotNow::Clock(3600));
    // Set back since it was read: it would count as fresh for an hour.
    assert_eq!(
        standing.signing(NOW - hour).unwrap_err(),
        NotNow::Clock(3600)
    );
    assert!(standing.signing(NOW - settings.skew).is_ok());
}

#[test]
fn a_proof_from_a_clock_that_was_far_ahead_is_made_again() {
    let (mut secret, settings) = steady();
    let b = make(&settings, 2, NOW);
    let state = secret.change(|state| {
        let started = state.started(b.clone(), Reason::Scheduled, &settings, NOW);
        started.proven(at(5))
    });
    assert_eq!(plan(&state, &settings, &holds(), NOW), Step::Prove);
    let state = secret.change(|state| state.proven(NOW));
    let until = waits(&plan(&state, &settings, &holds(), NOW), &Waiting::Settle);
    assert_eq!(until, NOW + settings.settle);
}
