//! ConfigMaps, which hold trust bundles.

use std::collections::BTreeMap;

use kube::api::GetParams;
use kube::core::Request;
use serde::Deserialize;
use serde_json::{Map, json};

use super::call::Call;
use super::client::Cluster;
use super::error::{Error, Result};
use super::write::{MANAGED_BY, Version};
use crate::NamespacedName;

/// `NAMESPACE/NAME` of a ConfigMap.
pub type ConfigMapName = NamespacedName;

/// A ConfigMap, as far as certtool looks at one.
#[derive(Debug, Clone, Deserialize)]
pub struct ConfigMap {
    metadata: Metadata,
    /// `data`
    #[serde(default)]
    pub data: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    uid: String,
    resource_version: String,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

impl ConfigMap {
    /// `metadata.uid`
    #[must_use]
    pub fn uid(&self) -> &str {
        &self.metadata.uid
    }

    /// `metadata.annotations`
    #[must_use]
    pub fn annotations(&self) -> &BTreeMap<String, String> {
        &self.metadata.annotations
    }

    /// Whether certtool made it, as its label says.
    #[must_use]
    pub fn is_ours(&self) -> bool {
        let label = self.metadata.labels.get(MANAGED_BY);
        label.is_some_and(|value| value == "certtool")
    }
}

fn call(verb: &'static str, config_map: &ConfigMapName) -> Call {
    Call::cluster_scoped(verb, "", "v1", "configmaps")
        .within(&config_map.namespace)
        .on(&config_map.name)
}

impl Cluster {
    /// A ConfigMap; `None` when it does not exist.
    ///
    /// # Errors
    /// Anything but "not found".
    pub async fn get_config_map(&self, config_map: &ConfigMapName) -> Result<Option<ConfigMap>> {
        let call = call("get", config_map);
        let request = Request::new(call.path()).get(&config_map.name, &GetParams::default());
        match self.send(&call, request).await {
            Ok(object) => Ok(Some(object)),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Creates a ConfigMap with one entry; `None` when there is one of this name already.
    ///
    /// # Errors
    /// When it is refused; [`Error::NoNamespace`] when there is no such namespace.
    pub async fn create_config_map(
        &self,
        config_map: &ConfigMapName,
        key: &str,
        text: &str,
    ) -> Result<Option<ConfigMap>> {
        let object = json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                "name": config_map.name,
                "namespace": config_map.namespace,
                "labels": { MANAGED_BY: "certtool" },
            },
            "data": { key: text },
        });
        self.create(&call("create", config_map), &object, false)
            .await
    }

    /// Sets an entry of a ConfigMap as it was read, and leaves everything else in it; `None` when
    /// it was changed or deleted since.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn update_config_map(
        &self,
        config_map: &ConfigMapName,
        read: &ConfigMap,
        key: &str,
        text: &str,
    ) -> Result<Option<ConfigMap>> {
        let version = Version {
            uid: &read.metadata.uid,
            resource_version: &read.metadata.resource_version,
        };
        let fields = Map::from_iter([("data".to_owned(), json!({ key: text }))]);
        self.change(&call("patch", config_map), version, fields, false)
            .await
    }
}
