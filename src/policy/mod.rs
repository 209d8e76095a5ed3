//! Which certificate signing requests are approved: one language for
//! `certtool approve --policy` and the controller.
//!
//! [`decide`] takes a [`Request`] (the object's fields), a [`Policy`] (the file) and
//! [`Facts`] (what the shell has looked up) and says what to do. It is pure. What it
//! would need to know it says itself ([`needed_facts`]).
//!
//! Invariants of the module:
//! * Deny by default: a request is approved only when one rule allows every part of
//!   it. A part that no field of the language is about is refused by `asked` before any
//!   rule is looked at.
//! * A fact that is missing never approves.
//! * [`Terms`], the source of the certificate, come with an approval and in no other
//!   way, and hold values that a rule allowed.
//! * What a requester cannot prove binds no placeholder (`requester`).
//!
//! How a request is read: signer → requester → PKCS #10 → rules, in order, first that
//! allows. Of several rules that refuse, the reason of the one that got furthest is
//! given.

mod asked;
mod document;
mod error;
mod evaluate;
mod facts;
mod glob;
mod ip_range;
mod lifetime;
mod pattern;
mod refusal;
mod request;
mod requester;
mod terms;
mod text;
mod who;
mod words;

pub use document::{DEFAULT_POLICY, InlinePolicy, Policy};
pub use error::PolicyError;
pub use facts::{Facts, Lookups, Pod, Question, Service};
pub use refusal::Refusal;
pub use request::Request;
pub use terms::Terms;

pub(crate) use lifetime::MaximumLifetime;
pub(crate) use text::read as read_text;
pub(crate) use words::{Key, SignerName, UsageName};

use asked::Asked;
use document::OtherRequesters;
use evaluate::{Case, Outcome};
use requester::Requester;

/// What to do with a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Approve it.
    Approve {
        /// The rule that allows it.
        rule: String,
        /// What its certificate may say.
        terms: Box<Terms>,
    },
    /// Deny it.
    Deny {
        /// The rule that came closest; none when no rule could ever allow it.
        rule: Option<String>,
        /// Why.
        reason: Refusal,
    },
    /// Do nothing, now or ever.
    Ignore {
        /// Why.
        reason: Ignored,
    },
}

/// Why nothing is to be done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Ignored {
    /// It is for a signer that the policy does not list.
    #[error("the policy is not about signer {0:?}")]
    OtherSigner(String),
    /// No rule is about the requester, and the policy leaves such requests alone.
    #[error("no rule is about the requester {0:?}, and such requests are left alone")]
    OtherRequester(String),
    /// It is not known yet: find out, and decide again.
    #[error("not decided by rule {rule}: not known are {}", list(.questions))]
    Unknown {
        /// The first rule that depends on it.
        rule: String,
        /// What to find out.
        questions: Vec<Question>,
    },
}

fn list(questions: &[Question]) -> String {
    let all: Vec<String> = questions.iter().map(ToString::to_string).collect();
    all.join(", ")
}

/// Decides about a request.
#[must_use]
pub fn decide(request: &Request, policy: &Policy, facts: &Facts) -> Decision {
    let ignore = |reason| Decision::Ignore { reason };
    if !policy
        .signer_names()
        .any(|name| name == request.signer_name)
    {
        return ignore(Ignored::OtherSigner(request.signer_name.clone()));
    }
    let case = Case {
        request,
        requester: Requester::of(request),
        policy,
    };
    let rules: Vec<_> = policy
        .0
        .rules
        .iter()
        .filter(|rule| case.concerns(rule))
        .collect();
    if rules.is_empty() {
        let username = request.username.clone();
        return match (policy.0.other_requesters, case.requester) {
            (OtherRequesters::Ignore, _) => ignore(Ignored::OtherRequester(username)),
            (OtherRequesters::Deny, Requester::Impostor(why)) => {
                deny(None, Refusal::Impostor { username, why })
            }
            (OtherRequesters::Deny, _) => deny(None, Refusal::Requester(username)),
        };
    }
    let asked = match Asked::read(request) {
        Ok(asked) => asked,
        Err(refusal) => return deny(None, refusal),
    };
    let mut open: Option<(String, Vec<Question>)> = None;
    let mut closest: Option<(String, Refusal)> = None;
    for rule in rules {
        let name = rule.name.clone();
        match case.evaluate(rule, &asked, facts) {
            Outcome::Allowed(terms) => return Decision::Approve { rule: name, terms },
            Outcome::Unknown(more) => {
                let (_, questions) = open.get_or_insert_with(|| (name, Vec::new()));
                for question in more {
                    if !questions.contains(&question) {
                        questions.push(question);
                    }
                }
            }
            Outcome::Refused(refusal) => {
                let further = |(_, best): &(_, Refusal)| refusal.progress() > best.progress();
                if closest.as_ref().is_none_or(further) {
                    closest = Some((name, refusal));
                }
            }
        }
    }
    match (open, closest) {
        (Some((rule, questions)), _) => ignore(Ignored::Unknown { rule, questions }),
        (None, Some((rule, refusal))) => deny(Some(rule), refusal),
        // Not reached: there is a rule, and it said something.
        (None, None) => deny(None, Refusal::Requester(request.username.clone())),
    }
}

fn deny(rule: Option<String>, reason: Refusal) -> Decision {
    Decision::Deny { rule, reason }
}

/// What to find out before deciding: nothing for a request that is decided by itself.
///
/// The same as deciding without facts, so that nothing can be left out here.
#[must_use]
pub fn needed_facts(request: &Request, policy: &Policy) -> Vec<Question> {
    match decide(request, policy, &Facts::default()) {
        Decision::Ignore {
            reason: Ignored::Unknown { questions, .. },
        } => questions,
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests;
