//! `local-dev run -- COMMAND`: certificates, attach, the command, detach when it ends.

use std::ffi::OsString;
use std::process::{ExitStatus as ChildStatus, Stdio};

use anyhow::Context;
use clap::Args;
use time::OffsetDateTime;

use super::attach::{Job, ReachArgs};
use super::certs::{self, CertArgs};
use super::detach;
use super::reach;
use super::select::{Choice, SelectArgs};
use super::signals::Signals;
use crate::cli::kubernetes::KubernetesArgs;
use crate::cli::{ExitStatus, Printer, duration};
use crate::cluster::{Cluster, Mode, Selection};

/// Run a command with the cluster's webhooks pointed at it, and put them back when it ends
///
/// Writes the certificates, starts the command, attaches the webhooks once it answers,
/// passes signals on, detaches when it ends in any way, and exits with its exit code.
/// After a kill -9 the next `run` or `detach` puts things back.
#[derive(Debug, Args)]
pub(super) struct Run {
    #[command(flatten)]
    select: SelectArgs,
    #[command(flatten)]
    reach: ReachArgs,
    /// How long the command may take until its webhook server answers
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = duration::parse)]
    timeout: time::Duration,
    #[command(flatten)]
    certs: CertArgs,
    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

pub(super) fn run(
    args: &Run,
    kubernetes: &KubernetesArgs,
    printer: &Printer,
) -> anyhow::Result<ExitStatus> {
    let found = certs::find_services(&args.certs, printer)?;
    let choice = Choice::new(&args.select, &found.services, &found.objects)?;
    // Before anything is started: a signal from now on ends in order.
    let mut signals = Signals::listen()?;
    crate::cli::runtime::current_thread()?.block_on(async {
        let cluster = Cluster::connect(&kubernetes.access()).await?;
        clean_up(&cluster, printer, "left by an earlier run").await?;

        let hosts = reach::hosts(&cluster, &args.reach.url_host).await;
        let ensured = certs::ensure(&args.certs, &found, &hosts, OffsetDateTime::now_utc())?;
        for warning in &ensured.warnings {
            printer.warning(warning);
        }
        let directory = ensured.cert_dir.display();
        match &ensured.reason {
            Some(reason) => printer.hint(&format!("certtool: new pair in {directory}: {reason}")),
            None => printer.hint(&format!("certtool: the pair in {directory} is good")),
        }

        let mut child = spawn(&args.command)?;
        let job = Job {
            cluster: &cluster,
            choice: &choice,
            printer,
        };
        let patience = Some(args.timeout.unsigned_abs());
        let attach = job.attach(&args.certs, &found, &args.reach, Mode::Apply, patience);
        tokio::pin!(attach);
        let mut attaching = true;
        let mut failure = None;
        let status = loop {
            tokio::select! {
                status = child.wait() => break status.context("could not wait for the command")?,
                signal = signals.next() => {
                    if let (Some(signal), Some(pid)) = (signal, child.id()) {
                        signal.pass_on(pid);
                    }
                }
                attached = &mut attach, if attaching => {
                    attaching = false;
                    match attached {
                        Ok(attached) => printer.hint(&format!("certtool: {}", attached.summary())),
                        Err(error) => {
                            // Running on would look as if the cluster called the command.
                            printer.error(&error);
                            failure = Some(ExitStatus::of_error(&error));
                            if let Some(pid) = child.id() {
                                super::signals::terminate(pid);
                            }
                        }
                    }
                }
            }
        };
        clean_up(&cluster, printer, "put back").await?;
        Ok(failure.unwrap_or_else(|| exit_status(status)))
    })
}

fn spawn(command: &[OsString]) -> anyhow::Result<tokio::process::Child> {
    let (program, arguments) = command.split_first().context("no command was given")?;
    tokio::process::Command::new(program)
        .args(arguments)
        .stdin(Stdio::inherit())
        .stdout(Stdio::inherit())
        .stderr(Stdio::inherit())
        .spawn()
        .with_context(|| format!("could not start {}", program.display()))
}

/// Detaches what this machine attached in this cluster, in this run or in one that was
/// killed.
async fn clean_up(cluster: &Cluster, printer: &Printer, why: &str) -> anyhow::Result<()> {
    let mut found = detach::find(cluster, &Selection::default()).await?;
    // What others attached is theirs.
    found.retain(|_, remembered| remembered.is_some());
    for object in detach::detach(cluster, &found, Mode::Apply, printer).await? {
        for line in object.lines() {
            printer.hint(&format!("certtool: {why}: {line}"));
        }
    }
    Ok(())
}

/// The command's exit code; 128 plus the signal's number when a signal ended it, as shells do.
fn exit_status(status: ChildStatus) -> ExitStatus {
    use std::os::unix::process::ExitStatusExt;
    let code = status
        .code()
        .or_else(|| status.signal().map(|signal| 128 + signal))
        .unwrap_or(1);
    ExitStatus::Of(u8::try_from(code).unwrap_or(1))
}
