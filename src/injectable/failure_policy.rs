//! Plans the `failurePolicy` of webhooks, which is safe to tighten once they answer.

use std::fmt;
use std::str::FromStr;

use serde_json::Value;

use super::client_config::{ClientConfig, client_configs};
use super::kind::ObjectId;
use super::patch::{Edits, check_names};
use super::plan::{Outcome, Plan, What};
use super::{Error, Result};

/// What the API server does when a webhook cannot be called
/// (`k8s.io/api/admissionregistration/v1`, `FailurePolicyType`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailurePolicy {
    /// It refuses the request.
    Fail,
    /// It goes on without the webhook.
    Ignore,
}

impl FailurePolicy {
    /// As the field spells it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fail => "Fail",
            Self::Ignore => "Ignore",
        }
    }
}

impl fmt::Display for FailurePolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Not a failure policy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a failure policy: Fail or Ignore")]
pub struct UnknownFailurePolicy(String);

impl FromStr for FailurePolicy {
    type Err = UnknownFailurePolicy;

    fn from_str(text: &str) -> std::result::Result<Self, Self::Err> {
        [Self::Fail, Self::Ignore]
            .into_iter()
            .find(|policy| text.eq_ignore_ascii_case(policy.as_str()))
            .ok_or_else(|| UnknownFailurePolicy(text.to_owned()))
    }
}

/// Plans the failure policy of the webhooks that are `chosen`. A CRD's conversion and an
/// APIService have none: their outcomes say "unchanged".
///
/// # Errors
/// The object is malformed, or two of its webhooks have one name.
pub fn plan_failure_policy(
    object: &Value,
    policy: FailurePolicy,
    chosen: impl Fn(&ClientConfig) -> bool,
) -> Result<Plan> {
    let id = ObjectId::of(object).ok_or_else(|| Error::not_injectable(object))?;
    let configs = client_configs(object)?;
    let mut edits = Edits::new(object);
    let mut outcomes = Vec::new();
    for config in configs.iter().filter(|config| chosen(config)) {
        let mut what = What::Unchanged;
        if let Some(index) = config.index {
            let webhook = format!("/webhooks/{index}");
            let current = object.pointer(&format!("{webhook}/failurePolicy"));
            if current.and_then(Value::as_str) != Some(policy.as_str()) {
                edits.guard(config);
                edits.add(&webhook, "failurePolicy", Value::from(policy.as_str()));
                what = What::FailurePolicy(policy);
            }
        }
        outcomes.push(Outcome {
            webhook: super::patch::name_of(config, &id),
            what,
        });
    }
    if !edits.is_empty() {
        check_names(&configs, &id)?;
    }
    Ok(Plan {
        object: id,
        patch: edits.into_patch(),
        outcomes,
        record: None,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn configuration() -> Value {
        let webhook = |name: &str, policy: &str| {
            json!({
                "name": name, "failurePolicy": policy,
                "clientConfig": { "service": { "name": name, "namespace": "shop" } },
            })
        };
        json!({
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "ValidatingWebhookConfiguration",
            "metadata": { "name": "v", "resourceVersion": "7" },
            "webhooks": [webhook("other", "Ignore"), webhook("ours", "Ignore")],
        })
    }

    fn ours(config: &ClientConfig) -> bool {
        config.webhook.as_deref() == Some("ours")
    }

    #[test]
    fn only_the_chosen_webhook_changes_and_the_patch_is_guarded() {
        let mut object = configuration();
        let plan = plan_failure_policy(&object, FailurePolicy::Fail, ours).unwrap();
        let patch = serde_json::to_value(plan.patch.clone().unwrap()).unwrap();
        assert_eq!(
            patch,
            json!([
                { "op": "test", "path": "/metadata/resourceVersion", "value": "7" },
                { "op": "test", "path": "/webhooks/1/name", "value": "ours" },
                { "op": "add", "path": "/webhooks/1/failurePolicy", "value": "Fail" },
            ])
        );
        json_patch::patch(&mut object, &plan.patch.unwrap()).unwrap();
        assert_eq!(object["webhooks"][0]["failurePolicy"], "Ignore");
        let again = plan_failure_policy(&object, FailurePolicy::Fail, ours).unwrap();
        assert_eq!(again.patch, None);
    }

    #[test]
    fn a_policy_is_read_in_any_case_and_nothing_else_is() {
        assert_eq!("fail".parse(), Ok(FailurePolicy::Fail));
        assert_eq!("Ignore".parse(), Ok(FailurePolicy::Ignore));
        assert!("Retry".parse::<FailurePolicy>().is_err());
    }
}
