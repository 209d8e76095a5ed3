//! The state of a rotating CA, and the ways in which it changes.

use std::sync::Arc;

use time::{Duration, OffsetDateTime};

use super::Settings;
use super::trust::Trust;
use crate::pki::{Authority, Certificate, TrustBundle};

/// What is in the Secret of a CA.
///
/// The methods that change it return the state to write; the Secret that was written is read
/// again before it is used.
#[derive(Debug, Clone)]
pub struct CaState {
    /// The CA that signs.
    pub current: Current,
    /// The CA that will sign next, once it is trusted everywhere.
    pub next: Option<Next>,
    /// CAs that sign no more and are still trusted, the latest first.
    pub retired: Vec<Retired>,
    /// CAs that are trusted no more and may still be in a bundle somewhere.
    pub former: Vec<Former>,
    /// By what it is rotated; `None` until somebody takes charge of it.
    pub policy: Option<Policy>,
    /// Whether there is a record, which only certtool writes.
    pub is_recorded: bool,
    /// A rotation that somebody asked for.
    pub request: Option<Request>,
    /// Who else writes this Secret, if that is known.
    pub owner: Option<Owner>,
}

/// The CA that signs.
#[derive(Debug, Clone)]
pub struct Current {
    /// Certificate and key.
    pub authority: Arc<Authority>,
    /// Since when it signs; `None` for a CA that was found.
    pub since: Option<OffsetDateTime>,
    /// When every object was first read back trusting it.
    pub published: Option<OffsetDateTime>,
    /// The longest life that any of its leaves has, counted from the signature; `None` when
    /// nobody kept watch over that.
    pub leaf_life: Option<Duration>,
}

/// The CA that will sign next.
#[derive(Debug, Clone)]
pub struct Next {
    /// Certificate and key.
    pub authority: Arc<Authority>,
    /// When it was made.
    pub since: OffsetDateTime,
    /// When every object was first read back trusting it.
    pub published: Option<OffsetDateTime>,
    /// The longest life that its leaves will have.
    pub leaf_life: Duration,
    /// Why it was made.
    pub reason: Reason,
}

/// A CA that signs no more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retired {
    /// What is to be trusted of it.
    pub certificate: Certificate,
    /// When it was replaced.
    pub since: OffsetDateTime,
    /// The longest life that any of its leaves has; `None` when that is not known.
    pub leaf_life: Option<Duration>,
    /// When it was first read that it is replaced. The write of `since` may have taken long to
    /// arrive; but whoever reads the Secret after this instant does not sign with it.
    pub stopped: Option<OffsetDateTime>,
    /// When the last certificate that it signed has ended, for every clock: its own end, or
    /// what follows from `stopped`.
    pub leaves_end: OffsetDateTime,
    /// Why it was replaced.
    pub reason: Reason,
}

impl Retired {
    /// Whether it is still to be noted that it signs no more.
    pub(super) fn is_stopping(&self) -> bool {
        self.stopped.is_none() && self.reason != Reason::Repair
    }
}

/// A CA that is trusted no more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Former {
    /// SHA-256 of its certificate.
    pub fingerprint: String,
    /// When its certificate ends, and this entry with it.
    pub not_after: OffsetDateTime,
}

/// Why a CA is replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// It is due.
    Scheduled,
    /// Somebody asked for it.
    Requested,
    /// Its key may have leaked: certificates are replaced at once.
    Forced,
    /// It was lost or damaged.
    Repair,
}

impl Reason {
    /// As it is spelled in the record.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Scheduled => "Scheduled",
            Self::Requested => "Requested",
            Self::Forced => "Forced",
            Self::Repair => "Repair",
        }
    }
}

/// A rotation that somebody asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request {
    /// By the ordinary path: certificates are replaced as they are renewed.
    Rotate,
    /// The keys may have leaked: a fresh CA, and certificates are replaced at once.
    Now,
}

impl Request {
    /// The value of the annotation.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rotate => "requested",
            Self::Now => "now",
        }
    }
}

