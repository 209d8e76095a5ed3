//! Why a CA could not be kept.

use crate::authority::Broken;
use crate::cluster::{self, SecretName};
use crate::pki::{AuthorityError, KeyError};

/// The result of a tick.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a CA could not be kept. The Secret is as it was.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server was not reached or did not do it.
    #[error(transparent)]
    Cluster(#[from] cluster::Error),
    /// The Secret does not add up, or is gone.
    #[error(transparent)]
    Broken(#[from] Broken),
    /// A CA that somebody else maintains is not there.
    #[error(
        "there is no Secret {0}, and it is not certtool's to make: whoever maintains this CA has to"
    )]
    Missing(SecretName),
    /// A key could not be made or encoded.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A CA could not be made.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// The kernel gives no randomness.
    #[error("could not get randomness from the kernel")]
    Entropy,
    /// The objects that may trust a CA already are not known.
    #[error(
        "the objects that may trust a CA of before could not be looked at, and without that none is made: {0}"
    )]
    Unseen(String),
    /// The clock is wrong, and a CA is to be made.
    #[error(
        "this machine's clock and the API server's are {} s apart: no CA is made with such dates, so set the clock", .0.whole_seconds().saturating_abs()
    )]
    Clock(time::Duration),
    /// Others keep changing the Secret.
    #[error(
        "the Secret {0} was changed by others each time it was to be written; trying again later"
    )]
    Outrun(SecretName),
}

impl Error {
    /// Whether it may go well the next time, without anybody doing anything.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Cluster(error) => error.is_transient(),
            Self::Outrun(_) | Self::Unseen(_) | Self::Clock(_) => true,
            _ => false,
        }
    }
}
