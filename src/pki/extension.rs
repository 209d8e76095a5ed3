//! Certificate extensions that have no field of their own in a grant.

use yasna::Tag;

use super::der;
use super::oid::Oid;

/// An extension of a certificate: what it is, whether it is critical, and its value.
///
/// Never one that a [`Grant`](super::Grant) decides by a field of its own (usages,
/// basic constraints, names, key identifiers): a second opinion on those would make
/// the certificate ambiguous.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extension {
    oid: Oid,
    critical: bool,
    value: Vec<u8>,
}

/// Why an extension cannot be part of a grant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExtensionError {
    /// It is decided by a field of the grant.
    #[error(
        "the extension {oid} ({name}) is decided by certtool itself and cannot be given as raw bytes"
    )]
    Reserved {
        /// The identifier.
        oid: Oid,
        /// Its name in RFC 5280.
        name: &'static str,
    },
    /// The value is not DER.
    #[error("the value of extension {0} is not one DER element")]
    NotDer(Oid),
    /// A URL that a certificate cannot carry.
    #[error("{0:?} is not a URL of printable ASCII characters")]
    Url(String),
}

/// `id-ce` extensions that a grant has fields for, and those that change their meaning
/// (RFC 5280, section 4.2.1).
const RESERVED: [(u64, &str); 8] = [
    (14, "subject key identifier"),
    (15, "key usage"),
    (17, "subject alternative name"),
    (19, "basic constraints"),
    (30, "name constraints"),
    (31, "CRL distribution points"),
    (35, "authority key identifier"),
    (37, "extended key usage"),
];

/// id-pe-authorityInfoAccess (RFC 5280, section 4.2.2.1).
const AUTHORITY_INFORMATION_ACCESS: [u64; 9] = [1, 3, 6, 1, 5, 5, 7, 1, 1];
/// id-ad-ocsp and id-ad-caIssuers.
const OCSP: [u64; 9] = [1, 3, 6, 1, 5, 5, 7, 48, 1];
const CA_ISSUERS: [u64; 9] = [1, 3, 6, 1, 5, 5, 7, 48, 2];
/// id-pkix-ocsp-nocheck (RFC 6960, section 4.2.2.2.1).
const OCSP_NO_CHECK: [u64; 10] = [1, 3, 6, 1, 5, 5, 7, 48, 1, 5];

impl Extension {
    /// The extension with this DER value.
    ///
    /// # Errors
    /// See [`ExtensionError`].
    pub fn new(oid: Oid, critical: bool, value: Vec<u8>) -> Result<Self, ExtensionError> {
        if let Some(name) = reserved(&oid) {
            return Err(ExtensionError::Reserved { oid, name });
        }
        if !matches!(der::first(&value), Ok((_, []))) {
            return Err(ExtensionError::NotDer(oid));
        }
        Ok(Self {
            oid,
            critical,
            value,
        })
    }

    /// Where an OCSP responder answers and where the issuer's certificate is found, in
    /// that order.
    ///
    /// # Errors
    /// [`ExtensionError::Url`].
    pub fn authority_information_access(
        ocsp: &[String],
        issuers: &[String],
    ) -> Result<Self, ExtensionError> {
        let locations: Vec<(&[u64], &String)> = ocsp
            .iter()
            .map(|url| (&OCSP[..], url))
            .chain(issuers.iter().map(|url| (&CA_ISSUERS[..], url)))
            .collect();
        if let Some((_, url)) = locations.iter().find(|(_, url)| !is_printable_url(url)) {
            return Err(ExtensionError::Url((*url).clone()));
        }
        let value = yasna::construct_der(|writer| {
            writer.write_sequence(|writer| {
                for (method, url) in &locations {
                    writer.next().write_sequence(|writer| {
                        writer.next().write_der(&der::oid(&Oid::known(method)));
                        // GeneralName, uniformResourceIdentifier [6]
                        writer
                            .next()
                            .write_tagged_implicit(Tag::context(6), |writer| {
                                writer.write_bytes(url.as_bytes());
                            });
                    });
                }
            });
        });
        Self::new(Oid::known(&AUTHORITY_INFORMATION_ACCESS), false, value)
    }

    /// Tells clients not to ask about the revocation of an OCSP responder's certificate.
    #[must_use]
    pub fn ocsp_no_check() -> Self {
        Self {
            oid: Oid::known(&OCSP_NO_CHECK),
            critical: false,
            value: vec![0x05, 0x00],
        }
    }

    /// Its identifier.
    #[must_use]
    pub fn oid(&self) -> &Oid {
        &self.oid
    }

    /// Whether a reader that does not know it must refuse the certificate.
    #[must_use]
    pub fn is_critical(&self) -> bool {
        self.critical
    }

    /// The DER value.
    #[must_use]
    pub fn value(&self) -> &[u8] {
        &self.value
    }
}

fn reserved(oid: &Oid) -> Option<&'static str> {
    let [2, 5, 29, last] = oid.arcs() else {
        return None;
    };
    RESERVED
        .iter()
        .find_map(|(number, name)| (number == last).then_some(*name))
}

/// Whether a URL fits an IA5String and holds nothing that a terminal would act on.
pub(super) fn is_printable_url(url: &str) -> bool {
    !url.is_empty() && url.bytes().all(|byte| (0x21..0x7f).contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_extension_that_the_grant_decides_is_refused() {
        for oid in ["2.5.29.15", "2.5.29.17", "2.5.29.19", "2.5.29.37"] {
            let error = Extension::new(oid.parse().unwrap(), false, vec![5, 0]).unwrap_err();
            assert!(matches!(error, ExtensionError::Reserved { .. }), "{error}");
        }
        assert!(Extension::new("2.5.29.32".parse().unwrap(), false, vec![0x30, 0]).is_ok());
    }

    #[test]
    fn a_value_that_is_not_der_is_refused() {
        for value in [&[][..], &[0x30], &[5, 0, 0]] {
            let error = Extension::new("1.2.3".parse().unwrap(), false, value.to_vec());
            assert!(matches!(error, Err(ExtensionError::NotDer(_))));
        }
    }

    #[test]
    fn a_url_with_other_characters_is_refused() {
        for url in ["", "http://ü.de", "http://a b", "http://a\n"] {
            assert!(Extension::authority_information_access(&[url.to_owned()], &[]).is_err());
        }
    }
}
