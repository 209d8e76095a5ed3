//! Why there is no new pair.

use crate::cluster;
use crate::pki::KeyError;
use crate::plan::Unacceptable;
use crate::rotation;
use crate::store;

/// Why there is no new pair, in words that say what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// The API server.
    #[error(transparent)]
    Cluster(#[from] cluster::Error),
    /// The certificate directory.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The key could not be made.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The request could not be made.
    #[error("the request cannot be made: {0}")]
    Request(String),
    /// The signer, or whoever approves for it, refused.
    #[error(
        "certificatesigningrequest {name:?} will get no certificate: {why}; a new one is submitted with the next attempt"
    )]
    Refused {
        /// The request.
        name: String,
        /// Its condition, with reason and message.
        why: String,
    },
    /// Nobody answered.
    #[error(
        "certificatesigningrequest {name:?} was not issued within {seconds} s: {missing}; it stays, and is waited for further"
    )]
    Unanswered {
        /// The request.
        name: String,
        /// For how long.
        seconds: u64,
        /// Who has not acted, and how to.
        missing: String,
    },
    /// The request went away.
    #[error(
        "certificatesigningrequest {name:?} is gone before it was issued: somebody deleted it, or Kubernetes did, as with any that is a day old; a new one is submitted"
    )]
    Gone {
        /// The request.
        name: String,
    },
    /// What was issued is not what was asked for.
    #[error("the certificate that {by} issued is refused: {why}")]
    Unacceptable {
        /// The request or the Secret.
        by: String,
        /// Why.
        why: Unacceptable,
    },
    /// What was issued does not read.
    #[error("the certificate that {by} issued is refused: {why}")]
    Unreadable {
        /// The request or the Secret.
        by: String,
        /// Why.
        why: String,
    },
    /// What to trust is not known.
    #[error("the trust bundle {from} cannot be used: {why}")]
    Trust {
        /// The file or object.
        from: String,
        /// Why.
        why: String,
    },
    /// The CA of one's own cannot sign, now or at all.
    #[error("the CA in Secret {secret} cannot sign: {why}")]
    Authority {
        /// The Secret.
        secret: String,
        /// Why.
        why: String,
    },
    /// The CA of one's own could not be kept.
    #[error(transparent)]
    Rotation(#[from] rotation::Error),
}

impl Failure {
    /// Whether another attempt may end better without anybody doing anything.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Cluster(error) => error.is_transient(),
            Self::Rotation(error) => error.is_transient(),
            Self::Unanswered { .. } | Self::Gone { .. } | Self::Authority { .. } => true,
            _ => false,
        }
    }

    /// A word for metrics.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Cluster(cluster::Error::Forbidden { .. }) => "Forbidden",
            Self::Cluster(_) => "ApiServer",
            Self::Store(_) => "Disk",
            Self::Key(_) | Self::Request(_) => "Request",
            Self::Refused { .. } => "Refused",
            Self::Unanswered { .. } => "Unanswered",
            Self::Gone { .. } => "Gone",
            Self::Unacceptable { .. } | Self::Unreadable { .. } => "Unacceptable",
            Self::Trust { .. } => "TrustBundle",
            Self::Rotation(rotation::Error::Cluster(error)) => match error {
                cluster::Error::Forbidden { .. } => "Forbidden",
                _ => "ApiServer",
            },
            Self::Authority { .. } | Self::Rotation(_) => "Authority",
        }
    }
}
