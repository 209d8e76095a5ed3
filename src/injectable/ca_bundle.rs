//! What stands in a `caBundle` field, told apart far enough to say what is wrong with it.
//!
//! Certificates stay opaque PEM here: whether they are CAs, in date or trusted is for the trust
//! bundle to say. `Debug` shows sizes only, since a private key may have been pasted into the field.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

/// The content of a `caBundle` field.
#[derive(Clone, PartialEq, Eq)]
pub enum CaBundle {
    /// No such field, or null: the API server trusts its own roots.
    Absent,
    /// The empty string, which means the same.
    Empty,
    /// Something that the API server cannot use.
    Invalid(Fault),
    /// Decoded PEM with at least one CERTIFICATE block.
    Pem(Vec<u8>),
}

/// Why a caBundle is unusable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// A value of another type.
    #[error("caBundle is {0}, not a string")]
    NotAString(&'static str),
    /// White space alone, as it is or encoded (`Cg==`).
    #[error("caBundle holds only white space (a placeholder such as `Cg==`)")]
    Blank,
    /// Not base64.
    #[error("caBundle is not base64: {0}")]
    NotBase64(String),
    /// PEM text that was not encoded.
    #[error("caBundle is PEM text as it is; it has to be the base64 of it")]
    RawPem,
    /// base64 of base64.
    #[error("caBundle was base64-encoded twice")]
    Base64Twice,
    /// A certificate in DER.
    #[error("caBundle is a DER certificate; it has to be PEM")]
    Der,
    /// base64 of something without a PEM block.
    #[error("caBundle holds no PEM block")]
    NotPem,
    /// PEM that does not parse.
    #[error("caBundle holds broken PEM: {0}")]
    BrokenPem(String),
    /// A private key and no certificate.
    #[error("caBundle holds a private key ({0}) and no certificate: treat that key as leaked")]
    PrivateKey(String),
    /// PEM blocks, none of them a certificate.
    #[error("caBundle holds no CERTIFICATE block, only {0}")]
    NoCertificate(String),
}

/// Something worth telling about a bundle that is usable nevertheless.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Finding {
    /// A private key beside the certificates.
    #[error(
        "caBundle holds a private key ({0}), readable by everyone who may read this object: \
         treat that key as leaked, and remove it"
    )]
    PrivateKey(String),
    /// A PEM block of another type beside the certificates.
    #[error("caBundle holds a {0} block, which the API server skips")]
    OtherBlock(String),
}

impl CaBundle {
    /// Reads the field's JSON value; `None` is an absent field.
    #[must_use]
    pub fn of_value(value: Option<&Value>) -> Self {
        match value {
            None | Some(Value::Null) => Self::Absent,
            Some(Value::String(text)) => Self::of_text(text),
            Some(Value::Bool(_)) => Self::Invalid(Fault::NotAString("a boolean")),
            Some(Value::Number(_)) => Self::Invalid(Fault::NotAString("a number")),
            Some(Value::Array(_)) => Self::Invalid(Fault::NotAString("a list")),
            Some(Value::Object(_)) => Self::Invalid(Fault::NotAString("a mapping")),
        }
    }

    /// Reads the field's text, as the API server does: line breaks within the base64 are ignored,
    /// other white space is not.
    #[must_use]
    pub fn of_text(text: &str) -> Self {
        if text.is_empty() {
            return Self::Empty;
        }
        if text.trim().is_empty() {
            return Self::Invalid(Fault::Blank);
        }
        if text.trim_start().starts_with("-----BEGIN ") {
            return Self::Invalid(Fault::RawPem);
        }
        match decode(text) {
            Ok(bytes) => Self::of_decoded(bytes),
            Err(reason) => Self::Invalid(Fault::NotBase64(reason)),
        }
    }

    fn of_decoded(bytes: Vec<u8>) -> Self {
        if bytes.trim_ascii().is_empty() {
            return Self::Invalid(Fault::Blank);
        }
        if !contains(&bytes, b"-----BEGIN ") {
            let fault = if is_base64_of_pem(&bytes) {
                Fault::Base64Twice
            } else if bytes.starts_with(&[0x30, 0x82]) {
                Fault::Der
            } else {
                Fault::NotPem
            };
            return Self::Invalid(fault);
        }
        let blocks = match pem::parse_many(&bytes) {
            Ok(blocks) => blocks,
            Err(error) => return Self::Invalid(Fault::BrokenPem(error.to_string())),
        };
        if blocks.iter().any(|block| block.tag() == "CERTIFICATE") {
            return Self::Pem(bytes);
        }
        let key = blocks.iter().find(|block| is_private_key(block.tag()));
        Self::Invalid(match (key, blocks.first()) {
            (Some(key), _) => Fault::PrivateKey(key.tag().to_owned()),
            (None, Some(other)) => Fault::NoCertificate(other.tag().to_owned()),
            (None, None) => Fault::BrokenPem("a block begins but does not end".to_owned()),
        })
    }

    /// The decoded PEM, when there is any that can be used.
    #[must_use]
    pub fn pem(&self) -> Option<&[u8]> {
        match self {
            Self::Pem(bytes) => Some(bytes),
            Self::Absent | Self::Empty | Self::Invalid(_) => None,
        }
    }

