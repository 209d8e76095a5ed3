//! The key algorithms that certtool generates.

use std::fmt;
use std::str::FromStr;

/// A kind of key to generate, as named on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum KeyAlgorithm {
    /// ECDSA on NIST P-256, signed with SHA-256.
    #[default]
    EcdsaP256,
    /// ECDSA on NIST P-384, signed with SHA-384.
    EcdsaP384,
    /// ECDSA on NIST P-521, signed with SHA-512. For cfssl's `{"algo":"ecdsa","size":521}`.
    EcdsaP521,
    /// Ed25519 (RFC 8410).
    Ed25519,
    /// RSA with a modulus of 2048 bits.
    Rsa2048,
    /// RSA with a modulus of 3072 bits.
    Rsa3072,
    /// RSA with a modulus of 4096 bits.
    Rsa4096,
    /// RSA with a modulus of 8192 bits. For cfssl's `{"algo":"rsa","size":8192}`.
    Rsa8192,
}

impl KeyAlgorithm {
    /// The names of the command line, the default first.
    pub const NAMES: [&'static str; 6] = [
        "ecdsa-p256",
        "ecdsa-p384",
        "ed25519",
        "rsa-2048",
        "rsa-3072",
        "rsa-4096",
    ];

    /// The name used on the command line and in output.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::EcdsaP256 => "ecdsa-p256",
            Self::EcdsaP384 => "ecdsa-p384",
            Self::EcdsaP521 => "ecdsa-p521",
            Self::Ed25519 => "ed25519",
            Self::Rsa2048 => "rsa-2048",
            Self::Rsa3072 => "rsa-3072",
            Self::Rsa4096 => "rsa-4096",
            Self::Rsa8192 => "rsa-8192",
        }
    }
}

impl fmt::Display for KeyAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The text names no known algorithm.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown key algorithm {0:?}: use one of {names}", names = KeyAlgorithm::NAMES.join(", "))]
pub struct UnknownAlgorithm(pub String);

impl FromStr for KeyAlgorithm {
    type Err = UnknownAlgorithm;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let all = [
            Self::EcdsaP256,
            Self::EcdsaP384,
            Self::EcdsaP521,
            Self::Ed25519,
            Self::Rsa2048,
            Self::Rsa3072,
            Self::Rsa4096,
            Self::Rsa8192,
        ];
        let wanted = text.to_ascii_lowercase();
        all.into_iter()
            .find(|algorithm| algorithm.name() == wanted)
            .ok_or_else(|| UnknownAlgorithm(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_documented_name_is_read_back_as_itself() {
        for name in KeyAlgorithm::NAMES {
            assert_eq!(name.parse::<KeyAlgorithm>().unwrap().name(), name);
        }
    }

    #[test]
    fn an_unknown_name_lists_the_known_ones() {
        let error = "rsa-1024".parse::<KeyAlgorithm>().unwrap_err().to_string();
        assert!(
            error.contains("rsa-1024") && error.contains("ecdsa-p256"),
            "{error}"
        );
    }
}
