//! Where in its life a CA is.

use std::fmt;

use time::OffsetDateTime;

use super::{CaState, Request, Settings};

/// The phase of a CA, computed from its state and the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// It was never read back from every object that should trust it.
    Introducing,
    /// It signs, and nothing is under way.
    Steady {
        /// When the next CA is made.
        rotates_at: OffsetDateTime,
    },
    /// The next CA is being published.
    Publishing,
    /// The next CA is trusted everywhere; API servers get time to notice.
    Settling {
        /// When the next CA starts to sign, if it is still trusted everywhere then.
        until: OffsetDateTime,
    },
    /// The CA before is still trusted, since certificates of it may be valid.
    Draining {
        /// When the last of them has ended.
        until: OffsetDateTime,
    },
    /// Somebody else maintains it.
    External,
}

impl Phase {
    /// Its name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Introducing => "Introducing",
            Self::Steady { .. } => "Steady",
            Self::Publishing => "Publishing",
            Self::Settling { .. } => "Settling",
            Self::Draining { .. } => "Draining",
            Self::External => "External",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl CaState {
    /// Whether certtool may rotate this CA: it made it, or took charge of it, and can make the
    /// next one of the same kind.
    #[must_use]
    pub fn is_ours(&self, settings: &Settings) -> bool {
        settings.rotate
            && self.owner.is_none()
            && self.current.authority.certificate().is_self_issued()
    }

    /// The phase. `now` is not needed by all of them; a phase ends by a write, so that it may
    /// be over its time while nobody acts.
    #[must_use]
    pub fn phase(&self, settings: &Settings) -> Phase {
        if !self.is_ours(settings) {
            return Phase::External;
        }
        if let Some(next) = &self.next {
            return match next.published {
                None => Phase::Publishing,
                Some(at) => Phase::Settling {
                    until: at.saturating_add(settings.settle),
                },
            };
        }
        if self.current.published.is_none() {
            return Phase::Introducing;
        }
        match self.retired.iter().map(|retired| retired.leaves_end).max() {
            Some(until) => Phase::Draining { until },
            None => Phase::Steady {
                rotates_at: settings.rotates_at(&self.current),
            },
        }
    }
}

/// What happens to a CA, and when; without an instant, once it has come true.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prospect {
    /// Not before this instant.
    pub at: Option<OffsetDateTime>,
    /// What.
    pub what: String,
}

impl CaState {
    /// What happens next, in this order.
    #[must_use]
    pub fn prospects(&self, settings: &Settings) -> Vec<Prospect> {
        let at = |at, what: String| Prospect { at: Some(at), what };
        let once = |what: &str| Prospect {
            at: None,
            what: what.to_owned(),
        };
        let ends = self.current.authority.certificate().validity.not_after;
        let mut prospects = Vec::new();
        match (self.request, &self.next) {
            (Some(Request::Now), _) => {
                prospects.push(once("a fresh CA is made, since one was asked for at once"));
            }
            (Some(Request::Rotate), None) => {
                prospects.push(once("the next CA is made, since one was asked for"));
            }
            _ => {}
        }
        match self.phase(settings) {
            Phase::Introducing => prospects.push(once(
                "it signs once every object that should trust it was read back holding it",
            )),
            Phase::Publishing => prospects.push(once(
                "the next CA is settled once every object was read back holding it",
            )),
            Phase::Settling { until } => prospects.push(at(
                until,
                "the next CA signs, if every object still holds it".to_owned(),
            )),
            Phase::External => {
                let what = "it ends; whoever maintains it has to replace it before";
                prospects.push(at(ends, what.to_owned()));
            }
            Phase::Steady { .. } | Phase::Draining { .. } => {}
        }
        let mut retired: Vec<_> = self.retired.iter().collect();
        retired.sort_by_key(|retired| retired.leaves_end);
        prospects.extend(retired.into_iter().map(|retired| {
            let subject = &retired.certificate.subject;
            at(
                retired.leaves_end,
                format!("{subject} leaves the trust bundle"),
            )
        }));
        if let (None, Phase::Steady { .. } | Phase::Draining { .. }) =
            (self.request, self.phase(settings))
        {
            let due = settings.rotates_at(&self.current);
            prospects.push(at(due, "the next CA is made".to_owned()));
        }
        prospects
    }
}
