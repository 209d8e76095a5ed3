//! What a client has to trust, where that is known: `ca.crt`, and the judge of what is issued.
//!
//! A CertificateSigningRequest does not carry its CA: `status.certificate` is the leaf and its
//! intermediates. So the bundle comes from a file (a mounted ConfigMap, as a rule) or from a
//! ConfigMap that is read through the API; both are read again and again, since CAs rotate.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use tokio::time::Instant;

use super::failure::Failure;
use crate::cluster::{Cluster, ConfigMapName};
use crate::pki::TrustBundle;
use crate::plan::RENEW_ANNOTATION;

/// How often a ConfigMap is read.
const PACE: Duration = Duration::from_secs(15);
/// No bundle comes near it.
const LARGEST: u64 = 1 << 20;

/// Where the trust bundle comes from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum TrustSource {
    /// Nobody says. A root at the end of an issued chain is taken for `ca.crt`, since only
    /// the signer can have put it there.
    #[default]
    Unknown,
    /// A PEM file.
    File(PathBuf),
    /// An entry of a ConfigMap.
    ConfigMap {
        /// Which one.
        name: ConfigMapName,
        /// The entry: `ca.crt`, `ca-bundle.crt`.
        key: String,
    },
}

/// What is trusted, as far as it was read.
#[derive(Debug)]
pub(super) struct Trust {
    source: TrustSource,
    bundle: Option<TrustBundle>,
    read: Option<Instant>,
    renew: Option<String>,
}

/// What a source held.
struct Found {
    bundle: TrustBundle,
    renew: Option<String>,
}

impl Trust {
    pub(super) fn new(source: TrustSource) -> Self {
        Self {
            source,
            bundle: None,
            read: None,
            renew: None,
        }
    }

    /// What was read last.
    pub(super) fn bundle(&self) -> Option<&TrustBundle> {
        self.bundle.as_ref()
    }

    /// What the ConfigMap's [`RENEW_ANNOTATION`] says.
    pub(super) fn renew(&self) -> Option<&str> {
        self.renew.as_deref()
    }

    pub(super) fn is_configured(&self) -> bool {
        self.source != TrustSource::Unknown
    }

    /// Reads it again if that was long enough ago, or `at_once`; what was known stays when it
    /// cannot be read. Whether it was.
    pub(super) async fn refresh(
        &mut self,
        cluster: &Cluster,
        at_once: bool,
    ) -> Result<bool, Failure> {
        let is_due = at_once || self.read.is_none_or(|read| read.elapsed() >= PACE);
        if !is_due || !self.is_configured() {
            return Ok(false);
        }
        self.read = Some(Instant::now());
        if let Some(found) = read(&self.source, cluster).await? {
            self.bundle = Some(found.bundle);
            self.renew = found.renew;
        }
        Ok(true)
    }
}

async fn read(source: &TrustSource, cluster: &Cluster) -> Result<Option<Found>, Failure> {
    let (from, pem, renew) = match source {
        TrustSource::Unknown => return Ok(None),
        TrustSource::File(path) => {
            let from = path.display().to_string();
            let unreadable = |why: String| Failure::Trust {
                from: from.clone(),
                why,
            };
            let meta = fs::metadata(path).map_err(|error| unreadable(error.to_string()))?;
            if !meta.is_file() || meta.len() > LARGEST {
                return Err(unreadable("it is no file of certificates".to_owned()));
            }
            let pem = fs::read(path).map_err(|error| unreadable(error.to_string()))?;
            (from, pem, None)
        }
        TrustSource::ConfigMap { name, key } => {
            let from = format!("ConfigMap {name}");
            let unusable = |why: String| Failure::Trust {
                from: from.clone(),
                why,
            };
            let Some(found) = cluster.get_config_map(name).await? else {
                return Err(unusable("it does not exist (yet?)".to_owned()));
            };
            let Some(pem) = found.data.get(key) else {
                let keys: Vec<_> = found.data.keys().map(String::as_str).collect();
                return Err(unusable(format!(
                    "it has no entry {key:?}, but {}",
                    if keys.is_empty() {
                        "none".to_owned()
                    } else {
                        keys.join(", ")
                    }
                )));
            };
            let renew = found.annotations().get(RENEW_ANNOTATION).cloned();
            (from, pem.clone().into_bytes(), renew)
        }
    };
    TrustBundle::from_pem(&pem)
        .map(|bundle| Some(Found { bundle, renew }))
        .map_err(|error| Failure::Trust {
            from,
            why: error.to_string(),
        })
}
