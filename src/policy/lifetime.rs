//! Lifetimes as people write them: `24h`, `30d`, `1y`.

use time::Duration;

use super::asked::SHORTEST;
use super::text::from_text;

/// The longest lifetime that a rule allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MaximumLifetime(pub(crate) Duration);

/// Why a text is not a lifetime.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LifetimeError {
    #[error("{0:?} is not a duration: write 90m, 24h, 30d, 2w or 1y")]
    NotADuration(String),
    #[error("{0} is shorter than 10m, the shortest that the Kubernetes API accepts")]
    TooShort(String),
}

from_text!(MaximumLifetime);

impl TryFrom<String> for MaximumLifetime {
    type Error = LifetimeError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let parsed = humantime::parse_duration(&text)
            .ok()
            .and_then(|parsed| Duration::try_from(parsed).ok())
            .ok_or_else(|| LifetimeError::NotADuration(text.clone()))?;
        if parsed < Duration::seconds(SHORTEST) {
            return Err(LifetimeError::TooShort(text));
        }
        Ok(Self(Duration::seconds(parsed.whole_seconds())))
    }
}
