//! How a CA rotates.

use time::{Duration, OffsetDateTime};

use super::state::{Current, Policy};
use crate::pki::{
    Attribute, BACKDATE, CaSpec, DistinguishedName, KeyAlgorithm, Lifetime, MAX_COMMON_NAME,
    NameConstraints, Serial,
};

/// How a CA rotates. All replicas that share a Secret have the same.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Whether certtool rotates the CA at all; `false` for one that somebody else maintains.
    pub rotate: bool,
    /// The life of a CA, counted from its making.
    pub ca_life: Duration,
    /// The fraction of its life after which a CA is replaced.
    pub rotate_at: f64,
    /// The longest life of a leaf, counted from its signature.
    pub leaf_life: Duration,
    /// From the read-back of a new CA to its first signature: longer than any API server takes
    /// to notice a changed object.
    pub settle: Duration,
    /// How far apart the clocks of replicas and API servers may be.
    pub skew: Duration,
    /// How old the state may be that a replica signs by.
    pub fresh: Duration,
    /// The algorithm of a new CA's key.
    pub algorithm: KeyAlgorithm,
    /// How far a new CA is dated back.
    pub backdate: Duration,
    /// Names that a new CA may sign.
    pub name_constraints: NameConstraints,
}

/// Why settings make no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// The CA would have to be replaced as soon as it is made.
    #[error(
        "a CA that lives {ca_life} is too short for leaves of {leaf_life}: it has to outlive the last of them, and be replaced in time; give the CA at least {least}, or the leaves less"
    )]
    TooShort {
        /// The CA's life.
        ca_life: String,
        /// The leaves' life.
        leaf_life: String,
        /// The shortest CA life that works.
        least: String,
    },
    /// Not between 0 and 1.
    #[error(
        "{0} is not a fraction of a CA's life: give a number above 0 and below 1, such as 0.67"
    )]
    Fraction(String),
    /// Nothing lives that short.
    #[error("a life of {0} is too short: certificates count whole seconds")]
    NoLife(String),
}

/// A CA that is to be made: its key and serial number come from outside.
#[derive(Debug, Clone)]
pub struct CaOrder {
    /// What it says.
    pub spec: CaSpec,
    /// Its key's algorithm.
    pub algorithm: KeyAlgorithm,
}

impl Settings {
    /// Settings for a CA and leaves of these lives, everything else derived from them.
    ///
    /// # Errors
    /// See [`SettingsError`].
    pub fn new(ca_life: Duration, leaf_life: Duration) -> Result<Self, SettingsError> {
        let tenth = leaf_life / 10_i32;
        let second = Duration::SECOND;
        let settings = Self {
            rotate: true,
            ca_life,
            rotate_at: 2.0 / 3.0,
            leaf_life,
            settle: tenth.clamp(second, Duration::MINUTE),
            skew: tenth.clamp(second, Duration::minutes(5)),
            fresh: tenth.clamp(second, Duration::MINUTE),
            algorithm: KeyAlgorithm::default(),
            backdate: BACKDATE,
            name_constraints: NameConstraints::default(),
        };
        settings.check()?;
        Ok(settings)
    }

    /// A CA that somebody else maintains: it is read, watched and never changed.
    #[must_use]
    pub fn external() -> Self {
        let day = Duration::DAY;
        Self {
            rotate: false,
            ca_life: day * 3650,
            rotate_at: 2.0 / 3.0,
            leaf_life: day * 365,
            settle: Duration::MINUTE,
            skew: Duration::minutes(5),
            fresh: Duration::MINUTE,
            algorithm: KeyAlgorithm::default(),
            backdate: BACKDATE,
            name_constraints: NameConstraints::default(),
        }
    }

    /// The settings that a Secret was last written with, as far as it says.
    #[must_use]
    pub fn recorded(policy: Policy) -> Self {
        let derived = Self::new(policy.ca_life, policy.leaf_life);
        Self {
            rotate: true,
            ca_life: policy.ca_life,
            rotate_at: policy.rotate_at,
            leaf_life: policy.leaf_life,
            settle: policy.settle,
            ..derived.unwrap_or_else(|_| Self::external())
        }
    }

