//! The CA that a command signs with: files, a directory, or a Secret.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};
use clap::Args;
use time::Duration;

use super::{Printer, UsageError, duration, input};
use crate::authority::CaState;
use crate::cluster::{Cluster, SecretData, SecretName};
use crate::pki::{Authority, Certificate};
use crate::store::CaDir;

/// Which CA signs.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Certificate authority")]
pub(super) struct CaArgs {
    /// Directory of the CA: ca.crt and ca.key
    #[arg(long, value_name = "DIR", conflicts_with_all = ["ca", "ca_key", "ca_secret"])]
    pub(super) ca_dir: Option<PathBuf>,
    /// Certificate of the CA; its chain may follow it
    #[arg(
        long,
        value_name = "FILE",
        requires = "ca_key",
        conflicts_with = "ca_secret"
    )]
    pub(super) ca: Option<PathBuf>,
    /// Private key of the CA
    #[arg(long, value_name = "FILE", requires = "ca")]
    pub(super) ca_key: Option<PathBuf>,
    /// Secret of the CA: tls.crt and tls.key
    #[arg(long, value_name = "NAMESPACE/NAME")]
    pub(super) ca_secret: Option<SecretName>,
}

impl CaArgs {
    /// Whether a CA was named at all.
    pub(super) fn is_given(&self) -> bool {
        self.ca_dir.is_some() || self.ca.is_some() || self.ca_secret.is_some()
    }

    /// Whether it takes a cluster to load it.
    pub(super) fn needs_cluster(&self) -> bool {
        self.ca_secret.is_some()
    }

    /// The authority, checked: a CA, with the key that belongs to it.
    pub(super) async fn load(&self, cluster: Option<&Cluster>) -> anyhow::Result<Authority> {
        if let Some(secret) = &self.ca_secret {
            let cluster = cluster.context("a CA in a Secret needs a cluster")?;
            let Some(data) = cluster.get_secret(secret).await? else {
                bail!(
                    "there is no Secret {secret}: `certtool ca init --secret {secret}` makes a CA in it"
                );
            };
            return from_secret(secret, &data);
        }
        self.load_files()
    }

    /// As [`CaArgs::load`], for a CA that needs no cluster.
    pub(super) fn load_files(&self) -> anyhow::Result<Authority> {
        match (&self.ca_dir, &self.ca, &self.ca_key) {
            (Some(dir), ..) => {
                let dir = CaDir::new(dir).chosen_by("--ca-dir");
                let files = dir.read()?;
                let (Some(cert), Some(key)) = (&files.cert, &files.key) else {
                    bail!(
                        "{} has no ca.crt with its ca.key: `certtool ca init --out-dir {0}` makes a CA in it",
                        dir.path().display()
                    );
                };
                let (cert_name, key_name) = (dir.cert_path().display().to_string(), dir.key_path().display().to_string());
                Ok(Authority::from_pem(cert, &cert_name, key, &key_name)?)
            }
            (None, Some(cert), Some(key)) => {
                let (cert_name, cert) = input::read(cert)?;
                let (key_name, key) = input::read(key)?;
                Ok(Authority::from_pem(&cert, &cert_name, &key, &key_name)?)
            }
            _ => Err(UsageError(
                "which CA signs? Name it with --ca-dir DIR, --ca FILE --ca-key FILE, or --ca-secret NAMESPACE/NAME".to_owned(),
            )
            .into()),
        }
    }
}

/// The CA that signs now, from its Secret.
pub(super) fn from_secret(secret: &SecretName, data: &SecretData) -> anyhow::Result<Authority> {
    let state = read_state(secret, data)?;
    Arc::into_inner(state.current.authority).context("the CA is in use")
}

/// The state of the CA in a Secret.
pub(super) fn read_state(secret: &SecretName, data: &SecretData) -> anyhow::Result<CaState> {
    let secret = secret.to_string();
    Ok(crate::authority::read(
        &secret,
        &data.data,
        &data.annotations,
    )?)
}

/// Says that certificates are cut, when they are: a CA that rotates has to know when the last
/// of them ends.
pub(super) fn tell_limit(authority: &Authority, asked: Option<Duration>, printer: &Printer) {
    if let Some(limit) = authority.leaf_limit()
        && asked.is_none_or(|asked| asked > limit)
    {
        printer.hint(&format!(
            "this CA is rotated: its certificates are valid for {} at most",
            duration::about(limit)
        ));
    }
}

/// The certificates of a CA in files; the key is not looked at.
pub(super) fn certificates(
    ca: Option<&Path>,
    ca_dir: Option<&Path>,
) -> anyhow::Result<(String, Vec<Certificate>)> {
    let (name, pem) = match (ca, ca_dir) {
        (Some(file), _) => input::read(file)?,
        (_, Some(dir)) => {
            let dir = CaDir::new(dir).chosen_by("--ca-dir");
            let path = dir.cert_path().display().to_string();
            let cert = dir
                .read()?
                .cert
                .with_context(|| format!("{path}: no such file"))?;
            (path, cert)
        }
        _ => bail!("no CA was named"),
    };
    let chain = Certificate::all_from_pem(&pem)
        .with_context(|| format!("could not read the CA certificate {name}"))?;
    Ok((name, chain))
}
