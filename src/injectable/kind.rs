//! The four injectable kinds and how people and documents spell them.

use std::fmt;
use std::str::FromStr;

use serde_json::Value;

/// A kind of Kubernetes object that carries a caBundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// `admissionregistration.k8s.io/v1` MutatingWebhookConfiguration.
    MutatingWebhookConfiguration,
    /// `admissionregistration.k8s.io/v1` ValidatingWebhookConfiguration.
    ValidatingWebhookConfiguration,
    /// `apiextensions.k8s.io/v1` CustomResourceDefinition, for its conversion webhook.
    CustomResourceDefinition,
    /// `apiregistration.k8s.io/v1` APIService.
    ApiService,
}

impl Kind {
    /// Every injectable kind.
    pub const ALL: [Self; 4] = [
        Self::MutatingWebhookConfiguration,
        Self::ValidatingWebhookConfiguration,
        Self::CustomResourceDefinition,
        Self::ApiService,
    ];

    /// The kind as a document spells it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::MutatingWebhookConfiguration => "MutatingWebhookConfiguration",
            Self::ValidatingWebhookConfiguration => "ValidatingWebhookConfiguration",
            Self::CustomResourceDefinition => "CustomResourceDefinition",
            Self::ApiService => "APIService",
        }
    }

    /// The API group.
    #[must_use]
    pub const fn group(self) -> &'static str {
        match self {
            Self::MutatingWebhookConfiguration | Self::ValidatingWebhookConfiguration => {
                "admissionregistration.k8s.io"
            }
            Self::CustomResourceDefinition => "apiextensions.k8s.io",
            Self::ApiService => "apiregistration.k8s.io",
        }
    }

    /// The version that certtool reads and writes; all four are `v1` since Kubernetes 1.16.
    #[must_use]
    pub const fn version(self) -> &'static str {
        "v1"
    }

    /// `GROUP/VERSION`, as in a document's `apiVersion`.
    #[must_use]
    pub const fn api_version(self) -> &'static str {
        match self {
            Self::MutatingWebhookConfiguration | Self::ValidatingWebhookConfiguration => {
                "admissionregistration.k8s.io/v1"
            }
            Self::CustomResourceDefinition => "apiextensions.k8s.io/v1",
            Self::ApiService => "apiregistration.k8s.io/v1",
        }
    }

    /// The resource name in API paths and RBAC rules.
    #[must_use]
    pub const fn plural(self) -> &'static str {
        match self {
            Self::MutatingWebhookConfiguration => "mutatingwebhookconfigurations",
            Self::ValidatingWebhookConfiguration => "validatingwebhookconfigurations",
            Self::CustomResourceDefinition => "customresourcedefinitions",
            Self::ApiService => "apiservices",
        }
    }

    /// Short spellings accepted on the command line; the first is the one that certtool prints.
    #[must_use]
    pub const fn short_names(self) -> &'static [&'static str] {
        match self {
            Self::MutatingWebhookConfiguration => &["mwc", "mutatingwebhook", "mutating"],
            Self::ValidatingWebhookConfiguration => &["vwc", "validatingwebhook", "validating"],
            Self::CustomResourceDefinition => &["crd", "crds"],
            Self::ApiService => &["apiservice", "apisvc"],
        }
    }

    /// Recognises a document's `apiVersion` and `kind`; versions other than `v1` are not ours.
    #[must_use]
    pub fn of(api_version: &str, kind: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|known| known.as_str() == kind && known.api_version() == api_version)
    }

    /// Like [`Kind::of`], but by the group alone: tells a `v1beta1` document from a foreign one.
    #[must_use]
    pub fn of_any_version(api_version: &str, kind: &str) -> Option<Self> {
        let (group, _) = api_version.split_once('/')?;
        Self::ALL
            .into_iter()
            .find(|known| known.as_str() == kind && known.group() == group)
    }

    /// Recognises an object by its own `apiVersion` and `kind`.
    #[must_use]
    pub fn of_object(object: &Value) -> Option<Self> {
        Self::of(
            object.get("apiVersion")?.as_str()?,
            object.get("kind")?.as_str()?,
        )
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Text that names no injectable kind.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a kind with a caBundle; use one of mutatingwebhookconfiguration (mwc), \
     validatingwebhookconfiguration (vwc), customresourcedefinition (crd), apiservice"
)]
pub struct UnknownKind(pub String);