    /// Checks settings that were changed by hand.
    ///
    /// # Errors
    /// See [`SettingsError`].
    pub fn check(&self) -> Result<(), SettingsError> {
        for life in [self.ca_life, self.leaf_life] {
            if life < Duration::SECOND {
                return Err(SettingsError::NoLife(text(life)));
            }
        }
        if !(self.rotate_at > 0.0 && self.rotate_at < 1.0) {
            return Err(SettingsError::Fraction(self.rotate_at.to_string()));
        }
        // A quarter of its life at least is left for signing before the next one is due.
        let least = self.reserve().saturating_mul(4) / 3_i32;
        if self.rotate && self.ca_life < least {
            return Err(SettingsError::TooShort {
                ca_life: text(self.ca_life),
                leaf_life: text(self.leaf_life),
                least: text(Duration::seconds(least.whole_seconds().saturating_add(1))),
            });
        }
        Ok(())
    }

    /// How long before its end a CA has to be replaced: from then on its leaves would be cut.
    pub(super) fn reserve(&self) -> Duration {
        self.leaf_life
            .saturating_add(self.settle.saturating_mul(2))
            .saturating_add(self.skew)
    }

    /// How long after it is known that a CA is replaced somebody may still sign with it: who
    /// read the Secret just before, by another clock, and for the API server's clock.
    pub(super) fn hindsight(&self) -> Duration {
        self.fresh.saturating_add(self.skew.saturating_mul(2))
    }

    /// How long to wait before looking again at something that nobody announces.
    #[must_use]
    pub fn pace(&self) -> Duration {
        (self.settle / 2_i32).clamp(Duration::milliseconds(200), Duration::seconds(5))
    }

    /// When the CA that signs is due to be replaced.
    #[must_use]
    pub fn rotates_at(&self, current: &Current) -> OffsetDateTime {
        let validity = current.authority.certificate().validity;
        let made = validity
            .not_before
            .saturating_add(self.backdate)
            .min(validity.not_after);
        // The backdating does not count: a CA for a minute would be due at once.
        let share = crate::pki::Validity::new(made, validity.not_after).at_fraction(self.rotate_at);
        share.min(validity.not_after.saturating_sub(self.reserve()))
    }

    /// What a new CA is to be. `label` names it: the Secret's `NAMESPACE/NAME`.
    #[must_use]
    pub fn order(&self, label: &str, serial: &Serial, now: OffsetDateTime) -> CaOrder {
        let validity = Lifetime {
            duration: self.ca_life,
            backdate: self.backdate,
        };
        let serial = serial.to_string();
        let number = serial.get(..8).unwrap_or_default();
        let common_name = format!("certtool CA {} {number}", now.date());
        let rdn = |attribute, value: String| vec![(attribute, value)];
        CaOrder {
            spec: CaSpec {
                // Each CA its own subject: chains are built by name, and an equal name with
                // another key gives errors that mislead.
                subject: DistinguishedName::from_rdns(&[
                    rdn(Attribute::Organization, ORGANIZATION.to_owned()),
                    rdn(Attribute::OrganizationalUnit, unit(label)),
                    rdn(Attribute::CommonName, common_name),
                ]),
                validity: validity.starting(now),
                path_length: Some(0),
                name_constraints: self.name_constraints.clone(),
            },
            algorithm: self.algorithm,
        }
    }

    pub(super) fn policy(&self) -> Policy {
        Policy {
            ca_life: self.ca_life,
            leaf_life: self.leaf_life,
            settle: self.settle,
            rotate_at: self.rotate_at,
        }
    }
}

const ORGANIZATION: &str = "certtool.dev";

/// As much of the label as an organizational unit holds (64 characters, RFC 5280 appendix A,
/// `ub-organizational-unit-name`, as `ub-common-name`).
fn unit(label: &str) -> String {
    label.chars().take(MAX_COMMON_NAME).collect()
}

/// Whether a certificate says that it was made for this Secret.
pub(super) fn is_made_for(certificate: &crate::pki::Certificate, label: &str) -> bool {
    let unit = unit(label);
    let mut attributes = certificate.subject.attributes();
    certificate.ca.is_some()
        && certificate
            .subject
            .organizations()
            .iter()
            .any(|organization| organization == ORGANIZATION)
        && attributes.any(|attribute| {
            attribute.attribute == Attribute::OrganizationalUnit
                && attribute.text.as_ref() == Some(&unit)
        })
}

pub(super) fn text(duration: Duration) -> String {
    let seconds = u64::try_from(duration.whole_seconds()).unwrap_or_default();
    let whole = std::time::Duration::from_secs(seconds);
    if seconds == 0 {
        return format!("{duration}");
    }
    humantime::format_duration(whole).to_string()
}
