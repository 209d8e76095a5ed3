//! `local-dev attach`: the cluster's webhooks call this machine.

use std::cell::Cell;

use clap::Args;

use super::certs::{self, CertArgs};
use super::job::{Attached, Job};
use super::reach::ReachArgs;
use super::select::{Choice, SelectArgs};
use super::signals::Signals;
use crate::cli::dry_run::{DryRunArgs, suffix};
use crate::cli::kubernetes::KubernetesArgs;
use crate::cli::{ExitStatus, Format, Printer, duration};
use crate::cluster::{Cluster, Mode};

/// Point the cluster's webhooks at this machine, and prove that they arrive
///
/// clientConfig.service becomes clientConfig.url with the local CA as caBundle; path,
/// selectors, policies and every other field stay. The original is kept in an annotation
/// and in a local file; `local-dev detach` puts it back. Nothing is changed unless the API
/// server is proven to reach this machine over TLS that it trusts.
#[derive(Debug, Args)]
pub(super) struct Attach {
    #[command(flatten)]
    pub(super) select: SelectArgs,
    #[command(flatten)]
    pub(super) reach: ReachArgs,
    /// Wait until something listens and answers
    #[arg(long)]
    pub(super) wait: bool,
    /// How long to wait
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = duration::parse)]
    pub(super) timeout: time::Duration,
    #[command(flatten)]
    dry_run: DryRunArgs,
    #[command(flatten)]
    pub(super) certs: CertArgs,
}

pub(super) fn run(
    args: &Attach,
    kubernetes: &KubernetesArgs,
    printer: &Printer,
) -> anyhow::Result<ExitStatus> {
    let found = certs::find_services(&args.certs, printer)?;
    let choice = Choice::new(&args.select, &found.services, &found.objects)?;
    let mode = args.dry_run.mode();
    let mut signals = Signals::listen()?;
    crate::cli::runtime::current_thread()?.block_on(async {
        let cluster = Cluster::connect(&kubernetes.access()).await?;
        let job = Job {
            cluster: &cluster,
            choice: &choice,
            certs: &args.certs,
            found: &found,
            reach: &args.reach,
            mode,
            patience: args.wait.then(|| args.timeout.unsigned_abs()),
            session: None,
            printer,
        };
        let interrupted = Cell::new(ExitStatus::Error);
        let stop = async { interrupted.set(signals.next_ending().await.exit_status()) };
        match job.attach(stop).await? {
            Some(attached) => {
                show(&attached, mode, printer)?;
                Ok(ExitStatus::Done)
            }
            None => {
                printer.hint("interrupted: nothing was changed");
                Ok(interrupted.get())
            }
        }
    })
}

/// Writes the result to stdout.
fn show(attached: &Attached, mode: Mode, printer: &Printer) -> anyhow::Result<()> {
    let suffix = suffix(mode);
    printer.result(attached, || {
        if printer.format() == Format::Name {
            return attached
                .objects
                .iter()
                .map(|object| format!("{}/{}\n", object.kind.to_lowercase(), object.name))
                .collect();
        }
        attached
            .objects
            .iter()
            .flat_map(|object| {
                object.webhooks.iter().map(move |webhook| {
                    format!(
                        "{}/{} {}: {}{suffix}\n",
                        object.kind, object.name, webhook.name, webhook.result
                    )
                })
            })
            .collect()
    })?;
    if mode == Mode::Apply {
        printer.hint(&format!(
            "{}; `certtool local-dev detach` puts everything back",
            attached.summary()
        ));
    }
    Ok(())
}
