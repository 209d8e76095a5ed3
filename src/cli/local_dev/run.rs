//! `local-dev run -- COMMAND`: certificates, attach, the command, detach when it ends.

use std::ffi::OsString;
use std::process::{ExitStatus as ChildStatus, Stdio};
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use time::OffsetDateTime;
use tokio::process::Child;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::certs::{self, CertArgs, FoundServices};
use super::job::Job;
use super::reach::{self, ReachArgs};
use super::records::{Found, Memory};
use super::restore::{self, Detached, Which};
use super::select::{Choice, SelectArgs};
use super::signals::{self, Signals};
use crate::cli::kubernetes::KubernetesArgs;
use crate::cli::{ExitStatus, Printer, duration};
use crate::cluster::{Cluster, Mode};

/// Run a command with the cluster's webhooks pointed at it, and put them back when it ends
///
/// Writes the certificates, starts the command, attaches the webhooks once it answers,
/// passes signals on, detaches when it ends in any way, and exits with its exit code. On
/// SIGINT and SIGTERM it detaches at once, since an operator that shuts down answers no
/// more. After a kill -9 the next `run` or `detach` puts things back.
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

/// What begins our lines on the stderr that is the command's too.
const PREFIX: &str = "certtool: ";
/// How long putting back is tried when the API server does not answer.
const PERSISTENCE: Duration = Duration::from_secs(20);
/// How long the command may take to end after it was told to because attaching failed.
const GRACE: Duration = Duration::from_secs(40);

pub(super) fn run(
    args: &Run,
    kubernetes: &KubernetesArgs,
    printer: &Printer,
) -> anyhow::Result<ExitStatus> {
    let printer = printer.prefixed(PREFIX);
    let found = certs::find_services(&args.certs, &printer)?;
    let choice = Choice::new(&args.select, &found.services, &found.objects)?;
    // Before anything is started: a signal from now on ends in order.
    let mut signals = Signals::listen()?;
    crate::cli::runtime::current_thread()?.block_on(async {
        let cluster = Cluster::connect(&kubernetes.access()).await?;
        let memory = Memory::of(&cluster)?;
        tokio::select! {
            prepared = prepare(args, &cluster, &choice, &found, &memory, &printer) => prepared?,
            signal = signals.next_ending() => return Ok(signal.exit_status()),
        }
        let session = memory.session()?;
        let mut running = Running {
            child: spawn(&args.command)?,
            signals,
            printer: &printer,
        };
        let job = Job {
            cluster: &cluster,
            choice: &choice,
            certs: &args.certs,
            found: &found,
            reach: &args.reach,
            mode: Mode::Apply,
            patience: Some(args.timeout.unsigned_abs()),
            session: Some(session.id()),
            printer: &printer,
        };
        let detach = async {
            let attached = || memory.of_sessions(|id| id == session.id());
            clean_up_persistently(&cluster, attached, "put back", &printer).await
        };
        let ended = running.supervise(&job, detach).await?;
        Ok(ended.report(&printer))
    })
}

/// Everything that can fail before the command is started.
async fn prepare(
    args: &Run,
    cluster: &Cluster,
    choice: &Choice,
    found: &FoundServices,
    memory: &Memory,
    printer: &Printer,
) -> anyhow::Result<()> {
    let killed = memory.of_sessions(|id| !memory.lives(id))?;
    clean_up(cluster, &killed, "left by an earlier run", printer).await?;
    choice.find(cluster).await?;
    let hosts = reach::hosts(cluster, &args.reach.url_host).await;
    let ensured = certs::ensure(&args.certs, found, &hosts, OffsetDateTime::now_utc())?;
    for warning in &ensured.warnings {
        printer.warning(warning);
    }
    let directory = ensured.cert_dir.display();
    printer.hint(&match &ensured.reason {
        Some(reason) => format!("new pair in {directory}: {reason}"),
        None => format!("the pair in {directory} is good"),
    });
    Ok(())
}

/// The command while it runs.
struct Running<'a> {
    child: Child,
    signals: Signals,
    printer: &'a Printer,
}

/// How it ended, and whether certtool did its part.
struct Ended {
    status: ChildStatus,
    attached: anyhow::Result<()>,
    detached: anyhow::Result<()>,
}

impl Ended {
    /// The exit code is the command's, unless it was certtool that failed.
    fn report(self, printer: &Printer) -> ExitStatus {
        let mut status = exit_status(self.status);
        if let Err(error) = &self.detached {
            printer.error(error);
            if status == ExitStatus::Of(0) {
                status = ExitStatus::Error;
            }
        }
        if let Err(error) = &self.attached {
            status = ExitStatus::of_error(error);
        }
        status
    }
}

