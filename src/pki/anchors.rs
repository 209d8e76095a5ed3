//! Whether certificates may be injected as a caBundle.

use time::OffsetDateTime;

use super::{BundleError, Certificate, TrustBundle};

/// A bundle that was checked before it is injected, and what is odd about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Anchors {
    /// The bundle.
    pub bundle: TrustBundle,
    /// What its user should know.
    pub warnings: Vec<AnchorWarning>,
}

/// Something odd that does not keep a bundle from being injected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AnchorWarning {
    /// A self-signed certificate that is no CA: right when it is the serving certificate itself.
    #[error(
        "{subject} is no CA but signed by itself: the API server will trust that one certificate alone, so it has to be the serving certificate, and every renewal needs a new caBundle"
    )]
    SelfSigned {
        /// Its subject.
        subject: String,
    },
    /// It is not valid yet.
    #[error("{subject} is not valid before {not_before}")]
    NotYetValid {
        /// Its subject.
        subject: String,
        /// Its first instant.
        not_before: String,
    },
}

/// Why a bundle must not be injected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AnchorError {
    /// It is not certificates and nothing else.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// A certificate is expired: it would verify nothing.
    #[error("{subject} expired at {not_after}; leave it out, or give the CA that replaced it")]
    Expired {
        /// Its subject.
        subject: String,
        /// Its last instant.
        not_after: String,
    },
    /// A leaf that somebody else signed: Go does not accept it as an anchor of itself when it
    /// serves another, and its renewal would not be trusted.
    #[error("{subject} is no CA; give the CA that signed it ({issuer})")]
    NotACa {
        /// Its subject.
        subject: String,
        /// Its issuer.
        issuer: String,
    },
    /// A CA whose key usage leaves out the signing of certificates.
    #[error(
        "{subject} is a CA that may not sign certificates: its key usage has no keyCertSign (RFC 5280, section 4.2.1.3)"
    )]
    MayNotSign {
        /// Its subject.
        subject: String,
    },
}

impl Anchors {
    /// Checks PEM text before it becomes a caBundle.
    ///
    /// # Errors
    /// See [`AnchorError`]; a private key is one.
    pub fn from_pem(text: &[u8], now: OffsetDateTime) -> Result<Self, AnchorError> {
        Self::check(TrustBundle::from_pem(text)?, now)
    }

    /// Checks a bundle before it becomes a caBundle.
    ///
    /// # Errors
    /// See [`AnchorError`].
    pub fn check(bundle: TrustBundle, now: OffsetDateTime) -> Result<Self, AnchorError> {
        if bundle.is_empty() {
            return Err(BundleError::Empty.into());
        }
        let mut warnings = Vec::new();
        for certificate in bundle.certificates() {
            warnings.extend(check_one(certificate, now)?);
        }
        Ok(Self { bundle, warnings })
    }
}

fn check_one(
    certificate: &Certificate,
    now: OffsetDateTime,
) -> Result<Option<AnchorWarning>, AnchorError> {
    let subject = name_of(certificate);
    if certificate.validity.not_after < now {
        return Err(AnchorError::Expired {
            subject,
            not_after: certificate.validity.not_after.to_string(),
        });
    }
    let self_signed =
        certificate.is_self_issued() && certificate.check_signed_by(certificate).is_ok();
    if certificate.ca.is_none() {
        return if self_signed {
            Ok(Some(AnchorWarning::SelfSigned { subject }))
        } else {
            Err(AnchorError::NotACa {
                subject,
                issuer: certificate.issuer.to_string(),
            })
        };
    }
    if !certificate.may_sign_certificates() {
        return Err(AnchorError::MayNotSign { subject });
    }
    if certificate.validity.not_before > now {
        return Ok(Some(AnchorWarning::NotYetValid {
            subject,
            not_before: certificate.validity.not_before.to_string(),
        }));
    }
    Ok(None)
}

/// The subject; a serving certificate often has none, and is known by its names then.
fn name_of(certificate: &Certificate) -> String {
    if !certificate.subject.is_empty() {
        return certificate.subject.to_string();
    }
    match certificate.names.first() {
        Some(name) => format!("the certificate for {}", name.value()),
        None => format!("the certificate {}", certificate.fingerprint()),
    }
}

#[cfg(test)]
mod tests {
    use time::Duration;
    use time::macros::datetime;

    use super::super::*;
    use super::*;

    const NOW: OffsetDateTime = datetime!(2026-11-21 12:00 UTC);

    fn ca(from: OffsetDateTime, to: OffsetDateTime) -> Authority {
        let spec = CaSpec {
            subject: DistinguishedName::common_name_only("Test CA"),
            validity: Validity::new(from, to),
            path_length: Some(0),
            name_constraints: NameConstraints::default(),
        };
        let key = PrivateKey::generate(KeyAlgorithm::default()).unwrap();
        Authority::self_signed(&spec, key, Serial::from_random([1; 20])).unwrap()
    }

    fn grant(subject: &str) -> Grant {
        Grant {
            subject: DistinguishedName::common_name_only(subject),
            names: vec![San::Dns("hook.shop.svc".to_owned())],
            usages: vec![Usage::ServerAuth],
            validity: Validity::new(NOW, NOW + Duration::days(1)),
            ca: None,
            name_constraints: NameConstraints::default(),
            crl_urls: Vec::new(),
            extensions: Vec::new(),
        }
    }

    fn refused(pem: &str) -> String {
        Anchors::from_pem(pem.as_bytes(), NOW)
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn a_ca_in_date_is_accepted_without_a_word() {
        let ca = ca(NOW - Duration::days(1), NOW + Duration::days(1));
        let pem = ca.certificate().to_pem();
        let anchors = Anchors::from_pem(pem.as_bytes(), NOW).unwrap();
        assert_eq!(anchors.warnings, []);
        assert_eq!(anchors.bundle.to_pem(), pem);
    }

    #[test]
    fn keys_leaves_expired_ones_and_garbage_are_refused_with_the_reason() {
        let good = ca(NOW - Duration::days(1), NOW + Duration::days(1));
        let pem = good.certificate().to_pem();
        let key = good.key().to_pem().unwrap();
        let key = key.expose();
        let said = refused(&format!("{pem}{key}"));
        assert!(said.contains("private key"), "{said}");
        assert!(!said.contains("-----BEGIN"), "{said}");

        let leaf_key = PrivateKey::generate(KeyAlgorithm::default()).unwrap();
        let serial = Serial::from_random([2; 20]);
        let leaf = good.issue(leaf_key.public_key(), &grant("leaf"), NOW, serial);
        assert_eq!(
            refused(&leaf.unwrap().to_pem()),
            "CN=leaf is no CA; give the CA that signed it (CN=Test CA)"
        );

        let old = ca(NOW - Duration::days(2), NOW - Duration::days(1));
        let said = refused(&format!("{pem}{}", old.certificate().to_pem()));
        assert!(
            said.starts_with("CN=Test CA expired at 2026-11-20"),
            "{said}"
        );

        assert!(refused("garbage").contains("no"), "{}", refused("garbage"));
        assert_eq!(refused(" \n"), "the bundle is empty");
    }

    #[test]
    fn a_ca_of_tomorrow_is_accepted_with_a_warning() {
        let later = ca(NOW + Duration::days(1), NOW + Duration::days(2));
        let pem = later.certificate().to_pem();
        let anchors = Anchors::from_pem(pem.as_bytes(), NOW).unwrap();
        assert!(matches!(
            anchors.warnings[..],
            [AnchorWarning::NotYetValid { .. }]
        ));
    }
}
