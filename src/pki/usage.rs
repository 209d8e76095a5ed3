//! Key usages under the names of the Kubernetes API, which are cfssl's too.

use std::fmt;
use std::str::FromStr;

/// A usage of `certificates.k8s.io/v1` (`staging/src/k8s.io/api/certificates/v1/types.go`,
/// `KeyUsage`): a bit of the key usage extension or a purpose of the extended one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Usage {
    /// `digital signature`, also written `signing`
    DigitalSignature,
    /// `content commitment` (nonRepudiation)
    ContentCommitment,
    /// `key encipherment`
    KeyEncipherment,
    /// `key agreement`
    KeyAgreement,
    /// `data encipherment`
    DataEncipherment,
    /// `cert sign`
    CertSign,
    /// `crl sign`
    CrlSign,
    /// `encipher only`
    EncipherOnly,
    /// `decipher only`
    DecipherOnly,
    /// `any`
    Any,
    /// `server auth`
    ServerAuth,
    /// `client auth`
    ClientAuth,
    /// `code signing`
    CodeSigning,
    /// `email protection`, also written `s/mime`
    EmailProtection,
    /// `ipsec end system`
    IpsecEndSystem,
    /// `ipsec tunnel`
    IpsecTunnel,
    /// `ipsec user`
    IpsecUser,
    /// `timestamping`
    Timestamping,
    /// `ocsp signing`
    OcspSigning,
    /// `microsoft sgc`
    MicrosoftSgc,
    /// `netscape sgc`
    NetscapeSgc,
}

/// Name, key usage bit number (RFC 5280, section 4.2.1.3) or extended purpose.
const TABLE: [(Usage, &str, Meaning); 21] = [
    (
        Usage::DigitalSignature,
        "digital signature",
        Meaning::Bit(0),
    ),
    (
        Usage::ContentCommitment,
        "content commitment",
        Meaning::Bit(1),
    ),
    (Usage::KeyEncipherment, "key encipherment", Meaning::Bit(2)),
    (
        Usage::DataEncipherment,
        "data encipherment",
        Meaning::Bit(3),
    ),
    (Usage::KeyAgreement, "key agreement", Meaning::Bit(4)),
    (Usage::CertSign, "cert sign", Meaning::Bit(5)),
    (Usage::CrlSign, "crl sign", Meaning::Bit(6)),
    (Usage::EncipherOnly, "encipher only", Meaning::Bit(7)),
    (Usage::DecipherOnly, "decipher only", Meaning::Bit(8)),
    (Usage::Any, "any", Meaning::Purpose(&[2, 5, 29, 37, 0])),
    (
        Usage::ServerAuth,
        "server auth",
        Meaning::Purpose(&[1, 3, 6, 1, 5, 5, 7, 3, 1]),
    ),
    (
        Usage::ClientAuth,
        "client auth",
        Meaning::Purpose(&[1, 3, 6, 1, 5, 5, 7, 3, 2]),
    ),
    (
        Usage::CodeSigning,
        "code signing",
        Meaning::Purpose(&[1, 3, 6, 1, 5, 5, 7, 3, 3]),
    ),
    (
        Usage::EmailProtection,
        "email protection",
        Meaning::Purpose(&[1, 3, 6, 1, 5, 5, 7, 3, 4]),
    ),
    (
        Usage::IpsecEndSystem,
        "ipsec end system",
        Meaning::Purpose(&[1, 3, 6, 1, 5, 5, 7, 3, 5]),
    ),
    (
        Usage::IpsecTunnel,
        "ipsec tunnel",
        Meaning::Purpose(&[1, 3, 6, 1, 5, 5, 7, 3, 6]),
    ),
    (
        Usage::IpsecUser,
        "ipsec user",
        Meaning::Purpose(&[1, 3, 6, 1, 5, 5, 7, 3, 7]),
    ),
    (
        Usage::Timestamping,
        "timestamping",
        Meaning::Purpose(&[1, 3, 6, 1, 5, 5, 7, 3, 8]),
    ),
    (
        Usage::OcspSigning,
        "ocsp signing",
        Meaning::Purpose(&[1, 3, 6, 1, 5, 5, 7, 3, 9]),
    ),
    (
        Usage::MicrosoftSgc,
        "microsoft sgc",
        Meaning::Purpose(&[1, 3, 6, 1, 4, 1, 311, 10, 3, 3]),
    ),
    (
        Usage::NetscapeSgc,
        "netscape sgc",
        Meaning::Purpose(&[2, 16, 840, 1, 113_730, 4, 1]),
    ),
];