impl Running<'_> {
    /// Attaches while the command runs, and detaches when it ends or is about to.
    async fn supervise(
        &mut self,
        job: &Job<'_>,
        detach: impl Future<Output = anyhow::Result<()>>,
    ) -> anyhow::Result<Ended> {
        // Dropping it gives up attaching, unless the change itself has begun: that is
        // finished, so that it is known what to put back.
        let (go_on, stopped) = oneshot::channel::<()>();
        let mut go_on = Some(go_on);
        let stop = async {
            let _ = stopped.await;
        };
        let mut attach = std::pin::pin!(job.attach(stop));
        let mut attaching = true;
        let mut detach = std::pin::pin!(detach);
        let mut detached = None;
        let mut attached = Ok(());
        let mut kill_at: Option<Instant> = None;
        let status = loop {
            let leaving = go_on.is_none();
            tokio::select! {
                status = self.child.wait() => {
                    break status.context("could not wait for the command")?;
                }
                signal = self.signals.next() => {
                    if let Some(pid) = self.child.id() {
                        signal.pass_on(pid);
                    }
                    if signal.asks_to_end() && go_on.take().is_some() {
                        self.printer.hint(&format!("{}: detaching", signal.name()));
                    }
                }
                result = &mut attach, if attaching => {
                    attaching = false;
                    match result {
                        Ok(Some(attached)) => self.printer.hint(&attached.summary()),
                        Ok(None) => {}
                        Err(error) => {
                            // Running on would look as if the cluster called the command.
                            self.printer.error(&error);
                            self.printer.progress("ending the command");
                            attached = Err(error);
                            go_on = None;
                            kill_at = Some(Instant::now() + GRACE);
                            self.child.id().inspect(|pid| signals::terminate(*pid));
                        }
                    }
                }
                result = &mut detach, if leaving && !attaching && detached.is_none() => {
                    detached = Some(result);
                }
                () = tokio::time::sleep_until(kill_at.unwrap_or_else(Instant::now)), if kill_at.is_some() => {
                    kill_at = None;
                    self.child.start_kill().context("could not kill the command")?;
                }
            }
        };
        drop(go_on.take());
        if attaching {
            attached = attach.await.map(drop);
            let _ = attached
                .as_ref()
                .inspect_err(|error| self.printer.error(error));
        }
        let detached = match detached {
            Some(detached) => detached,
            None => detach.await,
        };
        Ok(Ended {
            status,
            attached,
            detached,
        })
    }
}

fn spawn(command: &[OsString]) -> anyhow::Result<Child> {
    let (program, arguments) = command.split_first().context("no command was given")?;
    tokio::process::Command::new(program)
        .args(arguments)
        .stdin(Stdio::inherit())
        .stdout(Stdio::inherit())
        .stderr(Stdio::inherit())
        .spawn()
        .with_context(|| format!("could not start {}", program.display()))
}

/// Puts back what is found, as long as nobody else has attached it since.
async fn clean_up(
    cluster: &Cluster,
    found: &Found,
    why: &str,
    printer: &Printer,
) -> anyhow::Result<()> {
    let detached = restore::put_back(cluster, found, Which::Ours, Mode::Apply, printer).await?;
    for line in detached.iter().flat_map(Detached::lines) {
        printer.hint(&format!("{why}: {line}"));
    }
    let failures: Vec<_> = detached.iter().filter_map(Detached::failure).collect();
    if !failures.is_empty() {
        anyhow::bail!(
            "not everything was put back; `certtool local-dev detach` tries again\n{}",
            failures.join("\n")
        );
    }
    Ok(())
}

/// Tries again while the API server may be restarting.
async fn clean_up_persistently(
    cluster: &Cluster,
    attached: impl Fn() -> Result<Found, crate::store::Error>,
    why: &str,
    printer: &Printer,
) -> anyhow::Result<()> {
    let deadline = Instant::now() + PERSISTENCE;
    loop {
        let tried = async { clean_up(cluster, &attached()?, why, printer).await };
        let result = tokio::time::timeout_at(deadline, tried).await;
        match result {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(_)) if Instant::now() + Duration::from_secs(1) < deadline => {
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
            Ok(Err(error)) => return Err(error),
            Err(_) => anyhow::bail!(
                "the API server {} does not answer: the webhooks are still attached; `certtool local-dev detach` puts them back",
                cluster.server
            ),
        }
    }
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
