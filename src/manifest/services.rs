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
    result.errors.sort_by_key(|error| error.line);
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
            reason: Box::new(Reason::Target {
                webhook: config.webhook.clone(),
                target: target.clone(),
            }),
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

#[cfg(test)]
mod tests {
    use super::*;

    const HOOKS: &str = "\
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata:
  name: shop
webhooks:
- name: a
  clientConfig:
    service:
      name: hook
      namespace: shop
      path: /a
- name: b
  clientConfig: {service: {name: hook, namespace: shop, port: 9443}}
- name: c
  clientConfig:
    url: https://example.com
";

    const CRD: &str = "\
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: things.example.com}
spec:
  conversion:
    strategy: Webhook
    webhook:
      clientConfig:
        service: {name: convert, namespace: shop}
";

    const API: &str = "\
{\"apiVersion\": \"apiregistration.k8s.io/v1\", \"kind\": \"APIService\",
 \"metadata\": {\"name\": \"v1.x\"},
 \"spec\": {\"service\": {\"name\": \"api\", \"namespace\": \"kube-system\"}}}
";

    #[test]
    fn each_service_is_found_once_with_every_place_that_names_it() {
        let input = format!("{HOOKS}---\n{CRD}---\n{API}");
        let found = services("all.yaml", input.as_bytes());
        assert_eq!((found.errors, found.placeholders), (vec![], vec![]));
        let names: Vec<_> = found
            .services
            .iter()
            .map(|s| {
                let lines: Vec<_> = s.found.iter().map(|(_, line, _)| *line).collect();
                (s.name.as_str(), lines)
            })
            .collect();
        assert_eq!(
            names,
            [
                ("hook.shop", vec![8, 13]),
                ("convert.shop", vec![26]),
                ("api.kube-system", vec![30]),
            ]
        );
        let object = &found.services[2].found[0].2;
        assert_eq!(object.to_string(), "APIService/v1.x");
    }

    #[test]
    fn a_list_and_a_patch_of_kustomize_are_read_too() {
        let items = CRD.replace('\n', "\n  ");
        let list = format!(
            "kind: List\napiVersion: v1\nitems:\n- {}\n",
            items.trim_end()
        );
        let found = services("x", list.as_bytes());
        assert_eq!(found.services[0].name, "convert.shop", "{found:?}");
    }

    #[test]
    fn the_placeholders_of_kustomize_and_of_templates_are_reported_and_not_used() {
        for (name, namespace, advice) in [
            (
                "webhook-service",
                "system",
                "kustomize build config/default",
            ),
            ("hook", "$(SERVICE_NAMESPACE)", "kustomize build"),
            ("SERVICE_NAME", "shop", "kustomize build"),
            ("'{{ .Release.Name }}-hook'", "shop", "render the template"),
            ("hook", "${NAMESPACE}", "render the template"),
        ] {
            let input = HOOKS
                .replace("name: hook\n", &format!("name: {name}\n"))
                .replace("namespace: shop\n", &format!("namespace: {namespace}\n"));
            let found = services("config/webhook/manifests.yaml", input.as_bytes());
            assert_eq!(found.services.len(), 1, "{found:?}");
            assert_eq!(found.services[0].found.len(), 1);
            let said = found.placeholders[0].to_string();
            assert!(said.contains(advice), "{said}");
            assert!(
                said.starts_with("config/webhook/manifests.yaml, line 8, Validating"),
                "{said}"
            );
        }
    }

    #[test]
    fn a_bad_document_or_webhook_hides_no_other() {
        let input = format!(
            "{HOOKS}- name: d\n  clientConfig: {{}}\n---\nkind: APIService\n\tx: y\n---\n{CRD}"
        );
        let found = services("f", input.as_bytes());
        assert_eq!(found.services.len(), 2);
        let errors: Vec<_> = found.errors.iter().map(ToString::to_string).collect();
        assert_eq!(
            errors,
            [
                "f, line 18 (document 1), ValidatingWebhookConfiguration/shop: webhook \"d\": \
                 clientConfig has neither service nor url; it needs exactly one of them",
                "f, line 21 (document 2): a tab is used as indentation, which YAML forbids; use spaces",
            ]
        );
    }
}
