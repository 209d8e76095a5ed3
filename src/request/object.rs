//! Reading a CertificateSigningRequest.

use std::collections::BTreeMap;

use base64::Engine;
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::state::State;
use crate::pki::{Csr, CsrError};

/// A CertificateSigningRequest as far as certtool needs it.
#[derive(Debug, Clone, PartialEq)]
pub struct RequestObject {
    /// `metadata.name`
    pub name: String,
    /// `metadata.uid`: names are used again, UIDs are not.
    pub uid: String,
    /// `metadata.creationTimestamp`
    pub created: Option<OffsetDateTime>,
    /// `spec.signerName`
    pub signer_name: String,
    /// Who asks, as the API server found out.
    pub requester: Requester,
    /// `spec.usages`
    pub usages: Vec<String>,
    /// `spec.expirationSeconds`
    pub expiration_seconds: Option<i64>,
    /// `spec.request`, decoded: PEM.
    pub request: Vec<u8>,
    /// `status.conditions`
    pub conditions: Vec<Condition>,
    /// `status.certificate`, decoded: PEM.
    pub certificate: Option<Vec<u8>>,
    /// The object itself, for writing it back whole.
    pub object: Value,
}

/// Who made a request: `spec.username`, `groups`, `uid` and `extra`, which the API server
/// sets and nobody else can.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Requester {
    /// The user name.
    pub username: String,
    /// The user's UID.
    pub uid: String,
    /// The user's groups.
    pub groups: Vec<String>,
    /// What else the authenticator said.
    pub extra: BTreeMap<String, Vec<String>>,
}

impl Requester {
    /// The pod whose bound service-account token was used, if one was.
    #[must_use]
    pub fn pod(&self) -> Option<&str> {
        self.extra
            .get("authentication.kubernetes.io/pod-name")?
            .first()
            .map(String::as_str)
    }
}

/// One of `status.conditions`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// `Approved`, `Denied` or `Failed`.
    pub kind: String,
    /// A word.
    pub reason: String,
    /// A sentence.
    pub message: String,
    /// `lastUpdateTime`
    pub updated: Option<OffsetDateTime>,
}

/// An object that does not read as a CertificateSigningRequest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("CertificateSigningRequest {name:?} cannot be read: {why}")]
pub struct Malformed {
    /// Its name, as far as it has one.
    pub name: String,
    /// What is wrong.
    pub why: String,
}

impl RequestObject {
    /// Reads the object.
    ///
    /// # Errors
    /// [`Malformed`] when a field that is required is missing or of another type.
    pub fn read(object: Value) -> Result<Self, Malformed> {
        let name = text(&object, "/metadata/name");
        let malformed = |why: &str| Malformed {
            name: name.clone(),
            why: why.to_owned(),
        };
        let decode = |pointer: &str| {
            let encoded = object
                .pointer(pointer)
                .and_then(Value::as_str)
                .unwrap_or_default();
            base64::engine::general_purpose::STANDARD
                .decode(encoded)
                .map_err(|_| {
                    malformed(&format!(
                        "{} is not base64",
                        pointer.trim_start_matches('/')
                    ))
                })
        };
        let request = decode("/spec/request")?;
        if request.is_empty() {
            return Err(malformed("spec.request is empty"));
        }
        let certificate = Some(decode("/status/certificate")?).filter(|pem| !pem.is_empty());
        let conditions = object
            .pointer("/status/conditions")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            // A condition that is not `True` says nothing (only Failed and Denied had that before v1).
            .filter(|condition| text(condition, "/status") != "False")
            .map(|condition| Condition {
                kind: text(condition, "/type"),
                reason: text(condition, "/reason"),
                message: text(condition, "/message"),
                updated: instant(condition, "/lastUpdateTime"),
            })
            .collect();
        let extra = object
            .pointer("/spec/extra")
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
            .map(|(key, values)| (key.clone(), strings(Some(values))))
            .collect();
        Ok(Self {
            uid: text(&object, "/metadata/uid"),
            created: instant(&object, "/metadata/creationTimestamp"),
            signer_name: text(&object, "/spec/signerName"),
            requester: Requester {
                username: text(&object, "/spec/username"),
                uid: text(&object, "/spec/uid"),
                groups: strings(object.pointer("/spec/groups")),
                extra,
            },
            usages: strings(object.pointer("/spec/usages")),
            expiration_seconds: object
                .pointer("/spec/expirationSeconds")
                .and_then(Value::as_i64),
            request,
            conditions,
            certificate,
            name,
            object,
        })
    }

    /// The same with only those parts of the object that a write to a subresource takes: the
    /// API server keeps the rest as it is (`pkg/registry/certificates/certificates/strategy.go`).
    #[must_use]
    pub fn for_subresources(mut self) -> Self {
        if let Some(object) = self.object.as_object_mut() {
            object.shift_remove("spec");
        }
        if let Some(metadata) = self.object["metadata"].as_object_mut() {
            metadata.shift_remove("managedFields");
        }
        self
    }

    /// The request itself, decoded; its signature is not checked yet.
    ///
    /// # Errors
    /// See [`CsrError`].
    pub fn csr(&self) -> Result<Csr, CsrError> {
        Csr::from_pem(&self.request)
    }

    /// What state it is in.
    #[must_use]
    pub fn state(&self) -> State {
        State::of(self)
    }

    /// The condition of a type.
    #[must_use]
    pub fn condition(&self, kind: &str) -> Option<&Condition> {
        self.conditions
            .iter()
            .find(|condition| condition.kind == kind)
    }
}

fn text(object: &Value, pointer: &str) -> String {
    object
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned()
}

fn strings(value: Option<&Value>) -> Vec<String> {
    let values = value.and_then(Value::as_array).into_iter().flatten();
    values
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect()
}

fn instant(object: &Value, pointer: &str) -> Option<OffsetDateTime> {
    OffsetDateTime::parse(object.pointer(pointer)?.as_str()?, &Rfc3339).ok()
}
