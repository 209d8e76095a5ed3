//! `certtool describe`: one request, decoded.

use std::path::Path;

use anyhow::{Context, bail};
use clap::Args;

use super::kubernetes::KubernetesArgs;
use super::report::{CsrReport, RequestReport};
use super::{ExitStatus, Printer, input};
use crate::cluster::Cluster;
use crate::pki::Csr;

/// Show a request decoded: a CertificateSigningRequest by name, or a CSR file
#[derive(Debug, Args)]
pub(super) struct Describe {
    /// The object's name, a CSR file, or - for stdin
    #[arg(value_name = "NAME|FILE|-")]
    what: String,
}

pub(super) fn run(
    args: &Describe,
    kubernetes: &KubernetesArgs,
    printer: &Printer,
) -> anyhow::Result<ExitStatus> {
    if is_file(&args.what) {
        let (name, pem) = input::read(Path::new(&args.what))?;
        let csr = Csr::from_pem(&pem).map_err(|error| anyhow::anyhow!("{name}: {error}"))?;
        let report = CsrReport::of(&csr);
        printer.result(&report, || report.text(""))?;
        return Ok(ExitStatus::Done);
    }
    super::runtime::interruptible(async {
        let cluster = Cluster::connect(&kubernetes.access())
            .await
            .with_context(|| format!("{:?} is no file, and no cluster can be asked", args.what))?;
        let Some(request) = cluster.get_request(&args.what).await? else {
            bail!(
                "there is no certificatesigningrequest {:?}, and no file of that name; `certtool list` shows what there is",
                args.what
            );
        };
        let report = RequestReport::of(&request);
        printer.result(&report, || report.text())?;
        Ok(ExitStatus::Done)
    })
}

/// An object's name has no slash; a file that exists, or looks like a path, is a file.
fn is_file(what: &str) -> bool {
    what == "-" || what.contains('/') || Path::new(what).is_file()
}
