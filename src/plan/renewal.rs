//! When a pair that is kept by a loop is renewed, and why.

use time::OffsetDateTime;

use super::Seed;
use super::existing::Existing;
use super::leaf::is_of;
use super::reason::Reason;
use crate::pki::{
    BACKDATE, Certificate, KeyAlgorithm, San, TrustBundle, Usage, Validity, verify_server,
};

/// How much earlier than asked a renewal may be, as a share of the time until it.
const SPREAD: f64 = 0.1;

/// What a pair is to be, as long as its loop runs.
#[derive(Debug, Clone)]
pub struct Desired {
    /// Its names, these and no others.
    pub names: Vec<San>,
    /// The key algorithm, when the user insists on one.
    pub algorithm: Option<KeyAlgorithm>,
    /// After which fraction of its life it is renewed, at the latest.
    pub renew_at: f64,
    /// What spreads the replicas.
    pub seed: Seed,
    /// Who issues it: a signer's name, or a Secret's.
    pub issuer: String,
    /// What was received before this instant is replaced, from this instant on.
    pub renew_before: Option<OffsetDateTime>,
}

/// On what the replicas read anyway, the Secret with their CA or the ConfigMap with their trust
/// bundle: an instant (RFC 3339), which is [`Desired::renew_before`]. So it is asked for once,
/// whoever is up at that time and however often they start.
pub const RENEW_ANNOTATION: &str = "certtool.dev/renew";

/// What is known of a leaf that is not in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeafRecord {
    /// The SHA-256 of the leaf that it is about.
    pub fingerprint: String,
    /// [`Desired::issuer`] of that time.
    pub issuer: String,
    /// When it was received.
    pub received: OffsetDateTime,
}

/// What to do about the pair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Renewal {
    /// Nothing before this instant.
    Keep {
        /// When it is due.
        due: OffsetDateTime,
    },
    /// The pair is good, but what is to be trusted is another bundle than beside it.
    Rewrite,
    /// Get a new one.
    Renew(Reason),
}

/// Decides about a pair. `trust` is what it has to verify with, when that is known.
#[must_use]
pub fn plan_renewal(
    existing: &Existing,
    record: Option<&LeafRecord>,
    desired: &Desired,
    trust: Option<&TrustBundle>,
    now: OffsetDateTime,
) -> Renewal {
    let (leaf, intermediates, key, bundle) = match existing.parts() {
        Ok(parts) => parts,
        Err(reason) => return Renewal::Renew(reason),
    };
    if leaf.public_key != *key.public_key() {
        return Renewal::Renew(Reason::KeyMismatch);
    }
    if let Some(reason) = unusable(leaf, intermediates, trust, now) {
        return Renewal::Renew(reason);
    }
    let names = &desired.names;
    if let Some(missing) = Reason::names_missing(leaf, names) {
        return Renewal::Renew(missing);
    }
    let more = leaf.names.iter().filter(|name| !names.contains(name));
    let more: Vec<San> = more.cloned().collect();
    if !more.is_empty() {
        return Renewal::Renew(Reason::NamesNotWanted(more));
    }
    if let Some(algorithm) = desired
        .algorithm
        .filter(|algorithm| !is_of(key, *algorithm))
    {
        return Renewal::Renew(Reason::Algorithm(algorithm));
    }
    let record = record.filter(|record| record.fingerprint == leaf.fingerprint());
    if let Some(record) = record.filter(|record| record.issuer != desired.issuer) {
        return Renewal::Renew(Reason::OtherIssuer(record.issuer.clone()));
    }
    // By a clock that was set back since, it has not been received yet: that says nothing.
    let record = record.filter(|record| record.received <= now);
    let due = due(leaf, record, desired, trust);
    if now >= due {
        return Renewal::Renew(Reason::RenewalDue(leaf.validity.not_after));
    }
    let begins = life_begins(&leaf.validity, record);
    let asked = desired.renew_before.filter(|asked| begins < *asked);
    if asked.is_some_and(|asked| now >= asked) {
        return Renewal::Renew(Reason::Asked);
    }
    let due = asked.map_or(due, |asked| asked.min(due));
    match trust {
        Some(trust) if bundle != Some(trust) => Renewal::Rewrite,
        _ => Renewal::Keep { due },
    }
}

/// Why nobody could use the certificate.
fn unusable(
    leaf: &Certificate,
    intermediates: &[Certificate],
    trust: Option<&TrustBundle>,
    now: OffsetDateTime,
) -> Option<Reason> {
    let validity = leaf.validity;
    if now > validity.not_after {
        return Some(Reason::Expired(validity.not_after));
    }
    if now < validity.not_before {
        return Some(Reason::NotYetValid(validity.not_before));
    }
    let usages = leaf.extended_usages.as_ref();
    if usages.is_some_and(|usages| !usages.contains(&Usage::ServerAuth)) {
        return Some(Reason::NotForServing);
    }
    // Names apart: a name that is missing has a reason of its own.
    let verified = trust.map(|trust| verify_server(leaf, intermediates, trust, &[], now));
    match verified {
        Some(Err(_)) => Some(Reason::OtherCa(leaf.issuer.to_string())),
        _ => None,
    }
}

