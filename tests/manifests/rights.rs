//! What a ServiceAccount may do, by its roles in the cluster, against what it did, by the API
//! server's own log.

use std::{collections::BTreeSet, fmt};

use serde_json::Value;

use crate::support::ControlPlane;

/// One verb on one resource, perhaps of one name and in one namespace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Right {
    pub group: String,
    /// With the subresource, if it is one.
    pub resource: String,
    pub verb: String,
    pub namespace: Option<String>,
    pub name: Option<String>,
}

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.name.as_deref().unwrap_or("*");
        let namespace = self.namespace.as_deref().unwrap_or("*");
        let (verb, resource, group) = (&self.verb, &self.resource, &self.group);
        write!(f, "{verb} {resource}.{group}/{name} in {namespace}")
    }
}

impl Right {
    fn covers(&self, used: &Self) -> bool {
        let within =
            |right: &Option<String>, used: &Option<String>| right.is_none() || right == used;
        self.group == used.group
            && self.resource == used.resource
            && self.verb == used.verb
            && within(&self.namespace, &used.namespace)
            && within(&self.name, &used.name)
    }

    /// Whether it is checked beside a request and not for one, so that no log has it.
    pub fn is_beside(&self) -> bool {
        self.resource == "signers"
    }
}

/// A ServiceAccount whose roles' names start like this; others are somebody else's business.
pub struct Account<'a> {
    pub cluster: &'a ControlPlane,
    pub namespace: String,
    pub name: String,
    pub roles: &'static str,
}

impl Account<'_> {
    /// Every single right.
    pub fn granted(&self) -> BTreeSet<Right> {
        let mut granted = BTreeSet::new();
        let bindings = self.list("rolebindings,clusterrolebindings");
        for binding in &bindings {
            let subject = |subject: &Value| {
                subject["kind"] == "ServiceAccount"
                    && subject["name"] == *self.name
                    && subject["namespace"] == *self.namespace
            };
            let subjects = binding["subjects"].as_array().into_iter().flatten();
            let role = binding["roleRef"]["name"].as_str().unwrap();
            if !role.starts_with(self.roles) || !subjects.into_iter().any(subject) {
                continue;
            }
            let namespace = binding["metadata"]["namespace"].as_str();
            let kind = binding["roleRef"]["kind"].as_str().unwrap();
            let mut words = vec!["get", kind, role, "-o", "json"];
            words.extend(
                namespace
                    .into_iter()
                    .flat_map(|namespace| ["-n", namespace]),
            );
            let role: Value = serde_json::from_str(&self.cluster.kubectl(&words)).unwrap();
            for rule in role["rules"].as_array().into_iter().flatten() {
                granted.extend(single(rule, namespace));
            }
        }
        granted
    }

    fn list(&self, kinds: &str) -> Vec<Value> {
        let words = ["get", kinds, "-A", "-o", "json"];
        let list: Value = serde_json::from_str(&self.cluster.kubectl(&words)).unwrap();
        list["items"].as_array().unwrap().clone()
    }

    /// What certtool asked for as this account, and whether it was allowed.
    fn asked(&self) -> Vec<(Right, bool)> {
        let user = format!("system:serviceaccount:{}:{}", self.namespace, self.name);
        let events = self.cluster.audit_events();
        let own = events.iter().filter(|event| {
            // The operator has the same account as its sidecar.
            let agent = event["userAgent"].as_str().unwrap_or_default();
            event["user"]["username"] == *user && !agent.starts_with("manager/")
        });
        own.filter(|event| !event["objectRef"]["resource"].is_null())
            .map(|event| {
                let object = &event["objectRef"];
                let text = |field: &str| object[field].as_str().map(str::to_owned);
                let resource = text("resource").unwrap();
                let resource = match text("subresource") {
                    Some(subresource) => format!("{resource}/{subresource}"),
                    None => resource,
                };
                let right = Right {
                    group: text("apiGroup").unwrap_or_default(),
                    resource,
                    verb: event["verb"].as_str().unwrap().to_owned(),
                    namespace: text("namespace"),
                    name: text("name"),
                };
                let decision = &event["annotations"]["authorization.k8s.io/decision"];
                (right, decision == "allow")
            })
            .collect()
    }

    /// What was asked for and not granted.
    pub fn denied(&self) -> BTreeSet<Right> {
        let asked = self.asked().into_iter();
        asked
            .filter(|(_, allowed)| !allowed)
            .map(|(right, _)| right)
            .collect()
    }

    /// What is granted and was never used, as far as the log can tell.
    pub fn unused(&self) -> BTreeSet<Right> {
        let asked = self.asked();
        let mut granted = self.granted();
        granted.retain(|right| {
            !right.is_beside() && !asked.iter().any(|(used, _)| right.covers(used))
        });
        granted
    }

    #[track_caller]
    pub fn has_what_it_needs_and_no_more(&self) {
        let [denied, unused] = [self.denied(), self.unused()].map(|rights| {
            let lines: Vec<_> = rights.iter().map(ToString::to_string).collect();
            lines.join("\n")
        });
        assert!(!self.granted().is_empty(), "no roles");
        assert!(denied.is_empty(), "not granted:\n{denied}");
        assert!(unused.is_empty(), "granted and never used:\n{unused}");
    }
}

/// A rule, right by right.
fn single(rule: &Value, namespace: Option<&str>) -> Vec<Right> {
    let words = |field: &str| -> Vec<String> {
        let words = rule[field].as_array().into_iter().flatten();
        words
            .map(|word| word.as_str().unwrap().to_owned())
            .collect()
    };
    let mut names: Vec<_> = words("resourceNames").into_iter().map(Some).collect();
    if names.is_empty() {
        names.push(None);
    }
    let mut rights = Vec::new();
    for group in words("apiGroups") {
        for resource in words("resources") {
            for verb in words("verbs") {
                for name in &names {
                    rights.push(Right {
                        group: group.clone(),
                        resource: resource.clone(),
                        verb: verb.clone(),
                        namespace: namespace.map(str::to_owned),
                        name: name.clone(),
                    });
                }
            }
        }
    }
    assert!(
        rights
            .iter()
            .all(|right| right.verb != "*" && right.resource != "*"),
        "a wildcard: {rule}"
    );
    rights
}
