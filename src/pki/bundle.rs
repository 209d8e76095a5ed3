//! Trust bundles: what goes into `caBundle` and `ca.crt`.

use memchr::memmem;
use time::OffsetDateTime;

use super::{Certificate, CertificateError};

const BEGIN: &[u8] = b"-----BEGIN CERTIFICATE-----";
const END: &[u8] = b"-----END CERTIFICATE-----";

/// A set of certificates in canonical order, so that equal sets are equal bytes.
///
/// The order is by `notAfter`, the latest first, then by DER: the newest CA leads,
/// and the order depends on nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TrustBundle {
    certificates: Vec<Certificate>,
}

/// Why something cannot be a trust bundle.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BundleError {
    /// It does not read as certificates.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// It is empty or white space.
    #[error("the bundle is empty")]
    Empty,
}

impl TrustBundle {
    /// The bundle of these certificates.
    #[must_use]
    pub fn new(certificates: impl IntoIterator<Item = Certificate>) -> Self {
        let mut certificates: Vec<_> = certificates.into_iter().collect();
        certificates.sort_by(|a, b| {
            b.validity
                .not_after
                .cmp(&a.validity.not_after)
                .then_with(|| a.der().cmp(b.der()))
        });
        certificates.dedup();
        Self { certificates }
    }

    /// The bundle in PEM text: certificates and nothing else.
    ///
    /// # Errors
    /// See [`BundleError`]; a private key or any other block is one.
    pub fn from_pem(text: &[u8]) -> Result<Self, BundleError> {
        if text.iter().all(u8::is_ascii_whitespace) {
            return Err(BundleError::Empty);
        }
        Ok(Self::new(Certificate::all_from_pem(text)?))
    }

    /// What an API server can use of a text, as Go's `CertPool.AppendCertsFromPEM` reads it: every
    /// CERTIFICATE block that parses. The second value is whether that is all there was.
    #[must_use]
    pub fn usable(text: &[u8]) -> (Self, bool) {
        if let Ok(certificates) = Certificate::all_from_pem(text) {
            return (Self::new(certificates), true);
        }
        let mut certificates = Vec::new();
        let mut rest = text;
        while let Some(begin) = memmem::find(rest, BEGIN) {
            rest = rest.get(begin..).unwrap_or_default();
            let Some(end) = memmem::find(rest, END) else {
                break;
            };
            let (block, after) = rest.split_at(end + END.len());
            // After a block without an end, the next one may still be whole.
            let last = memmem::rfind(block, BEGIN).unwrap_or_default();
            let block = block.get(last..).unwrap_or_default();
            certificates.extend(Certificate::all_from_pem(block).unwrap_or_default());
            rest = after;
        }
        (Self::new(certificates), false)
    }

    /// The union of two bundles.
    #[must_use]
    pub fn merge(&self, other: &Self) -> Self {
        Self::new(self.certificates.iter().chain(&other.certificates).cloned())
    }

    /// Without what is expired at `now`. What is not valid yet stays: it will be.
    #[must_use]
    pub fn without_expired(&self, now: OffsetDateTime) -> Self {
        Self::new(
            self.certificates
                .iter()
                .filter(|c| c.validity.not_after >= now)
                .cloned(),
        )
    }

    /// Whether every certificate of `other` is in it.
    #[must_use]
    pub fn contains_all(&self, other: &Self) -> bool {
        other
            .certificates
            .iter()
            .all(|certificate| self.certificates.contains(certificate))
    }

    /// The certificates, in canonical order.
    #[must_use]
    pub fn certificates(&self) -> &[Certificate] {
        &self.certificates
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.certificates.is_empty()
    }

    /// The PEM text: equal for equal sets.
    #[must_use]
    pub fn to_pem(&self) -> String {
        self.certificates.iter().map(Certificate::to_pem).collect()
    }
}
