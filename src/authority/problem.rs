//! What can be wrong with a CA's Secret, and how it is repaired.

use super::entry;
use crate::pki::{AuthorityError, BundleError, CertificateError, KeyError};

/// A Secret does not hold a usable CA.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the CA in Secret {secret} cannot be used: {problem}. {}", .problem.repair(.secret))]
pub struct Broken {
    /// `NAMESPACE/NAME`
    pub secret: String,
    /// What is wrong.
    pub problem: Problem,
}

/// What is wrong with a CA's Secret. Nothing here quotes a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// An entry is not there.
    #[error("it has no {0}{hint}", hint = hint(.0))]
    Missing(&'static str),
    /// An entry is there without what it belongs to.
    #[error("it has {0} but no {RECORD} that says what that is", RECORD = entry::RECORD)]
    Stray(&'static str),
    /// An entry is not certificates.
    #[error("could not read the CA certificate {entry}: {why}")]
    Certificate {
        /// The entry.
        entry: &'static str,
        /// Why not.
        why: CertificateError,
    },
    /// An entry is not a key.
    #[error("could not read the CA key {entry}: {why}")]
    Key {
        /// The entry.
        entry: &'static str,
        /// Why not.
        why: KeyError,
    },
    /// A certificate and a key that make no CA.
    #[error("{entry} and its key are no CA: {why}")]
    NoAuthority {
        /// The certificate's entry.
        entry: &'static str,
        /// Why not.
        why: AuthorityError,
    },
    /// The bundle does not read.
    #[error("ca.crt does not read: {0}")]
    Bundle(BundleError),
    /// The bundle lacks a CA that has to be trusted.
    #[error("ca.crt does not contain {what} {subject} (SHA-256 {fingerprint})")]
    NotInBundle {
        /// Which one.
        what: &'static str,
        /// Its subject.
        subject: String,
        /// Its fingerprint.
        fingerprint: String,
    },
    /// The record does not read.
    #[error("authority.json does not read: {0}")]
    Record(String),
    /// The record was written by a newer certtool.
    #[error("authority.json has version {0}, which this certtool does not know")]
    Newer(u32),
    /// The record is of another CA.
    #[error(
        "{entry} holds {subject} (SHA-256 {found}), but authority.json is of another CA (SHA-256 {recorded}): somebody put another CA there"
    )]
    OtherCa {
        /// The entry.
        entry: &'static str,
        /// Subject of the certificate there.
        subject: String,
        /// Its fingerprint.
        found: String,
        /// The fingerprint in the record.
        recorded: String,
    },
    /// The Secret is gone, and there was one.
    #[error("there is no such Secret any more, but there was one: {0}")]
    Lost(String),
    /// The CA is another one than before.
    #[error("{0}, and nothing in the Secret says that this is wanted")]
    Replaced(String),
}

fn hint(missing: &str) -> &'static str {
    match missing {
        entry::CERT | entry::KEY => "; a CA's Secret has tls.crt and tls.key",
        _ => "",
    }
}

impl Problem {
    /// The problem of this Secret.
    #[must_use]
    pub fn of(self, secret: &str) -> Broken {
        Broken {
            secret: secret.to_owned(),
            problem: self,
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn repair(&self, secret: &str) -> String {
        match self {
            Self::Newer(_) => "Use the version that wrote it, or a newer one".to_owned(),
            Self::Lost(_) => format!(
                "It is not made anew by itself. Restore the Secret from a backup, or make a new CA: `certtool ca init --secret {secret}`"
            ),
            _ => format!(
                "Nothing was changed. Restore the Secret from a backup, put a CA in it (`certtool ca init --secret {secret} --replace --ca FILE --ca-key FILE`), or make a new one (`certtool ca init --secret {secret} --replace`)"
            ),
        }
    }
}
