//! Namespaces, looked for and made where something has to go into one that is not there.

use kube::api::GetParams;
use kube::core::Request;
use serde::de::IgnoredAny;
use serde_json::json;

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
        let created = self.create::<IgnoredAny>(&call, &object, dry_run).await?;
        Ok(created.is_some())
    }

    /// Whether there is a namespace.
    ///
    /// # Errors
    /// Anything but "not found".
    pub async fn has_namespace(&self, name: &str) -> Result<bool> {
        let call = Call::cluster_scoped("get", "", "v1", "namespaces").on(name);
        let request = Request::new(call.path()).get_metadata(name, &GetParams::default());
        match self.send::<IgnoredAny>(&call, request).await {
            Ok(_) => Ok(true),
            Err(Error::NotFound { .. } | Error::NoNamespace { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }
}
