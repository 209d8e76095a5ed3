//! Why a new pair is issued, in a word for scripts and in a line for the user.

use std::fmt;

use time::OffsetDateTime;

use super::instant;
use crate::pki::{Certificate, KeyAlgorithm, San};

/// Why a new pair is issued. `Display` is the one line for the user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// There was none.
    Missing,
    /// What was there does not read.
    Unusable(String),
    /// Certificate and key do not belong together.
    KeyMismatch,
    /// It is signed by a CA other than the one in use, lost or replaced perhaps.
    OtherCa(String),
    /// Its time is over.
    Expired(OffsetDateTime),
    /// Its time has not come: a clock that was wrong.
    NotYetValid(OffsetDateTime),
    /// Its time is nearly over.
    RenewalDue(OffsetDateTime),
    /// It lacks names.
    NamesMissing(Vec<San>),
    /// It may not serve TLS.
    NotForServing,
    /// The `ca.crt` beside it is missing or another one.
    BundleDiffers,
    /// The key is of another kind than asked for.
    Algorithm(KeyAlgorithm),
    /// The user said so.
    Forced,
    /// It has names that are not wanted any more.
    NamesNotWanted(Vec<San>),
    /// It was issued by this signer, or from this Secret, and another one is configured now.
    OtherIssuer(String),
    /// Somebody asked for it while the program ran.
    Asked,
    /// The CA that signed it signs no more.
    CaRotated,
    /// The files were removed or changed while the program ran.
    FilesChanged,
}

impl Reason {
    /// That a leaf lacks some of these names, if it does.
    pub(super) fn names_missing(leaf: &Certificate, names: &[San]) -> Option<Self> {
        let missing = names.iter().filter(|name| !leaf.covers(name));
        let missing: Vec<San> = missing.cloned().collect();
        (!missing.is_empty()).then_some(Self::NamesMissing(missing))
    }

    /// A word for scripts.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Missing => "Missing",
            Self::Unusable(_) => "Unusable",
            Self::KeyMismatch => "KeyMismatch",
            Self::OtherCa(_) => "OtherCA",
            Self::Expired(_) => "Expired",
            Self::NotYetValid(_) => "NotYetValid",
            Self::RenewalDue(_) => "RenewalDue",
            Self::NamesMissing(_) => "NamesMissing",
            Self::NotForServing => "NotForServing",
            Self::BundleDiffers => "BundleDiffers",
            Self::Algorithm(_) => "Algorithm",
            Self::Forced => "Forced",
            Self::NamesNotWanted(_) => "NamesNotWanted",
            Self::OtherIssuer(_) => "OtherIssuer",
            Self::Asked => "Asked",
            Self::CaRotated => "CARotated",
            Self::FilesChanged => "FilesChanged",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("there was no pair"),
            Self::Unusable(why) => write!(f, "the pair could not be read ({why})"),
            Self::KeyMismatch => f.write_str("the key did not belong to the certificate"),
            Self::OtherCa(issuer) => write!(f, "the pair was signed by another CA ({issuer})"),
            Self::Expired(at) => write!(f, "the certificate expired on {}", instant(*at)),
            Self::NotYetValid(at) => {
                write!(f, "the certificate was not valid before {}", instant(*at))
            }
            Self::RenewalDue(at) => write!(
                f,
                "the certificate was due for renewal, since it ends on {}",
                instant(*at)
            ),
            Self::NamesMissing(names) => write!(f, "the certificate lacked {}", some(names)),
            Self::NamesNotWanted(names) => write!(
                f,
                "the certificate had names that are not wanted: {}",
                some(names)
            ),
            Self::OtherIssuer(issuer) => write!(f, "the pair was issued by {issuer}"),
            Self::Asked => f.write_str("it was asked for"),
            Self::CaRotated => f.write_str("another CA signs now"),
            Self::FilesChanged => f.write_str("the files were removed or changed by another hand"),
            Self::NotForServing => f.write_str("the certificate was not for server authentication"),
            Self::BundleDiffers => {
                f.write_str("the ca.crt beside the pair was missing or not this CA's")
            }
            Self::Algorithm(algorithm) => write!(f, "the key was not {algorithm}"),
            Self::Forced => f.write_str("--force was given"),
        }
    }
}

/// The first few names.
fn some(names: &[San]) -> String {
    let shown: Vec<_> = names.iter().take(5).map(San::value).collect();
    let mut text = shown.join(", ");
    if names.len() > shown.len() {
        text.push_str(&format!(" and {} more", names.len() - shown.len()));
    }
    text
}