    /// Whether the API server has nothing to trust here: neither its own roots nor this value.
    #[must_use]
    pub fn is_invalid(&self) -> bool {
        matches!(self, Self::Invalid(_))
    }

    /// What is odd about a usable bundle.
    #[must_use]
    pub fn findings(&self) -> Vec<Finding> {
        let blocks = self.pem().and_then(|bytes| pem::parse_many(bytes).ok());
        blocks
            .unwrap_or_default()
            .iter()
            .filter(|block| block.tag() != "CERTIFICATE")
            .map(|block| {
                let label = block.tag().to_owned();
                if is_private_key(&label) {
                    Finding::PrivateKey(label)
                } else {
                    Finding::OtherBlock(label)
                }
            })
            .collect()
    }
}

impl fmt::Debug for CaBundle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => f.write_str("Absent"),
            Self::Empty => f.write_str("Empty"),
            Self::Invalid(fault) => f.debug_tuple("Invalid").field(fault).finish(),
            Self::Pem(bytes) => write!(f, "Pem({} bytes)", bytes.len()),
        }
    }
}

/// The text of a `caBundle` field for this PEM.
#[must_use]
pub fn encode(pem: &[u8]) -> String {
    STANDARD.encode(pem)
}

fn decode(text: &str) -> Result<Vec<u8>, String> {
    let decoded = if text.contains(['\n', '\r']) {
        STANDARD.decode(text.replace(['\n', '\r'], ""))
    } else {
        STANDARD.decode(text)
    };
    decoded.map_err(|error| match error {
        // The crate would quote the byte as a number.
        base64::DecodeError::InvalidByte(at, byte) if byte.is_ascii_graphic() => {
            format!("{:?} at offset {at}", char::from(byte))
        }
        other => other.to_string(),
    })
}

fn is_base64_of_pem(bytes: &[u8]) -> bool {
    let Ok(text) = str::from_utf8(bytes) else {
        return false;
    };
    decode(text.trim()).is_ok_and(|inner| contains(&inner, b"-----BEGIN "))
}

fn is_private_key(label: &str) -> bool {
    label.ends_with("PRIVATE KEY")
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    memchr::memmem::find(haystack, needle).is_some()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    const KEY: &str = "-----BEGIN EC PRIVATE KEY-----\nAAAA\n-----END EC PRIVATE KEY-----\n";

    fn read(pem: &str) -> CaBundle {
        CaBundle::of_text(&encode(pem.as_bytes()))
    }

    #[test]
    fn absent_null_and_empty_mean_that_the_system_roots_are_trusted() {
        assert_eq!(CaBundle::of_value(None), CaBundle::Absent);
        assert_eq!(CaBundle::of_value(Some(&Value::Null)), CaBundle::Absent);
        assert_eq!(CaBundle::of_value(Some(&json!(""))), CaBundle::Empty);
    }

    #[test]
    fn placeholders_are_recognised() {
        for text in ["Cg==", "Cgo=", "IA==", "\n", "  ", "\t"] {
            assert_eq!(
                CaBundle::of_text(text),
                CaBundle::Invalid(Fault::Blank),
                "{text:?}"
            );
        }
    }

    #[test]
    fn each_way_to_get_it_wrong_has_its_own_name() {
        let twice = encode(encode(CERTIFICATE.as_bytes()).as_bytes());
        let fault = |text: &str| match CaBundle::of_text(text) {
            CaBundle::Invalid(fault) => fault,
            other => panic!("{other:?}"),
        };
        assert_eq!(fault(&twice), Fault::Base64Twice);
        assert_eq!(fault(CERTIFICATE), Fault::RawPem);
        assert_eq!(fault(&encode(&[0x30, 0x82, 1, 2])), Fault::Der);
        assert_eq!(fault(&encode(b"hello")), Fault::NotPem);
        assert!(matches!(fault("${CA_BUNDLE}"), Fault::NotBase64(_)));
        assert!(matches!(fault("AAAA AAAA"), Fault::NotBase64(_)));
        assert_eq!(
            fault(&encode(KEY.as_bytes())),
            Fault::PrivateKey("EC PRIVATE KEY".to_owned())
        );
        assert!(matches!(
            fault(&encode(b"-----BEGIN CERTIFICATE-----\nAAAA\n")),
            Fault::BrokenPem(_)
        ));
        assert_eq!(
            CaBundle::of_value(Some(&json!(5))),
            CaBundle::Invalid(Fault::NotAString("a number"))
        );
    }

    #[test]
    fn line_breaks_within_the_base64_are_as_good_as_none() {
        let text = encode(CERTIFICATE.as_bytes());
        let (a, b) = text.split_at(20);
        let wrapped = format!("{a}\n{b}\r\n");
        assert_eq!(
            CaBundle::of_text(&wrapped).pem(),
            Some(CERTIFICATE.as_bytes())
        );
    }

    #[test]
    fn a_private_key_beside_a_certificate_is_a_finding_and_never_printed() {
        let bundle = read(&format!("{CERTIFICATE}{KEY}"));
        assert_eq!(
            bundle.findings(),
            [Finding::PrivateKey("EC PRIVATE KEY".to_owned())]
        );
        assert!(!format!("{bundle:?}").contains("45, 45"));
        assert!(read(CERTIFICATE).findings().is_empty());
    }
}
