//! What a state means for those who sign by it and are signed for.

use std::fmt;
use std::sync::Arc;

use time::{Duration, OffsetDateTime};

use super::state::{CaState, Owner, Reason};
use super::trust::Trust;
use super::{Phase, ReadBack, Settings};
use crate::pki::{Authority, Certificate};
use crate::plan::instant;

/// A state at the moment when it was read, for signing.
#[derive(Debug, Clone)]
pub struct Standing {
    /// The phase.
    pub phase: Phase,
    /// What has to be trusted.
    pub trust: Trust,
    /// What is worth telling.
    pub warnings: Vec<Warning>,
    authority: Arc<Authority>,
    published: Option<OffsetDateTime>,
    holds: bool,
    forced: bool,
    read_at: OffsetDateTime,
    fresh: Duration,
    settle: Duration,
    skew: Duration,
    apart: Option<Duration>,
}

/// Who signs, and from when on its certificates are safe to use.
#[derive(Debug, Clone)]
pub struct Signing {
    /// The CA; it keeps to its own limits.
    pub authority: Arc<Authority>,
    /// A server that has a certificate which is trusted and valid keeps that one until then,
    /// since some API server may not have noticed the new bundle yet.
    pub settled_at: OffsetDateTime,
}

/// Why nothing is to be signed at this moment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotNow {
    /// The CA was not read back from every object.
    #[error("the CA is not trusted everywhere yet; nothing is signed before it is")]
    Unproven,
    /// The state is too old.
    #[error("the CA's Secret was read {0} s ago; read it again before signing")]
    Stale(i64),
    /// The clock is wrong, or was set back since.
    #[error(
        "this machine's clock and the API server's are {0} s apart; what is signed now would have the wrong dates, so set the clock"
    )]
    Clock(i64),
    /// The CA is out of date.
    #[error("the CA ended at {}; nothing that it signs is valid", instant(*.0))]
    Ended(OffsetDateTime),
}

/// Whether a certificate is due because of its CA.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeafDue {
    /// No.
    No,
    /// Its CA signs no more: at the next opportunity, spread over replicas.
    Soon,
    /// Its CA's key may have leaked, or its CA is not trusted.
    Now,
}

/// What is worth telling about a CA.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Warning {
    /// It ends soon, and certtool does not replace it.
    Ends(OffsetDateTime),
    /// It has ended.
    Ended(OffsetDateTime),
    /// A rotation is asked for or due, but the CA is not certtool's to rotate.
    NotOurs(String),
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ends(at) => write!(
                f,
                "the CA ends at {}, and certtool does not rotate it: whoever maintains it has to replace it before",
                instant(*at)
            ),
            Self::Ended(at) => write!(
                f,
                "the CA ended at {}: nothing that it signed is valid",
                instant(*at)
            ),
            Self::NotOurs(why) => write!(f, "the CA is not rotated: {why}"),
        }
    }
}

/// What is worth telling about a CA.
#[must_use]
pub fn warnings(state: &CaState, settings: &Settings, now: OffsetDateTime) -> Vec<Warning> {
    let ca = state.current.authority.certificate();
    let mut warnings = Vec::new();
    let ends = state
        .current
        .authority
        .chain()
        .map(|ca| ca.validity.not_after)
        .min()
        .unwrap_or(ca.validity.not_after);
    if now > ends {
        warnings.push(Warning::Ended(ends));
    }
    if state.is_ours(settings) {
        return warnings;
    }
    if now <= ends && now >= settings.rotates_at(&state.current).min(ends) {
        warnings.push(Warning::Ends(ends));
    }
    if state.request.is_some() || settings.rotate {
        let why = match &state.owner {
            Some(Owner::CertManager(certificate)) => Some(format!(
                "cert-manager keeps it, for the Certificate {certificate}; rotate it there"
            )),
            None if !ca.is_self_issued() => Some(format!(
                "it is an intermediate CA that {} certified; only its issuer can make the next one",
                ca.issuer
            )),
            None if state.request.is_some() => {
                Some("it is configured as one that somebody else maintains".to_owned())
            }
            None => None,
        };
        warnings.extend(why.map(Warning::NotOurs));
    }
    warnings
}

