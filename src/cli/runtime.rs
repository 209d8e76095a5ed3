//! Asynchronous commands: one thread, and Ctrl-C that cleans up.

use std::future::Future;
use std::time::Duration;

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};

use super::ExitStatus;

/// What is left to do after an interruption, such as removing a probe, gets this long.
const CLEAN_UP: Duration = Duration::from_secs(5);

/// A runtime on this thread: certtool waits for the network and little else.
pub(super) fn current_thread() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("could not start the asynchronous runtime")
}

/// Runs a command until it is done, or until SIGINT or SIGTERM drops it; what dropping
/// started is finished before the process ends with 128 plus the signal's number.
pub(super) fn interruptible(
    command: impl Future<Output = anyhow::Result<ExitStatus>>,
) -> anyhow::Result<ExitStatus> {
    let runtime = current_thread()?;
    runtime.block_on(async {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let status = tokio::select! {
            result = command => return result,
            _ = interrupt.recv() => ExitStatus::Of(130),
            _ = terminate.recv() => ExitStatus::Of(143),
        };
        let metrics = tokio::runtime::Handle::current().metrics();
        let deadline = tokio::time::Instant::now() + CLEAN_UP;
        while metrics.num_alive_tasks() > 0 && tokio::time::Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(status)
    })
}
