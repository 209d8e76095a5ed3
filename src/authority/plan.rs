//! What to do next with a CA.

use std::collections::BTreeSet;
use std::fmt;

use time::{Duration, OffsetDateTime};

use super::problem::{Broken, Problem};
use super::settings::is_made_for;
use super::{CaState, Reason, Request, Settings};
use crate::pki::Certificate;

/// What a look at the objects with a caBundle showed, after the bundle of the present state
/// was put into them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReadBack {
    /// Nobody looked, or the state changed meanwhile.
    Unknown,
    /// These lack it; in words for a person.
    Lacking(Vec<String>),
    /// Every object that should trust the CAs of the state holds them all.
    Holds,
}

/// What is known besides the Secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observation {
    /// What the objects hold.
    pub read_back: ReadBack,
    /// Fingerprints of the CAs whose certificates are in use or about to be, if every replica that there is
    /// has been seen; `None` when that is not known.
    pub in_use: Option<BTreeSet<String>>,
    /// The API server's clock, if it was read. It decides whether a certificate has expired.
    pub server_time: Option<OffsetDateTime>,
}

impl Observation {
    /// Nothing is known.
    #[must_use]
    pub fn none() -> Self {
        Self::of(ReadBack::Unknown)
    }

    /// Only what the objects hold is known.
    #[must_use]
    pub fn of(read_back: ReadBack) -> Self {
        Self {
            read_back,
            in_use: None,
            server_time: None,
        }
    }
}

/// The one thing to do next. All but `Wait` are a write of the Secret, by compare-and-swap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Take charge of a CA that was found.
    Adopt,
    /// Make the next CA.
    Start(Reason),
    /// A request that is being fulfilled already is taken off.
    Absorb,
    /// Record that leaves may live longer than so far.
    LongerLeaves,
    /// Record that every object was read back holding the bundle.
    Prove,
    /// Record that one does not any more.
    Unprove(Vec<String>),
    /// The next CA signs from now on.
    Switch,
    /// Record that it was read that a CA signs no more.
    Stop,
    /// These CAs are trusted no more.
    Drop(Vec<String>),
    /// Nothing before this instant, unless something changes.
    Wait {
        /// When.
        until: OffsetDateTime,
        /// For what.
        what: Waiting,
    },
}

/// What a CA waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Waiting {
    /// Its rotation.
    Rotation,
    /// Objects that do not hold the bundle, if it is known which.
    Objects(Vec<String>),
    /// The end of the settle time.
    Settle,
    /// The end of the last certificate of a CA that signs no more.
    Drain,
    /// Whoever maintains it.
    Owner,
    /// A clock: ours and the API server's are this far apart.
    Clock(Duration),
}

impl fmt::Display for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rotation => f.write_str("the next rotation"),
            Self::Objects(lacking) if lacking.is_empty() => {
                f.write_str("a look at the objects that should trust it")
            }
            Self::Objects(lacking) => write!(
                f,
                "objects that do not hold the bundle: {}",
                lacking.join(", ")
            ),
            Self::Settle => f.write_str("the end of the settle time"),
            Self::Drain => f.write_str("the end of the last certificate of the CA before"),
            Self::Owner => f.write_str("whoever maintains it"),
            Self::Clock(by) => write!(
                f,
                "a clock to be set: this machine's and the API server's are {} s apart",
                by.abs().whole_seconds()
            ),
        }
    }
}

/// Plans for a Secret that does not exist: whether its first CA may be made. `seen` are the
/// certificates in the caBundles of the objects, and `before` the fingerprint of the CA that
/// this process has read from the Secret before.
///
/// # Errors
/// [`Problem::Lost`]: there was a CA, and a new one would not be trusted in its place.
pub fn plan_first<'a>(
    secret: &str,
    seen: impl IntoIterator<Item = &'a Certificate>,
    before: Option<&str>,
    now: OffsetDateTime,
) -> Result<(), Broken> {
    if let Some(fingerprint) = before {
        let why = format!("this process has read the CA with SHA-256 {fingerprint} from it");
        return Err(Problem::Lost(why).of(secret));
    }
    trace(secret, seen, now).map_or(Ok(()), |trace| {
        let why = format!(
            "{} (SHA-256 {}) was made for it and is still in a trust bundle",
            trace.subject,
            trace.fingerprint()
        );
        Err(Problem::Lost(why).of(secret))
    })
}

fn trace<'a>(
    secret: &str,
    seen: impl IntoIterator<Item = &'a Certificate>,
    now: OffsetDateTime,
) -> Option<&'a Certificate> {
    seen.into_iter()
        .find(|seen| seen.validity.not_after >= now && is_made_for(seen, secret))
}

/// Refuses a Secret whose CA was replaced by another one behind certtool's back: one without a
/// record where there was one before.
///
/// # Errors
/// [`Problem::Replaced`].
pub fn check_continuity(secret: &str, state: &CaState, before: Option<&str>) -> Result<(), Broken> {
    match before {
        Some(before) if !state.is_recorded && !state.knows(before) => {
            let ca = state.current.authority.certificate();
            let why = format!(
                "it holds {} (SHA-256 {}) now, and the CA before (SHA-256 {before}) is gone",
                ca.subject,
                ca.fingerprint()
            );
            Err(Problem::Replaced(why).of(secret))
        }
        _ => Ok(()),
    }
}

