//! Which webhooks: by name, label, namespace of their Service, or named in manifests.

use std::collections::HashSet;

use clap::Args;
use serde_json::Value;

use crate::cli::UsageError;
use crate::cluster::{Cluster, Selection};
use crate::injectable::{ClientConfig, Kind, ObjectId, Record, client_configs};
use crate::pki::ServiceName;

/// Options that choose webhooks. Several choose the union; `-l` narrows it.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct SelectArgs {
    /// A webhook, by its own name or its configuration's or CRD's; repeatable
    #[arg(long = "webhook", value_name = "NAME")]
    pub(super) webhooks: Vec<String>,
    /// Only configurations and CRDs with these labels
    #[arg(short = 'l', long, value_name = "SELECTOR")]
    pub(super) selector: Option<String>,
    /// Every webhook whose Service is in this namespace
    #[arg(long, value_name = "NAMESPACE")]
    pub(super) all_in_namespace: Option<String>,
}

/// The choice, resolved.
#[derive(Debug, Clone, Default)]
pub(super) struct Choice {
    names: HashSet<String>,
    namespace: Option<String>,
    services: HashSet<ServiceName>,
    objects: HashSet<ObjectId>,
    labels: Option<String>,
}

/// The kinds whose webhooks can be pointed at a machine.
pub(super) const KINDS: [Kind; 3] = [
    Kind::MutatingWebhookConfiguration,
    Kind::ValidatingWebhookConfiguration,
    Kind::CustomResourceDefinition,
];

impl Choice {
    /// # Errors
    /// A usage error when nothing says which webhooks.
    pub(super) fn new(
        args: &SelectArgs,
        services: &[ServiceName],
        objects: &[ObjectId],
    ) -> Result<Self, UsageError> {
        let choice = Self {
            names: args.webhooks.iter().cloned().collect(),
            namespace: args.all_in_namespace.clone(),
            services: services.iter().cloned().collect(),
            objects: objects.iter().cloned().collect(),
            labels: args.selector.clone(),
        };
        if choice.is_unlimited() && choice.labels.is_none() {
            return Err(UsageError(
                "which webhooks? Name them with --webhook NAME, or choose with -l SELECTOR, \
                 --all-in-namespace NAMESPACE, --service NAME.NAMESPACE or -f MANIFESTS"
                    .to_owned(),
            ));
        }
        Ok(choice)
    }

    fn is_unlimited(&self) -> bool {
        self.names.is_empty()
            && self.namespace.is_none()
            && self.services.is_empty()
            && self.objects.is_empty()
    }

    /// Whether a client config of `object` is chosen.
    pub(super) fn has(&self, object: &Value, config: &ClientConfig) -> bool {
        let Some(id) = ObjectId::of(object) else {
            return false;
        };
        let by_name = self.names.contains(&id.name)
            || config
                .webhook
                .as_ref()
                .is_some_and(|name| self.names.contains(name))
            || self.names.iter().any(|name| is_qualified(name, &id));
        let by_service = || {
            service_of(object, config, &id).is_some_and(|service| {
                self.services.contains(&service)
                    || self.namespace.as_ref() == Some(&service.namespace)
            })
        };
        self.is_unlimited() || by_name || self.objects.contains(&id) || by_service()
    }

    /// The chosen objects, and how many of their webhooks are chosen.
    pub(super) async fn find(&self, cluster: &Cluster) -> crate::cluster::Result<Vec<ObjectId>> {
        let selection = Selection {
            labels: self.labels.clone(),
        };
        let mut found = Vec::new();
        for kind in KINDS {
            let chosen = cluster
                .list_injectables(kind, &selection, |object| {
                    let configs = client_configs(&object).ok()?;
                    let any = configs.iter().any(|config| self.has(&object, config));
                    any.then(|| ObjectId::of(&object)).flatten()
                })
                .await?;
            found.extend(chosen);
        }
        Ok(found)
    }

    /// What was asked for, for a message.
    pub(super) fn describe(&self) -> String {
        let mut parts = Vec::new();
        let mut names: Vec<_> = self.names.iter().cloned().collect();
        names.sort();
        if !names.is_empty() {
            parts.push(format!("named {}", names.join(", ")));
        }
        if let Some(namespace) = &self.namespace {
            parts.push(format!("with a Service in namespace {namespace}"));
        }
        let mut services: Vec<_> = self.services.iter().map(ToString::to_string).collect();
        services.sort();
        if !services.is_empty() {
            parts.push(format!("with Service {}", services.join(", ")));
        }
        if !self.objects.is_empty() {
            parts.push("named in the manifests".to_owned());
        }
        let mut text = parts.join(" or ");
        if let Some(labels) = &self.labels {
            text = format!("{text} with labels {labels}");
        }
        text
    }
}

/// `crd/widgets.example.com`, as kubectl writes it.
fn is_qualified(name: &str, id: &ObjectId) -> bool {
    name.split_once('/')
        .is_some_and(|(kind, name)| kind.parse() == Ok(id.kind) && name == id.name)
}

/// The Service that the config calls, or called before it was attached.
fn service_of(object: &Value, config: &ClientConfig, id: &ObjectId) -> Option<ServiceName> {
    if let Some(service) = config.service() {
        return Some(ServiceName {
            name: service.name.clone(),
            namespace: service.namespace.clone(),
        });
    }
    let record = Record::of_object(object).ok().flatten()?;
    let entry = record
        .webhooks
        .get(config.webhook.as_ref().unwrap_or(&id.name))?;
    let text = |key: &str| entry.original["service"][key].as_str().map(str::to_owned);
    Some(ServiceName {
        name: text("name")?,
        namespace: text("namespace")?,
    })
}
