//! Who else manages an object, and may therefore undo a change to its client configs.
//!
//! Read off labels, annotations and `managedFields`: a guess from evidence, told with the evidence.

use std::fmt;

use serde_json::{Map, Value};

/// Someone else who writes this object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manager {
    /// What it is.
    pub tool: Tool,
    /// Which one, when it says: a release, an application, a field manager.
    pub name: Option<String>,
    /// Where this was seen, for example ``annotation `meta.helm.sh/release-name` ``.
    pub evidence: String,
}

/// A kind of manager.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Tool {
    /// cert-manager's cainjector.
    CertManager,
    /// OpenShift's service CA operator.
    OpenShiftServiceCa,
    /// certtool's own controller.
    Certtool,
    /// Argo CD.
    ArgoCd,
    /// Flux's kustomize-controller.
    FluxKustomize,
    /// Flux's helm-controller.
    FluxHelm,
    /// Helm.
    Helm,
    /// The Operator Lifecycle Manager.
    Olm,
    /// A field manager that owns a client config or part of it.
    FieldManager,
}

impl fmt::Display for Tool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::CertManager => "cert-manager's cainjector",
            Self::OpenShiftServiceCa => "OpenShift's service CA operator",
            Self::Certtool => "certtool's controller",
            Self::ArgoCd => "Argo CD",
            Self::FluxKustomize => "Flux (kustomize-controller)",
            Self::FluxHelm => "Flux (helm-controller)",
            Self::Helm => "Helm",
            Self::Olm => "the Operator Lifecycle Manager",
            Self::FieldManager => "field manager",
        })
    }
}

impl Tool {
    /// When it may undo a change.
    const fn undoes(self) -> &'static str {
        match self {
            Self::CertManager | Self::OpenShiftServiceCa | Self::Certtool => {
                "it writes its own caBundle back within seconds"
            }
            Self::ArgoCd => "with self-heal it puts the object back within seconds, else on a sync",
            Self::FluxKustomize => "it puts the object back at its next reconciliation",
            Self::FluxHelm => "it may put the object back at its next upgrade or drift correction",
            Self::Helm => "the next `helm upgrade` or `helm rollback` may put the object back",
            Self::Olm => "it puts the object back when the operator is upgraded or reinstalled",
            Self::FieldManager => "it has written this field before, and may write it again",
        }
    }
}

impl fmt::Display for Manager {
    /// The sentence that says who may undo a change, and how that is known.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.tool)?;
        if let Some(name) = &self.name {
            write!(f, " {name:?}")?;
        }
        write!(
            f,
            " manages this object ({}): {}",
            self.evidence,
            self.tool.undoes()
        )
    }
}

/// Keys whose presence gives a manager away, and whether their value is its name.
const ANNOTATIONS: [(&str, Tool, bool); 9] = [
    ("cert-manager.io/inject-ca-from", Tool::CertManager, true),
    (
        "cert-manager.io/inject-ca-from-secret",
        Tool::CertManager,
        true,
    ),
    (
        "cert-manager.io/inject-apiserver-ca",
        Tool::CertManager,
        false,
    ),
    ("certmanager.k8s.io/inject-ca-from", Tool::CertManager, true),
    (
        "service.beta.openshift.io/inject-cabundle",
        Tool::OpenShiftServiceCa,
        false,
    ),
    ("certtool.dev/inject-ca-from-signer", Tool::Certtool, true),
    ("certtool.dev/inject-ca-from-secret", Tool::Certtool, true),
    ("argocd.argoproj.io/tracking-id", Tool::ArgoCd, true),
    ("meta.helm.sh/release-name", Tool::Helm, true),
];

const LABELS: [(&str, Tool, bool); 6] = [
    ("argocd.argoproj.io/instance", Tool::ArgoCd, true),
    (
        "kustomize.toolkit.fluxcd.io/name",
        Tool::FluxKustomize,
        true,
    ),
    ("helm.toolkit.fluxcd.io/name", Tool::FluxHelm, true),
    ("olm.owner", Tool::Olm, true),
    ("olm.managed", Tool::Olm, false),
    ("olm.webhook-description-generate-name", Tool::Olm, true),
];

