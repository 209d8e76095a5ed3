//! When a CA is due, by how long it and its leaves live.

use time::Duration;

use super::fixtures::{NOW, at, make, settings};
use crate::authority::{CaState, Settings};

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
