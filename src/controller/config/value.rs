//! Single values of the file that are checked when they are read.

use serde::{Deserialize, Deserializer, de::Error};
use time::Duration;

use crate::pki::KeyAlgorithm;

/// Why a text is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ValueError(String);

impl ValueError {
    pub(super) fn new(text: String) -> Self {
        Self(text)
    }
}

/// A duration from `0s` on.
pub(super) struct Span(pub(super) Duration);

impl TryFrom<String> for Span {
    type Error = ValueError;

    fn try_from(text: String) -> Result<Self, ValueError> {
        humantime::parse_duration(&text)
            .ok()
            .and_then(|parsed| Duration::try_from(parsed).ok())
            .map(Self)
            .ok_or_else(|| {
                ValueError(format!(
                    "{text:?} is not a duration: write 30s, 5m, 24h, 30d, 2w or 1y"
                ))
            })
    }
}

pub(super) fn span<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    crate::policy::read_text::<_, Span>(deserializer).map(|span| span.0)
}

pub(super) fn optional_span<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Duration>, D::Error> {
    span(deserializer).map(Some)
}

/// A fraction of a life.
pub(super) fn fraction<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<f64>, D::Error> {
    let fraction = f64::deserialize(deserializer)?;
    if fraction > 0.0 && fraction < 1.0 {
        return Ok(Some(fraction));
    }
    Err(D::Error::custom(format!(
        "{fraction} is not a fraction of a CA's life: give a number above 0 and below 1, such as 0.67"
    )))
}

/// An algorithm of a key, by its name on the command line.
pub(super) fn algorithm<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<KeyAlgorithm>, D::Error> {
    crate::policy::Key::deserialize(deserializer).map(|key| Some(key.0))
}
