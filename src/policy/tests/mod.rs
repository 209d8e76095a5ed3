//! Tests of the language as a whole. Each file has its own subject:
//! * `rules`: every field of the language, with a request that it allows and one that
//!   tries to get past it;
//! * `forged`: requests, genuine and forged, which the tests of the controller submit to a real
//!   API server too;
//! * `escapes`: the forged requests against the shipped policy;
//! * `random`: names put together at random, against an independent definition;
//! * `file`: what is refused in a policy file;
//! * `documentation`: the schema and the reference's examples.

mod documentation;
mod escapes;
mod file;
mod forged;
mod random;
mod rules;

use std::collections::BTreeMap;

use forged::{HOOK, asking, by_account, by_user, csr, dns, naming, signed_by, strings};
pub(crate) use forged::{good_csr, request};

use super::*;
use crate::pki::{Csr, DistinguishedName, KeyAlgorithm, PrivateKey, San};

fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect()
}

/// A cluster: in every namespace a pod `hook-0` that Services `hook` and `x-webhook`
/// select; Services `other` (selects another pod), `manual` and `kubernetes` (no
/// selector) and `outside` (ExternalName), no others; RBAC allows every signer but
/// `no.…`.
pub(super) fn look_up(questions: &[Question]) -> Facts {
    let mut facts = Facts::default();
    for question in questions {
        match question {
            Question::Service(name) => {
                let selector: &[(&str, &str)] = match name.name.as_str() {
                    "hook" | "x-webhook" | "outside" => &[("app", "hook")],
                    "other" => &[("app", "other")],
                    "manual" | "kubernetes" => &[],
                    _ => {
                        facts.set_service(name.clone(), None);
                        continue;
                    }
                };
                let service = Service {
                    selector: map(selector),
                    external: name.name == "outside",
                };
                facts.set_service(name.clone(), Some(service));
            }
            Question::Pod { namespace, name } => {
                let pod = Pod {
                    uid: "pod-uid-1".to_owned(),
                    labels: map(&[("app", "hook"), ("tier", "web")]),
                    service_account: "hook".to_owned(),
                };
                facts.set_pod(namespace, name, (name == "hook-0").then_some(pod));
            }
            Question::SignerAccess { signer_name } => {
                facts.set_signer_access(signer_name, !signer_name.starts_with("no."));
            }
        }
    }
    facts
}

/// Asks, looks up, decides: what the shell does.
pub(super) fn settle(request: &Request, policy: &Policy) -> Decision {
    decide(request, policy, &look_up(&needed_facts(request, policy)))
}

pub(super) fn shipped() -> Policy {
    Policy::from_yaml(DEFAULT_POLICY).unwrap()
}

/// The terms, or a panic that says why not.
pub(super) fn terms(request: &Request, policy: &Policy) -> Terms {
    match settle(request, policy) {
        Decision::Approve { terms, .. } => *terms,
        other => panic!("not approved: {other:?}"),
    }
}

/// The reason of a denial, or a panic.
pub(super) fn refusal(request: &Request, policy: &Policy) -> Refusal {
    match settle(request, policy) {
        Decision::Deny { reason, .. } => reason,
        other => panic!("not denied: {other:?}"),
    }
}
