//! Names of objects in a namespace, as options and files spell them.

use std::fmt;
use std::str::FromStr;

/// `NAMESPACE/NAME`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Deserialize)]
#[serde(try_from = "String")]
pub struct NamespacedName {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// The text is not `NAMESPACE/NAME`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not NAMESPACE/NAME of an object")]
pub struct NotNamespaced(String);

impl FromStr for NamespacedName {
    type Err = NotNamespaced;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('/') {
            Some((namespace, name)) if is_name(namespace) && is_name(name) => Ok(Self {
                namespace: namespace.to_owned(),
                name: name.to_owned(),
            }),
            _ => Err(NotNamespaced(text.to_owned())),
        }
    }
}

impl TryFrom<String> for NamespacedName {
    type Error = NotNamespaced;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl fmt::Display for NamespacedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// A name as Kubernetes has them for Secrets, ConfigMaps and namespaces (an RFC 1123 subdomain,
/// `staging/src/k8s.io/apimachinery/pkg/util/validation/validation.go`).
pub(crate) fn is_name(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 253
        && text.split('.').all(|label| {
            !label.is_empty()
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label
                    .bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_a_namespace_and_a_name_is_refused() {
        let name: NamespacedName = "shop/hook.tls".parse().unwrap();
        assert_eq!(name.to_string(), "shop/hook.tls");
        for text in [
            "",
            "hook",
            "/hook",
            "shop/",
            "shop/hook/x",
            "Shop/hook",
            "-/x",
        ] {
            assert!(text.parse::<NamespacedName>().is_err(), "{text:?}");
        }
    }
}
