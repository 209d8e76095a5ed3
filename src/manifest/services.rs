//! The Services that the client configs of a manifest name: who has to be in the certificate.

use std::collections::BTreeMap;

use super::error::{DocumentError, Reason};
use super::read::{Located, objects};
use crate::injectable::{ClientConfig, ClientConfigs, ObjectId, ServiceTarget};

/// The Services of a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Services {
    /// Each Service once, by its name, with every place that names it.
    pub services: Vec<FoundService>,
    /// What stands where a Service should, but is none yet.
    pub placeholders: Vec<Placeholder>,
    /// Documents that could not be read.
    pub errors: Vec<DocumentError>,
}

/// A Service and where it is named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundService {
    /// `NAME.NAMESPACE`.
    pub name: String,
    /// The places, in order: source, line, object.
    pub found: Vec<(String, usize, ObjectId)>,
}

/// A Service reference that something has yet to fill in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{source_name}, line {line}, {object}: {service:?} is a placeholder, not a Service; {}",
    match .template {
        true => "render the template first, and pass the result",
        false => "run it through `kustomize build config/default`, and pass the result",
    }
)]
pub struct Placeholder {
    /// The file.
    pub source_name: String,
    /// The line of the client config.
    pub line: usize,
    /// The object.
    pub object: ObjectId,
    /// As it stands there, `NAME.NAMESPACE`.
    pub service: String,
    /// It is a template's, rather than one of kustomize's.
    pub template: bool,
}

/// Finds the Services named by the webhooks, CRD conversions and APIServices of a stream.
///
/// Un-built kubebuilder directories name `webhook-service` in `system`; such placeholders are
/// reported and not counted as Services.
#[must_use]
pub fn services(source_name: &str, input: &[u8]) -> Services {
    let read = objects(source_name, input);
    let mut result = Services {
        errors: read.errors,
        ..Services::default()
    };
    let mut index: BTreeMap<String, usize> = BTreeMap::new();
    for located in read.objects {
        let ClientConfigs::Some(configs) = &located.configs else {
            continue;
        };
        for (config, line) in configs.iter().zip(&located.lines) {
            let place = (source_name.to_owned(), *line, located.id.clone());
            match target(config, &located, *line, source_name) {
                Ok(None) => {}
                Ok(Some(service)) => match kind_of(service) {
                    Name::Service => {
                        let name = service.to_string();
                        let at = *index.entry(name.clone()).or_insert_with(|| {
                            result.services.push(FoundService {
                                name,
                                found: Vec::new(),
                            });
                            result.services.len() - 1
                        });
                        result.services[at].found.push(place);
                    }
                    Name::Placeholder { template } => result.placeholders.push(Placeholder {
                        source_name: place.0,
                        line: place.1,
                        object: place.2,
                        service: service.to_string(),
                        template,
                    }),
                },
                Err(error) => result.errors.push(error),
            }
        }
    }
    result
}

fn target<'a>(
    config: &'a ClientConfig,
    located: &Located,
    line: usize,
    source_name: &str,
) -> Result<Option<&'a ServiceTarget>, DocumentError> {
    match &config.target {
        Ok(_) => Ok(config.service()),
        Err(target) => Err(DocumentError {
            source_name: source_name.to_owned(),
            document: located.document,
            line,
            object: Some(located.id.clone()),
            reason: Reason::Target {
                webhook: config.webhook.clone(),
                target: target.clone(),
            },
        }),
    }
}

enum Name {
    Service,
    Placeholder { template: bool },
}

fn kind_of(service: &ServiceTarget) -> Name {
    let has = |what: &str| service.name.contains(what) || service.namespace.contains(what);
    if has("{{") || has("${") {
        Name::Placeholder { template: true }
    } else if service.namespace == "system" || has("$(") || !is_label(service) {
        Name::Placeholder { template: false }
    } else {
        Name::Service
    }
}

/// Names of Services and namespaces are DNS labels; `SERVICE_NAMESPACE` is not one.
fn is_label(service: &ServiceTarget) -> bool {
    [&service.name, &service.namespace].into_iter().all(|name| {
        name.len() <= 63
            && !name.starts_with('-')
            && !name.ends_with('-')
            && name
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
    })
}
