//! Namespaces, made where something has to go into one that is not there.

use serde::de::IgnoredAny;
use serde_json::json;

use super::call::Call;
use super::client::Cluster;
use super::error::Result;

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
}
