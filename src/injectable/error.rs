//! What can be wrong with an injectable object.

use serde_json::Value;

use super::ca_bundle::Finding;
use super::kind::ObjectId;
use super::record::RecordError;

/// The result of reading or planning.
pub type Result<T> = std::result::Result<T, Error>;

/// Why an object could not be read, or a change to it not be planned.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Another kind or version.
    #[error("{what} has no caBundle that certtool knows; it handles {}", KINDS)]
    NotInjectable {
        /// `apiVersion` and `kind` as found.
        what: String,
    },
    /// A field of the wrong type.
    #[error("{object}: {field} is {found}, not {expected}; correct the object")]
    Shape {
        /// The object.
        object: ObjectId,
        /// The field.
        field: String,
        /// The type it should have.
        expected: &'static str,
        /// The type it has.
        found: &'static str,
    },
    /// Two webhooks of one name: a change by name could hit the wrong one.
    #[error("{object} has two webhooks named {webhook:?}; give each its own name")]
    DuplicateName {
        /// The object.
        object: ObjectId,
        /// The name.
        webhook: String,
    },
    /// A webhook without a name.
    #[error("{object}: webhooks[{index}] has no name; give it one")]
    Unnamed {
        /// The object.
        object: ObjectId,
        /// Its position.
        index: usize,
    },
    /// The caller refused.
    #[error("{object}{}: {reason}", of_webhook(.webhook.as_deref()))]
    Refused {
        /// The object.
        object: ObjectId,
        /// The webhook.
        webhook: Option<String>,
        /// Why.
        reason: String,
    },
    /// An APIService cannot be attached.
    #[error(
        "{object} cannot be attached: an APIService has no url field; point its Service at this \
         machine instead"
    )]
    NotAttachable {
        /// The object.
        object: ObjectId,
    },
    /// The url to attach to is not one that the API server accepts.
    #[error("{url:?} cannot be attached to: it has to be https://HOST:PORT without a path")]
    BadUrl {
        /// As given.
        url: String,
    },
    /// What should become the caBundle is not a bundle.
    #[error("this cannot be used as caBundle: {finding}")]
    BadBundle {
        /// Why.
        finding: BadBundle,
    },
    /// The record would not fit.
    #[error(
        "{object}: the record of the original clientConfigs would bring its annotations to {size} \
         bytes, above Kubernetes' limit of {limit}; attach fewer of its webhooks, or remove other \
         annotations"
    )]
    AnnotationsTooLarge {
        /// The object.
        object: ObjectId,
        /// Size of all annotations with the record.
        size: usize,
        /// The limit.
        limit: usize,
    },
    /// The record on the object is unreadable.
    #[error("{object}: {source}")]
    Record {
        /// The object.
        object: ObjectId,
        /// Why.
        source: RecordError,
    },
}

/// Why bytes are refused as caBundle.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadBundle {
    /// Not a bundle at all.
    #[error("{0}")]
    Fault(super::ca_bundle::Fault),
    /// A bundle with something in it that does not belong there.
    #[error("{0}")]
    Finding(Finding),
    /// Nothing.
    #[error("it is empty")]
    Empty,
}

const KINDS: &str = "MutatingWebhookConfiguration and ValidatingWebhookConfiguration \
     (admissionregistration.k8s.io/v1), CustomResourceDefinition (apiextensions.k8s.io/v1), \
     APIService (apiregistration.k8s.io/v1)";

impl Error {
    pub(super) fn not_injectable(object: &Value) -> Self {
        let text = |key, otherwise| object.get(key).and_then(Value::as_str).unwrap_or(otherwise);
        Self::NotInjectable {
            what: format!(
                "{} {}",
                text("apiVersion", "(no apiVersion)"),
                text("kind", "(no kind)")
            ),
        }
    }

    pub(super) fn shape(
        object: &ObjectId,
        field: &str,
        expected: &'static str,
        found: &Value,
    ) -> Self {
        Self::Shape {
            object: object.clone(),
            field: field.to_owned(),
            expected,
            found: match found {
                Value::Null => "null",
                Value::Bool(_) => "a boolean",
                Value::Number(_) => "a number",
                Value::String(_) => "a string",
                Value::Array(_) => "a list",
                Value::Object(_) => "a mapping",
            },
        }
    }
}

fn of_webhook(webhook: Option<&str>) -> String {
    webhook.map_or_else(String::new, |name| format!(" webhook {name:?}"))
}
