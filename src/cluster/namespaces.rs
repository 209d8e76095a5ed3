//! Namespaces, made where something has to go into one that is not there.

use kube::api::PostParams;
use kube::core::Request;
use serde_json::json;

use super::FIELD_MANAGER;
use super::call::Call;
use super::client::Cluster;
use super::error::{Error, Result};

impl Cluster {
    /// Creates a namespace; `false` when there is one of this name already.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn create_namespace(&self, name: &str, dry_run: bool) -> Result<bool> {
        let call = Call::cluster_scoped("create", "", "v1", "namespaces").on(name);
        let object =
            json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } });
        let params = PostParams {
            dry_run,
            field_manager: Some(FIELD_MANAGER.to_owned()),
        };
        let request = Request::new(call.path()).create(&params, object.to_string().into_bytes());
        match self
            .send::<kube::core::PartialObjectMeta>(&call, request)
            .await
        {
            Ok(_) => Ok(true),
            Err(Error::Api { code: 409, .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }
}
