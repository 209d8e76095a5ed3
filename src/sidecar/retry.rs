//! An attempt that has to wait, by the wall clock.

use time::{Duration, OffsetDateTime};

/// After so many failures, until then.
#[derive(Debug, Clone, Copy)]
pub(super) struct Retry {
    pub(super) failures: u32,
    set: OffsetDateTime,
    pub(super) until: OffsetDateTime,
}

impl Retry {
    pub(super) fn after(failures: u32, pause: Duration, now: OffsetDateTime) -> Self {
        Self {
            failures,
            set: now,
            until: now + pause,
        }
    }

    /// A clock that was set back must not make it wait longer.
    pub(super) fn is_over(&self, now: OffsetDateTime) -> bool {
        now >= self.until || now < self.set
    }
}
