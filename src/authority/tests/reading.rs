//! What a Secret may hold, and what is refused.

use time::Duration;

use super::fixtures::{NOW, SECRET, Stored, make, settings, steady};
use crate::authority::{CaState, Changes, Problem, ROTATE_ANNOTATION, Reason, Request};
use crate::pki::{Certificate, Grant, KeyAlgorithm, Lifetime, PrivateKey, San};

/// A state with all that there can be.
fn full() -> Stored {
    let (mut secret, settings) = steady();
    secret.change(|state| {
        let started = state.started(make(&settings, 2, NOW), Reason::Scheduled, &settings, NOW);
        started.proven(NOW).switched(&settings, NOW)
    });
    secret.change(|state| {
        state
            .started(make(&settings, 3, NOW), Reason::Forced, &settings, NOW)
            .proven(NOW)
    });
    secret.change(|state| {
        let started = state.started(make(&settings, 4, NOW), Reason::Requested, &settings, NOW);
        started.proven(NOW + Duration::milliseconds(1500))
    });
    secret
}

#[test]
fn what_was_written_is_read_again_and_writing_it_again_changes_nothing() {
    let mut secret = full();
    let state = secret.state();
    assert_eq!(
        secret.entries(),
        [
            "authority.json",
            "ca.crt",
            "next.crt",
            "next.key",
            "retired.crt",
            "tls.crt",
            "tls.key"
        ]
    );
    assert_eq!(state.retired.len(), 1);
    assert_eq!(state.former.len(), 1);
    let next = state.next.as_ref().unwrap();
    assert_eq!(next.reason, Reason::Requested);
    assert_eq!(next.published, Some(NOW + Duration::milliseconds(1500)));
    assert_eq!(state.current.leaf_life, Some(Duration::days(1)));
    for before in [None, Some(&state)] {
        let changes = Changes::to(&state, before, &secret.data, &secret.annotations).unwrap();
        assert!(changes.is_empty(), "{changes:?}");
    }
    let before = secret.clone();
    secret.change(Clone::clone);
    assert_eq!(secret, before);
}

#[test]
fn entries_and_annotations_of_others_are_left_alone() {
    let mut secret = full();
    secret.set("notes", b"keep me");
    secret
        .annotations
        .insert("team".to_owned(), "shop".to_owned());
    let settings = settings();
    secret.change(|state| state.switched(&settings, NOW));
    assert_eq!(secret.text("notes"), "keep me");
    assert_eq!(secret.annotations["team"], "shop");
}

#[test]
fn a_plain_secret_is_a_ca_of_which_nothing_else_is_known() {
    let settings = settings();
    let ca = make(&settings, 1, NOW);
    let mut secret = Stored::plain(&ca);
    let state = secret.state();
    assert!(state.policy.is_none() && state.next.is_none() && state.retired.is_empty());
    assert!(state.current.leaf_life.is_none() && state.current.published.is_none());
    secret.data.remove("ca.crt");
    assert_eq!(secret.state().trust(), state.trust());
    secret.set("ca.crt", b"");
    assert_eq!(secret.state().trust(), state.trust());
    // Somebody rotated it by hand before: what is trusted beside it stays so until it ends.
    let before = make(&settings, 2, NOW - Duration::days(1));
    let both = [ca.certificate().to_pem(), before.certificate().to_pem()].concat();
    secret.set("ca.crt", both.as_bytes());
    let state = secret.state();
    assert_eq!(state.trust().bundle.certificates().len(), 2);
    assert_eq!(
        state.retired[0].leaves_end,
        before.certificate().validity.not_after
    );
    // Its key may be spelled in any way that is read.
    let adopted = state.adopted(&settings);
    secret.write(&adopted, Some(&state));
    assert_eq!(secret.data["tls.key"], Stored::plain(&ca).data["tls.key"]);
}

#[test]
fn a_request_is_read_from_the_annotation() {
    let (mut secret, _) = steady();
    for (value, request) in [
        ("requested", Request::Rotate),
        ("now", Request::Now),
        (" now\n", Request::Now),
        ("", Request::Rotate),
        ("2026-11-21", Request::Rotate),
    ] {
        secret
            .annotations
            .insert(ROTATE_ANNOTATION.to_owned(), value.to_owned());
        assert_eq!(secret.state().request, Some(request), "{value:?}");
    }
}

/// What is wrong, in a Secret that was damaged.
fn problem(damage: impl FnOnce(&mut Stored)) -> Problem {
    let mut secret = full();
    damage(&mut secret);
    let broken = secret.read().unwrap_err();
    let text = broken.to_string();
    assert!(
        text.starts_with("the CA in Secret shop/webhook-ca cannot be used: "),
        "{text}"
    );
    assert!(
        text.contains("certtool ca init --secret shop/webhook-ca --replace")
            || text.contains("newer"),
        "{text}"
    );
    assert!(!text.contains("PRIVATE KEY-----"), "{text}");
    assert_eq!(broken.secret, SECRET);
    broken.problem
}

