//! The single words of a policy file: names that are checked when they are read.

use serde::Deserialize;

use super::requester::is_subdomain;
use super::text::from_text;
use crate::pki::{Curve, KeyAlgorithm, MAX_NAMES, PublicKeyKind, Usage};

/// Why a word is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct WordError(String);

fn error<T>(sentence: String) -> Result<T, WordError> {
    Err(WordError(sentence))
}

/// `DOMAIN/PATH`, but none of Kubernetes' own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SignerName(pub(crate) String);

from_text!(
    SignerName,
    ClusterDomain,
    GroupName,
    Organization,
    UsageName,
    Key
);

impl TryFrom<String> for SignerName {
    type Error = WordError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let (domain, path) = text.split_once('/').unwrap_or((&text, ""));
        if domain == "kubernetes.io" || domain.ends_with(".kubernetes.io") {
            return error(format!(
                "{text:?} signs identities of the cluster itself, which this policy is not made for"
            ));
        }
        if !is_subdomain(domain) || !domain.contains('.') || !is_subdomain(path) {
            return error(format!(
                "{text:?} is not a signer's name: write it out as DOMAIN/NAME, as example.com/serving"
            ));
        }
        Ok(Self(text))
    }
}

/// The cluster's DNS domain, `cluster.local` if nothing is said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ClusterDomain(pub(super) String);

impl Default for ClusterDomain {
    fn default() -> Self {
        Self("cluster.local".to_owned())
    }
}

impl TryFrom<String> for ClusterDomain {
    type Error = WordError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        if is_subdomain(&text) {
            return Ok(Self(text));
        }
        error(format!(
            "{text:?} is not a DNS domain in lower case without dots around it"
        ))
    }
}

/// A group, written out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct GroupName(pub(super) String);

impl TryFrom<String> for GroupName {
    type Error = WordError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        if text.is_empty() || text.contains(['*', '{', '}']) {
            return error(format!(
                "{text:?} is not a group: groups are written out, without * and {{}}"
            ));
        }
        if text == "system:unauthenticated" {
            return error(format!("{text} is everybody in the world"));
        }
        Ok(Self(text))
    }
}

/// An organization of the subject, written out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Organization(pub(super) String);

impl TryFrom<String> for Organization {
    type Error = WordError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        if text.is_empty() || text.contains(['*', '{', '}']) || text.chars().any(char::is_control) {
            return error(format!(
                "{text:?} is not an organization: they are written out, without * and {{}}"
            ));
        }
        if text.to_lowercase().starts_with("system:") {
            return error(format!(
                "{text:?} is a group of Kubernetes' own, and the API server takes groups from the \
                 organizations of client certificates"
            ));
        }
        Ok(Self(text))
    }
}

/// A usage that a leaf can be granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct UsageName(pub(crate) Usage);

impl TryFrom<String> for UsageName {
    type Error = WordError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        match text
            .parse()
            .map_err(|e: crate::pki::UnknownUsage| WordError(e.to_string()))?
        {
            Usage::CertSign | Usage::CrlSign => {
                error(format!("{text:?} is for CAs, and no rule allows a CA"))
            }
            Usage::Any => error(format!(
                "{text:?} is every usage at once; list those that are meant"
            )),
            usage => Ok(Self(usage)),
        }
    }
}

/// A key's algorithm and size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Key(pub(crate) KeyAlgorithm);

impl TryFrom<String> for Key {
    type Error = WordError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
            .map(Self)
            .map_err(|e: crate::pki::UnknownAlgorithm| WordError(e.to_string()))
    }
}

impl Key {
    pub(crate) fn is(self, kind: &PublicKeyKind) -> bool {
        *kind
            == match self.0 {
                KeyAlgorithm::EcdsaP256 => PublicKeyKind::Ecdsa(Curve::P256),
                KeyAlgorithm::EcdsaP384 => PublicKeyKind::Ecdsa(Curve::P384),
                KeyAlgorithm::EcdsaP521 => PublicKeyKind::Ecdsa(Curve::P521),
                KeyAlgorithm::Ed25519 => PublicKeyKind::Ed25519,
                KeyAlgorithm::Rsa2048 => PublicKeyKind::Rsa { bits: 2048 },
                KeyAlgorithm::Rsa3072 => PublicKeyKind::Rsa { bits: 3072 },
                KeyAlgorithm::Rsa4096 => PublicKeyKind::Rsa { bits: 4096 },
                KeyAlgorithm::Rsa8192 => PublicKeyKind::Rsa { bits: 8192 },
            }
    }
}

/// How many names a request may have; 30 is ten Services.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "usize")]
pub(super) struct MaxNames(pub(super) usize);

impl Default for MaxNames {
    fn default() -> Self {
        Self(30)
    }
}

impl TryFrom<usize> for MaxNames {
    type Error = WordError;

    fn try_from(count: usize) -> Result<Self, Self::Error> {
        if (1..=MAX_NAMES).contains(&count) {
            return Ok(Self(count));
        }
        error(format!("{count} names are not between 1 and {MAX_NAMES}"))
    }
}