/// When the leaf is due: at a fraction of its life, a little earlier for one replica than for
/// another. One that ends with the last CA that is trusted is due when it ends, since there is
/// nothing better to be had.
fn due(
    leaf: &Certificate,
    record: Option<&LeafRecord>,
    desired: &Desired,
    trust: Option<&TrustBundle>,
) -> OffsetDateTime {
    let end = leaf.validity.not_after;
    let last = trust.and_then(|trust| {
        let ends = trust.certificates().iter().map(|ca| ca.validity.not_after);
        ends.max()
    });
    if last.is_some_and(|last| last <= end) {
        return end;
    }
    let start = life_begins(&leaf.validity, record);
    let fraction = desired.renew_at * (1.0 - SPREAD * desired.seed.share(&leaf.serial));
    Validity {
        not_before: start,
        not_after: end,
    }
    .at_fraction(fraction)
}

/// From when the life counts. When the leaf was received is known from the record; else it is
/// guessed from the backdating that is usual.
fn life_begins(validity: &Validity, record: Option<&LeafRecord>) -> OffsetDateTime {
    match record {
        Some(record) => record
            .received
            .clamp(validity.not_before, validity.not_after),
        None => (validity.not_before + BACKDATE).min(validity.not_after),
    }
}

#[cfg(test)]
mod tests {
    use time::Duration;

    use super::*;
    use crate::pki::Lifetime;
    use crate::plan::fixtures::{NOW, ca, names, pair, trust};

    fn desired(of: &[&str]) -> Desired {
        Desired {
            names: names(of),
            algorithm: None,
            renew_at: 0.67,
            seed: Seed::of("hook-0"),
            issuer: "example.com/serving".to_owned(),
            renew_before: None,
        }
    }

    fn record(existing: &Existing, issuer: &str, received: OffsetDateTime) -> LeafRecord {
        let Existing::Pair { leaf, .. } = existing else {
            unreachable!()
        };
        LeafRecord {
            fingerprint: leaf.fingerprint(),
            issuer: issuer.to_owned(),
            received,
        }
    }

