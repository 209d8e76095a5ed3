//! The command line: what to do, resolved from arguments and environment, one file
//! per command.
//!
//! A command resolves its options, calls the core and the shell, and renders through
//! the one [`Printer`]. stdout carries results alone; everything else is stderr.

mod authority;
mod bootstrap;
mod ca;
mod completion;
mod controller;
mod decide;
mod describe;
mod dry_run;
mod duration;
mod exit;
mod fetch;
mod genkey;
mod inject;
mod input;
mod issue;
mod krm;
mod kubernetes;
mod lint_config;
mod list;
mod local_dev;
mod logs;
mod man;
mod output;
mod pair;
mod policy;
mod progress;
mod rbac;
mod report;
mod root;
mod runtime;
mod sidecar;
mod sign;
mod sources;
mod submit;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::builder::BoolishValueParser;
use clap::{Arg, ArgAction, CommandFactory, FromArgMatches};

pub use self::exit::{ExitStatus, Refused, TimedOut, UsageError};
pub use self::output::{Format, Printer};
use self::root::{Command, Root};

/// Lines of the help that are longer are hard to read, however wide the terminal is.
const WIDEST: usize = 100;

/// Parses `args` and runs the command; the process's exit code.
#[must_use]
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args: Vec<OsString> = args.into_iter().collect();
    let plugin = args.first().is_some_and(is_plugin);
    let matches = match command_for(plugin, &args).try_get_matches_from(&args) {
        Ok(matches) => matches,
        Err(error) => {
            // Help and version go to stdout with exit code 0, mistakes to stderr with 2.
            // A closed pipe is not worth a message.
            let _ = error.print();
            return ExitStatus::from_clap(&error).into();
        }
    };
    let root = match Root::from_arg_matches(&matches) {
        Ok(root) => root,
        Err(error) => {
            let _ = error.print();
            return ExitStatus::Usage.into();
        }
    };
    let printer = Printer::new(&root.output);
    match run(root, &printer) {
        Ok(status) => status.into(),
        Err(error) if output::is_broken_pipe(&error) => ExitStatus::Done.into(),
        Err(error) => {
            printer.error(&error);
            ExitStatus::of_error(&error).into()
        }
    }
}

fn run(root: Root, printer: &Printer) -> anyhow::Result<ExitStatus> {
    crate::install_crypto_provider();
    match root.command {
        Command::LocalDev(args) => local_dev::run(args, &root.kubernetes, printer),
        Command::Genkey(args) => genkey::run(&args, printer),
        Command::Submit(args) => submit::run(&args, &root.kubernetes, printer),
        Command::List(args) => list::run(&args, &root.kubernetes, printer),
        Command::Describe(args) => describe::run(&args, &root.kubernetes, printer),
        Command::Approve(args) => decide::approve(&args, &root.kubernetes, printer),
        Command::Deny(args) => decide::deny(&args, &root.kubernetes, printer),
        Command::Sign(args) => sign::run(&args, &root.kubernetes, printer),
        Command::Fetch(args) => fetch::run(&args, &root.kubernetes, printer),
        Command::Issue(args) => issue::run(&args, &root.kubernetes, printer),
        Command::Ca(args) => ca::run(&args, &root.kubernetes, printer),
        Command::Sidecar(args) => sidecar::run(&args, &root.kubernetes, printer),
        Command::Controller(args) => controller::run(&args, &root.kubernetes, printer),
        Command::Bootstrap(args) => bootstrap::run(&args, &root.kubernetes, printer),
        Command::Inject(args) => inject::run(&args, &root.kubernetes, printer),
        Command::Krm(args) => krm::run(&args, printer),
        Command::LintConfig(args) => lint_config::run(&args, printer),
        Command::Completion(args) => completion::run(&args, printer),
        Command::Man => man::run(printer),
    }
}

/// An instant for people and scripts: RFC 3339 in UTC.
fn instant(at: time::OffsetDateTime) -> String {
    at.format(&time::format_description::well_known::Rfc3339)
        .unwrap_or_else(|_| at.to_string())
}

/// The whole command line, each long option with its environment variable.
#[must_use]
pub fn command(plugin: bool) -> clap::Command {
    command_for(plugin, &[])
}

fn command_for(plugin: bool, args: &[OsString]) -> clap::Command {
    let command = with_environment(Root::command(), args).max_term_width(WIDEST);
    if plugin {
        // As kubectl shows its plugins.
        command
            .bin_name("kubectl certtool")
            .display_name("kubectl certtool")
    } else {
        command
    }
}

/// Whether the program was started as the kubectl plugin, by its file name.
fn is_plugin(program: &OsString) -> bool {
    std::path::Path::new(program)
        .file_stem()
        .is_some_and(|name| name.to_string_lossy().starts_with("kubectl-certtool"))
}

/// `--cert-dir` is also `CERTTOOL_CERT_DIR`, and so on for every long option. An empty
/// variable counts as unset, and one that conflicts with an option in `args` is not looked
/// at: whoever typed the option did not type the variable.
fn with_environment(command: clap::Command, args: &[OsString]) -> clap::Command {
    let mut silenced = Vec::new();
    for arg in command.get_arguments() {
        for other in command.get_arg_conflicts_with(arg) {
            for (typed, silent) in [(arg, other), (other, arg)] {
                if is_typed(typed, args) {
                    silenced.push(silent.get_id().clone());
                }
            }
        }
    }
    command
        .mut_args(|arg| match arg.get_long() {
            Some("help" | "version") | None => arg,
            Some(_) if silenced.contains(arg.get_id()) => arg,
            Some(long) => {
                let variable = format!("CERTTOOL_{}", long.to_uppercase().replace('-', "_"));
                if std::env::var_os(&variable).is_some_and(|value| value.is_empty()) {
                    return arg;
                }
                let is_flag = matches!(arg.get_action(), ArgAction::SetTrue);
                let arg = arg.env(variable).hide_env(true);
                if is_flag {
                    // `CERTTOOL_QUIET=1`, not only `=true`.
                    arg.value_parser(BoolishValueParser::new())
                } else {
                    arg
                }
            }
        })
        .mut_subcommands(|subcommand| with_environment(subcommand, args))
}

/// Whether the option is among the arguments, as far as that shows without parsing them.
fn is_typed(option: &Arg, args: &[OsString]) -> bool {
    let words = args.iter().skip(1).map(|word| word.to_string_lossy());
    words.take_while(|word| word != "--").any(|word| {
        if let Some(word) = word.strip_prefix("--") {
            let name = word.split('=').next();
            return name.is_some() && name == option.get_long();
        }
        let short = word.strip_prefix('-').and_then(|word| word.chars().next());
        short.is_some() && short == option.get_short()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_of_the_command_line_is_consistent() {
        command(false).debug_assert();
        command(true).debug_assert();
    }

    #[test]
    fn the_plugin_is_known_by_its_name() {
        assert!(is_plugin(&"/usr/bin/kubectl-certtool".into()));
        assert!(!is_plugin(&"certtool".into()));
    }
}