/// Who else writes the Secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Owner {
    /// cert-manager, for this Certificate.
    CertManager(String),
}

/// By what a CA is rotated, as whoever wrote the Secret last had it set; for showing only.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Policy {
    /// The life of a CA.
    pub ca_life: Duration,
    /// The longest life of a leaf.
    pub leaf_life: Duration,
    /// From the last read-back to the first signature.
    pub settle: Duration,
    /// The fraction of its life after which a CA is replaced.
    pub rotate_at: f64,
}

impl CaState {
    /// A CA that was just made, or found: nothing is known of its leaves.
    #[must_use]
    pub fn of(authority: Arc<Authority>) -> Self {
        Self {
            current: Current {
                authority,
                since: None,
                published: None,
                leaf_life: None,
            },
            next: None,
            retired: Vec::new(),
            former: Vec::new(),
            policy: None,
            is_recorded: false,
            request: None,
            owner: None,
        }
    }

    /// A new CA of which every leaf will be known to live no longer than `settings` allow.
    #[must_use]
    pub fn first(authority: Arc<Authority>, settings: &Settings, now: OffsetDateTime) -> Self {
        let mut state = Self::of(authority);
        state.current.since = Some(now);
        state.current.leaf_life = Some(settings.leaf_life);
        state.policy = Some(settings.policy());
        state
    }

    /// What has to be trusted now, and what no more.
    #[must_use]
    pub fn trust(&self) -> Trust {
        let anchors = std::iter::once(self.current.authority.trust_anchor())
            .chain(self.next.iter().map(|next| next.authority.trust_anchor()))
            .chain(self.retired.iter().map(|retired| &retired.certificate));
        Trust {
            bundle: TrustBundle::new(anchors.cloned()),
            former: self
                .former
                .iter()
                .map(|former| former.fingerprint.clone())
                .collect(),
        }
    }

    /// Whether this certificate is one of the CAs here, trusted or to be trusted no more.
    #[must_use]
    pub fn knows(&self, fingerprint: &str) -> bool {
        let anchors = self.trust().bundle;
        anchors
            .certificates()
            .iter()
            .any(|anchor| anchor.fingerprint() == fingerprint)
            || self
                .former
                .iter()
                .any(|former| former.fingerprint == fingerprint)
            || self.current.authority.certificate().fingerprint() == fingerprint
    }

    /// Somebody takes charge of a CA that was found.
    #[must_use]
    pub fn adopted(&self, settings: &Settings) -> Self {
        let mut state = self.clone();
        state.policy = Some(settings.policy());
        state
    }

    /// Leaves may live longer from now on.
    #[must_use]
    pub fn with_longer_leaves(&self, settings: &Settings) -> Self {
        let mut state = self.stamped(settings);
        if let Some(life) = &mut state.current.leaf_life {
            *life = settings.leaf_life.max(*life);
        }
        if let Some(next) = &mut state.next {
            next.leaf_life = settings.leaf_life.max(next.leaf_life);
        }
        state
    }

    /// A rotation begins: `authority` is to be published. One that was prepared before never
    /// signed anything and goes.
    #[must_use]
    pub fn started(
        &self,
        authority: Arc<Authority>,
        reason: Reason,
        settings: &Settings,
        now: OffsetDateTime,
    ) -> Self {
        let mut state = self.stamped(settings);
        if let Some(discarded) = state.next.take() {
            let certificate = discarded.authority.trust_anchor().clone();
            state.dismiss(&certificate);
        }
        state.next = Some(Next {
            authority,
            since: now,
            published: None,
            leaf_life: settings.leaf_life,
            reason,
        });
        state.request = None;
        state.pruned(now)
    }

    /// A request that a rotation under way fulfils already.
    #[must_use]
    pub fn absorbed(&self) -> Self {
        let mut state = self.clone();
        if let Some(next) = &mut state.next
            && next.reason == Reason::Scheduled
        {
            next.reason = Reason::Requested;
        }
        state.request = None;
        state
    }

