//! An attempt that has to wait, by the wall clock.

use time::{Duration, OffsetDateTime};

/// Not before then.
#[derive(Debug, Clone, Copy)]
pub(super) struct Retry {
    set: OffsetDateTime,
    pub(super) until: OffsetDateTime,
}

impl Retry {
    pub(super) fn after(pause: Duration, now: OffsetDateTime) -> Self {
        Self {
            set: now,
            until: now + pause,
        }
    }

    /// A clock that was set back must not make it wait longer.
    pub(super) fn is_over(&self, now: OffsetDateTime) -> bool {
        now >= self.until || now < self.set
    }
}
