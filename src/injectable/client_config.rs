//! The client configs of an injectable object: where each one sits and what it points at.

use std::fmt;

use serde_json::Value;

use super::ca_bundle::CaBundle;
use super::kind::{Kind, ObjectId};
use super::{Error, Result};

/// One place in an object where the API server is told whom to call and what to trust.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientConfig {
    /// JSON pointer of the mapping that holds `caBundle`: the `clientConfig`, or an APIService's
    /// `spec`.
    pub pointer: String,
    /// Position in `webhooks`; `None` for kinds that have one client config.
    pub index: Option<usize>,
    /// The webhook's name; `None` for kinds that have one client config.
    pub webhook: Option<String>,
    /// Whom the API server calls, or why that cannot be told.
    pub target: std::result::Result<Target, TargetError>,
    /// What it trusts.
    pub ca_bundle: CaBundle,
    /// An APIService that asks for no verification at all; false elsewhere.
    pub insecure_skip_tls_verify: bool,
}

/// Whom the API server calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A Service in the cluster.
    Service(ServiceTarget),
    /// Any host.
    Url(String),
}

/// A Service and what is called on it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServiceTarget {
    /// The Service's namespace.
    pub namespace: String,
    /// The Service's name.
    pub name: String,
    /// The Service's port; 443 when the object names none.
    pub port: u16,
    /// The path; an APIService has none.
    pub path: Option<String>,
}

impl fmt::Display for ServiceTarget {
    /// `NAME.NAMESPACE`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.name, self.namespace)
    }
}

/// Why a client config names nobody to call.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// No `clientConfig`.
    #[error("clientConfig is missing; add one with a service or a url")]
    NoClientConfig,
    /// Neither `service` nor `url`.
    #[error("clientConfig has neither service nor url; it needs exactly one of them")]
    Missing,
    /// `service` and `url`.
    #[error("clientConfig has both service and url; the API server accepts exactly one of them")]
    Both,
    /// A field of the wrong type or without a value.
    #[error("clientConfig is malformed: {0}")]
    Malformed(String),
}

impl ClientConfig {
    /// The Service, when the target is one.
    #[must_use]
    pub fn service(&self) -> Option<&ServiceTarget> {
        match &self.target {
            Ok(Target::Service(service)) => Some(service),
            Ok(Target::Url(_)) | Err(_) => None,
        }
    }

    /// Whether the mapping at [`ClientConfig::pointer`] exists, so that it can be edited.
    #[must_use]
    pub fn exists(&self) -> bool {
        !matches!(self.target, Err(TargetError::NoClientConfig))
    }
}

/// Why an injectable object has no client config.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Nothing {
    /// No webhooks.
    #[error("it has no webhooks")]
    NoWebhooks,
    /// A CRD whose versions are not converted by a webhook.
    #[error("its conversion strategy is {0}, not Webhook")]
    ConversionStrategy(String),
    /// An APIService that the API server answers itself.
    #[error("it is served by the API server itself (no spec.service)")]
    LocalApiService,
}

/// The client configs of an object, or why there are none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientConfigs {
    /// At least one.
    Some(Vec<ClientConfig>),
    /// None, and nothing is wrong with that.
    Nothing(Nothing),
}

/// The client configs of an object; empty when it has none.
///
/// # Errors
/// The object is of another kind, or malformed where the client configs should be.
pub fn client_configs(object: &Value) -> Result<Vec<ClientConfig>> {
    Ok(match examine(object)? {
        ClientConfigs::Some(configs) => configs,
        ClientConfigs::Nothing(_) => Vec::new(),
    })
}

/// Like [`client_configs`], with the reason when there are none.
///
/// # Errors
/// The object is of another kind, or malformed where the client configs should be.
pub fn examine(object: &Value) -> Result<ClientConfigs> {
    let id = ObjectId::of(object).ok_or_else(|| Error::not_injectable(object))?;
    match id.kind {
        Kind::MutatingWebhookConfiguration | Kind::ValidatingWebhookConfiguration => {
            webhooks(object, &id)
        }
        Kind::CustomResourceDefinition => conversion(object, &id),
        Kind::ApiService => api_service(object, &id),
    }
}

