//! The Secret of a CA, written by compare-and-swap.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kube::api::{Patch, PatchParams, PostParams};
use kube::core::Request;
use serde_json::{Map, Value, json};

use super::FIELD_MANAGER;
use super::client::Cluster;
use super::error::{Error, Result};
use super::secrets::{self, MANAGED_BY, SecretData, SecretName};
use crate::authority::Changes;

/// What became of a write of a Secret.
#[derive(Debug, Clone)]
pub enum Written {
    /// It was made; the Secret as it is now.
    Done(SecretData),
    /// Somebody else was faster: created, changed or deleted it. Read it again.
    Outrun,
}

impl Cluster {
    /// Creates the Secret of a CA.
    ///
    /// # Errors
    /// When it is refused for another reason than that it exists.
    pub async fn create_ca_secret(
        &self,
        secret: &SecretName,
        changes: &Changes,
        dry_run: bool,
    ) -> Result<Written> {
        let call = secrets::call("create", secret);
        let data: Map<_, _> = changes
            .data
            .iter()
            .filter_map(|(entry, value)| {
                let value = value.as_ref()?;
                Some(((*entry).to_owned(), STANDARD.encode(value).into()))
            })
            .collect();
        let object = json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {
                "name": secret.name,
                "namespace": secret.namespace,
                "labels": { MANAGED_BY: "certtool" },
            },
            "type": "kubernetes.io/tls",
            "data": data,
        });
        let params = PostParams {
            dry_run,
            field_manager: Some(FIELD_MANAGER.to_owned()),
        };
        let request = Request::new(call.path()).create(&params, object.to_string().into_bytes());
        match self.send::<Value>(&call, request).await {
            Ok(object) => written(&object, call),
            Err(Error::Api { code: 409, .. }) => Ok(Written::Outrun),
            Err(error) => Err(error),
        }
    }

    /// Changes entries and annotations of a Secret as it was read; everything else in it stays.
    ///
    /// # Errors
    /// When it is refused for another reason than that the Secret has changed.
    pub async fn update_ca_secret(
        &self,
        secret: &SecretName,
        read: &SecretData,
        changes: &Changes,
        dry_run: bool,
    ) -> Result<Written> {
        let call = secrets::call("patch", secret);
        let data: Map<_, _> = changes
            .data
            .iter()
            .map(|(entry, value)| {
                let value = value.as_ref().map(|value| STANDARD.encode(value));
                ((*entry).to_owned(), value.into())
            })
            .collect();
        // A merge patch (RFC 7396): null removes. With a resourceVersion that is not the newest
        // it is refused (k8s.io/apiserver pkg/registry/generic/registry/store.go, Update).
        let mut metadata = json!({ "uid": read.uid, "resourceVersion": read.resource_version });
        if !changes.annotations.is_empty() {
            metadata["annotations"] = json!(changes.annotations);
        }
        let mut patch = json!({ "metadata": metadata });
        if !data.is_empty() {
            patch["data"] = data.into();
        }
        let params = PatchParams {
            dry_run,
            field_manager: Some(FIELD_MANAGER.to_owned()),
            ..Default::default()
        };
        let request = Request::new(call.path()).patch(&secret.name, &params, &Patch::Merge(patch));
        match self.send::<Value>(&call, request).await {
            Ok(object) => written(&object, call),
            Err(Error::Conflict { .. } | Error::NotFound { .. }) => Ok(Written::Outrun),
            Err(error) => Err(error),
        }
    }
}

fn written(object: &Value, call: super::Call) -> Result<Written> {
    secrets::read(object)
        .map(Written::Done)
        .ok_or_else(|| Error::Other {
            call: Box::new(call),
            why: "the answer's data is not base64".to_owned(),
        })
}
