//! A CA is not replaced because its Secret is lost or holds another one.

use super::fixtures::{NOW, SECRET, Stored, at, make, settings, steady};
use crate::authority::{CaState, check_continuity, plan_first};

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
