//! What is wrong with a configuration file.

use crate::policy::PolicyError;

/// A configuration that is not accepted. Nothing of it is in force.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(transparent)]
pub struct ConfigError(PolicyError);

impl ConfigError {
    pub(super) fn of(error: &serde_yaml::Error) -> Self {
        Self(PolicyError::of(error))
    }

    /// The line, from 1, where it is known.
    #[must_use]
    pub fn line(&self) -> Option<usize> {
        self.0.line()
    }
}
