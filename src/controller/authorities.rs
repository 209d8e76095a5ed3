//! The CA of each signer: loaded, watched, and said whether it can sign.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use time::OffsetDateTime;
use tokio::sync::watch;
use tracing::{error, info, warn};

use super::config::{AuthoritySource, Signer};
use super::metrics::Metrics;
use crate::cli::authority as load;
use crate::cluster::{Cluster, SecretName};
use crate::pki::Authority;

/// What a signer signs with, or why it cannot.
pub(super) type Signing = Result<Arc<Authority>, String>;

/// How often a CA is looked at that is there.
const LOOK: Duration = Duration::from_secs(10);
/// How often one is looked for that is not.
const LOOK_FOR: Duration = Duration::from_secs(2);
/// How often the same trouble is said again.
const AGAIN: Duration = Duration::from_secs(600);

/// A signer's CA before it has been looked for.
pub(super) fn unknown() -> Signing {
    Err("the CA has not been loaded yet".to_owned())
}

/// Keeps `sender` at what `signer` signs with; never ends.
pub(super) async fn follow(
    signer: &Signer,
    cluster: &Cluster,
    sender: &watch::Sender<Signing>,
    metrics: &Metrics,
) {
    let mut said: Option<(String, tokio::time::Instant)> = None;
    loop {
        let found = find(signer, cluster).await;
        let now = OffsetDateTime::now_utc();
        match &found {
            Ok(authority) => {
                let end = authority.certificate().validity.not_after;
                metrics.ca(signer.name(), Some(end.unix_timestamp()));
                said = said.filter(|_| warn_of_end(signer, authority, now));
            }
            Err(why) => {
                metrics.ca(signer.name(), None);
                let fresh = |(text, at): &(String, tokio::time::Instant)| {
                    text == why && at.elapsed() < AGAIN
                };
                if !said.as_ref().is_some_and(fresh) {
                    error!(signer = signer.name(), "nothing can be signed: {why}");
                    said = Some((why.clone(), tokio::time::Instant::now()));
                }
            }
        }
        let pause = if found.is_ok() { LOOK } else { LOOK_FOR };
        sender.send_if_modified(|signing| {
            let same = match (&*signing, &found) {
                (Ok(old), Ok(new)) => old.certificate() == new.certificate(),
                (Err(old), Err(new)) => old == new,
                _ => false,
            };
            if same {
                return false;
            }
            if let Ok(authority) = &found {
                info!(
                    signer = signer.name(),
                    ca = authority.certificate().subject.to_string(),
                    fingerprint = authority.certificate().fingerprint(),
                    until = authority.certificate().validity.not_after.to_string(),
                    "signing with this CA"
                );
                warn_of_end(signer, authority, now);
            }
            *signing = found;
            true
        });
        tokio::time::sleep(pause).await;
    }
}

/// Whether the CA ends before a certificate of the longest life would.
fn warn_of_end(signer: &Signer, authority: &Authority, now: OffsetDateTime) -> bool {
    let end = authority.certificate().validity.not_after;
    let ends = end < now.saturating_add(signer.limits.maximum());
    if ends {
        warn!(
            signer = signer.name(),
            until = end.to_string(),
            "the CA ends soon: certificates are cut to its end; replace it"
        );
    }
    ends
}

async fn find(signer: &Signer, cluster: &Cluster) -> Signing {
    let authority = match &signer.authority {
        AuthoritySource::Files { certificate, key } => from_files(certificate, key),
        AuthoritySource::Secret(name) => from_secret(cluster, &name.namespace, &name.name).await,
        AuthoritySource::Managed(managed) => {
            from_secret(cluster, &managed.secret.namespace, &managed.secret.name).await
        }
    }?;
    authority
        .check_valid_at(OffsetDateTime::now_utc())
        .map_err(|error| error.to_string())?;
    Ok(Arc::new(authority))
}

async fn from_secret(cluster: &Cluster, namespace: &str, name: &str) -> Result<Authority, String> {
    let name = SecretName {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
    };
    let found = cluster.get_secret(&name).await;
    let Some(data) = found.map_err(|error| error.to_string())? else {
        return Err(format!(
            "there is no Secret {name}: `certtool ca init --secret {name}` makes a CA in it"
        ));
    };
    load::from_secret(&data).map_err(|error| format!("Secret {name}: {error:#}"))
}

fn from_files(certificate: &Path, key: &Path) -> Result<Authority, String> {
    let read = |path: &Path| {
        std::fs::read(path).map_err(|error| format!("cannot read {}: {error}", path.display()))
    };
    let (cert_name, key_name) = (certificate.display(), key.display());
    load::parse(
        &read(certificate)?,
        &cert_name.to_string(),
        &read(key)?,
        &key_name.to_string(),
    )
    .map_err(|error| format!("{error:#}"))
}
