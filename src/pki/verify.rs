//! Would a TLS client trust this? Judged by rustls-webpki, not by our own reader.

use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use time::OffsetDateTime;

use super::{Certificate, San, TrustBundle, Usage};

/// Why a client would refuse a serving certificate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// The bundle has no certificate that can anchor trust.
    #[error("the trust bundle has no usable certificate")]
    NoAnchor,
    /// Every certificate of the bundle is out of date.
    #[error(
        "the trust bundle has no certificate that is valid now: {subject} runs from {not_before} to {not_after}"
    )]
    AnchorNotValid {
        /// Subject of the one that expires last.
        subject: String,
        /// Its first instant.
        not_before: String,
        /// Its last instant.
        not_after: String,
    },
    /// The chain does not verify.
    #[error("the chain does not verify: {0}")]
    Chain(String),
    /// The certificate is not for this name.
    #[error("the certificate is not valid for {name}: it names {has}")]
    Name {
        /// The name asked for.
        name: String,
        /// The names that it has.
        has: String,
    },
}

/// Verifies `leaf`, with `intermediates` sent beside it, as a TLS client that trusts
/// `bundle` would when it connects to `names` at `now`.
///
/// As the API server (Go's crypto/x509) and unlike webpki alone, a certificate of the
/// bundle counts only while it is valid, and a leaf that is itself in the bundle needs
/// no issuer.
///
/// # Errors
/// See [`VerifyError`].
pub fn verify_server(
    leaf: &Certificate,
    intermediates: &[Certificate],
    bundle: &TrustBundle,
    names: &[San],
    now: OffsetDateTime,
) -> Result<(), VerifyError> {
    let leaf_der: CertificateDer<'_> = leaf.der().into();
    let end_entity = webpki::EndEntityCert::try_from(&leaf_der).map_err(|e| chain(&e, leaf))?;
    if bundle.certificates().contains(leaf) {
        verify_alone(leaf, now)?;
    } else {
        verify_chain(leaf, &end_entity, intermediates, bundle, now)?;
    }
    for name in names {
        let server = match name {
            San::Ip(ip) => Some(ServerName::from(*ip)),
            // No client asks for a wildcard; it is covered by the same wildcard.
            San::Dns(wildcard) if wildcard.starts_with("*.") && leaf.covers(name) => continue,
            San::Dns(name) => ServerName::try_from(name.as_str()).ok(),
            _ => None,
        };
        let valid =
            server.is_some_and(|name| end_entity.verify_is_valid_for_subject_name(&name).is_ok());
        if !valid {
            let has = leaf
                .names
                .iter()
                .map(San::value)
                .collect::<Vec<_>>()
                .join(", ");
            return Err(VerifyError::Name {
                name: name.value(),
                has,
            });
        }
    }
    Ok(())
}

fn verify_chain(
    leaf: &Certificate,
    end_entity: &webpki::EndEntityCert<'_>,
    intermediates: &[Certificate],
    bundle: &TrustBundle,
    now: OffsetDateTime,
) -> Result<(), VerifyError> {
    let ders: Vec<CertificateDer<'_>> = bundle
        .certificates()
        .iter()
        .filter(|certificate| certificate.is_valid_at(now))
        .map(|certificate| certificate.der().into())
        .collect();
    // A bundle may also hold something that webpki cannot use; the rest counts.
    let anchors: Vec<_> = ders
        .iter()
        .filter_map(|der| webpki::anchor_from_trusted_cert(der).ok())
        .collect();
    if anchors.is_empty() {
        return Err(match bundle.certificates().first() {
            Some(latest) if ders.is_empty() => VerifyError::AnchorNotValid {
                subject: latest.subject.to_string(),
                not_before: latest.validity.not_before.to_string(),
                not_after: latest.validity.not_after.to_string(),
            },
            _ => VerifyError::NoAnchor,
        });
    }
    let intermediates: Vec<CertificateDer<'_>> = intermediates
        .iter()
        .map(|certificate| certificate.der().into())
        .collect();
    let seconds = u64::try_from(now.unix_timestamp()).unwrap_or(0);
    end_entity
        .verify_for_usage(
            webpki::ALL_VERIFICATION_ALGS,
            &anchors,
            &intermediates,
            UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds)),
            webpki::KeyUsage::server_auth(),
            None,
            None,
        )
        .map_err(|error| chain(&error, leaf))?;
    Ok(())
}

/// What is left to check of a certificate that is trusted as it is.
fn verify_alone(leaf: &Certificate, now: OffsetDateTime) -> Result<(), VerifyError> {
    if !leaf.is_valid_at(now) {
        return Err(VerifyError::Chain(format!(
            "{} runs from {} to {}",
            leaf.subject, leaf.validity.not_before, leaf.validity.not_after
        )));
    }
    let serves = leaf
        .extended_usages
        .as_ref()
        .is_none_or(|usages| usages.contains(&Usage::ServerAuth) || usages.contains(&Usage::Any));
    if !serves {
        return Err(VerifyError::Chain(NOT_FOR_SERVERS.to_owned()));
    }
    Ok(())
}

const NOT_FOR_SERVERS: &str = "its extended key usage lacks server auth";

fn chain(error: &webpki::Error, leaf: &Certificate) -> VerifyError {
    use webpki::Error;
    VerifyError::Chain(match error {
        Error::UnknownIssuer => format!(
            "no certificate of the trust bundle signed it (its issuer is {}), or what signed it is no CA",
            leaf.issuer
        ),
        Error::CertExpired { .. } => {
            format!("a certificate has expired (the leaf at {})", leaf.validity.not_after)
        }
        Error::CertNotValidYet { .. } => format!(
            "a certificate is not valid yet (the leaf from {})",
            leaf.validity.not_before
        ),
        Error::CaUsedAsEndEntity => {
            "it is a CA certificate, and is not in the trust bundle itself".to_owned()
        }
        Error::RequiredEkuNotFoundContext(_) => NOT_FOR_SERVERS.to_owned(),
        Error::NameConstraintViolation => {
            "a name lies outside the name constraints of its CA".to_owned()
        }
        Error::PathLenConstraintViolated => {
            "there are more intermediate CAs than a path length allows".to_owned()
        }
        Error::UnsupportedCertVersion => {
            "it is not an X.509 version 3 certificate (`openssl x509 -req` without extensions makes version 1)".to_owned()
        }
        other => other.to_string(),
    })
}