    /// Every object was read back trusting all of [`CaState::trust`].
    #[must_use]
    pub fn proven(&self, now: OffsetDateTime) -> Self {
        let mut state = self.clone();
        state.current.published.get_or_insert(now);
        if let Some(next) = &mut state.next {
            next.published = Some(now);
        }
        state
    }

    /// An object was found that does not trust the next CA: the settle time starts over.
    #[must_use]
    pub fn unproven(&self) -> Self {
        let mut state = self.clone();
        if let Some(next) = &mut state.next {
            next.published = None;
        }
        state
    }

    /// The next CA signs from now on. The key of the one before is dropped.
    #[must_use]
    pub fn switched(&self, settings: &Settings, now: OffsetDateTime) -> Self {
        let mut state = self.stamped(settings);
        let Some(next) = state.next.take() else {
            return state;
        };
        let old = std::mem::replace(
            &mut state.current,
            Current {
                authority: next.authority,
                since: Some(now),
                published: next.published,
                leaf_life: Some(next.leaf_life),
            },
        );
        let certificate = old.authority.trust_anchor().clone();
        let ends = old.authority.certificate().validity.not_after;
        state.retired.insert(
            0,
            Retired {
                certificate,
                since: now,
                leaf_life: old.leaf_life,
                stopped: None,
                leaves_end: ends.saturating_add(settings.skew),
                reason: next.reason,
            },
        );
        state.pruned(now)
    }

    /// It was read that CAs sign no more: from now on it is known when their leaves end.
    #[must_use]
    pub fn stopped(&self, settings: &Settings, now: OffsetDateTime) -> Self {
        let mut state = self.clone();
        for retired in state.retired.iter_mut().filter(|r| r.is_stopping()) {
            retired.stopped = Some(now);
            if let Some(life) = retired.leaf_life {
                let last = now
                    .saturating_add(life)
                    .saturating_add(settings.hindsight());
                retired.leaves_end = retired.leaves_end.min(last);
            }
        }
        state
    }

    /// These CAs are trusted no more.
    #[must_use]
    pub fn dropped(&self, fingerprints: &[String], now: OffsetDateTime) -> Self {
        let mut state = self.clone();
        let (gone, kept): (Vec<_>, Vec<_>) = state
            .retired
            .drain(..)
            .partition(|retired| fingerprints.contains(&retired.certificate.fingerprint()));
        state.retired = kept;
        for retired in gone {
            state.dismiss(&retired.certificate);
        }
        state.pruned(now)
    }

    /// A CA takes the place of one that was lost or damaged. `old` are the certificates that
    /// could still be read: they stay trusted until they end.
    #[must_use]
    pub fn repaired(
        authority: Arc<Authority>,
        old: impl IntoIterator<Item = Certificate>,
        now: OffsetDateTime,
    ) -> Self {
        let anchor = authority.trust_anchor().clone();
        let mut state = Self::of(authority);
        for certificate in old {
            let known =
                certificate == anchor || state.retired.iter().any(|r| r.certificate == certificate);
            if !known && certificate.ca.is_some() && certificate.validity.not_after > now {
                state.retired.push(Retired {
                    leaves_end: certificate.validity.not_after,
                    certificate,
                    since: now,
                    leaf_life: None,
                    stopped: None,
                    reason: Reason::Repair,
                });
            }
        }
        state
    }

    fn dismiss(&mut self, certificate: &Certificate) {
        let former = Former {
            fingerprint: certificate.fingerprint(),
            not_after: certificate.validity.not_after,
        };
        if !self.former.contains(&former) {
            self.former.push(former);
        }
    }

    /// Without what no bundle can hold any more, or holds rightly.
    fn pruned(mut self, now: OffsetDateTime) -> Self {
        let trusted: Vec<_> = {
            let bundle = self.trust().bundle;
            let certificates = bundle.certificates().iter();
            certificates.map(Certificate::fingerprint).collect()
        };
        self.former
            .retain(|former| former.not_after >= now && !trusted.contains(&former.fingerprint));
        self
    }

    fn stamped(&self, settings: &Settings) -> Self {
        let mut state = self.clone();
        state.policy = Some(settings.policy());
        state
    }
}
