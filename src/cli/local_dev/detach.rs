//! `local-dev detach`: every attached webhook back as it was.

use clap::Args;

use super::records;
use super::restore::{self, Detached, Which};
use super::select;
use crate::cli::dry_run::{DryRunArgs, suffix};
use crate::cli::kubernetes::KubernetesArgs;
use crate::cli::{ExitStatus, Format, Printer};
use crate::cluster::{Cluster, Mode, Selection};

/// Put every attached webhook back exactly as it was
///
/// Works after a crash or a reboot, and from another machine: the originals are in an
/// annotation on each object, and in a local file in case somebody removed it. What
/// somebody else has changed since is left alone and reported.
#[derive(Debug, Args)]
pub(super) struct Detach {
    /// Only this webhook, by its own name or its configuration's or CRD's; repeatable
    #[arg(long = "webhook", value_name = "NAME")]
    webhooks: Vec<String>,
    /// Only configurations and CRDs with these labels
    #[arg(short = 'l', long, value_name = "SELECTOR")]
    selector: Option<String>,
    #[command(flatten)]
    dry_run: DryRunArgs,
}

pub(super) fn run(
    args: &Detach,
    kubernetes: &KubernetesArgs,
    printer: &Printer,
) -> anyhow::Result<ExitStatus> {
    let mode = args.dry_run.mode();
    crate::cli::runtime::interruptible(async {
        let cluster = Cluster::connect(&kubernetes.access()).await?;
        let selection = Selection {
            labels: args.selector.clone(),
        };
        let mut found = records::find(&cluster, &selection, printer).await?;
        let mut which = Which::All;
        if !args.webhooks.is_empty() {
            which = Which::Named(&args.webhooks);
            let names = |name: &String| {
                found
                    .iter()
                    .any(|(id, known)| select::names(name, id, known.webhooks()))
            };
            select::refuse_unknown(&args.webhooks, names, "attached webhook", &cluster)?;
            found.retain(|id, known| {
                let mut named = args.webhooks.iter();
                named.any(|name| select::names(name, id, known.webhooks()))
            });
        }
        let detached = restore::put_back(&cluster, &found, which, mode, printer).await?;
        show(&detached, mode, printer)?;
        let failures: Vec<_> = detached.iter().filter_map(Detached::failure).collect();
        if failures.is_empty() {
            return Ok(ExitStatus::Done);
        }
        anyhow::bail!("not everything was put back\n{}", failures.join("\n"));
    })
}

fn show(detached: &[Detached], mode: Mode, printer: &Printer) -> anyhow::Result<()> {
    let suffix = suffix(mode);
    let data = serde_json::json!({ "objects": detached });
    printer.result(&data, || {
        if printer.format() == Format::Name {
            return detached
                .iter()
                .map(|object| format!("{}/{}\n", object.kind.to_lowercase(), object.name))
                .collect();
        }
        detached
            .iter()
            .flat_map(Detached::lines)
            .map(|line| format!("{line}{suffix}\n"))
            .collect()
    })?;
    if detached.is_empty() {
        printer.hint("nothing is attached");
    }
    Ok(())
}