fn webhooks(object: &Value, id: &ObjectId) -> Result<ClientConfigs> {
    let entries = match object.get("webhooks") {
        None | Some(Value::Null) => return Ok(ClientConfigs::Nothing(Nothing::NoWebhooks)),
        Some(Value::Array(entries)) if entries.is_empty() => {
            return Ok(ClientConfigs::Nothing(Nothing::NoWebhooks));
        }
        Some(Value::Array(entries)) => entries,
        Some(other) => return Err(Error::shape(id, "webhooks", "a list", other)),
    };
    let mut configs = Vec::with_capacity(entries.len());
    for (index, entry) in entries.iter().enumerate() {
        let Value::Object(fields) = entry else {
            let field = format!("webhooks[{index}]");
            return Err(Error::shape(id, &field, "a mapping", entry));
        };
        let mut config = of_client_config(
            format!("/webhooks/{index}/clientConfig"),
            fields.get("clientConfig"),
        );
        config.index = Some(index);
        config.webhook = Some(match fields.get("name") {
            Some(Value::String(name)) => name.clone(),
            // The API server refuses an unnamed webhook; a manifest may still have one.
            _ => String::new(),
        });
        configs.push(config);
    }
    Ok(ClientConfigs::Some(configs))
}

fn conversion(object: &Value, id: &ObjectId) -> Result<ClientConfigs> {
    let none = |strategy: &str| {
        Ok(ClientConfigs::Nothing(Nothing::ConversionStrategy(
            strategy.to_owned(),
        )))
    };
    let conversion = match object.pointer("/spec/conversion") {
        None | Some(Value::Null) => return none("None"),
        Some(conversion @ Value::Object(_)) => conversion,
        Some(other) => return Err(Error::shape(id, "spec.conversion", "a mapping", other)),
    };
    match conversion.get("strategy").and_then(Value::as_str) {
        Some("Webhook") => {}
        Some(other) => return none(other),
        None => return none("None"),
    }
    Ok(ClientConfigs::Some(vec![of_client_config(
        "/spec/conversion/webhook/clientConfig".to_owned(),
        conversion.pointer("/webhook/clientConfig"),
    )]))
}

fn api_service(object: &Value, id: &ObjectId) -> Result<ClientConfigs> {
    let spec = match object.get("spec") {
        None | Some(Value::Null) => {
            return Ok(ClientConfigs::Nothing(Nothing::LocalApiService));
        }
        Some(spec @ Value::Object(_)) => spec,
        Some(other) => return Err(Error::shape(id, "spec", "a mapping", other)),
    };
    let service = match spec.get("service") {
        None | Some(Value::Null) => {
            return Ok(ClientConfigs::Nothing(Nothing::LocalApiService));
        }
        Some(service) => service,
    };
    Ok(ClientConfigs::Some(vec![ClientConfig {
        pointer: "/spec".to_owned(),
        index: None,
        webhook: None,
        target: of_service(service).map(Target::Service),
        ca_bundle: CaBundle::of_value(spec.get("caBundle")),
        insecure_skip_tls_verify: spec.get("insecureSkipTLSVerify") == Some(&Value::Bool(true)),
    }]))
}

fn of_client_config(pointer: String, value: Option<&Value>) -> ClientConfig {
    let (target, ca_bundle) = match value {
        None | Some(Value::Null) => (Err(TargetError::NoClientConfig), CaBundle::Absent),
        Some(value @ Value::Object(_)) => (
            of_service_or_url(value),
            CaBundle::of_value(value.get("caBundle")),
        ),
        Some(_) => (
            Err(TargetError::Malformed("it is not a mapping".to_owned())),
            CaBundle::Absent,
        ),
    };
    ClientConfig {
        pointer,
        index: None,
        webhook: None,
        target,
        ca_bundle,
        insecure_skip_tls_verify: false,
    }
}

fn of_service_or_url(value: &Value) -> std::result::Result<Target, TargetError> {
    let present = |key: &str| value.get(key).filter(|value| !value.is_null());
    match (present("service"), present("url")) {
        (Some(_), Some(_)) => Err(TargetError::Both),
        (None, None) => Err(TargetError::Missing),
        (Some(service), None) => of_service(service).map(Target::Service),
        (None, Some(Value::String(url))) => Ok(Target::Url(url.clone())),
        (None, Some(_)) => Err(TargetError::Malformed("url is not a string".to_owned())),
    }
}

