//! What stands in a `caBundle` field, told apart far enough to say what is wrong with it.
//!
//! Certificates stay opaque PEM here: whether they are CAs, in date or trusted is for the trust
//! bundle to say. `Debug` shows sizes only, since a private key may have been pasted into the field.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use memchr::{memchr, memmem};
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
    /// Something that begins like a PEM block and is none.
    #[error("caBundle holds a broken PEM block ({0}), which the API server skips")]
    BrokenBlock(&'static str),
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
        if Blocks(&bytes).any(|block| block == Ok("CERTIFICATE")) {
            return Self::Pem(bytes);
        }
        let labels = || Blocks(&bytes).filter_map(Result::ok);
        let key = labels().find(|label| is_private_key(label));
        let broken = Blocks(&bytes).find_map(Result::err);
        Self::Invalid(match (key, broken, labels().next()) {
            (Some(key), ..) => Fault::PrivateKey(key.to_owned()),
            (None, Some(why), _) => Fault::BrokenPem(why.to_owned()),
            (None, None, Some(other)) => Fault::NoCertificate(other.to_owned()),
            (None, None, None) => Fault::NotPem,
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
        Blocks(self.pem().unwrap_or_default())
            .filter_map(|block| match block {
                Ok("CERTIFICATE") => None,
                Ok(label) if is_private_key(label) => Some(Finding::PrivateKey(label.to_owned())),
                Ok(label) => Some(Finding::OtherBlock(label.to_owned())),
                Err(why) => Some(Finding::BrokenBlock(why)),
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

/// The PEM blocks of some bytes, by their labels. Their content is base64, and is not looked into.
struct Blocks<'a>(&'a [u8]);

impl<'a> Iterator for Blocks<'a> {
    type Item = Result<&'a str, &'static str>;

    fn next(&mut self) -> Option<Self::Item> {
        let begin = memmem::find(self.0, b"-----BEGIN ")?;
        let rest = self.0.get(begin + 11..)?;
        self.0 = rest;
        let label = memmem::find(rest, b"-----")
            .and_then(|end| str::from_utf8(rest.get(..end)?).ok())
            .filter(|label| !label.contains('\n'));
        let Some(label) = label else {
            return Some(Err("its BEGIN line does not end"));
        };
        let body = rest.get(label.len() + 5..).unwrap_or_default();
        let end = format!("-----END {label}-----");
        let Some(length) = memmem::find(body, end.as_bytes()) else {
            return Some(Err("it has no matching END line"));
        };
        self.0 = body.get(length + end.len()..).unwrap_or_default();
        let body = body.get(..length).unwrap_or_default();
        // Headers such as `Proc-Type: 4,ENCRYPTED` end with an empty line.
        let content = match memchr(b':', body) {
            Some(_) => memmem::find(body, b"\n\n").and_then(|end| body.get(end..)),
            None => Some(body),
        };
        let mut base64 = content.unwrap_or_default().to_vec();
        base64.retain(|byte| !byte.is_ascii_whitespace());
        match STANDARD.decode(&base64) {
            Ok(content) if !content.is_empty() => Some(Ok(label)),
            Ok(_) => Some(Err("it is empty")),
            Err(_) => Some(Err("its content is not base64")),
        }
    }
}

fn is_private_key(label: &str) -> bool {
    label.ends_with("PRIVATE KEY")
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    memmem::find(haystack, needle).is_some()
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
        for order in [format!("{CERTIFICATE}{KEY}"), format!("{KEY}{CERTIFICATE}")] {
            assert_eq!(
                read(&order).findings(),
                [Finding::PrivateKey("EC PRIVATE KEY".to_owned())]
            );
        }
        let bundle = read(&format!("{CERTIFICATE}{KEY}"));
        assert_eq!(
            bundle.findings(),
            [Finding::PrivateKey("EC PRIVATE KEY".to_owned())]
        );
        assert!(!format!("{bundle:?}").contains("45, 45"));
        assert!(read(CERTIFICATE).findings().is_empty());
    }

    #[test]
    fn a_broken_block_beside_a_certificate_is_a_finding() {
        for (broken, why) in [
            (
                "-----BEGIN CERTIFICATE-----\nAAAA\n",
                "it has no matching END line",
            ),
            (
                "-----BEGIN X-----\n?\n-----END X-----\n",
                "its content is not base64",
            ),
            ("-----BEGIN X-----\n-----END X-----\n", "it is empty"),
            ("-----BEGIN X\n", "its BEGIN line does not end"),
        ] {
            let bundle = read(&format!("{CERTIFICATE}{broken}"));
            assert_eq!(bundle.findings(), [Finding::BrokenBlock(why)], "{broken}");
            assert!(matches!(
                read(broken),
                CaBundle::Invalid(Fault::BrokenPem(_))
            ));
        }
    }

    #[test]
    fn headers_and_text_around_the_blocks_are_no_fault() {
        let bundle = read(&format!(
            "subject=CN=x\n{CERTIFICATE}-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\n\
             AAAA\n-----END RSA PRIVATE KEY-----\n"
        ));
        assert_eq!(
            bundle.findings(),
            [Finding::PrivateKey("RSA PRIVATE KEY".to_owned())]
        );
    }
}
