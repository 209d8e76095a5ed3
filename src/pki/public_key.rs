//! Public keys, as a request or a certificate carries them.

use std::fmt;

use x509_parser::der_parser::asn1_rs::{FromDer, Tag};
use x509_parser::oid_registry as oids;
use x509_parser::x509::SubjectPublicKeyInfo;

use super::der;

/// An elliptic curve that TLS servers use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Curve {
    /// NIST P-256
    P256,
    /// NIST P-384
    P384,
    /// NIST P-521
    P521,
}

/// What kind of key, and how large: what a policy decides by.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum PublicKeyKind {
    /// RSA with the size of its modulus in bits
    Rsa {
        /// Size of the modulus in bits
        bits: usize,
    },
    /// ECDSA on a curve
    Ecdsa(Curve),
    /// Ed25519
    Ed25519,
    /// Something that certtool does not sign, by OID
    Unsupported(String),
}

impl fmt::Display for PublicKeyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rsa { bits } => write!(f, "RSA {bits}"),
            Self::Ecdsa(Curve::P256) => f.write_str("ECDSA P-256"),
            Self::Ecdsa(Curve::P384) => f.write_str("ECDSA P-384"),
            Self::Ecdsa(Curve::P521) => f.write_str("ECDSA P-521"),
            Self::Ed25519 => f.write_str("Ed25519"),
            Self::Unsupported(oid) => write!(f, "unsupported ({oid})"),
        }
    }
}

/// Why bytes are not a usable public key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PublicKeyError {
    /// Not a `SubjectPublicKeyInfo` (RFC 5280, section 4.1.2.7).
    #[error("malformed public key")]
    Malformed,
    /// An algorithm or curve that certtool does not sign.
    #[error(
        "public key algorithm {0} is not supported: use ECDSA P-256/P-384/P-521, Ed25519 or RSA"
    )]
    Unsupported(String),
}

/// A public key: its `SubjectPublicKeyInfo` in DER.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PublicKey {
    spki: Vec<u8>,
    kind: PublicKeyKind,
}

impl PublicKey {
    /// The public key with this `SubjectPublicKeyInfo`.
    ///
    /// # Errors
    /// [`PublicKeyError::Malformed`] when the bytes are not exactly one.
    pub fn from_spki(spki: &[u8]) -> Result<Self, PublicKeyError> {
        let Ok(([], parsed)) = SubjectPublicKeyInfo::from_der(spki) else {
            return Err(PublicKeyError::Malformed);
        };
        let algorithm = &parsed.algorithm.algorithm;
        let kind = if *algorithm == oids::OID_PKCS1_RSAENCRYPTION {
            match parsed.parsed() {
                Ok(x509_parser::public_key::PublicKey::RSA(rsa)) => PublicKeyKind::Rsa {
                    bits: bits(rsa.modulus),
                },
                _ => return Err(PublicKeyError::Malformed),
            }
        } else if *algorithm == oids::OID_KEY_TYPE_EC_PUBLIC_KEY {
            let curve = parsed
                .algorithm
                .parameters
                .as_ref()
                // `as_oid` alone reads the content of any type as an identifier.
                .filter(|any| any.tag() == Tag::Oid)
                .and_then(|any| any.as_oid().ok());
            match curve {
                Some(oid) if oid == oids::OID_EC_P256 => PublicKeyKind::Ecdsa(Curve::P256),
                Some(oid) if oid == oids::OID_NIST_EC_P384 => PublicKeyKind::Ecdsa(Curve::P384),
                Some(oid) if oid == oids::OID_NIST_EC_P521 => PublicKeyKind::Ecdsa(Curve::P521),
                Some(oid) => PublicKeyKind::Unsupported(format!("curve {oid}")),
                // RFC 5480, section 2.1.1: only named curves may be used.
                None => PublicKeyKind::Unsupported("explicit curve parameters".to_owned()),
            }
        } else if *algorithm == oids::OID_SIG_ED25519 {
            PublicKeyKind::Ed25519
        } else {
            PublicKeyKind::Unsupported(algorithm.to_id_string())
        };
        Ok(Self {
            spki: spki.to_vec(),
            kind,
        })
    }

    /// Kind and size.
    #[must_use]
    pub fn kind(&self) -> &PublicKeyKind {
        &self.kind
    }

    /// The DER of the `SubjectPublicKeyInfo`.
    #[must_use]
    pub fn spki(&self) -> &[u8] {
        &self.spki
    }

    /// Refuses a key that no certificate of ours is for.
    ///
    /// # Errors
    /// [`PublicKeyError::Unsupported`] for another algorithm,
    /// [`PublicKeyError::Malformed`] when the key is not whole octets.
    pub(super) fn check_issuable(&self) -> Result<(), PublicKeyError> {
        if let PublicKeyKind::Unsupported(what) = &self.kind {
            return Err(PublicKeyError::Unsupported(what.clone()));
        }
        let malformed = |_| PublicKeyError::Malformed;
        let spki = der::single(&self.spki, der::SEQUENCE).map_err(malformed)?;
        let [_, key] = der::exactly(spki.content).map_err(malformed)?;
        match key.content {
            [0, ..] => Ok(()),
            _ => Err(PublicKeyError::Malformed),
        }
    }
}

/// Significant bits of a big-endian unsigned integer.
fn bits(modulus: &[u8]) -> usize {
    let significant = modulus
        .iter()
        .position(|byte| *byte != 0)
        .map_or(&[][..], |at| &modulus[at..]);
    significant.first().map_or(0, |first| {
        significant.len() * 8 - first.leading_zeros() as usize
    })
}
