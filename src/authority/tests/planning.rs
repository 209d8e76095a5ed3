//! Each step on fixed dates.

use time::Duration;

use super::fixtures::{
    NOW, SECRET, Stored, at, holds, lacking, leaf, make, settings, steady, waits,
};
use crate::authority::{
    CaState, LeafDue, NotNow, Observation, Phase, ROTATE_ANNOTATION, ReadBack, Reason, Settings,
    Standing, Step, Waiting, check_continuity, clock_apart, plan, plan_first, warnings,
};
use crate::pki::{
    Authority, CaConstraint, CaSpec, DistinguishedName, Grant, KeyAlgorithm, Lifetime,
    NameConstraints, PrivateKey, Usage,
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
fn a_ca_is_replaced_in_time_for_its_leaves_even_if_the_fraction_says_later() {
    let mut settings = Settings::new(Duration::days(10), Duration::days(5)).unwrap();
    settings.rotate_at = 0.9;
    let state = CaState::first(make(&settings, 1, NOW), &settings, NOW).proven(NOW);
    let rotates_at = settings.rotates_at(&state.current);
    assert!(rotates_at < at(5), "{rotates_at}");
    assert!(rotates_at > at(4), "{rotates_at}");
}

#[test]
fn lives_that_leave_no_time_for_a_rotation_are_refused() {
    let refused = Settings::new(Duration::HOUR, Duration::HOUR).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "a CA that lives 1h is too short for leaves of 1h: it has to outlive the last of them, and be replaced in time; give the CA at least 1h 29m 21s, or the leaves less"
    );
    let minute = Settings::new(Duration::MINUTE, Duration::seconds(10)).unwrap();
    assert_eq!(minute.settle, Duration::SECOND);
    assert!(Settings::new(Duration::seconds(27), Duration::seconds(8)).is_ok());
    assert!(Settings::new(Duration::ZERO, Duration::ZERO).is_err());
    let mut odd = settings();
    for fraction in [0.0, 1.0, f64::NAN, -1.0, 7.0] {
        odd.rotate_at = fraction;
        assert!(odd.check().is_err(), "{fraction}");
    }
}

#[test]
fn a_ca_for_a_minute_is_not_due_at_once_in_spite_of_its_backdating() {
    let settings = Settings::new(Duration::MINUTE, Duration::seconds(10)).unwrap();
    let state = CaState::first(make(&settings, 1, NOW), &settings, NOW).proven(NOW);
    assert_eq!(
        settings.rotates_at(&state.current),
        NOW + Duration::seconds(40)
    );
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

#[test]
fn a_ca_that_somebody_else_maintains_is_watched_and_never_changed() {
    let settings = settings();
    let ca = make(&settings, 1, NOW);
    let external = Settings {
        rotate: false,
        ..settings.clone()
    };
    let mut secret = Stored::plain(&ca);
    let check = |secret: &Stored, settings: &Settings, expected: &str| {
        let state = secret.state();
        assert_eq!(state.phase(settings), Phase::External);
        for now in [NOW, at(25), at(40)] {
            waits(&plan(&state, settings, &holds(), now), &Waiting::Owner);
        }
        let said: Vec<_> = warnings(&state, settings, at(25))
            .iter()
            .map(ToString::to_string)
            .collect();
        assert!(said.join("\n").contains(expected), "{said:?}");
    };
    check(&secret, &external, "the CA ends at 2026-12-21 12:00:00");
    secret.annotations.insert(
        "cert-manager.io/certificate-name".to_owned(),
        "webhook-ca".to_owned(),
    );
    check(
        &secret,
        &settings,
        "cert-manager keeps it, for the Certificate webhook-ca",
    );
    // An intermediate, its issuer in ca.crt as cert-manager writes it.
    let root = root(&settings);
    let intermediate = intermediate(&root);
    secret = Stored::plain(&intermediate);
    secret.set("ca.crt", root.certificate().to_pem().as_bytes());
    check(&secret, &settings, "an intermediate CA");
    assert_eq!(
        secret.state().trust().bundle.certificates(),
        [root.certificate().clone()]
    );
}

fn root(settings: &Settings) -> Authority {
    let spec = CaSpec {
        subject: DistinguishedName::common_name_only("root"),
        validity: Lifetime::of(settings.ca_life).starting(NOW),
        path_length: None,
        name_constraints: NameConstraints::default(),
    };
    let key = PrivateKey::generate(KeyAlgorithm::Ed25519).unwrap();
    Authority::self_signed(&spec, key, super::fixtures::serial(50)).unwrap()
}

fn intermediate(root: &Authority) -> Authority {
    let key = PrivateKey::generate(KeyAlgorithm::Ed25519).unwrap();
    let mut grant = Grant::serving(
        Some("intermediate"),
        Vec::new(),
        Lifetime::of(Duration::days(30)).starting(NOW),
    );
    grant.usages = vec![Usage::CertSign];
    grant.ca = Some(CaConstraint {
        path_length: Some(0),
    });
    let serial = super::fixtures::serial(51);
    let certificate = root.issue(key.public_key(), &grant, NOW, serial).unwrap();
    Authority::new(vec![certificate], key).unwrap()
}

#[test]
fn a_ca_that_was_there_before_is_not_made_anew() {
    let settings = settings();
    assert!(plan_first(SECRET, [], None, NOW).is_ok());
    let ours = make(&settings, 1, NOW).certificate().clone();
    let said = plan_first(SECRET, [&ours], None, NOW).unwrap_err();
    assert!(
        said.to_string().contains("is still in a trust bundle"),
        "{said}"
    );
    assert!(
        said.to_string()
            .contains("certtool ca init --secret shop/webhook-ca"),
        "{said}"
    );
    // Of another Secret, or long over.
    assert!(plan_first("shop/other", [&ours], None, NOW).is_ok());
    assert!(plan_first(SECRET, [&ours], None, at(31)).is_ok());
    let said = plan_first(SECRET, [], Some("abcd"), NOW).unwrap_err();
    assert!(said.to_string().contains("SHA-256 abcd"), "{said}");
}

#[test]
fn another_ca_in_the_place_of_the_known_one_is_refused_unless_certtool_put_it_there() {
    let (secret, settings) = steady();
    let known = secret.state().current.authority.certificate().fingerprint();
    let other = make(&settings, 2, NOW);
    let plain = Stored::plain(&other).state();
    assert!(check_continuity(SECRET, &secret.state(), Some(&known)).is_ok());
    assert!(check_continuity(SECRET, &plain, None).is_ok());
    let said = check_continuity(SECRET, &plain, Some(&known)).unwrap_err();
    assert!(said.to_string().contains("the CA before"), "{said}");
    let repaired = CaState::repaired(other, [], NOW);
    let repaired = Stored::new(&repaired).state();
    assert!(check_continuity(SECRET, &repaired, Some(&known)).is_ok());
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
