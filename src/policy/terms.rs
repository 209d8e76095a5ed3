//! What an approved request may get: the source of its certificate.

use time::{Duration, OffsetDateTime};

use crate::pki::{
    Attribute, BACKDATE, DistinguishedName, Grant, Lifetime, NameConstraints, San, Usage,
};

/// Below this, kube-controller-manager does not take the backdating off the end
/// (`pkg/controller/certificates/signer/signer.go`, `Short`).
const SHORT: Duration = Duration::hours(8);

/// What an approved request may get. Made by a decision alone, from values that a rule
/// allowed: signing takes everything but the public key from here and nothing from the
/// PKCS #10.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    pub(super) common_name: Option<String>,
    pub(super) organizations: Vec<String>,
    pub(super) names: Vec<San>,
    pub(super) usages: Vec<Usage>,
    pub(super) lifetime: Duration,
}

impl Terms {
    /// The subject: the common name, if asked for, and the allowed organizations.
    #[must_use]
    pub fn subject(&self) -> DistinguishedName {
        let organizations = self
            .organizations
            .iter()
            .map(|name| vec![(Attribute::Organization, name.clone())]);
        let common_name = self
            .common_name
            .iter()
            .map(|name| vec![(Attribute::CommonName, name.clone())]);
        let rdns: Vec<_> = organizations.chain(common_name).collect();
        DistinguishedName::from_rdns(&rdns)
    }

    /// The subject alternative names, in normal form.
    #[must_use]
    pub fn names(&self) -> &[San] {
        &self.names
    }

    /// The usages.
    #[must_use]
    pub fn usages(&self) -> &[Usage] {
        &self.usages
    }

    /// How long the certificate may live, from `notBefore` to `notAfter` when that is
    /// eight hours or more, else from now on.
    #[must_use]
    pub fn lifetime(&self) -> Duration {
        self.lifetime
    }

    /// The certificate to sign at `now`, dated as kube-controller-manager does. The
    /// authority ends it with itself.
    #[must_use]
    pub fn grant(&self, now: OffsetDateTime) -> Grant {
        let backdated = if self.lifetime < SHORT {
            Duration::ZERO
        } else {
            BACKDATE
        };
        let lifetime = Lifetime::of(self.lifetime.saturating_sub(backdated));
        Grant {
            subject: self.subject(),
            names: self.names.clone(),
            usages: self.usages.clone(),
            validity: lifetime.starting(now),
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

    const NOW: OffsetDateTime = datetime!(2026-11-21 12:00 UTC);

    fn terms(lifetime: Duration) -> Terms {
        Terms {
            common_name: Some("hook.team-a.svc".to_owned()),
            organizations: vec!["a".to_owned(), "b".to_owned()],
            names: vec![San::Dns("hook.team-a.svc".to_owned())],
            usages: Usage::SERVING.to_vec(),
            lifetime,
        }
    }

    #[test]
    fn a_grant_is_dated_as_kube_controller_manager_dates() {
        let day = terms(Duration::days(1)).grant(NOW).validity;
        assert_eq!(day.not_before, datetime!(2026-11-21 11:55 UTC));
        assert_eq!(day.not_after, datetime!(2026-11-22 11:55 UTC));
        let hour = terms(Duration::hours(1)).grant(NOW).validity;
        assert_eq!(hour.not_before, datetime!(2026-11-21 11:55 UTC));
        assert_eq!(hour.not_after, datetime!(2026-11-21 13:00 UTC));
    }

    #[test]
    fn the_subject_has_every_allowed_part() {
        let subject = terms(Duration::days(1)).subject();
        assert_eq!(subject.common_names(), ["hook.team-a.svc"]);
        assert_eq!(subject.organizations(), ["a", "b"]);
        let nobody = Terms {
            common_name: None,
            organizations: vec![],
            ..terms(Duration::days(1))
        };
        assert!(nobody.subject().is_empty());
    }
}