/// Plans the next step.
#[must_use]
pub fn plan(state: &CaState, settings: &Settings, seen: &Observation, now: OffsetDateTime) -> Step {
    if !state.is_ours(settings) {
        let until = state.current.authority.certificate().validity.not_after;
        let what = Waiting::Owner;
        return Step::Wait { until, what };
    }
    if state.policy.is_none() {
        return Step::Adopt;
    }
    let longer = |life: Duration| settings.leaf_life > life;
    if state.current.leaf_life.is_some_and(longer)
        || state
            .next
            .as_ref()
            .is_some_and(|next| longer(next.leaf_life))
    {
        return Step::LongerLeaves;
    }
    let wait = |until, what| Step::Wait { until, what };
    let soon = now.saturating_add(settings.pace());
    if let Some(apart) = clock_apart(seen.server_time, settings, now) {
        let proven = state
            .next
            .as_ref()
            .is_some_and(|next| next.published.is_some());
        return match &seen.read_back {
            ReadBack::Lacking(lacking) if proven => Step::Unprove(lacking.clone()),
            _ => wait(soon, Waiting::Clock(apart)),
        };
    }
    match (state.request, &state.next) {
        // What is prepared may have leaked with the rest.
        (Some(Request::Now), _) => return Step::Start(Reason::Forced),
        (Some(Request::Rotate), None) => return Step::Start(Reason::Requested),
        (Some(Request::Rotate), Some(_)) => return Step::Absorb,
        (None, _) => {}
    }
    if state.retired.iter().any(super::Retired::is_stopping) {
        return Step::Stop;
    }
    let over = spent(state, settings, seen, now);
    if !over.is_empty() {
        return Step::Drop(over);
    }
    if let Some(next) = &state.next {
        let validity = next.authority.certificate().validity;
        // Prepared long ago and never used: it would be due as soon as it signs.
        if now >= validity.not_after.saturating_sub(settings.reserve()) {
            return Step::Start(next.reason);
        }
        return match (&seen.read_back, next.published) {
            (ReadBack::Unknown, _) => wait(soon, Waiting::Objects(Vec::new())),
            (ReadBack::Lacking(lacking), Some(_)) => Step::Unprove(lacking.clone()),
            (ReadBack::Lacking(lacking), None) => wait(soon, Waiting::Objects(lacking.clone())),
            (ReadBack::Holds, None) => Step::Prove,
            // Recorded by a clock that was ahead: by ours it would never be over.
            (ReadBack::Holds, Some(at)) if at > now.saturating_add(settings.skew) => Step::Prove,
            (ReadBack::Holds, Some(at)) => {
                let until = at.saturating_add(settings.settle);
                match now < until {
                    true => wait(until, Waiting::Settle),
                    false => Step::Switch,
                }
            }
        };
    }
    if state.current.published.is_none() {
        return match &seen.read_back {
            ReadBack::Holds => Step::Prove,
            ReadBack::Lacking(lacking) => wait(soon, Waiting::Objects(lacking.clone())),
            ReadBack::Unknown => wait(soon, Waiting::Objects(Vec::new())),
        };
    }
    let due = settings.rotates_at(&state.current);
    if now >= due {
        return Step::Start(Reason::Scheduled);
    }
    match state.retired.iter().map(|retired| retired.leaves_end).min() {
        Some(end) if end < due => wait(end, Waiting::Drain),
        _ => wait(due, Waiting::Rotation),
    }
}

/// The CAs that need not be trusted any more.
fn spent(
    state: &CaState,
    settings: &Settings,
    seen: &Observation,
    now: OffsetDateTime,
) -> Vec<String> {
    // Nothing leaves before the CA that signs now is trusted everywhere.
    if state.current.published.is_none() {
        return Vec::new();
    }
    let spent = state.retired.iter().filter(|retired| {
        let quiet = retired
            .stopped
            .is_some_and(|at| now > at.saturating_add(settings.hindsight()));
        let unused = seen
            .in_use
            .as_ref()
            .is_some_and(|in_use| !in_use.contains(&retired.certificate.fingerprint()));
        now > retired.leaves_end || (unused && quiet)
    });
    spent
        .map(|retired| retired.certificate.fingerprint())
        .collect()
}

/// How far this clock is from the API server's, if that is so far that nothing must be done
/// that depends on how much time has passed: no step of a rotation, no signature. The API
/// server's clock decides what has expired.
#[must_use]
pub fn clock_apart(
    server_time: Option<OffsetDateTime>,
    settings: &Settings,
    now: OffsetDateTime,
) -> Option<Duration> {
    let apart = now - server_time?;
    // HTTP dates have whole seconds.
    (apart.abs() > settings.skew.saturating_add(Duration::seconds(2))).then_some(apart)
}
