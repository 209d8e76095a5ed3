//! What can be wrong with a document, told with its place.

use crate::injectable;
use crate::injectable::{ObjectId, TargetError};

/// A document that cannot be read or changed; the others are not concerned.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{source_name}, line {line} (document {document}){}: {reason}",
    .object.as_ref().map_or_else(String::new, |object| format!(", {object}"))
)]
pub struct DocumentError {
    /// The file, as the caller named it.
    pub source_name: String,
    /// The document's number within it, from 1.
    pub document: usize,
    /// The line within the file, from 1.
    pub line: usize,
    /// The object, where it is known.
    pub object: Option<ObjectId>,
    /// What is wrong.
    pub reason: Box<Reason>,
}

/// What is wrong with a document.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// UTF-16 or UTF-32.
    #[error("this is UTF-16; convert it to UTF-8")]
    Utf16,
    /// Not text.
    #[error("this is not UTF-8 text (a binary file?)")]
    NotText,
    /// A Go template.
    #[error(
        "this is a Go template ({{{{ … }}}}), not YAML; render it first (`helm template`), and pass \
         the result"
    )]
    Template,
    /// A tab as indentation.
    #[error("a tab is used as indentation, which YAML forbids; use spaces")]
    Tab,
    /// Any other violation of YAML's or JSON's grammar.
    #[error("this is not valid {format}: {message}")]
    Syntax {
        /// `YAML` or `JSON`.
        format: &'static str,
        /// The parser's words.
        message: String,
    },
    /// A key that is there twice.
    #[error("the key {0:?} is there twice; remove one of them")]
    DuplicateKey(String),
    /// A key that is a list or a mapping.
    #[error("a key here is not a string, which Kubernetes does not accept")]
    ComplexKey,
    /// Nested too deeply, or aliases that expand without bound.
    #[error("this is nested too deeply, or its aliases expand to too much")]
    TooMuch,
    /// A version of an injectable kind that no supported cluster serves.
    #[error("{api_version} is not served since Kubernetes 1.22; convert the object to {wanted}")]
    OldVersion {
        /// As found.
        api_version: String,
        /// What certtool reads.
        wanted: &'static str,
    },
    /// The object is malformed.
    #[error("{0}")]
    Object(#[from] injectable::Error),
    /// A client config that calls nobody.
    #[error("{}{target}", of_webhook(.webhook.as_deref()))]
    Target {
        /// The webhook.
        webhook: Option<String>,
        /// Why.
        target: TargetError,
    },
    /// The caller refused.
    #[error("{}{reason}", of_webhook(.webhook.as_deref()))]
    Refused {
        /// The webhook.
        webhook: Option<String>,
        /// Why.
        reason: String,
    },
    /// Webhooks that share one clientConfig, or one caBundle, through an alias, and should differ.
    #[error(
        "{} share one anchor and would need different caBundles; write the value out for each \
         instead of the alias",
        .webhooks.join(", ")
    )]
    SharedAnchor {
        /// Their names.
        webhooks: Vec<String>,
    },
    /// A layout that cannot be changed without touching more than the caBundle.
    #[error("{}caBundle cannot be changed here: {reason}", of_webhook(.webhook.as_deref()))]
    Layout {
        /// The webhook.
        webhook: Option<String>,
        /// Why.
        reason: &'static str,
    },
    /// The edited document does not read as it should; it is left as it was.
    #[error(
        "the document reads differently after the change ({0}), so it is left as it was; please \
         report this with the document"
    )]
    Verification(&'static str),
}

/// A reason and the byte of the document where it arose.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) offset: usize,
    pub(super) reason: Reason,
}

impl Fault {
    pub(super) fn new(offset: usize, reason: Reason) -> Self {
        Self { offset, reason }
    }
}

fn of_webhook(webhook: Option<&str>) -> String {
    webhook.map_or_else(String::new, |name| format!("webhook {name:?}: "))
}
