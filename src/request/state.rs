//! The state of a request, and the changes of it that certtool writes.

use std::fmt;

use serde_json::{Value, json};

use super::object::RequestObject;

/// Where a request stands, as `kubectl get csr` shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum State {
    /// Neither approved nor denied.
    Pending,
    /// Approved, and no certificate yet.
    Approved,
    /// Denied, for good.
    Denied,
    /// It can never be signed.
    Failed,
    /// It has its certificate.
    Issued,
}

/// What an approver decides. The two exclude each other, and neither can be taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// `Approved`
    Approve,
    /// `Denied`
    Deny,
}

impl State {
    pub(super) fn of(request: &RequestObject) -> Self {
        let has = |kind| request.condition(kind).is_some();
        if has("Denied") {
            Self::Denied
        } else if has("Failed") {
            Self::Failed
        } else if request.certificate.is_some() {
            Self::Issued
        } else if has("Approved") {
            Self::Approved
        } else {
            Self::Pending
        }
    }

    /// As kubectl writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Approved => "Approved",
            Self::Denied => "Denied",
            Self::Failed => "Failed",
            Self::Issued => "Approved,Issued",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Decision {
    /// The condition's type.
    #[must_use]
    pub fn condition(self) -> &'static str {
        match self {
            Self::Approve => "Approved",
            Self::Deny => "Denied",
        }
    }
}

/// The object with the decision in its conditions, for the `approval` subresource; `now`
/// in RFC 3339.
#[must_use]
pub fn with_decision(
    request: &RequestObject,
    decision: Decision,
    reason: &str,
    message: &str,
    now: &str,
) -> Value {
    with_condition(&request.object, decision.condition(), reason, message, now)
}

/// The object with a `Failed` condition, for the `status` subresource: it can never be signed.
#[must_use]
pub fn with_failure(request: &RequestObject, reason: &str, message: &str, now: &str) -> Value {
    with_condition(&request.object, "Failed", reason, message, now)
}

fn with_condition(object: &Value, kind: &str, reason: &str, message: &str, now: &str) -> Value {
    let mut object = object.clone();
    let condition = json!({
        "type": kind,
        "status": "True",
        "reason": reason,
        "message": message,
        "lastUpdateTime": now,
        "lastTransitionTime": now,
    });
    if !object["status"].is_object() {
        object["status"] = json!({});
    }
    match &mut object["status"]["conditions"] {
        Value::Array(conditions) => conditions.push(condition),
        other => *other = json!([condition]),
    }
    object
}
