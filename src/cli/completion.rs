//! `certtool completion`: scripts for the shell.

use clap::Args;
use clap_complete::Shell;

use super::{ExitStatus, Printer};

/// Write a completion script to stdout
///
/// For bash: source <(certtool completion bash)
#[derive(Debug, Args)]
pub(super) struct Completion {
    /// The shell
    shell: Shell,
}

pub(super) fn run(args: &Completion, printer: &Printer) -> anyhow::Result<ExitStatus> {
    let mut script = Vec::new();
    clap_complete::generate(
        args.shell,
        &mut super::command(false),
        "certtool",
        &mut script,
    );
    printer.raw(&script)?;
    Ok(ExitStatus::Done)
}
