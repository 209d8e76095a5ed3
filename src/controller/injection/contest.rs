//! Somebody else who keeps overwriting a caBundle: put right at once a few times, since an upgrade
//! of a chart does it too, and then ever more rarely. Never a write for each of theirs.

use std::time::{Duration, Instant};

/// How often in a row it is put right at once.
const AT_ONCE: u32 = 3;
/// The first pause after that; it doubles.
const FIRST: Duration = Duration::from_secs(10);
/// The longest pause.
const LONGEST: Duration = Duration::from_secs(300);
/// After this long without a loss it begins anew; longer than the longest pause.
const CALM: Duration = Duration::from_secs(600);

/// What was taken from us on one object of late.
#[derive(Debug, Clone, Default)]
pub(in crate::controller) struct Contest {
    losses: u32,
    last: Option<Instant>,
    until: Option<Instant>,
}

impl Contest {
    /// It was taken again: how long it is left so, if not put right at once.
    pub(in crate::controller) fn lost(&mut self, now: Instant) -> Option<Duration> {
        if self
            .last
            .is_none_or(|last| now.saturating_duration_since(last) > CALM)
        {
            self.losses = 0;
        }
        self.losses = self.losses.saturating_add(1);
        self.last = Some(now);
        let beyond = self.losses.checked_sub(AT_ONCE + 1)?;
        let pause = FIRST.saturating_mul(1 << beyond.min(16)).min(LONGEST);
        self.until = Some(now + pause);
        Some(pause)
    }

    /// Until when it is left alone, if it is.
    pub(in crate::controller) fn until(&self, now: Instant) -> Option<Instant> {
        self.until.filter(|until| *until > now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_losses_are_put_right_at_once_and_more_ever_later() {
        let mut now = Instant::now();
        let mut contest = Contest::default();
        let mut pauses = Vec::new();
        for _ in 0..12 {
            let pause = contest.lost(now);
            assert_eq!(contest.until(now), pause.map(|pause| now + pause));
            pauses.push(pause.map_or(0, |pause| pause.as_secs()));
            now += pause.unwrap_or(Duration::from_secs(1));
            assert_eq!(contest.until(now), None);
        }
        assert_eq!(pauses, [0, 0, 0, 10, 20, 40, 80, 160, 300, 300, 300, 300]);
    }

    #[test]
    fn after_a_calm_time_it_begins_anew() {
        let now = Instant::now();
        let mut contest = Contest::default();
        for _ in 0..5 {
            contest.lost(now);
        }
        assert!(contest.lost(now + CALM / 2).is_some());
        assert_eq!(contest.lost(now + CALM * 2), None);
    }
}
