//! The top of the command line.

use clap::{Parser, Subcommand};

use super::kubernetes::KubernetesArgs;
use super::output::OutputArgs;
use super::{
    bootstrap, ca, completion, controller, decide, describe, fetch, genkey, inject, issue, krm,
    lint_config, list, local_dev, sidecar, sign, submit,
};

const AFTER_HELP: &str = "\
Exit codes: 0 done or nothing to do; 1 error; 2 wrong usage; 3 a negative finding;
4 refused by policy; 124 timed out.
Every long option can also be set by an environment variable: --cert-dir is CERTTOOL_CERT_DIR.";

/// The whole life of a Kubernetes webhook's serving certificate.
#[derive(Debug, Parser)]
#[command(name = "certtool", version, after_help = AFTER_HELP, propagate_version = true)]
#[command(arg_required_else_help = true, subcommand_required = true)]
pub(super) struct Root {
    #[command(flatten)]
    pub(super) output: OutputArgs,
    #[command(flatten)]
    pub(super) kubernetes: KubernetesArgs,
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    LocalDev(Box<local_dev::LocalDev>),
    Genkey(genkey::Genkey),
    Submit(submit::Submit),
    List(list::List),
    Describe(describe::Describe),
    Approve(decide::Approve),
    Deny(decide::Deny),
    Sign(Box<sign::Sign>),
    Fetch(fetch::Fetch),
    Issue(Box<issue::Issue>),
    Ca(ca::Ca),
    Sidecar(Box<sidecar::Sidecar>),
    Controller(Box<controller::Controller>),
    Bootstrap(Box<bootstrap::Bootstrap>),
    Inject(Box<inject::Inject>),
    Krm(krm::Krm),
    LintConfig(lint_config::LintConfig),
    Completion(completion::Completion),
    /// Write the manual page to stdout
    Man,
}
