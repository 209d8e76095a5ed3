//! Public keys, as a request or a certificate carries them.

use std::fmt;

use rcgen::PublicKeyData;
use x509_parser::der_parser::asn1_rs::FromDer;
use x509_parser::oid_registry as oids;
use x509_parser::x509::SubjectPublicKeyInfo;

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
                .and_then(|any| any.as_oid().ok());
            match curve {
                Some(oid) if oid == oids::OID_EC_P256 => PublicKeyKind::Ecdsa(Curve::P256),
                Some(oid) if oid == oids::OID_NIST_EC_P384 => PublicKeyKind::Ecdsa(Curve::P384),
                Some(oid) if oid == oids::OID_NIST_EC_P521 => PublicKeyKind::Ecdsa(Curve::P521),
                Some(oid) => PublicKeyKind::Unsupported(format!("curve {oid}")),
                None => return Err(PublicKeyError::Malformed),
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

    pub(super) fn to_rcgen(&self) -> Result<rcgen::SubjectPublicKeyInfo, PublicKeyError> {
        if let PublicKeyKind::Unsupported(what) = &self.kind {
            return Err(PublicKeyError::Unsupported(what.clone()));
        }
        let info = rcgen::SubjectPublicKeyInfo::from_der(&self.spki)
            .map_err(|_| PublicKeyError::Unsupported(self.kind.to_string()))?;
        // rcgen re-encodes the key from its parts: a certificate for a different
        // encoding would not match the requester's key.
        if info.subject_public_key_info() != self.spki {
            return Err(PublicKeyError::Malformed);
        }
        Ok(info)
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
