//! The pair that was found where one belongs.

use super::reason::Reason;
use crate::pki::{Certificate, PrivateKey, San, TrustBundle};

/// What was found where the pair belongs.
#[derive(Debug)]
pub enum Existing {
    /// Nothing.
    Nothing,
    /// Something that is not a pair: one file alone, or one that does not read.
    Unusable(String),
    /// A certificate, what is sent beside it, its key and the `ca.crt` beside them.
    Pair {
        /// The leaf.
        leaf: Box<Certificate>,
        /// The rest of `tls.crt`.
        intermediates: Vec<Certificate>,
        /// The key.
        key: Box<PrivateKey>,
        /// `ca.crt`, when there is one that reads.
        bundle: Option<TrustBundle>,
    },
}

pub(super) type Parts<'a> = (
    &'a Certificate,
    &'a [Certificate],
    &'a PrivateKey,
    Option<&'a TrustBundle>,
);

impl Existing {
    /// Reads the bytes of a pair.
    #[must_use]
    pub fn read(cert: &[u8], key: &[u8], ca: Option<&[u8]>) -> Self {
        let chain = match Certificate::all_from_pem(cert) {
            Ok(chain) => chain,
            Err(error) => return Self::Unusable(format!("tls.crt: {error}")),
        };
        let key = match PrivateKey::from_pem(key) {
            Ok(key) => key,
            Err(error) => return Self::Unusable(format!("tls.key: {error}")),
        };
        let mut chain = chain.into_iter();
        let Some(leaf) = chain.next() else {
            return Self::Unusable("tls.crt: no certificate found".to_owned());
        };
        Self::Pair {
            leaf: Box::new(leaf),
            intermediates: chain.collect(),
            key: Box::new(key),
            bundle: ca.and_then(|pem| TrustBundle::from_pem(pem).ok()),
        }
    }

    /// Leaf, intermediates, key and `ca.crt`, or why there is nothing to look at.
    pub(super) fn parts(&self) -> Result<Parts<'_>, Reason> {
        match self {
            Self::Nothing => Err(Reason::Missing),
            Self::Unusable(why) => Err(Reason::Unusable(why.clone())),
            Self::Pair {
                leaf,
                intermediates,
                key,
                bundle,
            } => Ok((leaf, intermediates, key, bundle.as_ref())),
        }
    }

    /// The names of the leaf, if there is one.
    #[must_use]
    pub fn names(&self) -> &[San] {
        match self {
            Self::Pair { leaf, .. } => &leaf.names,
            Self::Nothing | Self::Unusable(_) => &[],
        }
    }
}
