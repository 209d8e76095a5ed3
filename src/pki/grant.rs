//! What a certificate is to say, decided before it is made.

use std::net::IpAddr;

use time::{Duration, OffsetDateTime, UtcOffset};

use super::{BACKDATE, DistinguishedName, Extension, San, Usage};

/// The dates of a certificate, in whole seconds, as X.509 writes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// First instant of validity.
    pub not_before: OffsetDateTime,
    /// Last instant of validity.
    pub not_after: OffsetDateTime,
}

impl Validity {
    /// Validity from `not_before` to `not_after`, truncated to whole seconds.
    #[must_use]
    pub fn new(not_before: OffsetDateTime, not_after: OffsetDateTime) -> Self {
        Self {
            not_before: whole_seconds(not_before),
            not_after: whole_seconds(not_after),
        }
    }

    /// Whether `now` lies within it.
    #[must_use]
    pub fn contains(&self, now: OffsetDateTime) -> bool {
        self.not_before <= now && now <= self.not_after
    }

    /// The instant at which `fraction` of the life is over.
    #[must_use]
    pub fn at_fraction(&self, fraction: f64) -> OffsetDateTime {
        // Not a number: as if it were over, so that whatever waits for it acts.
        let fraction = if fraction.is_nan() { 1.0 } else { fraction };
        self.not_before + (self.not_after - self.not_before) * fraction.clamp(0.0, 1.0)
    }
}

/// In UTC, since certificates have no other; an instant that UTC cannot hold (within a
/// day of the years ±9999) stays as it is and is refused when a certificate is made.
fn whole_seconds(at: OffsetDateTime) -> OffsetDateTime {
    let at = at.checked_to_offset(UtcOffset::UTC).unwrap_or(at);
    at.replace_nanosecond(0).unwrap_or(at)
}

/// How long a certificate is to live, counted from the moment it is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lifetime {
    /// From now to `notAfter`.
    pub duration: Duration,
    /// From `notBefore` to now.
    pub backdate: Duration,
}

impl Lifetime {
    /// A life of `duration` from now on, dated back by [`BACKDATE`].
    #[must_use]
    pub fn of(duration: Duration) -> Self {
        Self {
            duration,
            backdate: BACKDATE,
        }
    }

    /// The dates for a certificate that is signed at `now`.
    #[must_use]
    pub fn starting(self, now: OffsetDateTime) -> Validity {
        // Saturating: `9999y` is the end of time, not a panic.
        Validity::new(
            now.saturating_sub(self.backdate),
            now.saturating_add(self.duration),
        )
    }
}

/// Basic constraints of a CA certificate (RFC 5280, section 4.2.1.9).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CaConstraint {
    /// How many intermediate CAs may follow; `None` for any number.
    pub path_length: Option<u8>,
}

/// Which names a CA may issue for (RFC 5280, section 4.2.1.10). Empty means any.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NameConstraints {
    /// DNS subtrees, in the form `example.com` (the domain and all below it).
    pub permitted_dns: Vec<String>,
    /// Address ranges as address and prefix length.
    pub permitted_ip: Vec<(IpAddr, u8)>,
}

impl NameConstraints {
    /// Whether nothing is constrained.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.permitted_dns.is_empty() && self.permitted_ip.is_empty()
    }
}

/// All that a certificate says beyond its key, its issuer and its serial number.
#[derive(Debug, Clone)]
pub struct Grant {
    /// The subject; may be empty, since SANs carry the identity.
    pub subject: DistinguishedName,
    /// The subject alternative names.
    pub names: Vec<San>,
    /// Key usages and extended key usages.
    pub usages: Vec<Usage>,
    /// The dates asked for; an [`Authority`](super::Authority) ends them with its own.
    pub validity: Validity,
    /// CA or not.
    pub ca: Option<CaConstraint>,
    /// Only with `ca`.
    pub name_constraints: NameConstraints,
    /// Where CRLs are found (RFC 5280, section 4.2.1.13).
    pub crl_urls: Vec<String>,
    /// Extensions for what has no field here.
    pub extensions: Vec<Extension>,
}

impl Grant {
    /// A serving certificate for `names`: CN the first DNS name if it is short enough,
    /// usages [`Usage::SERVING`].
    #[must_use]
    pub fn serving(common_name: Option<&str>, names: Vec<San>, validity: Validity) -> Self {
        let subject = common_name
            .filter(|name| name.chars().count() <= super::MAX_COMMON_NAME)
            .map_or_else(
                DistinguishedName::empty,
                DistinguishedName::common_name_only,
            );
        Self {
            subject,
            names,
            usages: Usage::SERVING.to_vec(),
            validity,
            ca: None,
            name_constraints: NameConstraints::default(),
            crl_urls: Vec::new(),
            extensions: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    const NOW: OffsetDateTime = datetime!(2026-11-21 12:00:00.123456789 UTC);

    #[test]
    fn a_lifetime_is_dated_back_and_in_whole_seconds() {
        let validity = Lifetime::of(Duration::hours(1)).starting(NOW);
        assert_eq!(validity.not_before, datetime!(2026-11-21 11:55 UTC));
        assert_eq!(validity.not_after, datetime!(2026-11-21 13:00 UTC));
        assert!(validity.contains(NOW));
    }

    #[test]
    fn an_absurd_lifetime_saturates() {
        let validity = Lifetime::of(Duration::MAX).starting(NOW);
        assert_eq!(validity.not_after.year(), 9999);
    }

    #[test]
    fn times_of_any_offset_are_kept_in_utc_and_absurd_ones_do_not_panic() {
        let east = datetime!(2026-11-21 14:00 +2);
        let validity = Validity::new(east, datetime!(9999-12-31 23:00 -5));
        assert_eq!(validity.not_before.offset(), UtcOffset::UTC);
        assert_eq!(validity.not_before, datetime!(2026-11-21 12:00 UTC));
        assert!(validity.contains(NOW));
    }

    #[test]
    fn a_fraction_of_a_life_is_within_it() {
        let validity = Lifetime::of(Duration::hours(1)).starting(NOW);
        for (fraction, at) in [
            (0.0, validity.not_before),
            (-1.0, validity.not_before),
            (1.0, validity.not_after),
            (f64::INFINITY, validity.not_after),
            (f64::NAN, validity.not_after),
        ] {
            assert_eq!(validity.at_fraction(fraction), at);
        }
    }

    #[test]
    fn a_common_name_beyond_64_characters_is_left_out() {
        let validity = Lifetime::of(Duration::hours(1)).starting(NOW);
        let long = "a".repeat(65);
        assert!(
            Grant::serving(Some(&long), vec![], validity)
                .subject
                .is_empty()
        );
        assert!(
            !Grant::serving(Some(&long[1..]), vec![], validity)
                .subject
                .is_empty()
        );
    }
}
