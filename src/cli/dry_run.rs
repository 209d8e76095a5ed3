//! `--dry-run`, as kubectl has it.

use clap::{Args, ValueEnum};

use crate::cluster::Mode;

/// On every command that writes to a cluster.
#[derive(Debug, Clone, Copy, Default, Args)]
pub(super) struct DryRunArgs {
    /// Only say what would be done: `client` plans, `server` also has the API server check it
    #[arg(long, value_enum, default_value_t, value_name = "none|client|server", num_args = 0..=1, default_missing_value = "client", require_equals = true)]
    dry_run: DryRun,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum DryRun {
    #[default]
    None,
    Client,
    Server,
}

impl DryRunArgs {
    pub(super) fn mode(self) -> Mode {
        match self.dry_run {
            DryRun::None => Mode::Apply,
            DryRun::Client => Mode::Plan,
            DryRun::Server => Mode::Check,
        }
    }
}

/// What a line about a change ends with, so that nobody takes a plan for a deed.
pub(super) fn suffix(mode: Mode) -> &'static str {
    match mode {
        Mode::Apply => "",
        Mode::Plan => " (dry run)",
        Mode::Check => " (server dry run)",
    }
}
