//! What is to be injected: read from files or a Secret, and checked.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args;
use time::OffsetDateTime;

use crate::cli::{Printer, input};
use crate::cluster::{Cluster, SecretName};
use crate::pki::{Anchors, TrustBundle};

/// The CA, in one or several places; all of them together are the bundle.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Certificate authority")]
pub(in crate::cli) struct BundleArgs {
    /// Certificates of the CA, in PEM, or - for stdin; repeatable
    #[arg(long = "ca", value_name = "FILE|-")]
    pub(in crate::cli) ca: Vec<PathBuf>,
    /// Directory of the CA: its ca.crt
    #[arg(long, value_name = "DIR")]
    pub(in crate::cli) ca_dir: Option<PathBuf>,
    /// Secret of the CA: its ca.crt, else its tls.crt
    #[arg(long, value_name = "NAMESPACE/NAME")]
    pub(in crate::cli) ca_secret: Option<SecretName>,
}

impl BundleArgs {
    /// Whether a CA was named at all.
    pub(in crate::cli) fn is_given(&self) -> bool {
        !self.ca.is_empty() || self.ca_dir.is_some() || self.ca_secret.is_some()
    }

    /// Whether it takes a cluster to load it.
    pub(in crate::cli) fn needs_cluster(&self) -> bool {
        self.ca_secret.is_some()
    }

    /// Whether it takes stdin to load it.
    pub(in crate::cli) fn takes_stdin(&self) -> bool {
        self.ca.iter().any(|path| path.as_os_str() == "-")
    }

    /// The bundle, checked, with warnings on stderr. Empty when none is given.
    pub(in crate::cli) async fn load(
        &self,
        cluster: Option<&Cluster>,
        printer: &Printer,
    ) -> anyhow::Result<TrustBundle> {
        let mut bundle = self.load_files(printer)?;
        if let Some(secret) = &self.ca_secret {
            let cluster = cluster.context("a CA in a Secret needs a cluster")?;
            bundle = bundle.merge(&of_secret(secret, cluster, printer).await?);
        }
        Ok(bundle)
    }

    /// As [`BundleArgs::load`], without the Secret.
    pub(in crate::cli) fn load_files(&self, printer: &Printer) -> anyhow::Result<TrustBundle> {
        let mut bundle = TrustBundle::default();
        let of_dir = self.ca_dir.iter().map(|dir| dir.join("ca.crt"));
        for path in self.ca.iter().cloned().chain(of_dir) {
            bundle = bundle.merge(&of_file(&path, printer)?);
        }
        Ok(bundle)
    }
}

fn of_file(path: &Path, printer: &Printer) -> anyhow::Result<TrustBundle> {
    let (name, pem) = input::read(path)?;
    let name = match path.to_str() {
        Some("-") => "stdin",
        _ => &name,
    };
    checked(name, &pem, printer)
}

/// Checks PEM text before it is injected; `name` is what errors call it.
pub(in crate::cli) fn checked(
    name: &str,
    pem: &[u8],
    printer: &Printer,
) -> anyhow::Result<TrustBundle> {
    let anchors = Anchors::from_pem(pem, OffsetDateTime::now_utc())
        .with_context(|| format!("{name} is not injected"))?;
    for warning in &anchors.warnings {
        printer.warning(&format!("{name}: {warning}"));
    }
    Ok(anchors.bundle)
}

async fn of_secret(
    secret: &SecretName,
    cluster: &Cluster,
    printer: &Printer,
) -> anyhow::Result<TrustBundle> {
    let Some(found) = cluster.get_secret(secret).await? else {
        bail!("there is no Secret {secret}: `certtool ca init --secret {secret}` makes a CA in it");
    };
    // cert-manager leaves ca.crt empty when it does not know the issuer's CA.
    let entry = ["ca.crt", "tls.crt"].into_iter().find_map(|key| {
        let pem = found.data.get(key)?;
        (!pem.trim_ascii().is_empty()).then_some((key, pem))
    });
    let Some((key, pem)) = entry else {
        bail!("Secret {secret} has neither ca.crt nor tls.crt");
    };
    checked(&format!("{key} of Secret {secret}"), pem, printer)
}