impl Standing {
    /// What `state` means. `read_at` is an instant before the Secret was read; `read_back` what
    /// the objects held after that.
    #[must_use]
    pub fn of(
        state: &CaState,
        settings: &Settings,
        read_back: &ReadBack,
        read_at: OffsetDateTime,
    ) -> Self {
        Self {
            phase: state.phase(settings),
            trust: state.trust(),
            warnings: warnings(state, settings, read_at),
            authority: Arc::clone(&state.current.authority),
            published: state.current.published,
            holds: *read_back == ReadBack::Holds,
            forced: state
                .retired
                .iter()
                .any(|retired| retired.reason == Reason::Forced),
            read_at,
            fresh: settings.fresh,
            settle: settings.settle,
            skew: settings.skew,
            apart: None,
        }
    }

    /// What a later reading of the Secret means without another look at the objects: as long as what
    /// has to be trusted is the same, they hold what they held. A CA that is recorded as read back
    /// signs in any case.
    #[must_use]
    pub fn read_again(
        &self,
        state: &CaState,
        settings: &Settings,
        read_at: OffsetDateTime,
    ) -> Self {
        let read_back = match self.holds && state.trust() == self.trust {
            true => ReadBack::Holds,
            false => ReadBack::Unknown,
        };
        Self::of(state, settings, &read_back, read_at)
    }

    /// The same with what [`clock_apart`](super::clock_apart) says: then nothing is signed.
    #[must_use]
    pub fn with_clock(mut self, apart: Option<Duration>) -> Self {
        self.apart = apart;
        self
    }

    /// The CA to sign with at `now`, which has to be the instant from which the certificate's
    /// dates are counted: then no certificate can outlive what the record says of its CA,
    /// however long the process is held up before it signs.
    ///
    /// # Errors
    /// See [`NotNow`].
    pub fn signing(&self, now: OffsetDateTime) -> Result<Signing, NotNow> {
        if self.published.is_none() && !self.holds {
            return Err(NotNow::Unproven);
        }
        let set_back = self.read_at - now;
        if let Some(apart) = self.apart.or((set_back > self.skew).then_some(set_back)) {
            return Err(NotNow::Clock(apart.whole_seconds().saturating_abs()));
        }
        if now > self.read_at.saturating_add(self.fresh) {
            return Err(NotNow::Stale((now - self.read_at).whole_seconds()));
        }
        let ends = self.authority.certificate().validity.not_after;
        if now > ends {
            return Err(NotNow::Ended(ends));
        }
        let published = self.published.unwrap_or(self.read_at);
        Ok(Signing {
            authority: Arc::clone(&self.authority),
            settled_at: published.saturating_add(self.settle),
        })
    }

    /// The CA's certificate and chain, for showing.
    #[must_use]
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// Until when [`Standing::signing`] answers.
    #[must_use]
    pub fn fresh_until(&self) -> OffsetDateTime {
        self.read_at.saturating_add(self.fresh)
    }

    /// Whether a certificate has to be replaced because of the CA that signed it.
    #[must_use]
    pub fn leaf_due(&self, leaf: &Certificate, now: OffsetDateTime) -> LeafDue {
        if self.authority.issued(leaf) {
            return LeafDue::No;
        }
        if self.published.is_none() && !self.holds {
            // There is nothing better to be had.
            return LeafDue::No;
        }
        let mut trusted = self.trust.bundle.certificates().iter();
        let issuer =
            trusted.find(|ca| ca.subject == leaf.issuer && leaf.check_signed_by(ca).is_ok());
        match issuer {
            Some(_) if self.forced => LeafDue::Now,
            // The certificates of the CA before end before it leaves the bundle, but clocks
            // differ.
            Some(ca) if now.saturating_add(self.skew) > ca.validity.not_after => LeafDue::Now,
            Some(_) => LeafDue::Soon,
            None => LeafDue::Now,
        }
    }
}
