//! The rights that a sidecar needs, and no others, as manifests.

use serde_json::{Value, json};

use super::options::{From, Options};
use crate::NamespacedName;
use crate::sidecar::TrustSource;

/// One rule, and the namespace that it is for; `None` for the whole cluster.
struct Rule {
    namespace: Option<String>,
    rule: Value,
}

fn rule(group: &str, resource: &str, verbs: &[&str], name: Option<&str>) -> Value {
    let mut rule = json!({ "apiGroups": [group], "resources": [resource], "verbs": verbs });
    if let Some(name) = name {
        rule["resourceNames"] = json!([name]);
    }
    rule
}

fn rules(options: &Options, account: &NamespacedName) -> Vec<Rule> {
    let mut rules = Vec::new();
    let mut add = |namespace: Option<&str>, rule| {
        let namespace = namespace.map(str::to_owned);
        rules.push(Rule { namespace, rule });
    };
    match &options.from {
        From::Signer(_) => {
            let group = "certificates.k8s.io";
            let verbs = ["create", "get"];
            add(
                None,
                rule(group, "certificatesigningrequests", &verbs, None),
            );
        }
        From::Secret(own) => {
            let (namespace, name) = (&own.secret.namespace, &own.secret.name);
            let verbs = ["get", "patch"];
            add(Some(namespace), rule("", "secrets", &verbs, Some(name)));
            // A create cannot be limited by name.
            add(Some(namespace), rule("", "secrets", &["create"], None));
            for id in own.objects.iter().flatten() {
                let (group, resource) = (id.kind.group(), id.kind.plural());
                add(
                    None,
                    rule(group, resource, &["get", "patch"], Some(&id.name)),
                );
            }
        }
    }
    if let TrustSource::ConfigMap { name, .. } = &options.trust {
        let rule = rule("", "configmaps", &["get"], Some(&name.name));
        add(Some(&name.namespace), rule);
    }
    let events = rule("events.k8s.io", "events", &["create"], None);
    add(Some(&account.namespace), events);
    rules
}

/// Roles and their bindings.
pub(super) fn manifests(options: &Options, account: &NamespacedName) -> Vec<Value> {
    let rules = rules(options, account);
    let mut namespaces: Vec<Option<&String>> =
        rules.iter().map(|rule| rule.namespace.as_ref()).collect();
    namespaces.sort();
    namespaces.dedup();
    let group = "rbac.authorization.k8s.io";
    let mut objects = Vec::new();
    for namespace in namespaces {
        let (role, binding, name) = match namespace {
            // Cluster-scoped names are everybody's.
            None => (
                "ClusterRole",
                "ClusterRoleBinding",
                format!("certtool-sidecar-{}-{}", account.namespace, account.name),
            ),
            Some(_) => (
                "Role",
                "RoleBinding",
                format!("certtool-sidecar-{}", account.name),
            ),
        };
        let mut metadata = json!({ "name": name });
        if let Some(namespace) = namespace {
            metadata["namespace"] = json!(namespace);
        }
        let own = rules
            .iter()
            .filter(|rule| rule.namespace.as_ref() == namespace);
        let own: Vec<_> = own.map(|rule| &rule.rule).collect();
        objects.push(json!({
            "apiVersion": format!("{group}/v1"), "kind": role, "metadata": metadata, "rules": own,
        }));
        objects.push(json!({
            "apiVersion": format!("{group}/v1"), "kind": binding, "metadata": metadata,
            "roleRef": { "apiGroup": group, "kind": role, "name": name },
            "subjects": [{
                "kind": "ServiceAccount", "name": account.name, "namespace": account.namespace,
            }],
        }));
    }
    objects
}
