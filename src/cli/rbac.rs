//! Rights as manifests: roles for a ServiceAccount, and their bindings.

use serde_json::{Value, json};

use super::Printer;
use crate::NamespacedName;
use crate::injectable::Kind;

const GROUP: &str = "rbac.authorization.k8s.io";

/// Rules, each for one namespace or for the whole cluster.
#[derive(Debug, Default)]
pub(super) struct Rules(Vec<(Option<String>, Value)>);

impl Rules {
    /// A rule; without a namespace it is for the whole cluster, without a name for every object.
    ///
    /// One that is there already is not repeated.
    pub(super) fn add(
        &mut self,
        namespace: Option<&str>,
        (group, resources): (&str, &[&str]),
        verbs: &[&str],
        names: &[&str],
    ) {
        let mut rule = json!({ "apiGroups": [group], "resources": resources, "verbs": verbs });
        if !names.is_empty() {
            rule["resourceNames"] = json!(names);
        }
        let rule = (namespace.map(str::to_owned), rule);
        if !self.0.contains(&rule) {
            self.0.push(rule);
        }
    }

    /// Objects of a kind that carries a caBundle, of these names.
    pub(super) fn add_injectable(&mut self, kind: Kind, verbs: &[&str], names: &[&str]) {
        self.add(None, (kind.group(), &[kind.plural()]), verbs, names);
    }

    /// A ClusterRole and a Role for each namespace, bound to `account`. Their names start with
    /// `name`.
    pub(super) fn manifests(self, name: &str, account: &NamespacedName) -> Vec<Value> {
        let mut namespaces: Vec<_> = self.0.iter().map(|(namespace, _)| namespace).collect();
        namespaces.sort();
        namespaces.dedup();
        let mut objects = Vec::new();
        for namespace in namespaces {
            let own = self.0.iter().filter(|(of, _)| of == namespace);
            let rules: Vec<_> = own.map(|(_, rule)| rule).collect();
            objects.extend(role(namespace.as_deref(), &rules, name, account));
        }
        objects
    }
}

/// A role and its binding.
fn role(
    namespace: Option<&str>,
    rules: &[&Value],
    name: &str,
    account: &NamespacedName,
) -> [Value; 2] {
    let (role, binding) = match namespace {
        None => ("ClusterRole", "ClusterRoleBinding"),
        Some(_) => ("Role", "RoleBinding"),
    };
    let name = match namespace {
        Some(namespace) if namespace == account.namespace => format!("{name}-{}", account.name),
        // Other namespaces, and the cluster, are for the accounts of many.
        _ => format!("{name}-{}-{}", account.namespace, account.name),
    };
    let mut metadata = json!({ "name": name });
    if let Some(namespace) = namespace {
        metadata["namespace"] = json!(namespace);
    }
    [
        json!({
            "apiVersion": format!("{GROUP}/v1"), "kind": role, "metadata": metadata,
            "rules": rules,
        }),
        json!({
            "apiVersion": format!("{GROUP}/v1"), "kind": binding, "metadata": metadata,
            "roleRef": { "apiGroup": GROUP, "kind": role, "name": name },
            "subjects": [{
                "kind": "ServiceAccount", "name": account.name, "namespace": account.namespace,
            }],
        }),
    ]
}

/// Prints manifests as kubectl reads them.
pub(super) fn print(objects: &[Value], printer: &Printer) -> anyhow::Result<()> {
    let documents: Result<Vec<String>, _> = objects.iter().map(serde_yaml::to_string).collect();
    printer.raw(documents?.join("---\n").as_bytes())
}
