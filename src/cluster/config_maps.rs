//! ConfigMaps, which hold trust bundles.

use std::collections::BTreeMap;

use kube::api::GetParams;
use kube::core::Request;
use serde::Deserialize;

use super::call::Call;
use super::client::Cluster;
use super::error::{Error, Result};
use crate::NamespacedName;

/// `NAMESPACE/NAME` of a ConfigMap.
pub type ConfigMapName = NamespacedName;

#[derive(Deserialize)]
struct ConfigMap {
    #[serde(default)]
    data: BTreeMap<String, String>,
}

impl Cluster {
    /// A ConfigMap's `data`; `None` when it does not exist.
    ///
    /// # Errors
    /// Anything but "not found".
    pub async fn get_config_map(
        &self,
        config_map: &ConfigMapName,
    ) -> Result<Option<BTreeMap<String, String>>> {
        let call = Call::cluster_scoped("get", "", "v1", "configmaps")
            .within(&config_map.namespace)
            .on(&config_map.name);
        let request = Request::new(call.path()).get(&config_map.name, &GetParams::default());
        match self.send::<ConfigMap>(&call, request).await {
            Ok(object) => Ok(Some(object.data)),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}
