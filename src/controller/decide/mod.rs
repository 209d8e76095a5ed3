//! What to do with one request next: the object, the policy's decision, the limits and the
//! time in, a step out.
//!
//! Pure. The shell (`controller::signer`) fetches what is needed and carries the step out; after
//! each write it asks again with the object that the API server returned.

use time::{Duration, OffsetDateTime};

use super::config::Limits;
use crate::pki::{CsrError, Grant, IssueError, PublicKey, SignatureError, Usage, VerifiedCsr};
use crate::plan::{Unsignable, grant_as_controller_manager};
use crate::policy::{Decision, Ignored, Terms};
use crate::request::{RequestObject, State};

/// The reason of an approval by the policy, by which a restarted controller knows its own.
pub(super) const APPROVED_REASON: &str = "AllowedByPolicy";
/// The reason that kube-controller-manager gives to what can never be signed.
pub(super) const FAILED_REASON: &str = "SignerValidationFailure";

/// What to do about a request that nobody has decided about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// Write the condition `Approved`, then sign.
    Approve {
        /// The condition's message.
        message: String,
        /// What the certificate may say.
        terms: Box<Terms>,
    },
    /// Write the condition `Denied`.
    Deny {
        /// The condition's reason.
        reason: &'static str,
        /// The condition's message.
        message: String,
    },
    /// Look again later.
    Wait(String),
    /// Somebody else decides.
    Leave(String),
}

/// What follows from the policy's decision about a request.
///
/// A refusal that may pass (the Service is not there yet) is not written down before
/// `patience` is over, counted from the request's creation: a denial is for ever.
pub(super) fn undecided(
    decision: Decision,
    created: Option<OffsetDateTime>,
    patience: Duration,
    now: OffsetDateTime,
) -> Step {
    match decision {
        Decision::Approve { rule, terms } => Step::Approve {
            message: format!("rule {rule} of the signer's policy allows it"),
            terms,
        },
        Decision::Deny { reason, .. }
            if reason.may_pass() && created.is_some_and(|created| now < created + patience) =>
        {
            Step::Wait(reason.to_string())
        }
        Decision::Deny { rule, reason } => Step::Deny {
            reason: reason.code(),
            message: match rule {
                Some(rule) => format!("{reason} (rule {rule})"),
                None => reason.to_string(),
            },
        },
        Decision::Ignore { reason } => match reason {
            Ignored::Unknown { .. } => Step::Wait(reason.to_string()),
            Ignored::OtherSigner(_) | Ignored::OtherRequester(_) => Step::Leave(reason.to_string()),
        },
    }
}

/// Whether the approval that stands on a request is the policy's.
pub(super) fn approved_by_policy(request: &RequestObject) -> bool {
    request.state() == State::Approved
        && request
            .condition("Approved")
            .is_some_and(|condition| condition.reason == APPROVED_REASON)
}

/// Why a request can never be signed by this signer: it gets the condition `Failed`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Never {
    #[error(transparent)]
    Csr(#[from] CsrError),
    #[error(transparent)]
    Signature(#[from] SignatureError),
    #[error(transparent)]
    Unsignable(#[from] Unsignable),
    #[error("the signer's limits do not include the usage {0:?}")]
    Usage(&'static str),
    #[error("the signer's limits do not include keys of type {0}")]
    Key(String),
    #[error(transparent)]
    Issue(IssueError),
}

/// What to sign for an approved request.
///
/// By `terms` when the policy approved it in this very process, or would again; else by
/// kube-controller-manager's rules: the request's names, since whoever approved it saw them.
/// The limits hold either way: no CA, no other usage, no weaker key, no longer life.
pub(super) fn to_sign(
    request: &RequestObject,
    terms: Option<&Terms>,
    limits: &Limits,
    now: OffsetDateTime,
) -> Result<(PublicKey, Grant), Never> {
    let csr = request.csr()?;
    let verified = csr.verified()?;
    let mut grant = match terms {
        Some(terms) => terms.grant(now),
        None => as_approved(&verified, request, limits, now)?,
    };
    check(&grant.usages, &csr.public_key, limits)?;
    let end = now.saturating_add(limits.maximum());
    grant.validity.not_after = grant.validity.not_after.min(whole_seconds(end));
    Ok((csr.public_key.clone(), grant))
}

fn as_approved(
    csr: &VerifiedCsr<'_>,
    request: &RequestObject,
    limits: &Limits,
    now: OffsetDateTime,
) -> Result<Grant, Never> {
    let asked = request
        .expiration_seconds
        .map_or_else(|| limits.default_life(), Duration::seconds);
    let (usages, maximum) = (&request.usages, limits.maximum());
    Ok(grant_as_controller_manager(
        csr,
        &[],
        usages,
        Some(asked),
        maximum,
        now,
    )?)
}

fn check(usages: &[Usage], key: &PublicKey, limits: &Limits) -> Result<(), Never> {
    let allowed: Vec<Usage> = limits.usages().collect();
    if let Some(usage) = usages.iter().find(|usage| !allowed.contains(usage)) {
        return Err(Never::Usage(usage.name()));
    }
    if !limits.allows_key(key.kind()) {
        return Err(Never::Key(key.kind().to_string()));
    }
    Ok(())
}

fn whole_seconds(at: OffsetDateTime) -> OffsetDateTime {
    at.replace_nanosecond(0).unwrap_or(at)
}

/// Whether another CA, or this one at another time, could sign what this one would not.
pub(super) fn may_issue_later(error: &IssueError) -> bool {
    match error {
        IssueError::CaNotValid { .. } | IssueError::EmptyValidity { .. } => true,
        IssueError::NoNames
        | IssueError::PathLength { .. }
        | IssueError::NameConstraints(_)
        | IssueError::Content(_) => false,
    }
}

#[cfg(test)]
mod tests;
