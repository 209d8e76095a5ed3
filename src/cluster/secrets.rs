//! Secrets that hold a pair or a CA: `kubernetes.io/tls` with `tls.crt` and `tls.key`, and
//! `ca.crt` beside them.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kube::api::GetParams;
use kube::core::Request;
use serde::de::IgnoredAny;
use serde_json::{Map, Value, json};

use super::call::Call;
use super::client::Cluster;
use super::error::{Error, Result};
use super::write::{MANAGED_BY, Version};
use crate::NamespacedName;

/// `NAMESPACE/NAME` of a Secret.
pub type SecretName = NamespacedName;

/// A Secret's data, decoded; redacted in `Debug`.
#[derive(Clone)]
pub struct SecretData {
    /// `metadata.uid`
    pub uid: String,
    /// `metadata.resourceVersion`
    pub resource_version: String,
    /// `type`
    pub kind: String,
    /// `data`, decoded.
    pub data: BTreeMap<String, Vec<u8>>,
    /// `metadata.annotations`
    pub annotations: BTreeMap<String, String>,
    /// Whether certtool made it, as its label says.
    pub is_ours: bool,
}

impl SecretData {
    pub(super) fn version(&self) -> Version<'_> {
        Version {
            uid: &self.uid,
            resource_version: &self.resource_version,
        }
    }
}

impl fmt::Debug for SecretData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys: Vec<_> = self.data.keys().collect();
        f.debug_struct("SecretData")
            .field("kind", &self.kind)
            .field("keys", &keys)
            .finish_non_exhaustive()
    }
}

pub(super) fn call(verb: &'static str, secret: &SecretName) -> Call {
    Call::cluster_scoped(verb, "", "v1", "secrets")
        .within(&secret.namespace)
        .on(&secret.name)
}

impl Cluster {
    /// A Secret; `None` when it does not exist.
    ///
    /// # Errors
    /// Anything but "not found", and data that is not base64.
    pub async fn get_secret(&self, secret: &SecretName) -> Result<Option<SecretData>> {
        let call = call("get", secret);
        let request = Request::new(call.path()).get(&secret.name, &GetParams::default());
        let object = match self.send::<Value>(&call, request).await {
            Ok(object) => object,
            Err(Error::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        read(&object).map(Some).ok_or_else(|| Error::Other {
            call: Box::new(call),
            why: "its data is not base64".to_owned(),
        })
    }

    /// Creates a Secret; `false` when there is one of this name already.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn create_secret(
        &self,
        secret: &SecretName,
        kind: &str,
        data: &[(&str, &[u8])],
        dry_run: bool,
    ) -> Result<bool> {
        let object = new(secret, kind, &encoded(data.iter().copied()));
        let created = self
            .create::<IgnoredAny>(&call("create", secret), &object, dry_run)
            .await?;
        Ok(created.is_some())
    }

    /// Sets entries of a Secret as it was read, and leaves everything else in it; `false` when
    /// it was changed or deleted since.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn update_secret(
        &self,
        secret: &SecretName,
        read: &SecretData,
        data: &[(&str, &[u8])],
        dry_run: bool,
    ) -> Result<bool> {
        let data = encoded(data.iter().copied());
        let fields = Map::from_iter([("data".to_owned(), data.into())]);
        let changed = self
            .change::<IgnoredAny>(&call("patch", secret), read.version(), fields, dry_run)
            .await?;
        Ok(changed.is_some())
    }
}

/// A Secret as it is created.
pub(super) fn new(secret: &SecretName, kind: &str, data: &Map<String, Value>) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": secret.name,
            "namespace": secret.namespace,
            "labels": { MANAGED_BY: "certtool" },
        },
        "type": kind,
        "data": data,
    })
}

/// Entries as they stand in `data`.
pub(super) fn encoded<'a>(
    entries: impl IntoIterator<Item = (&'a str, &'a [u8])>,
) -> Map<String, Value> {
    entries
        .into_iter()
        .map(|(entry, value)| (entry.to_owned(), STANDARD.encode(value).into()))
        .collect()
}

pub(super) fn read(object: &Value) -> Option<SecretData> {
    let text = |pointer: &str| {
        object
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let entries = object
        .get("data")
        .and_then(Value::as_object)
        .into_iter()
        .flatten();
    let data = entries
        .map(|(key, value)| Some((key.clone(), STANDARD.decode(value.as_str()?).ok()?)))
        .collect::<Option<_>>()?;
    let annotations = object
        .pointer("/metadata/annotations")
        .and_then(Value::as_object);
    let annotations = annotations
        .into_iter()
        .flatten()
        .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
        .collect();
    Some(SecretData {
        uid: text("/metadata/uid"),
        resource_version: text("/metadata/resourceVersion"),
        kind: text("/type"),
        data,
        annotations,
        is_ours: object["metadata"]["labels"][MANAGED_BY] == "certtool",
    })
}
