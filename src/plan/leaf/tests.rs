//! Each reason, and when there is none.

use time::Duration;

use super::*;
use crate::pki::Lifetime;
use crate::plan::fixtures::{NOW, ca, names, pair, trust};

const DECADE: Duration = Duration::days(3650);

fn days(days: i64) -> Lifetime {
    Lifetime::of(Duration::days(days))
}

fn wanted(names: &[San]) -> Wanted<'_> {
    Wanted {
        names,
        algorithm: None,
        renew_at: 0.9,
        force: false,
    }
}

fn code(
    existing: &Existing,
    of: &[&str],
    authority: &Authority,
    now: OffsetDateTime,
) -> &'static str {
    match plan_leaf(existing, &wanted(&names(of)), authority, now) {
        LeafPlan::Keep => "Keep",
        LeafPlan::Issue(reason) => reason.code(),
    }
}

#[test]
fn a_good_pair_is_kept_until_nine_tenths_of_its_life_are_over() {
    let ca = ca("ca", DECADE);
    let existing = pair(&ca, &["a", "b"], days(30));
    assert_eq!(code(&existing, &["a"], &ca, NOW), "Keep");
    assert_eq!(
        code(&existing, &["a"], &ca, NOW + Duration::days(26)),
        "Keep"
    );
    assert_eq!(
        code(&existing, &["a"], &ca, NOW + Duration::days(28)),
        "RenewalDue"
    );
    assert_eq!(
        code(&existing, &["a"], &ca, NOW + Duration::days(31)),
        "Expired"
    );
    assert_eq!(
        code(&existing, &["a"], &ca, NOW - Duration::days(1)),
        "NotYetValid"
    );
}

#[test]
fn a_pair_for_seconds_is_not_due_at_once_in_spite_of_its_backdating() {
    let ca = ca("ca", DECADE);
    let existing = pair(&ca, &["a"], Lifetime::of(Duration::seconds(10)));
    let after = |seconds| NOW + Duration::seconds(seconds);
    assert_eq!(code(&existing, &["a"], &ca, NOW), "Keep");
    assert_eq!(code(&existing, &["a"], &ca, after(8)), "Keep");
    assert_eq!(code(&existing, &["a"], &ca, after(9)), "RenewalDue");
    assert_eq!(code(&existing, &["a"], &ca, after(11)), "Expired");
}

#[test]
fn reasons_write_dates_as_the_rest_of_the_output_does() {
    assert_eq!(
        Reason::Expired(NOW).to_string(),
        "the certificate expired on 2026-11-21T12:00:00Z"
    );
}

#[test]
fn another_ca_is_noticed_even_under_the_same_name() {
    let (ca, other) = (ca("ca", DECADE), ca("ca", DECADE));
    assert_eq!(
        code(&pair(&other, &["a"], days(30)), &["a"], &ca, NOW),
        "OtherCA"
    );
}

#[test]
fn a_name_that_is_missing_is_named() {
    let ca = ca("ca", DECADE);
    let existing = pair(&ca, &["a", "*.x.y"], days(30));
    assert_eq!(code(&existing, &["a", "b.x.y"], &ca, NOW), "Keep");
    let plan = plan_leaf(&existing, &wanted(&names(&["a", "b.b.x.y"])), &ca, NOW);
    assert_eq!(
        plan,
        LeafPlan::Issue(Reason::NamesMissing(names(&["b.b.x.y"])))
    );
}

#[test]
fn a_key_of_another_certificate_is_noticed() {
    let ca = ca("ca", DECADE);
    let mut torn = pair(&ca, &["a"], days(30));
    if let Existing::Pair { key, .. } = &mut torn {
        **key = PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap();
    }
    assert_eq!(code(&torn, &["a"], &ca, NOW), "KeyMismatch");
}

#[test]
fn a_missing_ca_file_or_another_algorithm_is_a_reason() {
    let ca = ca("ca", DECADE);
    let mut existing = pair(&ca, &["a"], days(30));
    if let Existing::Pair { bundle, .. } = &mut existing {
        *bundle = None;
    }
    assert_eq!(code(&existing, &["a"], &ca, NOW), "BundleDiffers");
    if let Existing::Pair { bundle, .. } = &mut existing {
        *bundle = Some(trust(&ca));
    }
    let names = names(&["a"]);
    let rsa = Wanted {
        algorithm: Some(KeyAlgorithm::Rsa2048),
        ..wanted(&names)
    };
    assert_eq!(
        plan_leaf(&existing, &rsa, &ca, NOW),
        LeafPlan::Issue(Reason::Algorithm(KeyAlgorithm::Rsa2048))
    );
}

#[test]
fn a_leaf_that_ends_with_its_ca_is_not_renewed_in_vain() {
    let ca = ca("ca", DECADE);
    let existing = pair(&ca, &["a"], days(9999));
    assert_eq!(
        code(&existing, &["a"], &ca, NOW + Duration::days(3649)),
        "Keep"
    );
}

#[test]
fn what_is_missing_or_unreadable_is_issued() {
    let ca = ca("ca", DECADE);
    assert_eq!(code(&Existing::Nothing, &[], &ca, NOW), "Missing");
    assert_eq!(
        code(&Existing::read(b"junk", b"junk", None), &[], &ca, NOW),
        "Unusable"
    );
}
