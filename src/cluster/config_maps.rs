//! ConfigMaps, which hold trust bundles.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use kube::api::GetParams;
use kube::core::Request;
use serde::Deserialize;

use super::call::Call;
use super::client::Cluster;
use super::error::{Error, Result};

/// `NAMESPACE/NAME` of a ConfigMap.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConfigMapName {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// The text is not `NAMESPACE/NAME`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not NAMESPACE/NAME of a ConfigMap")]
pub struct NotAConfigMapName(String);

impl FromStr for ConfigMapName {
    type Err = NotAConfigMapName;

    fn from_str(text: &str) -> std::result::Result<Self, Self::Err> {
        match text.split_once('/') {
            Some((namespace, name))
                if !namespace.is_empty() && !name.is_empty() && !name.contains('/') =>
            {
                Ok(Self {
                    namespace: namespace.to_owned(),
                    name: name.to_owned(),
                })
            }
            _ => Err(NotAConfigMapName(text.to_owned())),
        }
    }
}

impl fmt::Display for ConfigMapName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

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
