//! Private keys: made, read from every common encoding, written as PKCS#8.

use std::fmt;

use rcgen::{KeyPair, PublicKeyData, RsaKeySize, SigningKey};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs1KeyDer, PrivatePkcs8KeyDer, PrivateSec1KeyDer};

use super::pem_blocks;
use super::{KeyAlgorithm, PublicKey, PublicKeyKind};

/// What each signs with, as an encoded AlgorithmIdentifier.
static SIGNATURE_ALGORITHMS: [(&rcgen::SignatureAlgorithm, &[u8]); 7] = [
    (
        &rcgen::PKCS_ECDSA_P256_SHA256,
        b"\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02",
    ),
    (
        &rcgen::PKCS_ECDSA_P384_SHA384,
        b"\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x03",
    ),
    (
        &rcgen::PKCS_ECDSA_P521_SHA512,
        b"\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x04",
    ),
    (&rcgen::PKCS_ED25519, b"\x30\x05\x06\x03\x2b\x65\x70"),
    (
        &rcgen::PKCS_RSA_SHA256,
        b"\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0b\x05\x00",
    ),
    (
        &rcgen::PKCS_RSA_SHA384,
        b"\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0c\x05\x00",
    ),
    (
        &rcgen::PKCS_RSA_SHA512,
        b"\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0d\x05\x00",
    ),
];

/// A private key. Neither `Debug` nor any error shows it.
pub struct PrivateKey {
    pair: KeyPair,
    public: PublicKey,
}

/// The PEM text of a private key; redacted in `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretPem(String);

impl SecretPem {
    /// The text itself, for writing to its file.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SecretPem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretPem([redacted])")
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PrivateKey({}, [redacted])", self.public.kind())
    }
}

/// Why a private key cannot be read or made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The text is not PEM.
    #[error("{0}")]
    Pem(String),
    /// There is no private key in the text.
    #[error("no private key found: expected a PRIVATE KEY, EC PRIVATE KEY or RSA PRIVATE KEY block{}", found(.0))]
    None(Vec<String>),
    /// There is more than one private key.
    #[error("{0} private keys found where one is expected")]
    Several(usize),
    /// The key is protected by a passphrase.
    #[error(
        "the private key is encrypted with a passphrase, which certtool does not ask for; \
         decrypt it to a file of mode 0600 first: openssl pkey -in FILE -out DECRYPTED"
    )]
    Encrypted,
    /// The key does not decode, or its algorithm, curve or size is not supported.
    #[error(
        "the private key cannot be used: it is damaged, or is not ECDSA P-256/P-384/P-521, Ed25519 or RSA of 2048 to 8192 bits"
    )]
    Unusable,
    /// aws-lc-rs could not make a key.
    #[error("could not generate a {0} key")]
    Generation(KeyAlgorithm),
}

fn found(labels: &[String]) -> String {
    if labels.is_empty() {
        String::new()
    } else {
        format!(", found {}", labels.join(", "))
    }
}

