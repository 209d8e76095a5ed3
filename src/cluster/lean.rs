//! Metadata of an object, read from JSON without what nobody here looks at: who manages which
//! field, and the annotations of others, in which a whole manifest may be kept.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use kube::Resource;
use kube::core::{ApiResource, ObjectMeta};
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};

/// The annotations that are kept.
const KEPT: [&str; 2] = ["certtool.dev/", "cert-manager.io/"];

/// An object of any kind of which only metadata is asked for, and less is kept.
#[derive(Debug, Clone, Deserialize)]
#[serde(from = "Object")]
pub(super) struct Lean(ObjectMeta);

impl Lean {
    pub(super) fn into_metadata(self) -> ObjectMeta {
        self.0
    }
}

#[derive(Deserialize)]
struct Object {
    #[serde(default)]
    metadata: Metadata,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Metadata {
    name: Option<String>,
    namespace: Option<String>,
    uid: Option<String>,
    resource_version: Option<String>,
    labels: Option<BTreeMap<String, String>>,
    annotations: Option<Annotations>,
}

#[derive(Default)]
struct Annotations(BTreeMap<String, String>);

impl From<Object> for Lean {
    fn from(object: Object) -> Self {
        let Metadata {
            name,
            namespace,
            uid,
            resource_version,
            labels,
            annotations,
        } = object.metadata;
        Self(ObjectMeta {
            name,
            namespace,
            uid,
            resource_version,
            labels,
            annotations: annotations.map(|annotations| annotations.0),
            ..ObjectMeta::default()
        })
    }
}

impl<'de> Deserialize<'de> for Annotations {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Kept;

        impl<'de> Visitor<'de> for Kept {
            type Value = Annotations;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("annotations")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Annotations, A::Error> {
                let mut kept = BTreeMap::new();
                while let Some(key) = map.next_key::<String>()? {
                    if KEPT.iter().any(|prefix| key.starts_with(prefix)) {
                        kept.insert(key, map.next_value()?);
                    } else {
                        map.next_value::<IgnoredAny>()?;
                    }
                }
                Ok(Annotations(kept))
            }
        }

        deserializer.deserialize_map(Kept)
    }
}

impl Resource for Lean {
    type DynamicType = ApiResource;
    type Scope = kube::core::DynamicResourceScope;

    fn metadata_api() -> bool {
        true
    }

    fn kind(resource: &ApiResource) -> Cow<'_, str> {
        resource.kind.as_str().into()
    }

    fn group(resource: &ApiResource) -> Cow<'_, str> {
        resource.group.as_str().into()
    }

    fn version(resource: &ApiResource) -> Cow<'_, str> {
        resource.version.as_str().into()
    }

    fn api_version(resource: &ApiResource) -> Cow<'_, str> {
        resource.api_version.as_str().into()
    }

    fn plural(resource: &ApiResource) -> Cow<'_, str> {
        resource.plural.as_str().into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.0
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_chooses_a_source_stays_and_the_rest_is_never_kept() {
        let text = r#"{"kind": "PartialObjectMetadata", "metadata": {
            "name": "x", "uid": "u", "resourceVersion": "7", "generation": 3,
            "labels": {"app": "shop"},
            "annotations": {
                "kubectl.kubernetes.io/last-applied-configuration": "large",
                "certtool.dev/inject-ca-from-signer": "a/b",
                "cert-manager.io/inject-apiserver-ca": "true"},
            "managedFields": [{"manager": "x", "fieldsV1": {"f:a": {}}}]}}"#;
        let meta = serde_json::from_str::<Lean>(text).unwrap().into_metadata();
        assert_eq!(meta.name.as_deref(), Some("x"));
        assert_eq!(meta.resource_version.as_deref(), Some("7"));
        assert_eq!(meta.labels.unwrap()["app"], "shop");
        let annotations: Vec<_> = meta.annotations.unwrap().into_keys().collect();
        assert_eq!(
            annotations,
            [
                "cert-manager.io/inject-apiserver-ca",
                "certtool.dev/inject-ca-from-signer"
            ]
        );
        assert_eq!(meta.managed_fields, None);
        let bare = serde_json::from_str::<Lean>(r#"{"metadata": {"annotations": null}}"#);
        assert_eq!(bare.unwrap().into_metadata(), ObjectMeta::default());
    }
}
