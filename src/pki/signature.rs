//! Verifying a signature over DER, for requests and for chains alike.

use rustls_pki_types::{AlgorithmIdentifier, SignatureVerificationAlgorithm};

use super::{PublicKey, PublicKeyKind, der};

/// Why a signature proves nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// An RSA key too short to trust (NIST SP 800-131A: 2048 bits).
    #[error("the key is RSA with {0} bits; at least 2048 are needed")]
    WeakKey(usize),
    /// A key that certtool does not sign.
    #[error("the key is of an unsupported kind: {0}")]
    UnsupportedKey(String),
    /// SHA-1, MD5 or something unknown, or an algorithm that does not fit the key.
    #[error("it is signed with {0}, which is not accepted for this key: use SHA-256 or better")]
    UnsupportedAlgorithm(String),
    /// The signature does not verify.
    #[error("the signature does not verify with the key")]
    Invalid,
}

/// Checks a signed structure `SEQUENCE { toBeSigned, algorithm, BIT STRING }`
/// (RFC 5280, section 4.1; RFC 2986, section 4.2) with `key`.
///
/// `algorithm_name` is what an error calls the algorithm.
pub(super) fn verify(
    signed: &[u8],
    key: &PublicKey,
    algorithm_name: &str,
) -> Result<(), SignatureError> {
    match key.kind() {
        PublicKeyKind::Rsa { bits } if *bits < 2048 => {
            return Err(SignatureError::WeakKey(*bits));
        }
        PublicKeyKind::Unsupported(what) => {
            return Err(SignatureError::UnsupportedKey(what.clone()));
        }
        _ => {}
    }
    let invalid = |_| SignatureError::Invalid;
    let outer = der::single(signed, der::SEQUENCE).map_err(invalid)?;
    let [message, algorithm, signature] = der::exactly(outer.content).map_err(invalid)?;
    for sequence in [message, algorithm] {
        if sequence.identifier != der::SEQUENCE {
            return Err(SignatureError::Invalid);
        }
    }
    let signature = octets(signature).ok_or(SignatureError::Invalid)?;
    let spki = der::single(key.spki(), der::SEQUENCE).map_err(invalid)?;
    let [key_algorithm, key] = der::exactly(spki.content).map_err(invalid)?;
    let key = octets(key).ok_or(SignatureError::Invalid)?;
    verifier(key_algorithm.content, algorithm.content)
        .ok_or_else(|| SignatureError::UnsupportedAlgorithm(algorithm_name.to_owned()))?
        .verify_signature(key, message.whole, signature)
        .map_err(|_| SignatureError::Invalid)
}

/// The content of a BIT STRING of whole octets.
fn octets(element: der::Element<'_>) -> Option<&[u8]> {
    match element.content.split_first() {
        Some((0, octets)) if element.identifier == der::BIT_STRING => Some(octets),
        _ => None,
    }
}

/// The algorithm that fits both the key and the signature: never SHA-1, never RSA
/// under 2048 bits, and the encodings of both identifiers are compared byte for byte.
fn verifier(key: &[u8], signature: &[u8]) -> Option<&'static dyn SignatureVerificationAlgorithm> {
    let is = |id: AlgorithmIdentifier, bytes: &[u8]| id.as_ref() == bytes;
    webpki::ALL_VERIFICATION_ALGS
        .iter()
        .copied()
        .find(|algorithm| {
            is(algorithm.public_key_alg_id(), key) && is(algorithm.signature_alg_id(), signature)
        })
}
