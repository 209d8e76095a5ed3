//! One request to the API server, in the words of RBAC.

use std::fmt;

/// What is asked of the API server: enough to send it and to explain a refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// The RBAC verb.
    pub verb: &'static str,
    /// The API group; empty for the core group.
    pub group: &'static str,
    /// The version within the group.
    pub version: &'static str,
    /// The resource's plural.
    pub resource: &'static str,
    /// The namespace of a namespaced resource.
    pub namespace: Option<String>,
    /// The object's name, when there is one.
    pub name: Option<String>,
}

impl Call {
    pub(super) fn cluster_scoped(
        verb: &'static str,
        group: &'static str,
        version: &'static str,
        resource: &'static str,
    ) -> Self {
        Self {
            verb,
            group,
            version,
            resource,
            namespace: None,
            name: None,
        }
    }

    pub(super) fn on(mut self, name: &str) -> Self {
        self.name = Some(name.to_owned());
        self
    }

    pub(super) fn within(mut self, namespace: &str) -> Self {
        self.namespace = Some(namespace.to_owned());
        self
    }

    /// The path of the resource's collection.
    pub(super) fn path(&self) -> String {
        let root = if self.group.is_empty() {
            format!("/api/{}", self.version)
        } else {
            format!("/apis/{}/{}", self.group, self.version)
        };
        match &self.namespace {
            Some(namespace) => format!("{root}/namespaces/{namespace}/{}", self.resource),
            None => format!("{root}/{}", self.resource),
        }
    }

    /// The rule that allows it, as it goes into a Role or ClusterRole.
    #[must_use]
    pub fn rbac_rule(&self) -> String {
        let kind = if self.namespace.is_some() {
            "Role"
        } else {
            "ClusterRole"
        };
        let names = self
            .name
            .as_ref()
            .filter(|_| self.verb != "create")
            .map_or_else(String::new, |name| format!(", resourceNames: [{name:?}]"));
        format!(
            "{kind} rule: {{apiGroups: [{:?}], resources: [{:?}], verbs: [{:?}]{names}}}",
            self.group, self.resource, self.verb
        )
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.verb, self.resource)?;
        if !self.group.is_empty() {
            write!(f, ".{}", self.group)?;
        }
        if let Some(name) = &self.name {
            write!(f, " {name:?}")?;
        }
        if let Some(namespace) = &self.namespace {
            write!(f, " in namespace {namespace:?}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_grants_exactly_the_call() {
        let call = Call::cluster_scoped(
            "patch",
            "apiextensions.k8s.io",
            "v1",
            "customresourcedefinitions",
        )
        .on("widgets.example.com");
        assert_eq!(
            call.rbac_rule(),
            "ClusterRole rule: {apiGroups: [\"apiextensions.k8s.io\"], resources: [\"customresourcedefinitions\"], \
             verbs: [\"patch\"], resourceNames: [\"widgets.example.com\"]}"
        );
        assert_eq!(
            call.path(),
            "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
        );
        // A create cannot be limited by name (RBAC does not know it yet).
        let call = Call::cluster_scoped("create", "", "v1", "configmaps")
            .within("shop")
            .on("x");
        assert_eq!(
            call.rbac_rule(),
            "Role rule: {apiGroups: [\"\"], resources: [\"configmaps\"], verbs: [\"create\"]}"
        );
    }
}
