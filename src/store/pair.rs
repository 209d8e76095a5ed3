//! A certificate with its key, and what was found in a certificate directory.

use std::fmt;

use super::{CERT, KEY};

/// The bytes of a certificate chain and its private key, as PEM.
#[derive(Clone, PartialEq, Eq)]
pub struct Pair {
    /// `tls.crt`: the leaf, then its intermediates.
    pub cert: Vec<u8>,
    /// `tls.key`: the leaf's private key.
    pub key: Vec<u8>,
    /// `ca.crt`: what a client should trust, where it is known.
    pub ca: Option<Vec<u8>>,
}

impl fmt::Debug for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cert, key: _, ca } = self;
        f.debug_struct("Pair")
            .field("cert", &format_args!("{} bytes", cert.len()))
            .field("key", &format_args!("(redacted)"))
            .field(
                "ca",
                &format_args!("{} bytes", ca.as_ref().map_or(0, Vec::len)),
            )
            .finish()
    }
}

/// What a certificate directory holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Contents {
    /// Neither certificate nor key; perhaps not even the directory.
    Empty,
    /// One of the two files alone.
    Half {
        /// The file that is there.
        present: &'static str,
        /// The file that is not.
        missing: &'static str,
        /// Who wrote it.
        origin: Origin,
    },
    /// Both, from one generation if the directory has generations.
    Pair {
        /// The files' bytes.
        pair: Pair,
        /// Who wrote them.
        origin: Origin,
    },
}

impl Contents {
    /// The pair, if there is a whole one, whoever wrote it.
    #[must_use]
    pub fn into_pair(self) -> Option<Pair> {
        match self {
            Self::Pair { pair, .. } => Some(pair),
            Self::Empty | Self::Half { .. } => None,
        }
    }

    pub(super) fn new(
        cert: Option<Vec<u8>>,
        key: Option<Vec<u8>>,
        ca: Option<Vec<u8>>,
        origin: Origin,
    ) -> Self {
        let (present, missing) = match (cert, key) {
            (Some(cert), Some(key)) => {
                return Self::Pair {
                    pair: Pair { cert, key, ca },
                    origin,
                };
            }
            (Some(_), None) => (CERT, KEY),
            (None, Some(_)) => (KEY, CERT),
            (None, None) => return Self::Empty,
        };
        Self::Half {
            present,
            missing,
            origin,
        }
    }
}

/// Who wrote a pair.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// certtool: it may be replaced.
    Ours,
    /// Something else: it stays, unless the caller forces.
    Foreign(Foreign),
}

/// What something else's pair looks like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Foreign {
    /// Files, or links to files, that are not part of certtool's layout.
    Plain,
    /// The kubelet's layout: a mounted Secret, ConfigMap or projected volume.
    /// The kubelet undoes what anyone else writes there.
    Mounted {
        /// What `..data` points to.
        target: String,
    },
}
