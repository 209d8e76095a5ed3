//! What only the cluster knows: questions that a decision depends on, and answers.
//!
//! The shell fetches objects and hands over their values; whether a Service selects a
//! pod is judged here, so that it is judged the same everywhere. A question without
//! an answer never approves anything.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value;

use crate::pki::ServiceName;

/// Something to find out before a request can be decided.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Question {
    /// The Service of this name: answer with [`Facts::set_service`].
    Service(ServiceName),
    /// The Pod of this name: answer with [`Facts::set_pod`].
    Pod {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
    /// Whether the requester may `request` from the signer: a SubjectAccessReview with
    /// the request's own username, uid, groups and extra, for the verb
    /// [`Question::ACCESS_VERB`] on `signers.certificates.k8s.io`, cluster-scoped, of
    /// the signer's name. Answer with [`Facts::set_signer_access`].
    SignerAccess {
        /// The signer's name, which is the resource name of the review.
        signer_name: String,
    },
}

impl Question {
    /// The verb on `signers.certificates.k8s.io` that lets a requester ask. Kubernetes
    /// itself uses `approve`, `attest` and `sign` there, for the other side.
    pub const ACCESS_VERB: &'static str = "request";
}

impl fmt::Display for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Service(service) => write!(f, "Service {service}"),
            Self::Pod { namespace, name } => write!(f, "Pod {namespace}/{name}"),
            Self::SignerAccess { signer_name } => write!(
                f,
                "whether the requester may {} from signer {signer_name}",
                Self::ACCESS_VERB
            ),
        }
    }
}

/// The kinds of questions that a policy may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Lookups {
    /// [`Question::Service`]
    pub services: bool,
    /// [`Question::Pod`]
    pub pods: bool,
    /// [`Question::SignerAccess`]
    pub access: bool,
}

/// A Service, as far as a decision needs it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Service {
    /// `spec.selector`.
    pub selector: BTreeMap<String, String>,
    /// Whether `spec.type` is `ExternalName`, which leads out of the cluster.
    pub external: bool,
}

/// A Pod, as far as a decision needs it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Pod {
    /// `metadata.uid`.
    pub uid: String,
    /// `metadata.labels`.
    pub labels: BTreeMap<String, String>,
    /// `spec.serviceAccountName`.
    pub service_account: String,
}

impl Service {
    /// The Service in an API object. What is missing or of another type counts as absent.
    #[must_use]
    pub fn from_object(object: &Value) -> Self {
        Self {
            selector: strings(&object["spec"]["selector"]),
            external: object["spec"]["type"] == "ExternalName",
        }
    }

    /// Whether it sends traffic to pods with these labels. A Service without a selector
    /// selects nothing: its endpoints are written by hand.
    #[must_use]
    pub fn selects(&self, labels: &BTreeMap<String, String>) -> bool {
        !self.external
            && !self.selector.is_empty()
            && self
                .selector
                .iter()
                .all(|(key, value)| labels.get(key) == Some(value))
    }
}

impl Pod {
    /// The Pod in an API object. What is missing or of another type counts as absent.
    #[must_use]
    pub fn from_object(object: &Value) -> Self {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Self {
            uid: text(&object["metadata"]["uid"]),
            labels: strings(&object["metadata"]["labels"]),
            service_account: text(&object["spec"]["serviceAccountName"]),
        }
    }
}

fn strings(value: &Value) -> BTreeMap<String, String> {
    let pairs = value.as_object().into_iter().flatten();
    pairs
        .map(|(key, value)| (key.clone(), value.as_str().unwrap_or_default().to_owned()))
        .collect()
}

/// Answers to [`Question`]s. What is not in here is not known.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Facts {
    services: BTreeMap<ServiceName, Option<Service>>,
    pods: BTreeMap<(String, String), Option<Pod>>,
    signer_access: BTreeMap<String, bool>,
}

impl Facts {
    /// The Service of this name, `None` when the API server says that there is none.
    pub fn set_service(&mut self, name: ServiceName, service: Option<Service>) {
        self.services.insert(name, service);
    }

    /// The Pod of this name, `None` when the API server says that there is none.
    pub fn set_pod(&mut self, namespace: &str, name: &str, pod: Option<Pod>) {
        self.pods
            .insert((namespace.to_owned(), name.to_owned()), pod);
    }

    /// The answer of the SubjectAccessReview of [`Question::SignerAccess`].
    pub fn set_signer_access(&mut self, signer_name: &str, allowed: bool) {
        self.signer_access.insert(signer_name.to_owned(), allowed);
    }

    pub(super) fn service(&self, name: &ServiceName) -> Answer<&Service> {
        self.services.get(name).map(Option::as_ref)
    }

    pub(super) fn pod(&self, namespace: &str, name: &str) -> Answer<&Pod> {
        let key = (namespace.to_owned(), name.to_owned());
        self.pods.get(&key).map(Option::as_ref)
    }

    pub(super) fn signer_access(&self, signer_name: &str) -> Option<bool> {
        self.signer_access.get(signer_name).copied()
    }
}

/// Not asked yet; asked, and there is none; there is one.
type Answer<T> = Option<Option<T>>;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_service_selects_by_every_pair_of_its_selector() {
        let service = |spec: Value| Service::from_object(&json!({ "spec": spec }));
        let labels = strings(&json!({"app": "hook", "tier": "web"}));
        assert!(service(json!({"selector": {"app": "hook"}})).selects(&labels));
        assert!(!service(json!({"selector": {"app": "hook", "x": "y"}})).selects(&labels));
        assert!(!service(json!({"selector": {"app": 5}})).selects(&labels));
        assert!(!service(json!({"selector": {}})).selects(&labels));
        assert!(!service(json!({})).selects(&labels));
        let external = json!({"type": "ExternalName", "selector": {"app": "hook"}});
        assert!(!service(external).selects(&labels));
    }
}