fn of_service(value: &Value) -> std::result::Result<ServiceTarget, TargetError> {
    let malformed = |what: &str| TargetError::Malformed(what.to_owned());
    if !value.is_object() {
        return Err(malformed("service is not a mapping"));
    }
    let text = |key: &str| match value.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.is_empty() => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(malformed(&format!("service.{key} is not a string"))),
    };
    let port = match value.get("port") {
        None | Some(Value::Null) => 443,
        Some(port) => port
            .as_u64()
            .and_then(|port| u16::try_from(port).ok())
            .filter(|port| *port > 0)
            .ok_or_else(|| malformed("service.port is not a port number (1 to 65535)"))?,
    };
    Ok(ServiceTarget {
        namespace: text("namespace")?.ok_or_else(|| malformed("service has no namespace"))?,
        name: text("name")?.ok_or_else(|| malformed("service has no name"))?,
        port,
        path: text("path")?,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::fixtures::{api_service, crd, validating};
    use super::*;

    #[test]
    fn every_kind_tells_where_its_bundle_is_and_whom_it_is_for() {
        let hooks = client_configs(&validating()).unwrap();
        assert_eq!(hooks.len(), 3);
        assert_eq!(hooks[1].pointer, "/webhooks/1/clientConfig");
        assert_eq!(hooks[1].webhook.as_deref(), Some("b.example.com"));
        let service = hooks[1].service().unwrap();
        assert_eq!(service.to_string(), "hook.shop");
        assert_eq!(
            (service.port, service.path.as_deref()),
            (8443, Some("/validate-b"))
        );
        assert_eq!(
            hooks[2].target,
            Ok(Target::Url("https://elsewhere/c".into()))
        );

        let conversion = client_configs(&crd()).unwrap();
        assert_eq!(
            conversion[0].pointer,
            "/spec/conversion/webhook/clientConfig"
        );
        assert_eq!(conversion[0].service().unwrap().port, 443);

        let aggregated = client_configs(&api_service()).unwrap();
        assert_eq!(aggregated[0].pointer, "/spec");
        assert!(aggregated[0].insecure_skip_tls_verify);
    }

    #[test]
    fn an_object_without_client_configs_says_why() {
        let reason = |object: &Value| match examine(object).unwrap() {
            ClientConfigs::Nothing(nothing) => nothing.to_string(),
            ClientConfigs::Some(configs) => panic!("{configs:?}"),
        };
        let mut object = validating();
        object["webhooks"] = json!([]);
        assert_eq!(reason(&object), "it has no webhooks");
        object["webhooks"] = Value::Null;
        assert_eq!(reason(&object), "it has no webhooks");
        let mut object = crd();
        object["spec"]["conversion"]["strategy"] = json!("None");
        assert_eq!(
            reason(&object),
            "its conversion strategy is None, not Webhook"
        );
        let mut object = api_service();
        object["spec"]["service"] = Value::Null;
        assert!(reason(&object).contains("API server itself"));
    }

    #[test]
    fn a_target_that_is_none_is_a_value_and_hides_no_other_webhook() {
        let mut object = validating();
        object["webhooks"] = json!([
            {"name": "a"},
            {"name": "b", "clientConfig": {}},
            {"name": "c", "clientConfig": {"url": "https://x", "service": {"name": "n", "namespace": "s"}}},
            {"name": "d", "clientConfig": {"service": {"name": "n"}}},
            {"name": "e", "clientConfig": {"service": {"name": "n", "namespace": "s", "port": 70000}}},
            {"name": "f", "clientConfig": "x"},
            {"name": "g", "clientConfig": {"service": {"name": "n", "namespace": "s"}}},
        ]);
        let targets: Vec<_> = client_configs(&object)
            .unwrap()
            .into_iter()
            .map(|c| c.target)
            .collect();
        assert_eq!(targets[0], Err(TargetError::NoClientConfig));
        assert_eq!(targets[1], Err(TargetError::Missing));
        assert_eq!(targets[2], Err(TargetError::Both));
        assert!(matches!(targets[3], Err(TargetError::Malformed(_))));
        assert!(matches!(targets[4], Err(TargetError::Malformed(_))));
        assert!(matches!(targets[5], Err(TargetError::Malformed(_))));
        assert!(targets[6].is_ok());
    }
}
