//! The CA: kept where it is, or made once.

use anyhow::{Context, bail};
use time::OffsetDateTime;

use super::Job;
use super::report::{AuthorityPlace, Ledger, What};
use super::waiting::NotYet;
use crate::cli::authority::from_secret;
use crate::cli::local_dev::authority::{load_or_make, new_authority};
use crate::cluster::{Cluster, Error, Mode, SecretData, SecretName};
use crate::pki::{Anchors, Authority, KeyAlgorithm, PrivateKey, TrustBundle};
use crate::store::CaDir;

/// A CA and where it is.
pub(super) struct Kept {
    pub(super) authority: Authority,
    /// What has to be trusted: a CA that is being replaced has its successor beside it.
    pub(super) anchors: TrustBundle,
    /// What errors call its place.
    pub(super) place: String,
}

/// The entry that a CA's Secret and a serving Secret have in common.
const TLS: &str = "kubernetes.io/tls";

impl Job<'_> {
    /// The CA that is there, or a new one where there is none. It is never replaced.
    pub(super) async fn ensure_authority(
        &self,
        cluster: &Cluster,
        ledger: &mut Ledger,
        now: OffsetDateTime,
    ) -> anyhow::Result<Kept> {
        let ca = &self.args.ca;
        let mut anchors = TrustBundle::default();
        let (authority, place, what) = if let Some(path) = &ca.ca_dir {
            let dir = CaDir::new(path).chosen_by("--ca-dir");
            let place = AuthorityPlace::Directory(path.clone());
            if self.mode != Mode::Apply && !dir.read()?.is_complete() {
                (self.new_authority(now)?, place, What::Created)
            } else {
                let found = load_or_make(&dir, now)?;
                let what = if found.made.is_some() {
                    What::Created
                } else {
                    What::Unchanged
                };
                (found.authority, place, what)
            }
        } else if let Some(file) = &ca.ca {
            let place = AuthorityPlace::File(file.clone());
            (ca.load_files()?, place, What::Unchanged)
        } else {
            let (authority, bundle, what) = self.in_secret(cluster, ledger, now).await?;
            anchors = bundle.without_expired(now);
            let place = AuthorityPlace::Secret(self.ca_secret.clone());
            (authority, place, what)
        };
        authority.check_valid_at(now).with_context(|| {
            format!(
                "{place}: a CA is never replaced; move it away to have a new one made, or name another"
            )
        })?;
        ledger.authority(&authority, &place, what);
        let own = TrustBundle::new([authority.trust_anchor().clone()]);
        let anchors = Anchors::check(own.merge(&anchors), now)
            .with_context(|| place.to_string())?
            .bundle;
        Ok(Kept {
            authority,
            anchors,
            place: place.to_string(),
        })
    }

    async fn in_secret(
        &self,
        cluster: &Cluster,
        ledger: &mut Ledger,
        now: OffsetDateTime,
    ) -> anyhow::Result<(Authority, TrustBundle, What)> {
        let secret = &self.ca_secret;
        if let Some(data) = cluster.get_secret(secret).await? {
            let (authority, bundle) = read(secret, &data)?;
            return Ok((authority, bundle, What::Unchanged));
        }
        let authority = self.new_authority(now)?;
        let cert = authority.certificate().to_pem();
        let key = authority.key().to_pem()?;
        let data = [
            ("tls.crt", cert.as_bytes()),
            ("tls.key", key.expose().as_bytes()),
            ("ca.crt", cert.as_bytes()),
        ];
        if self.create(cluster, secret, TLS, &data, ledger).await? {
            return Ok((authority, TrustBundle::default(), What::Created));
        }
        // Somebody else was faster: theirs is the one.
        let Some(data) = cluster.get_secret(secret).await? else {
            bail!("Secret {secret} comes and goes; run again");
        };
        let (authority, bundle) = read(secret, &data)?;
        Ok((authority, bundle, What::Unchanged))
    }

    /// Creates a Secret, its namespace too if that was asked for; `false` when there is one.
    pub(super) async fn create(
        &self,
        cluster: &Cluster,
        secret: &SecretName,
        kind: &str,
        data: &[(&str, &[u8])],
        ledger: &mut Ledger,
    ) -> anyhow::Result<bool> {
        if self.mode == Mode::Plan {
            return Ok(true);
        }
        let check = self.mode == Mode::Check;
        let created = cluster.create_secret(secret, kind, data, check).await;
        let Err(Error::NoNamespace { .. }) = created else {
            return Ok(created?);
        };
        let namespace = &secret.namespace;
        if !self.args.create_namespace {
            let mut problem = format!("there is no namespace {namespace:?} for Secret {secret}");
            if !self.args.wait {
                problem.push_str(
                    ": create it, or use --create-namespace, or --wait to wait until it is there",
                );
            }
            return Err(NotYet::new(problem).into());
        }
        if cluster.create_namespace(namespace, check).await? {
            ledger.namespace(namespace);
        }
        if check {
            // Nothing was stored, and nothing can be checked in a namespace that is not there.
            return Ok(true);
        }
        Ok(cluster.create_secret(secret, kind, data, false).await?)
    }

    fn new_authority(&self, now: OffsetDateTime) -> anyhow::Result<Authority> {
        let key = PrivateKey::generate(KeyAlgorithm::default())?;
        new_authority("certtool CA", key, now)
    }
}

/// The CA of a Secret, and its trust bundle.
fn read(secret: &SecretName, data: &SecretData) -> anyhow::Result<(Authority, TrustBundle)> {
    let authority = from_secret(secret, data)?;
    let bundle = match data.data.get("ca.crt") {
        Some(pem) if !pem.is_empty() => TrustBundle::from_pem(pem)
            .with_context(|| format!("Secret {secret}: could not read ca.crt"))?,
        _ => TrustBundle::default(),
    };
    Ok((authority, bundle))
}
