//! Exit codes, and the errors that have one of their own.

use std::process::ExitCode;

/// How a command ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitStatus {
    /// Done, or nothing to do.
    Done,
    /// An error.
    Error,
    /// Wrong usage.
    Usage,
    /// A negative finding: drift, verification failed, renewal due.
    Finding,
    /// Refused by policy.
    Refused,
    /// Timed out.
    TimedOut,
    /// The exit code of a command that certtool ran.
    Of(u8),
}

/// An error in how the command was called: exit code 2.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct UsageError(pub String);

/// A wait that ended without what it waited for: exit code 124.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct TimedOut(pub String);

/// A refusal by policy: exit code 4.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Refused(pub String);

impl ExitStatus {
    pub(super) fn of_error(error: &anyhow::Error) -> Self {
        if error.is::<UsageError>() {
            Self::Usage
        } else if error.is::<TimedOut>() || is_timed_out(error) {
            Self::TimedOut
        } else if error.is::<Refused>() {
            Self::Refused
        } else {
            Self::Error
        }
    }

    /// Of two outcomes the one that the process ends with: a refusal says more than an error.
    pub(super) fn or_worse(self, other: Self) -> Self {
        match (self, other) {
            (Self::Refused, _) | (_, Self::Done) => self,
            _ => other,
        }
    }

    pub(super) fn from_clap(error: &clap::Error) -> Self {
        if error.use_stderr() {
            Self::Usage
        } else {
            Self::Done
        }
    }
}

/// An API server that did not come back while it was waited for.
fn is_timed_out(error: &anyhow::Error) -> bool {
    matches!(
        error.downcast_ref::<crate::cluster::Error>(),
        Some(crate::cluster::Error::TimedOut { .. })
    )
}

impl From<ExitStatus> for ExitCode {
    fn from(status: ExitStatus) -> Self {
        Self::from(match status {
            ExitStatus::Done => 0,
            ExitStatus::Error => 1,
            ExitStatus::Usage => 2,
            ExitStatus::Finding => 3,
            ExitStatus::Refused => 4,
            ExitStatus::TimedOut => 124,
            ExitStatus::Of(code) => code,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_keeps_its_exit_code_under_context() {
        let error = anyhow::Error::new(TimedOut("x".into())).context("while waiting");
        assert_eq!(ExitStatus::of_error(&error), ExitStatus::TimedOut);
        let error = anyhow::Error::new(UsageError("x".into()))
            .context("a")
            .context("b");
        assert_eq!(ExitStatus::of_error(&error), ExitStatus::Usage);
        assert_eq!(
            ExitStatus::of_error(&anyhow::anyhow!("x")),
            ExitStatus::Error
        );
    }
}