/// Who else manages this object: each tool once, then each field manager that owns a client config.
#[must_use]
pub fn managers(object: &Value) -> Vec<Manager> {
    let mut found: Vec<Manager> = Vec::new();
    let mut add = |manager: Manager| {
        if found.iter().all(|known| known.tool != manager.tool) {
            found.push(manager);
        }
    };
    for (kind, pointer, known) in [
        ("annotation", "/metadata/annotations", &ANNOTATIONS[..]),
        ("label", "/metadata/labels", &LABELS[..]),
    ] {
        let Some(present) = object.pointer(pointer).and_then(Value::as_object) else {
            continue;
        };
        for (key, tool, named) in known {
            let Some(value) = present.get(*key).and_then(Value::as_str) else {
                continue;
            };
            // `inject-cabundle: "false"` asks for nothing.
            if !named && value == "false" {
                continue;
            }
            add(Manager {
                tool: *tool,
                name: named
                    .then(|| value.to_owned())
                    .filter(|name| !name.is_empty()),
                evidence: format!("{kind} {key}"),
            });
        }
    }
    let label = |key: &str| {
        object
            .pointer("/metadata/labels")
            .and_then(|labels| labels.get(key)?.as_str())
    };
    if label("app.kubernetes.io/managed-by") == Some("Helm") {
        add(Manager {
            tool: Tool::Helm,
            name: None,
            evidence: "label app.kubernetes.io/managed-by".to_owned(),
        });
    }
    found.extend(field_managers(object));
    found
}

fn field_managers(object: &Value) -> Vec<Manager> {
    let entries = object
        .pointer("/metadata/managedFields")
        .and_then(Value::as_array);
    let mut found: Vec<Manager> = Vec::new();
    for entry in entries.into_iter().flatten() {
        let name = entry.get("manager").and_then(Value::as_str).unwrap_or("");
        if name.starts_with("certtool") || found.iter().any(|m| m.name.as_deref() == Some(name)) {
            continue;
        }
        let Some(fields) = entry.get("fieldsV1").and_then(Value::as_object) else {
            continue;
        };
        let Some(owned) = owned_client_config(fields) else {
            continue;
        };
        let operation = entry
            .get("operation")
            .and_then(Value::as_str)
            .unwrap_or("Update");
        found.push(Manager {
            tool: Tool::FieldManager,
            name: Some(name.to_owned()),
            evidence: format!("managedFields, {operation} of {owned}"),
        });
    }
    found
}

/// The field managers other than certtool that own a caBundle of this object: a manifest of theirs
/// has the field, and puts it back when it is applied again.
#[must_use]
pub fn ca_bundle_owners(object: &Value) -> Vec<String> {
    let entries = object
        .pointer("/metadata/managedFields")
        .and_then(Value::as_array);
    let owns = |fields: &Value| {
        let webhooks = fields.get("f:webhooks").and_then(Value::as_object);
        webhooks
            .into_iter()
            .flat_map(Map::values)
            .any(|webhook| webhook.pointer("/f:clientConfig/f:caBundle").is_some())
            || [
                "/f:spec/f:caBundle",
                "/f:spec/f:conversion/f:webhook/f:clientConfig/f:caBundle",
            ]
            .iter()
            .any(|path| fields.pointer(path).is_some())
    };
    let mut owners: Vec<String> = entries
        .into_iter()
        .flatten()
        .filter(|entry| entry.get("fieldsV1").is_some_and(owns))
        .filter_map(|entry| Some(entry.get("manager")?.as_str()?.to_owned()))
        .filter(|name| !name.starts_with("certtool"))
        .collect();
    owners.sort();
    owners.dedup();
    owners
}

/// The field manager other than certtool that wrote the object last, as far as it says.
#[must_use]
pub fn last_writer(object: &Value) -> Option<&str> {
    let entries = object
        .pointer("/metadata/managedFields")
        .and_then(Value::as_array)?;
    let writers = entries.iter().filter_map(|entry| {
        let name = entry.get("manager")?.as_str()?;
        let time = entry.get("time")?.as_str()?;
        (!name.starts_with("certtool")).then_some((time, name))
    });
    // RFC 3339 in UTC and whole seconds: the order of the text is that of time.
    writers.max().map(|(_, name)| name)
}

