//! A pair as rustls wants it.

use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::store::{self, CertDir, Contents};

/// Why a directory's content cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// It cannot be read.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// There is no pair, or one file alone.
    #[error("{path} has no {missing}")]
    Missing {
        /// The directory.
        path: String,
        /// The file.
        missing: &'static str,
    },
    /// What is there is no pair.
    #[error("{path} does not read: {why}")]
    Unusable {
        /// The file.
        path: String,
        /// What is wrong with it; nothing of its content.
        why: String,
    },
}

/// Reads the pair that is in force, all of it from one generation of the directory.
///
/// # Errors
/// See [`LoadError`]; certificate and key that do not belong together are one.
pub fn load(dir: &CertDir) -> Result<CertifiedKey, LoadError> {
    let show = |name: &str| dir.path().join(name).display().to_string();
    let missing = |missing| LoadError::Missing {
        path: dir.path().display().to_string(),
        missing,
    };
    let pair = match dir.read()? {
        Contents::Pair { pair, .. } => pair,
        Contents::Half { missing: name, .. } => return Err(missing(name)),
        Contents::Empty => return Err(missing(store::CERT)),
    };
    let unusable = |name: &str, why: String| LoadError::Unusable {
        path: show(name),
        why,
    };
    let chain = CertificateDer::pem_slice_iter(&pair.cert)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| unusable(store::CERT, error.to_string()))?;
    if chain.is_empty() {
        let why = "there is no certificate in it".to_owned();
        return Err(unusable(store::CERT, why));
    }
    let key = PrivateKeyDer::from_pem_slice(&pair.key)
        .map_err(|error| unusable(store::KEY, error.to_string()))?;
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    CertifiedKey::from_der(chain, key, &provider)
        .map_err(|error| unusable(store::KEY, error.to_string()))
}
