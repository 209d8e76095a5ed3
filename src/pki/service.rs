//! `NAME.NAMESPACE`: a Kubernetes Service as certtool writes it.

use std::fmt;
use std::str::FromStr;

use super::host::is_dns_label;

/// A Service by name and namespace.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServiceName {
    /// The Service's name: an RFC 1035 label.
    pub name: String,
    /// Its namespace: an RFC 1123 label.
    pub namespace: String,
}

/// The text is not `NAME.NAMESPACE`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ServiceNameError {
    /// No namespace was given.
    #[error("Service {0:?} has no namespace: write NAME.NAMESPACE, for example {0}.default")]
    NoNamespace(String),
    /// A whole DNS name was given.
    #[error("Service {given:?} has more than a name and a namespace: write {meant}")]
    TooLong {
        /// What was given.
        given: String,
        /// What was probably meant.
        meant: String,
    },
    /// A part is not a DNS label (RFC 1123: lower-case letters, digits and `-`, at
    /// most 63, no `-` at either end).
    #[error(
        "Service {given:?}: {part:?} is not a DNS label (lower-case letters, digits, '-'; at most 63)"
    )]
    NotALabel {
        /// What was given.
        given: String,
        /// The part that is wrong.
        part: String,
    },
}

impl ServiceName {
    /// The names by which the API server and other pods call the Service:
    /// `NAME.NS`, `NAME.NS.svc` (the one that the API server verifies for webhooks,
    /// `staging/src/k8s.io/apiserver/pkg/util/webhook/client.go`) and
    /// `NAME.NS.svc.CLUSTER-DOMAIN`.
    #[must_use]
    pub fn dns_names(&self, cluster_domain: &str) -> [String; 3] {
        let Self { name, namespace } = self;
        [
            format!("{name}.{namespace}"),
            format!("{name}.{namespace}.svc"),
            format!("{name}.{namespace}.svc.{cluster_domain}"),
        ]
    }
}

impl fmt::Display for ServiceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.name, self.namespace)
    }
}

impl FromStr for ServiceName {
    type Err = ServiceNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let given = || text.to_owned();
        let Some((name, rest)) = text.split_once('.') else {
            return Err(ServiceNameError::NoNamespace(given()));
        };
        let (namespace, more) = rest
            .split_once('.')
            .map_or((rest, None), |(a, b)| (a, Some(b)));
        for part in [name, namespace] {
            let foreign = |byte: u8| byte.is_ascii_uppercase() || byte == b'_';
            if !is_dns_label(part) || part.bytes().any(foreign) {
                return Err(ServiceNameError::NotALabel {
                    given: given(),
                    part: part.to_owned(),
                });
            }
        }
        if more.is_some() {
            return Err(ServiceNameError::TooLong {
                given: given(),
                meant: format!("{name}.{namespace}"),
            });
        }
        Ok(Self {
            name: name.to_owned(),
            namespace: namespace.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_has_the_three_names_of_the_contract() {
        let service: ServiceName = "hook.shop".parse().unwrap();
        assert_eq!(
            service.dns_names("cluster.local"),
            ["hook.shop", "hook.shop.svc", "hook.shop.svc.cluster.local"]
        );
    }

    #[test]
    fn wrong_spellings_say_what_was_meant() {
        let error = |text: &str| text.parse::<ServiceName>().unwrap_err().to_string();
        assert!(error("hook").contains("hook.default"));
        assert!(error("hook.shop.svc").contains("write hook.shop"));
        assert!(error("Hook.shop").contains("\"Hook\""));
        assert!(error("hook.").contains("\"\""));
        assert!(error("my_hook.shop").contains("\"my_hook\""));
    }
}
