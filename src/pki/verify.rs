//! Would a TLS client trust this? Judged by rustls-webpki, not by our own reader.

use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use time::OffsetDateTime;

use super::{Certificate, San, TrustBundle};

/// Why a client would refuse a serving certificate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// The bundle has no certificate that can anchor trust.
    #[error("the trust bundle has no usable certificate")]
    NoAnchor,
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
/// # Errors
/// See [`VerifyError`].
pub fn verify_server(
    leaf: &Certificate,
    intermediates: &[Certificate],
    bundle: &TrustBundle,
    names: &[San],
    now: OffsetDateTime,
) -> Result<(), VerifyError> {
    let chain = |error: webpki::Error| VerifyError::Chain(error.to_string());
    let ders: Vec<CertificateDer<'_>> = bundle
        .certificates()
        .iter()
        .map(|certificate| certificate.der().into())
        .collect();
    // A bundle may also hold something that webpki cannot use; the rest counts.
    let anchors: Vec<_> = ders
        .iter()
        .filter_map(|der| webpki::anchor_from_trusted_cert(der).ok())
        .collect();
    if anchors.is_empty() {
        return Err(VerifyError::NoAnchor);
    }
    let leaf_der: CertificateDer<'_> = leaf.der().into();
    let end_entity = webpki::EndEntityCert::try_from(&leaf_der).map_err(chain)?;
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
        .map_err(chain)?;
    for name in names {
        let server = match name {
            San::Ip(ip) => Some(ServerName::from(*ip)),
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