#[test]
fn each_missing_entry_is_named() {
    for entry in [
        "tls.crt",
        "tls.key",
        "ca.crt",
        "next.crt",
        "next.key",
        "retired.crt",
    ] {
        let found = problem(|secret| {
            secret.data.remove(entry);
        });
        assert!(
            matches!(found, Problem::Missing(named) if named == entry),
            "{found:?}"
        );
    }
    let found = problem(|secret| {
        secret.data.remove("authority.json");
    });
    assert_eq!(found, Problem::Stray("next.crt"));
    let empty = problem(|secret| secret.data.clear());
    assert_eq!(empty, Problem::Missing("tls.crt"));
}

#[test]
fn truncation_at_any_byte_of_any_entry_is_an_error_or_changes_nothing_that_matters() {
    let whole = full();
    let state = whole.state();
    for entry in whole.entries() {
        let text = &whole.data[entry];
        for length in (0..text.len()).step_by(7).chain([text.len() - 1]) {
            let mut cut = whole.clone();
            cut.set(entry, &text[..length]);
            if let Ok(read) = cut.read() {
                // Only white space was lost.
                assert!(
                    text[length..].trim_ascii().is_empty(),
                    "{entry} cut to {length}"
                );
                assert_eq!(read.trust(), state.trust());
            }
        }
    }
}

#[test]
fn garbage_a_leaf_another_ca_and_another_key_are_told_apart() {
    let settings = settings();
    for entry in ["tls.crt", "next.crt", "retired.crt"] {
        let found = problem(|secret| secret.set(entry, b"\x00\xffgarbage"));
        assert!(matches!(found, Problem::Certificate { entry: named, .. } if named == entry));
    }
    for entry in ["tls.key", "next.key"] {
        let found = problem(|secret| secret.set(entry, b"garbage"));
        assert!(matches!(found, Problem::Key { entry: named, .. } if named == entry));
        let other = PrivateKey::generate(KeyAlgorithm::Ed25519).unwrap();
        let other = other.to_pem().unwrap();
        let found = problem(|secret| secret.set(entry, other.expose().as_bytes()));
        assert!(matches!(found, Problem::NoAuthority { .. }), "{found:?}");
        assert!(found.to_string().contains("does not belong"), "{found}");
    }
    let other = make(&settings, 8, NOW);
    let found = problem(|secret| {
        let plain = Stored::plain(&other);
        secret.data.extend(plain.data);
    });
    assert!(
        matches!(
            found,
            Problem::OtherCa {
                entry: "tls.crt",
                ..
            }
        ),
        "{found:?}"
    );
    assert!(
        found.to_string().contains("somebody put another CA there"),
        "{found}"
    );
    let found = problem(|secret| secret.set("ca.crt", other.certificate().to_pem().as_bytes()));
    assert!(matches!(found, Problem::NotInBundle { .. }), "{found:?}");
    let found = problem(|secret| secret.set("ca.crt", b"garbage"));
    assert!(matches!(found, Problem::Bundle(_)), "{found:?}");
    for record in ["{}", "garbage", "{\"version\": 1}", "[]", ""] {
        let found = problem(|secret| secret.set("authority.json", record.as_bytes()));
        assert!(matches!(found, Problem::Record(_)), "{found:?}");
    }
    let found = problem(|secret| secret.set("authority.json", b"{\"version\": 2}"));
    assert_eq!(found, Problem::Newer(2));
}

#[test]
fn a_leaf_in_the_place_of_a_ca_is_no_ca() {
    let settings = settings();
    let ca = make(&settings, 1, NOW);
    let key = PrivateKey::generate(KeyAlgorithm::Ed25519).unwrap();
    let names = vec![San::Dns("a.b.svc".to_owned())];
    let grant = Grant::serving(None, names, Lifetime::of(Duration::DAY).starting(NOW));
    let serial = super::fixtures::serial(5);
    let leaf = ca.issue(key.public_key(), &grant, NOW, serial).unwrap();
    let mut secret = Stored::plain(&ca);
    secret.set("tls.crt", leaf.to_pem().as_bytes());
    secret.set("tls.key", key.to_pem().unwrap().expose().as_bytes());
    let text = secret.read().unwrap_err().to_string();
    assert!(text.contains("is not a CA"), "{text}");
    // A bundle that has nothing to do with the CA.
    let mut secret = Stored::plain(&ca);
    let other = make(&settings, 2, NOW);
    secret.set("ca.crt", other.certificate().to_pem().as_bytes());
    let text = secret.read().unwrap_err().to_string();
    assert!(
        text.contains("ca.crt does not contain the CA of tls.crt"),
        "{text}"
    );
}

#[test]
fn nothing_secret_is_in_debug_output() {
    let secret = full();
    let state = secret.state();
    let fresh = CaState::of(state.current.authority.clone());
    let changes = Changes::to(&fresh, None, &Default::default(), &Default::default()).unwrap();
    let text = format!("{state:?} {changes:?}");
    let key = state.current.authority.key().to_pem().unwrap();
    let body = key.expose().lines().nth(1).unwrap();
    assert!(
        !text.contains(body) && !text.contains("PRIVATE KEY"),
        "{text}"
    );
    let bytes: Vec<String> = body.bytes().take(8).map(|byte| byte.to_string()).collect();
    assert!(!text.contains(&bytes.join(", ")));
    assert!(Certificate::all_from_pem(&secret.data["ca.crt"]).is_ok());
}