impl FromStr for Kind {
    type Err = UnknownKind;

    /// Accepts what kubectl accepts: kind, plural, short name, each in any case and optionally
    /// followed by `.GROUP` or `.VERSION.GROUP`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let lower = text.to_ascii_lowercase();
        let (resource, qualifier) = match lower.split_once('.') {
            Some((resource, qualifier)) => (resource, Some(qualifier)),
            None => (lower.as_str(), None),
        };
        Self::ALL
            .into_iter()
            .find(|kind| {
                let spelt = resource == kind.plural()
                    || resource.eq_ignore_ascii_case(kind.as_str())
                    || kind.short_names().contains(&resource);
                let group_fits = qualifier.is_none_or(|q| {
                    q == kind.group() || q.strip_prefix("v1.") == Some(kind.group())
                });
                spelt && group_fits
            })
            .ok_or_else(|| UnknownKind(text.to_owned()))
    }
}

/// Which object: the four kinds are cluster-scoped, so kind and name say it all.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectId {
    /// The kind.
    pub kind: Kind,
    /// `metadata.name`; `generateName` followed by `*` when that is all the object has.
    pub name: String,
}

impl ObjectId {
    /// The identity of an injectable object; `None` for any other object.
    #[must_use]
    pub fn of(object: &Value) -> Option<Self> {
        let kind = Kind::of_object(object)?;
        let text = |key| object.pointer(key).and_then(Value::as_str);
        let name = match (text("/metadata/name"), text("/metadata/generateName")) {
            (Some(name), _) => name.to_owned(),
            (None, Some(prefix)) => format!("{prefix}*"),
            (None, None) => String::new(),
        };
        Some(Self { kind, name })
    }
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = if self.name.is_empty() {
            "(no name)"
        } else {
            &self.name
        };
        write!(f, "{}/{name}", self.kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_spellings_that_kubectl_accepts_are_accepted() {
        for (text, kind) in [
            ("vwc", Kind::ValidatingWebhookConfiguration),
            (
                "validatingwebhookconfiguration",
                Kind::ValidatingWebhookConfiguration,
            ),
            (
                "ValidatingWebhookConfigurations",
                Kind::ValidatingWebhookConfiguration,
            ),
            ("mwc", Kind::MutatingWebhookConfiguration),
            (
                "mutatingwebhookconfigurations.admissionregistration.k8s.io",
                Kind::MutatingWebhookConfiguration,
            ),
            (
                "mutatingwebhookconfigurations.v1.admissionregistration.k8s.io",
                Kind::MutatingWebhookConfiguration,
            ),
            ("crd", Kind::CustomResourceDefinition),
            ("CRDs", Kind::CustomResourceDefinition),
            ("APIService", Kind::ApiService),
            ("apiservices", Kind::ApiService),
        ] {
            assert_eq!(text.parse(), Ok(kind), "{text}");
        }
    }

    #[test]
    fn other_kinds_and_groups_are_refused_with_what_would_do() {
        for text in [
            "",
            "pod",
            "crd.example.com",
            "vwc/x",
            "apiservices.v2.apiregistration.k8s.io",
        ] {
            let error = text.parse::<Kind>().unwrap_err();
            assert!(error.to_string().contains("apiservice"), "{error}");
        }
    }

    #[test]
    fn a_document_is_recognised_by_group_version_and_kind_together() {
        for kind in Kind::ALL {
            assert_eq!(Kind::of(kind.api_version(), kind.as_str()), Some(kind));
            assert_eq!(
                kind.api_version(),
                format!("{}/{}", kind.group(), kind.version())
            );
            let beta = format!("{}/v1beta1", kind.group());
            assert_eq!(Kind::of(&beta, kind.as_str()), None);
            assert_eq!(Kind::of_any_version(&beta, kind.as_str()), Some(kind));
        }
        assert_eq!(Kind::of("example.com/v1", "APIService"), None);
        assert_eq!(Kind::of_any_version("v1", "APIService"), None);
    }
}