impl PrivateKey {
    /// Makes a key from the kernel's randomness.
    ///
    /// # Errors
    /// [`KeyError::Generation`] when the crypto library cannot.
    pub fn generate(algorithm: KeyAlgorithm) -> Result<Self, KeyError> {
        let failed = |_| KeyError::Generation(algorithm);
        let rsa = |signature, size| KeyPair::generate_rsa_for(signature, size).map_err(failed);
        let pair = match algorithm {
            KeyAlgorithm::EcdsaP256 => {
                KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).map_err(failed)?
            }
            KeyAlgorithm::EcdsaP384 => {
                KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).map_err(failed)?
            }
            KeyAlgorithm::EcdsaP521 => {
                KeyPair::generate_for(&rcgen::PKCS_ECDSA_P521_SHA512).map_err(failed)?
            }
            KeyAlgorithm::Ed25519 => KeyPair::generate_for(&rcgen::PKCS_ED25519).map_err(failed)?,
            KeyAlgorithm::Rsa2048 => rsa(&rcgen::PKCS_RSA_SHA256, RsaKeySize::_2048)?,
            KeyAlgorithm::Rsa3072 => rsa(&rcgen::PKCS_RSA_SHA384, RsaKeySize::_3072)?,
            KeyAlgorithm::Rsa4096 => rsa(&rcgen::PKCS_RSA_SHA512, RsaKeySize::_4096)?,
            KeyAlgorithm::Rsa8192 => return generate_rsa_8192(),
        };
        Self::from_pair(pair)
    }

    /// The private key in PEM text: PKCS#8, SEC1 or PKCS#1, with or without
    /// `EC PARAMETERS` or certificates beside it.
    ///
    /// # Errors
    /// See [`KeyError`]; none quotes the text.
    pub fn from_pem(text: &[u8]) -> Result<Self, KeyError> {
        let blocks = pem_blocks::parse(text).map_err(|error| KeyError::Pem(error.to_string()))?;
        let mut keys = Vec::new();
        for block in &blocks {
            match block.tag() {
                "ENCRYPTED PRIVATE KEY" => return Err(KeyError::Encrypted),
                tag if tag.ends_with("PRIVATE KEY") => {
                    // RFC 1421 encryption of the traditional formats.
                    if block
                        .headers()
                        .get("Proc-Type")
                        .is_some_and(|value| value.contains("ENCRYPTED"))
                    {
                        return Err(KeyError::Encrypted);
                    }
                    keys.push(block);
                }
                _ => {}
            }
        }
        let block = match keys.as_slice() {
            [block] => block,
            [] => {
                return Err(KeyError::None(
                    blocks.iter().map(|block| block.tag().to_owned()).collect(),
                ));
            }
            _ => return Err(KeyError::Several(keys.len())),
        };
        let der = match block.tag() {
            // cfssl writes PKCS#8 under a label of its own (`csr/csr.go`, `ParseRequest`).
            "PRIVATE KEY" | "Ed25519 PRIVATE KEY" => {
                PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(block.contents()))
            }
            "EC PRIVATE KEY" => PrivateKeyDer::Sec1(PrivateSec1KeyDer::from(block.contents())),
            "RSA PRIVATE KEY" => PrivateKeyDer::Pkcs1(PrivatePkcs1KeyDer::from(block.contents())),
            _ => return Err(KeyError::Unusable),
        };
        Self::from_der(&der)
    }

    fn from_der(der: &PrivateKeyDer<'_>) -> Result<Self, KeyError> {
        let key = Self::from_pair(KeyPair::try_from(der).map_err(|_| KeyError::Unusable)?)?;
        let PublicKeyKind::Rsa { bits } = key.public.kind() else {
            return Ok(key);
        };
        // cfssl and Go's x509.CreateCertificate size the hash by the RSA key.
        let signature = match bits {
            4096.. => &rcgen::PKCS_RSA_SHA512,
            3072..4096 => &rcgen::PKCS_RSA_SHA384,
            _ => return Ok(key),
        };
        let pair =
            KeyPair::from_der_and_sign_algo(der, signature).map_err(|_| KeyError::Unusable)?;
        Self::from_pair(pair)
    }

    fn from_pair(pair: KeyPair) -> Result<Self, KeyError> {
        let public = PublicKey::from_spki(&pair.subject_public_key_info())
            .map_err(|_| KeyError::Unusable)?;
        if matches!(public.kind(), PublicKeyKind::Unsupported(_)) {
            return Err(KeyError::Unusable);
        }
        Ok(Self { pair, public })
    }

    /// The public half.
    #[must_use]
    pub fn public_key(&self) -> &PublicKey {
        &self.public
    }

    /// The key as PKCS#8 PEM of version 1 (RFC 5208), whatever it was read from: OpenSSL
    /// 3.0 does not read version 2 (RFC 5958), which aws-lc-rs makes of Ed25519 keys.
    ///
    /// # Errors
    /// [`KeyError::Unusable`] when the key cannot be converted.
    pub fn to_pem(&self) -> Result<SecretPem, KeyError> {
        let pkcs8 =
            to_pkcs8(self.pair.serialized_der(), self.public.kind()).ok_or(KeyError::Unusable)?;
        Ok(SecretPem(pem_blocks::encode("PRIVATE KEY", &pkcs8)))
    }

    pub(super) fn signer(&self) -> &KeyPair {
        &self.pair
    }

    /// The encoded identifier of the algorithm that it signs with (RFC 5758, section 3.2;
    /// RFC 4055, section 5; RFC 8410, section 3). `None` for one that it never has.
    pub(super) fn signature_algorithm(&self) -> Option<&'static [u8]> {
        SIGNATURE_ALGORITHMS
            .iter()
            .find(|(algorithm, _)| *algorithm == self.pair.algorithm())
            .map(|(_, identifier)| *identifier)
    }

    pub(super) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        self.pair.sign(message)
    }
}

