//! Objects created once, and fields changed in an object as it was read (compare-and-swap).

use kube::api::{Patch, PatchParams, PostParams};
use kube::core::Request;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::FIELD_MANAGER;
use super::call::Call;
use super::client::Cluster;
use super::error::{Error, Result};

/// The label of what certtool made.
pub(super) const MANAGED_BY: &str = "app.kubernetes.io/managed-by";

/// Which version of an object was read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Version<'a> {
    pub(super) uid: &'a str,
    pub(super) resource_version: &'a str,
}

impl Cluster {
    /// Creates an object; `None` when there is one of this name already.
    pub(super) async fn create<T: DeserializeOwned>(
        &self,
        call: &Call,
        object: &Value,
        dry_run: bool,
    ) -> Result<Option<T>> {
        let params = PostParams {
            dry_run,
            field_manager: Some(FIELD_MANAGER.to_owned()),
        };
        let request = Request::new(call.path()).create(&params, object.to_string().into_bytes());
        match self.send(call, request).await {
            Ok(created) => Ok(Some(created)),
            Err(Error::Api { code: 409, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Merges `fields` (RFC 7396: `null` removes) into the object that `call` names; `None` when
    /// it was changed or deleted since `read`.
    pub(super) async fn change<T: DeserializeOwned>(
        &self,
        call: &Call,
        read: Version<'_>,
        mut fields: Map<String, Value>,
        dry_run: bool,
    ) -> Result<Option<T>> {
        // With a resourceVersion that is not the newest it is refused
        // (k8s.io/apiserver pkg/registry/generic/registry/store.go, Update).
        let metadata = fields.entry("metadata").or_insert_with(|| json!({}));
        metadata["uid"] = read.uid.into();
        metadata["resourceVersion"] = read.resource_version.into();
        let params = PatchParams {
            dry_run,
            field_manager: Some(FIELD_MANAGER.to_owned()),
            ..Default::default()
        };
        let name = call.name.as_deref().unwrap_or_default();
        let request = Request::new(call.path()).patch(name, &params, &Patch::Merge(fields));
        match self.send(call, request).await {
            Ok(changed) => Ok(Some(changed)),
            Err(Error::Conflict { .. } | Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}
