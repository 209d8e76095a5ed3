//! Attempts until one succeeds, or the time is up.

use std::time::Duration;

use tokio::time::Instant;

use crate::cli::{Printer, TimedOut};
use crate::cluster::{Cluster, Error};

/// Between two attempts, at first and at most.
const PAUSE: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(2));
/// How often a wait that goes on for the same reason says so.
const REMINDER: Duration = Duration::from_secs(30);
/// What an interrupted attempt may take to clean up.
const CLEAN_UP: Duration = Duration::from_secs(5);

/// Something is not as it should be yet, and may come to be without our doing.
#[derive(Debug, thiserror::Error)]
#[error("{full}")]
pub(super) struct NotYet {
    /// One line, the same as long as the reason is.
    pub(super) brief: String,
    /// Everything that is known.
    pub(super) full: String,
}

impl NotYet {
    pub(super) fn new(problem: impl Into<String>) -> Self {
        let full = problem.into();
        Self {
            brief: full.clone(),
            full,
        }
    }
}

pub(super) struct Waiting<'a> {
    timeout: Duration,
    started: Instant,
    printer: &'a Printer,
}

impl<'a> Waiting<'a> {
    pub(super) fn new(timeout: Duration, printer: &'a Printer) -> Self {
        Self {
            timeout,
            started: Instant::now(),
            printer,
        }
    }

    /// Makes attempts until one succeeds, or fails in a way that waiting does not mend.
    ///
    /// # Errors
    /// [`TimedOut`] with the last reason, or the attempt's.
    pub(super) async fn until_done(
        &self,
        cluster: &Cluster,
        mut attempt: impl AsyncFnMut() -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let deadline = self.started + self.timeout;
        let mut last: Option<(String, String)> = None;
        let mut said = (String::new(), self.started);
        let mut pause = PAUSE.0;
        loop {
            match tokio::time::timeout_at(deadline, attempt()).await {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(error)) => match reason(&error) {
                    Some(reason) => last = Some(reason),
                    None => return Err(error),
                },
                // The attempt was cut off: what it was waiting for before says more.
                Err(_) if last.is_some() => {}
                Err(_) => {
                    let problem = format!("the API server {} does not answer", cluster.server);
                    last = Some((problem.clone(), problem));
                }
            }
            let (brief, full) = last.clone().unwrap_or_default();
            if Instant::now() >= deadline {
                let _ = tokio::time::timeout(CLEAN_UP, cluster.settled()).await;
                let after = humantime::format_duration(self.timeout);
                return Err(TimedOut(format!("timed out after {after}: {full}")).into());
            }
            if said.0 != brief {
                self.printer.progress(&format!("waiting: {brief}"));
                said = (brief, Instant::now());
                pause = PAUSE.0;
            } else if said.1.elapsed() >= REMINDER {
                let seconds = self.started.elapsed().as_secs();
                self.printer
                    .progress(&format!("still waiting after {seconds} s: {brief}"));
                said.1 = Instant::now();
            }
            tokio::time::sleep_until(deadline.min(Instant::now() + pause)).await;
            pause = (pause * 3 / 2).min(PAUSE.1);
        }
    }
}

/// Why an attempt failed, if it may succeed later: in brief and in full.
fn reason(error: &anyhow::Error) -> Option<(String, String)> {
    if let Some(NotYet { brief, full }) = error.downcast_ref::<NotYet>() {
        return Some((brief.clone(), full.clone()));
    }
    let mends = error.downcast_ref::<Error>().is_some_and(|error| {
        error.is_transient()
            || matches!(error, Error::Conflict { .. } | Error::NoNamespace { .. })
            || is_terminating(error)
    });
    mends.then(|| {
        let text = format!("{error:#}");
        (text.clone(), text)
    })
}

/// A namespace that is going away refuses new objects (403, cause `NamespaceTerminating`).
fn is_terminating(error: &Error) -> bool {
    matches!(error, Error::Api { code: 403, message, .. } if message.contains("is being terminated"))
}
