//! `certtool sign`: sign as the CA, CSR files or requests in the cluster.

mod files;
mod objects;
mod profile;

use std::path::PathBuf;

use clap::Args;
use time::Duration;

pub(super) use self::objects::sign as sign_object;
pub(super) use self::profile::Profile;
use super::authority::CaArgs;
use super::decide::RequestSelection;
use super::dry_run::DryRunArgs;
use super::kubernetes::KubernetesArgs;
use super::{ExitStatus, Printer, UsageError, duration};
use crate::pki::{Host, Usage};

/// Sign as the CA: requests in the cluster by NAME, or CSR files
///
/// A certificate is made afresh from the key and the names; a CA bit, extensions and usages
/// that a CSR asks for are not copied. By NAME, the request must be approved, and its
/// status.certificate is written; one that nobody can sign gets the condition Failed. With
/// --config, a request gets the usages that it asks for, which the profile must have, and
/// its own life if that is shorter.
/// Several files, or a directory, are signed in parallel; one bad request does not stop the
/// others.
#[derive(Debug, Args)]
pub(super) struct Sign {
    #[command(flatten)]
    selection: RequestSelection,
    /// All requests that are approved, of --signer
    #[arg(long, requires = "signer", conflicts_with = "names")]
    all_approved: bool,
    /// A CSR file, a directory of *.csr files, or - for stdin; repeatable
    #[arg(long = "csr", value_name = "FILE|DIR|-", conflicts_with_all = ["names", "selector", "signer", "all_approved"])]
    csrs: Vec<PathBuf>,
    /// Where the certificate of one CSR file goes [default: stdout]
    #[arg(long, value_name = "FILE|-", conflicts_with = "out_dir")]
    out: Option<PathBuf>,
    /// Where the certificates of several CSR files go, each as NAME.crt
    #[arg(long, value_name = "DIR")]
    out_dir: Option<PathBuf>,
    /// Replace certificates that exist
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    ca: CaArgs,
    #[command(flatten)]
    terms: TermArgs,
    #[command(flatten)]
    dry_run: DryRunArgs,
}

/// What certificates are to say.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct TermArgs {
    /// cfssl's signing config
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// The profile in it [default: default]
    #[arg(long, value_name = "PROFILE", requires = "config")]
    pub(super) profile: Option<String>,
    /// How long certificates are valid; at most, for requests that ask for a life [default: 1y]
    #[arg(long, value_name = "DURATION", value_parser = duration::parse, conflicts_with = "config")]
    pub(super) validity: Option<Duration>,
    /// Names in place of the request's own; repeatable
    #[arg(long = "host", value_name = "HOST")]
    pub(super) hosts: Vec<Host>,
    /// A usage, for CSR files; repeatable [default: digital signature, key encipherment, server auth]
    #[arg(long = "usage", value_name = "USAGE", conflicts_with = "config")]
    pub(super) usages: Vec<Usage>,
}

/// Worth a warning.
const NO_NAMES: &str = "the certificate has no subject alternative name: TLS clients do not accept it for a server, since they ignore the common name";

pub(super) fn run(
    args: &Sign,
    kubernetes: &KubernetesArgs,
    printer: &Printer,
) -> anyhow::Result<ExitStatus> {
    if args.csrs.is_empty() {
        if args.selection.is_empty() && !args.all_approved {
            return Err(UsageError(
                "what is to be signed? Requests by NAME, -l SELECTOR or --all-approved --signer SIGNER, or files by --csr".to_owned(),
            )
            .into());
        }
        // clap lets these pass beside names, since --csr cannot be beside names.
        if args.out.is_some() || args.out_dir.is_some() || args.force {
            return Err(UsageError(
                "--out, --out-dir and --force are for CSR files: the certificate of a request goes into its status, and certtool fetch gets it".to_owned(),
            )
            .into());
        }
        if !args.terms.usages.is_empty() {
            return Err(UsageError(
                "--usage is for CSR files: a request in the cluster has usages of its own"
                    .to_owned(),
            )
            .into());
        }
        let profile = Profile::read(&args.terms, printer)?;
        return objects::run(args, &profile, kubernetes, printer);
    }
    let profile = Profile::read(&args.terms, printer)?;
    files::run(args, &profile, kubernetes, printer)
}
