//! `certtool ca`: certificate authorities.

mod init;
mod rotate;
mod show;
mod state;

use clap::{Args, Subcommand};

use super::kubernetes::KubernetesArgs;
use super::{ExitStatus, Printer};

/// Make, look at and rotate a CA
#[derive(Debug, Args)]
#[command(arg_required_else_help = true)]
pub(super) struct Ca {
    #[command(subcommand)]
    command: CaCommand,
}

#[derive(Debug, Subcommand)]
enum CaCommand {
    Init(init::Init),
    Show(show::Show),
    Rotate(rotate::Rotate),
}

pub(super) fn run(
    args: &Ca,
    kubernetes: &KubernetesArgs,
    printer: &Printer,
) -> anyhow::Result<ExitStatus> {
    match &args.command {
        CaCommand::Init(args) => init::run(args, kubernetes, printer),
        CaCommand::Show(args) => show::run(args, kubernetes, printer),
        CaCommand::Rotate(args) => rotate::run(args, kubernetes, printer),
    }
}