fn generate_rsa_8192() -> Result<PrivateKey, KeyError> {
    use aws_lc_rs::encoding::AsDer;
    let failed = |_| KeyError::Generation(KeyAlgorithm::Rsa8192);
    let key =
        aws_lc_rs::rsa::KeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa8192).map_err(failed)?;
    let der: aws_lc_rs::encoding::Pkcs8V1Der<'_> = key.as_der().map_err(failed)?;
    PrivateKey::from_der(&PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(
        der.as_ref(),
    )))
}

fn to_pkcs8(der: &[u8], kind: &PublicKeyKind) -> Option<Vec<u8>> {
    use super::Curve;
    use aws_lc_rs::encoding::AsDer;
    use aws_lc_rs::signature::{self, EcdsaKeyPair, Ed25519KeyPair};
    let is_pkcs8 = matches!(PrivateKeyDer::try_from(der), Ok(PrivateKeyDer::Pkcs8(_)));
    match kind {
        PublicKeyKind::Ed25519 => {
            let key = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).ok()?;
            Some(key.to_pkcs8v1().ok()?.as_ref().to_vec())
        }
        _ if is_pkcs8 => Some(der.to_vec()),
        PublicKeyKind::Rsa { .. } => {
            let key = aws_lc_rs::rsa::KeyPair::from_der(der).ok()?;
            let pkcs8: aws_lc_rs::encoding::Pkcs8V1Der<'_> = key.as_der().ok()?;
            Some(pkcs8.as_ref().to_vec())
        }
        PublicKeyKind::Ecdsa(curve) => {
            let algorithm = match curve {
                Curve::P256 => &signature::ECDSA_P256_SHA256_ASN1_SIGNING,
                Curve::P384 => &signature::ECDSA_P384_SHA384_ASN1_SIGNING,
                Curve::P521 => &signature::ECDSA_P521_SHA512_ASN1_SIGNING,
            };
            let key = EcdsaKeyPair::from_private_key_der(algorithm, der).ok()?;
            Some(key.to_pkcs8v1().ok()?.as_ref().to_vec())
        }
        PublicKeyKind::Unsupported(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_algorithm_is_generated_and_read_back() {
        // RSA 3072 and above take seconds in a debug build and go the same way.
        for algorithm in [
            KeyAlgorithm::EcdsaP256,
            KeyAlgorithm::EcdsaP384,
            KeyAlgorithm::EcdsaP521,
            KeyAlgorithm::Ed25519,
            KeyAlgorithm::Rsa2048,
        ] {
            let key = PrivateKey::generate(algorithm).unwrap();
            let read = PrivateKey::from_pem(key.to_pem().unwrap().expose().as_bytes()).unwrap();
            assert_eq!(read.public_key(), key.public_key(), "{algorithm}");
        }
    }

    #[test]
    fn nothing_secret_is_in_debug_output() {
        let key = PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap();
        let pem = key.to_pem().unwrap();
        assert_eq!(
            format!("{key:?} {pem:?}"),
            "PrivateKey(ECDSA P-256, [redacted]) SecretPem([redacted])"
        );
    }

    #[test]
    fn what_is_not_one_plain_key_is_said() {
        let pem = PrivateKey::generate(KeyAlgorithm::EcdsaP256)
            .unwrap()
            .to_pem()
            .unwrap();
        let two = format!("{0}{0}", pem.expose());
        assert_eq!(
            PrivateKey::from_pem(two.as_bytes()).unwrap_err(),
            KeyError::Several(2)
        );
        let encrypted = pem.expose().replace("PRIVATE", "ENCRYPTED PRIVATE");
        assert_eq!(
            PrivateKey::from_pem(encrypted.as_bytes()).unwrap_err(),
            KeyError::Encrypted
        );
        let certificate = pem.expose().replace("PRIVATE KEY", "CERTIFICATE");
        let error = PrivateKey::from_pem(certificate.as_bytes())
            .unwrap_err()
            .to_string();
        assert!(error.contains("found CERTIFICATE"), "{error}");
        let cut = &pem.expose()[..pem.expose().len() - 40];
        let error = PrivateKey::from_pem(cut.as_bytes())
            .unwrap_err()
            .to_string();
        assert!(error.contains("malformed PEM"), "{error}");
        assert_eq!(
            PrivateKey::from_pem(b"").unwrap_err(),
            KeyError::None(vec![])
        );
        let wrong = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
        assert_eq!(
            PrivateKey::from_pem(wrong.as_bytes()).unwrap_err(),
            KeyError::Unusable
        );
    }
}
