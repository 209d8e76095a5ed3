//! `--policy FILE`, and the permissions that approving and signing take.

use std::path::Path;

use anyhow::Context;

use super::{Refused, input};
use crate::cluster::{Cluster, Error};
use crate::policy::{Decision, Policy, Request, decide, needed_facts};
use crate::request::RequestObject;

/// Reads a policy file.
pub(super) fn load(path: &Path) -> anyhow::Result<Policy> {
    let (name, text) = input::read(path)?;
    let text = String::from_utf8(text).with_context(|| format!("{name} is not UTF-8"))?;
    Policy::from_yaml(&text).with_context(|| format!("the policy {name} cannot be used"))
}

/// Refuses what the policy would refuse, or says nothing about (exit code 4).
pub(super) async fn check(
    cluster: &Cluster,
    policy: &Policy,
    request: &RequestObject,
) -> anyhow::Result<()> {
    let asked = Request::from(request);
    let questions = needed_facts(&asked, policy);
    let facts = cluster.find_out(&questions, &request.requester).await?;
    let why = match decide(&asked, policy, &facts) {
        Decision::Approve { .. } => return Ok(()),
        Decision::Deny {
            rule: Some(rule),
            reason,
        } => {
            format!("it is not approved, since the policy refuses it (rule {rule}): {reason}")
        }
        Decision::Deny { rule: None, reason } => {
            format!("it is not approved, since the policy refuses it: {reason}")
        }
        Decision::Ignore { reason } => format!("it is not approved: {reason}"),
    };
    Err(Refused(why).into())
}

/// Approving and signing take two permissions: on the subresource, and on the signer
/// (`plugin/pkg/admission/certificates`). The API server asks for the second only when the
/// first is there, and names no rule for it. This says the rules to add, so that one run is
/// enough to learn both.
pub(super) fn explain_signer_permission(
    signer: &str,
    verb: &'static str,
) -> impl FnOnce(anyhow::Error) -> anyhow::Error {
    let signer = signer.to_owned();
    move |error| {
        let rule = format!(
            "{{apiGroups: [\"certificates.k8s.io\"], resources: [\"signers\"], verbs: [\"{verb}\"], resourceNames: [\"{signer}\"]}}"
        );
        match error.downcast_ref::<Error>() {
            Some(Error::Forbidden { message, .. } | Error::Api { message, .. })
                if message.contains("user not permitted to") =>
            {
                error.context(format!(
                    "not permitted to {verb} requests for {signer}: add the ClusterRole rule {rule}"
                ))
            }
            Some(Error::Forbidden { call, .. }) if call.resource.contains('/') => {
                anyhow::anyhow!(
                    "{error:#}\nneeded as well, unless it is there, to {verb} requests for {signer}: {rule}"
                )
            }
            _ => error,
        }
    }
}