#[derive(Debug, Clone, Copy)]
enum Meaning {
    Bit(u8),
    Purpose(&'static [u64]),
}

/// The text is no usage of the Kubernetes API.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown usage {0:?}: use one of {known}", known = Usage::all().map(Usage::name).collect::<Vec<_>>().join(", "))]
pub struct UnknownUsage(pub String);

impl Usage {
    /// What a webhook's serving certificate is requested with.
    pub const SERVING: [Self; 3] = [
        Self::DigitalSignature,
        Self::KeyEncipherment,
        Self::ServerAuth,
    ];

    /// All usages, key usage bits first, in the order of their numbers.
    pub fn all() -> impl Iterator<Item = Self> {
        TABLE.iter().map(|(usage, ..)| *usage)
    }

    /// The name in the Kubernetes API.
    #[must_use]
    pub fn name(self) -> &'static str {
        TABLE
            .iter()
            .find(|(usage, ..)| *usage == self)
            .map_or("", |(_, name, _)| name)
    }

    fn meaning(self) -> Option<Meaning> {
        TABLE
            .iter()
            .find(|(usage, ..)| *usage == self)
            .map(|(.., meaning)| *meaning)
    }

    /// Whether this is a bit of the key usage extension.
    #[must_use]
    pub fn is_key_usage(self) -> bool {
        matches!(self.meaning(), Some(Meaning::Bit(_)))
    }

    pub(super) fn from_bit(bit: u8) -> Option<Self> {
        TABLE.iter().find_map(|(usage, _, meaning)| {
            matches!(meaning, Meaning::Bit(number) if *number == bit).then_some(*usage)
        })
    }

    pub(super) fn from_purpose(oid: &[u64]) -> Option<Self> {
        TABLE.iter().find_map(|(usage, _, meaning)| {
            matches!(meaning, Meaning::Purpose(number) if *number == oid).then_some(*usage)
        })
    }

    /// Its bit in the key usage extension (RFC 5280, section 4.2.1.3).
    pub(super) fn bit(self) -> Option<u8> {
        match self.meaning()? {
            Meaning::Bit(bit) => Some(bit),
            Meaning::Purpose(_) => None,
        }
    }

    /// Its purpose in the extended key usage extension (RFC 5280, section 4.2.1.12).
    pub(super) fn purpose(self) -> Option<&'static [u64]> {
        match self.meaning()? {
            Meaning::Purpose(oid) => Some(oid),
            Meaning::Bit(_) => None,
        }
    }
}

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Usage {
    type Err = UnknownUsage;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "signing" => return Ok(Self::DigitalSignature),
            "s/mime" => return Ok(Self::EmailProtection),
            _ => {}
        }
        TABLE
            .iter()
            .find_map(|(usage, name, _)| (*name == text).then_some(*usage))
            .ok_or_else(|| UnknownUsage(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_usage_reads_back_and_is_exactly_one_kind() {
        for usage in Usage::all() {
            assert_eq!(usage.name().parse(), Ok(usage));
            assert_ne!(usage.bit().is_some(), usage.purpose().is_some(), "{usage}");
        }
        assert_eq!("signing".parse(), Ok(Usage::DigitalSignature));
        assert!("server-auth".parse::<Usage>().is_err());
    }
}
