//! `certtool local-dev`: certificates for a webhook server on this machine, and the
//! cluster's webhooks pointed at it and back.

mod attach;
pub(super) mod authority;
pub(super) mod certs;
mod detach;
mod job;
mod proof;
mod reach;
mod records;
mod report;
mod restore;
mod run;
mod select;
mod signals;
mod status;

use clap::{Args, Subcommand};

use self::certs::CertArgs;
use super::kubernetes::KubernetesArgs;
use super::{ExitStatus, Printer};

/// Certificates where controller-runtime looks for them; the cluster's webhooks called here
///
/// Without a subcommand: writes tls.crt, tls.key and ca.crt to the directory where
/// controller-runtime looks, signed by a local CA that is made once. Needs no cluster.
/// Run again, it changes nothing while the pair is valid and covers the names.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct LocalDev {
    #[command(subcommand)]
    command: Option<LocalDevCommand>,
    #[command(flatten)]
    certs: CertArgs,
}

#[derive(Debug, Subcommand)]
enum LocalDevCommand {
    Attach(Box<attach::Attach>),
    Detach(detach::Detach),
    Run(Box<run::Run>),
    Status(status::Status),
}

pub(super) fn run(
    args: Box<LocalDev>,
    kubernetes: &KubernetesArgs,
    printer: &Printer,
) -> anyhow::Result<ExitStatus> {
    match args.command {
        None => certs::run(&args.certs, printer),
        Some(LocalDevCommand::Attach(args)) => attach::run(&args, kubernetes, printer),
        Some(LocalDevCommand::Detach(args)) => detach::run(&args, kubernetes, printer),
        Some(LocalDevCommand::Run(args)) => run::run(&args, kubernetes, printer),
        Some(LocalDevCommand::Status(args)) => status::run(&args, kubernetes, printer),
    }
}
