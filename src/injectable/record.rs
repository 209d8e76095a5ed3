//! The record of what a webhook was before it was attached to somebody's machine.
//!
//! It is kept in an annotation on the object, so that any machine can put the object back, and in a
//! local file, in case someone removes the annotation. Both hold the same JSON.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::client_config::{ClientConfig, Target};
use super::kind::ObjectId;

/// The annotation that holds the record.
pub const ANNOTATION: &str = "certtool.dev/local-dev-attached";

/// Kubernetes' limit on all annotations of an object: keys and values together.
pub(super) const ANNOTATIONS_LIMIT: usize = 256 * 1024;

const VERSION: u32 = 1;

/// What was attached, when, by whom, and what to put back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// Format of this record.
    pub version: u32,
    /// When, as RFC 3339.
    pub at: String,
    /// Who.
    pub by: String,
    /// The machine that is called.
    pub host: String,
    /// By webhook name; for a CRD, one entry under the CRD's name.
    pub webhooks: BTreeMap<String, Entry>,
}

/// One attached client config.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// The `clientConfig` as it was, field by field.
    pub original: Value,
    /// What it was replaced by.
    pub attached: Attached,
}

/// What a client config was replaced by, enough to recognise it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Attached {
    /// The url.
    pub url: String,
    /// SHA-256 of the decoded caBundle, in hexadecimal.
    pub ca_bundle_sha256: String,
}

/// Why a record cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// Not a record.
    #[error(
        "the record in {ANNOTATION} cannot be read: {0}; use the local file's, or restore the \
         clientConfig by hand and remove the annotation"
    )]
    Malformed(String),
    /// From a newer certtool.
    #[error(
        "the record in {ANNOTATION} has version {0} and this certtool knows version {VERSION}; \
         use a newer certtool"
    )]
    Version(u32),
}

impl Record {
    pub(super) fn new(at: &str, by: &str, host: &str) -> Self {
        Self {
            version: VERSION,
            at: at.to_owned(),
            by: by.to_owned(),
            host: host.to_owned(),
            webhooks: BTreeMap::new(),
        }
    }

    /// Reads the record's JSON.
    ///
    /// # Errors
    /// It is not a record, or one of a version that is not known here.
    pub fn parse(text: &str) -> Result<Self, RecordError> {
        #[derive(Deserialize)]
        struct Versioned {
            version: u32,
        }
        let malformed = |error: serde_json::Error| RecordError::Malformed(error.to_string());
        let Versioned { version } = serde_json::from_str(text).map_err(malformed)?;
        if version != VERSION {
            return Err(RecordError::Version(version));
        }
        serde_json::from_str(text).map_err(malformed)
    }

    /// The record on an object; `None` when it is not attached.
    ///
    /// # Errors
    /// There is an annotation, but it is not a record.
    pub fn of_object(object: &Value) -> Result<Option<Self>, RecordError> {
        let annotation = object
            .pointer("/metadata/annotations")
            .and_then(|annotations| annotations.get(ANNOTATION));
        match annotation {
            None => Ok(None),
            Some(Value::String(text)) => Self::parse(text).map(Some),
            Some(_) => Err(RecordError::Malformed("it is not a string".to_owned())),
        }
    }

    /// The entry of a webhook, if it is attached still: it calls the url that was set.
    #[must_use]
    pub fn attached(&self, id: &ObjectId, config: &ClientConfig) -> Option<&Entry> {
        let entry = self
            .webhooks
            .get(config.webhook.as_ref().unwrap_or(&id.name));
        entry.filter(|entry| config.target == Ok(Target::Url(entry.attached.url.clone())))
    }

    /// The record as compact JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        // Strings and JSON values alone: cannot fail, and an empty record would be refused on reading.
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// SHA-256 in hexadecimal.
pub(super) fn sha256(bytes: &[u8]) -> String {
    use std::fmt::Write as _;

    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
    digest.as_ref().iter().fold(String::new(), |mut hex, byte| {
        // Writing to a String cannot fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}