    fn code(renewal: &Renewal) -> &'static str {
        match renewal {
            Renewal::Keep { .. } => "Keep",
            Renewal::Rewrite => "Rewrite",
            Renewal::Renew(reason) => reason.code(),
        }
    }

    #[test]
    fn a_pair_is_due_at_two_thirds_of_its_life_or_a_little_before() {
        let ca = ca("ca", Duration::days(100));
        let existing = pair(&ca, &["a"], Lifetime::of(Duration::hours(24)));
        let plan = |hours: f64| {
            let now = NOW + Duration::HOUR * hours;
            plan_renewal(&existing, None, &desired(&["a"]), Some(&trust(&ca)), now)
        };
        assert_eq!(code(&plan(0.0)), "Keep");
        assert_eq!(code(&plan(14.4)), "Keep");
        assert_eq!(code(&plan(16.1)), "RenewalDue");
        assert_eq!(code(&plan(24.1)), "Expired");
        assert_eq!(code(&plan(-1.0)), "NotYetValid");
        let Renewal::Keep { due } = plan(1.0) else {
            panic!()
        };
        let Renewal::Keep { due: later } = plan(2.0) else {
            panic!()
        };
        assert_eq!(due, later, "the jitter does not move with the clock");
    }

    #[test]
    fn replicas_renew_at_different_times() {
        let ca = ca("ca", Duration::days(100));
        let existing = pair(&ca, &["a"], Lifetime::of(Duration::hours(24)));
        let due = |pod: &str| {
            let desired = Desired {
                seed: Seed::of(pod),
                ..desired(&["a"])
            };
            match plan_renewal(&existing, None, &desired, None, NOW) {
                Renewal::Keep { due } => due,
                other => panic!("{other:?}"),
            }
        };
        assert_ne!(due("hook-0"), due("hook-1"));
    }

    #[test]
    fn a_short_life_counts_from_when_it_was_received_however_it_is_backdated() {
        let ca = ca("ca", Duration::days(100));
        for backdate in [Duration::ZERO, BACKDATE, Duration::hours(1)] {
            let duration = Duration::seconds(10);
            let existing = pair(&ca, &["a"], Lifetime { duration, backdate });
            let record = record(&existing, "example.com/serving", NOW);
            let plan = |seconds| {
                let now = NOW + Duration::seconds(seconds);
                plan_renewal(
                    &existing,
                    Some(&record),
                    &desired(&["a"]),
                    Some(&trust(&ca)),
                    now,
                )
            };
            assert_eq!(code(&plan(0)), "Keep", "{backdate}");
            assert_eq!(code(&plan(5)), "Keep", "{backdate}");
            assert_eq!(code(&plan(7)), "RenewalDue", "{backdate}");
        }
    }

    #[test]
    fn what_was_received_by_a_clock_that_was_ahead_is_due_no_later_once_that_is_set_right() {
        let ca = ca("ca", Duration::days(100));
        let existing = pair(&ca, &["a"], Lifetime::of(Duration::hours(24)));
        let record = record(&existing, "example.com/serving", NOW + Duration::hours(23));
        let plan = |hours: f64| {
            let now = NOW + Duration::HOUR * hours;
            let trust = trust(&ca);
            let desired = desired(&["a"]);
            plan_renewal(&existing, Some(&record), &desired, Some(&trust), now)
        };
        assert_eq!(code(&plan(0.0)), "Keep");
        assert_eq!(code(&plan(16.1)), "RenewalDue");
        // As long as it is ahead, it was received a moment ago.
        assert_eq!(code(&plan(23.0)), "Keep");
    }

    #[test]
    fn what_was_received_before_an_instant_is_renewed_then_and_once() {
        let ca = ca("ca", Duration::days(100));
        let existing = pair(&ca, &["a"], Lifetime::of(Duration::hours(24)));
        let asked = NOW + Duration::HOUR;
        let plan = |received, now| {
            let record = record(&existing, "example.com/serving", received);
            let desired = Desired {
                renew_before: Some(asked),
                ..desired(&["a"])
            };
            plan_renewal(&existing, Some(&record), &desired, None, now)
        };
        assert_eq!(plan(NOW, NOW), Renewal::Keep { due: asked });
        assert_eq!(plan(NOW, asked), Renewal::Renew(Reason::Asked));
        assert_eq!(code(&plan(asked, asked)), "Keep");
        let later = asked + Duration::MINUTE;
        assert_eq!(plan(NOW, later), Renewal::Renew(Reason::Asked));
        assert_eq!(code(&plan(later, later)), "Keep");
    }

    #[test]
    fn another_issuer_other_names_or_another_algorithm_are_reasons() {
        let ca = ca("ca", Duration::days(100));
        let existing = pair(&ca, &["a", "b"], Lifetime::of(Duration::hours(24)));
        let plan = |desired: &Desired, issuer: &str| {
            let record = record(&existing, issuer, NOW);
            plan_renewal(&existing, Some(&record), desired, Some(&trust(&ca)), NOW)
        };
        let both = desired(&["a", "b"]);
        assert_eq!(code(&plan(&both, "example.com/serving")), "Keep");
        assert_eq!(code(&plan(&both, "example.com/other")), "OtherIssuer");
        assert_eq!(code(&plan(&desired(&["a", "c"]), "")), "NamesMissing");
        assert_eq!(code(&plan(&desired(&["a"]), "")), "NamesNotWanted");
        let strict = Desired {
            algorithm: Some(KeyAlgorithm::Ed25519),
            ..both
        };
        assert_eq!(code(&plan(&strict, "")), "Algorithm");
    }

    #[test]
    fn a_record_of_another_leaf_says_nothing() {
        let ca = ca("ca", Duration::days(100));
        let existing = pair(&ca, &["a"], Lifetime::of(Duration::hours(24)));
        let mut record = record(&existing, "example.com/other", NOW);
        record.fingerprint = "00".to_owned();
        let plan = plan_renewal(&existing, Some(&record), &desired(&["a"]), None, NOW);
        assert_eq!(code(&plan), "Keep");
    }

    #[test]
    fn a_bundle_that_changes_is_rewritten_and_one_without_the_issuer_asks_for_a_new_leaf() {
        let (old, new) = (
            ca("old", Duration::days(100)),
            ca("new", Duration::days(100)),
        );
        let existing = pair(&old, &["a"], Lifetime::of(Duration::hours(24)));
        let plan = |trust: Option<&TrustBundle>| {
            plan_renewal(&existing, None, &desired(&["a"]), trust, NOW)
        };
        let both = trust(&old).merge(&trust(&new));
        assert_eq!(code(&plan(None)), "Keep");
        assert_eq!(code(&plan(Some(&trust(&old)))), "Keep");
        assert_eq!(plan(Some(&both)), Renewal::Rewrite);
        assert_eq!(code(&plan(Some(&trust(&new)))), "OtherCA");
    }

    #[test]
    fn a_leaf_that_ends_with_the_last_ca_is_kept_until_there_is_another() {
        let old = ca("old", Duration::hours(10));
        let existing = pair(&old, &["a"], Lifetime::of(Duration::hours(24)));
        let now = NOW + Duration::hours(9);
        let plan =
            |trust: &TrustBundle| plan_renewal(&existing, None, &desired(&["a"]), Some(trust), now);
        assert_eq!(code(&plan(&trust(&old))), "Keep");
        let both = trust(&old).merge(&trust(&ca("new", Duration::days(100))));
        assert_eq!(code(&plan(&both)), "RenewalDue");
    }

    #[test]
    fn what_is_no_pair_is_replaced() {
        let plan = |existing: &Existing| plan_renewal(existing, None, &desired(&["a"]), None, NOW);
        assert_eq!(code(&plan(&Existing::Nothing)), "Missing");
        assert_eq!(code(&plan(&Existing::read(b"x", b"y", None))), "Unusable");
    }
}