/// The first client config, or field of one, among the owned fields.
fn owned_client_config(fields: &Map<String, Value>) -> Option<String> {
    let under = |fields: &Map<String, Value>, path: &str| {
        let config = fields.get("f:clientConfig")?;
        let what = if config.get("f:caBundle").is_some() {
            "caBundle"
        } else if config.get("f:url").is_some() {
            "url"
        } else {
            return Some(format!("{path}.clientConfig"));
        };
        Some(format!("{path}.clientConfig.{what}"))
    };
    if let Some(webhooks) = fields.get("f:webhooks").and_then(Value::as_object) {
        for (key, owned) in webhooks {
            let Some(owned) = owned.as_object() else {
                continue;
            };
            let name = key
                .strip_prefix("k:")
                .and_then(|key| serde_json::from_str::<Value>(key).ok())
                .and_then(|key| Some(key.get("name")?.as_str()?.to_owned()));
            let path =
                name.map_or_else(|| "webhooks".to_owned(), |name| format!("webhooks[{name}]"));
            if let Some(found) = under(owned, &path) {
                return Some(found);
            }
        }
        // An update that took the list as a whole.
        if webhooks.is_empty() {
            return Some("webhooks".to_owned());
        }
    }
    let spec = fields.get("f:spec")?;
    if let Some(webhook) = spec
        .pointer("/f:conversion/f:webhook")
        .and_then(Value::as_object)
    {
        return under(webhook, "spec.conversion.webhook");
    }
    spec.get("f:caBundle").map(|_| "spec.caBundle".to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn sentences(metadata: &Value) -> Vec<String> {
        managers(&json!({ "metadata": metadata }))
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn nobody_manages_a_plain_object() {
        assert!(sentences(&json!({})).is_empty());
        assert!(
            sentences(&json!({"labels": {"app.kubernetes.io/managed-by": "kustomize"}})).is_empty()
        );
        assert!(managers(&Value::Null).is_empty());
    }

    #[test]
    fn each_tool_is_recognised_once_and_says_when_it_undoes_a_change() {
        let found = sentences(&json!({
            "annotations": {
                "cert-manager.io/inject-ca-from": "ns/serving-cert",
                "argocd.argoproj.io/tracking-id": "shop:apps/Deployment:x/y",
                "meta.helm.sh/release-name": "shop",
                "service.beta.openshift.io/inject-cabundle": "false",
            },
            "labels": {
                "argocd.argoproj.io/instance": "shop",
                "app.kubernetes.io/managed-by": "Helm",
                "kustomize.toolkit.fluxcd.io/name": "apps",
                "helm.toolkit.fluxcd.io/name": "shop",
                "olm.owner": "op.v1",
            },
        }));
        let begins = |text: &str| found.iter().filter(|s| s.starts_with(text)).count();
        assert_eq!(found.len(), 6, "{found:#?}");
        assert_eq!(begins("cert-manager's cainjector \"ns/serving-cert\""), 1);
        assert_eq!(begins("Argo CD"), 1);
        assert_eq!(begins("Helm \"shop\""), 1);
        assert!(found[0].contains("within seconds"), "{found:#?}");
    }

    #[test]
    fn the_owners_of_a_ca_bundle_are_known_for_every_kind() {
        let object = |manager: &str, fields: &Value| {
            json!({"metadata": {"managedFields": [
                {"manager": "other", "fieldsV1": {"f:spec": {"f:group": {}}, "f:webhooks": {
                    ".": {}, "k:{\"name\":\"x\"}": {"f:clientConfig": {"f:service": {}}}}}},
                {"manager": manager, "fieldsV1": fields},
                {"manager": manager, "fieldsV1": fields},
                {"manager": "broken", "fieldsV1": 1},
            ]}})
        };
        let config = json!({"f:clientConfig": {".": {}, "f:caBundle": {}}});
        for fields in [
            json!({"f:webhooks": {"k:{\"name\":\"a\"}": {}, "k:{\"name\":\"b\"}": config}}),
            json!({"f:spec": {"f:caBundle": {}}}),
            json!({"f:spec": {"f:conversion": {"f:webhook": config}}}),
        ] {
            assert_eq!(ca_bundle_owners(&object("helm", &fields)), ["helm"]);
            assert!(ca_bundle_owners(&object("certtool", &fields)).is_empty());
        }
        assert!(ca_bundle_owners(&Value::Null).is_empty());
    }

    #[test]
    fn a_field_manager_counts_when_it_owns_a_client_config() {
        let manager = |name: &str, fields: &Value| json!({"manager": name, "operation": "Update", "fieldsV1": fields});
        let hook = json!({"f:webhooks": {"k:{\"name\":\"a.example.com\"}": {
            "f:clientConfig": {"f:caBundle": {}}}}});
        let conversion = json!({"f:spec": {"f:conversion": {"f:webhook": {
            "f:clientConfig": {"f:service": {}}}}}});
        let found = sentences(&json!({"managedFields": [
            manager("cainjector", &hook),
            manager("cainjector", &hook),
            manager("helm", &conversion),
            manager("certtool", &hook),
            manager("kube-apiserver", &json!({"f:status": {}})),
            manager("broken", &json!("x")),
        ]}));
        assert_eq!(
            found,
            [
                "field manager \"cainjector\" manages this object (managedFields, Update of \
                 webhooks[a.example.com].clientConfig.caBundle): it has written this field before, \
                 and may write it again",
                "field manager \"helm\" manages this object (managedFields, Update of \
                 spec.conversion.webhook.clientConfig): it has written this field before, and may \
                 write it again",
            ]
        );
    }
}
