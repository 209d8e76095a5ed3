//! `certtool inject`: a CA into caBundles, in manifests or in the cluster.

mod bundle;
mod choice;
mod cluster;
mod files;
mod manifests;
mod outcome;
mod planner;
mod report;
mod search;
mod stream;
mod work;

use std::path::PathBuf;

use clap::Args;

pub(super) use self::bundle::{BundleArgs, checked};
pub(super) use self::choice::{Choice, ChoiceArgs};
pub(super) use self::planner::{Planner, Wanted};
use super::dry_run::DryRunArgs;
use super::kubernetes::KubernetesArgs;
use super::{ExitStatus, Printer, UsageError, duration};
use crate::plan::BundleMode;

/// Put a CA into the caBundle of webhooks: in manifests, or with --cluster in the API server
///
/// Mutating and validating webhook configurations, the conversion webhook of CRDs, APIServices.
/// Manifests go to stdout with no byte changed beside the caBundles, or back into their files with
/// --in-place; run again, nothing changes. Without a choice all of them are meant; with --webhook,
/// --crd, --apiservice or --service those alone, and it is an error when one is not there.
/// What is injected is checked first: no private key, no expired certificate, no leaf.
#[derive(Debug, Args)]
pub(super) struct Inject {
    /// Manifests: a file, a directory, or - for stdin; repeatable [default: stdin]
    #[arg(
        short,
        long = "filename",
        value_name = "FILE|DIR|-",
        conflicts_with = "cluster"
    )]
    filenames: Vec<PathBuf>,
    /// Change the objects in the API server instead of manifests
    #[arg(long)]
    cluster: bool,
    #[command(flatten)]
    bundle: BundleArgs,
    /// What becomes of certificates that are there: merge keeps those that are valid and adds the
    /// CA, replace leaves the CA alone, prune removes those that have expired and adds nothing
    #[arg(long, value_name = "merge|replace|prune", default_value_t)]
    mode: BundleMode,
    #[command(flatten)]
    choice: ChoiceArgs,
    /// Write the manifests back into their files
    #[arg(short, long, conflicts_with = "cluster")]
    in_place: bool,
    /// Change nothing; exit code 3 when something would change
    #[arg(long, conflicts_with_all = ["in_place", "dry_run"])]
    check: bool,
    #[command(flatten)]
    dry_run: DryRunArgs,
    /// With --cluster: how long to wait for an API server that restarts or does not answer
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = duration::parse)]
    timeout: time::Duration,
}

pub(super) fn run(
    args: &Inject,
    kubernetes: &KubernetesArgs,
    printer: &Printer,
) -> anyhow::Result<ExitStatus> {
    let choice = args.choice.resolve();
    if args.mode != BundleMode::Prune && !args.bundle.is_given() {
        return Err(UsageError(
            "which CA? Name it with --ca FILE, --ca-dir DIR or --ca-secret NAMESPACE/NAME"
                .to_owned(),
        )
        .into());
    }
    if !args.cluster {
        return manifests::run(args, &choice, kubernetes, printer);
    }
    if choice.is_everything() && !args.choice.has_labels() {
        return Err(UsageError(
            "which objects of the cluster? Name them with --webhook, --crd, --apiservice, or choose by --service NAME.NAMESPACE or -l SELECTOR"
                .to_owned(),
        )
        .into());
    }
    cluster::run(args, &choice, kubernetes, printer)
}
