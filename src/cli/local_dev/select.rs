//! Which webhooks: by name, label, namespace of their Service, or named in manifests.

use std::collections::HashSet;

use clap::Args;
use serde_json::Value;

use super::records;
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
    names: Vec<String>,
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
            names: args.webhooks.clone(),
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
        let webhook = config.webhook.as_deref();
        let by_name = self.names.iter().any(|name| names(name, &id, webhook));
        let by_service = || {
            service_of(object, config, &id).is_some_and(|service| {
                self.services.contains(&service)
                    || self.namespace.as_ref() == Some(&service.namespace)
            })
        };
        self.is_unlimited() || by_name || self.objects.contains(&id) || by_service()
    }

    /// The objects with chosen webhooks.
    ///
    /// # Errors
    /// When the cluster cannot be asked, nothing is chosen, or a name means nothing.
    pub(super) async fn find(&self, cluster: &Cluster) -> anyhow::Result<Vec<Value>> {
        let selection = Selection {
            labels: self.labels.clone(),
        };
        let lists = KINDS.map(|kind| {
            cluster.list_injectables(kind, &selection, |object| {
                let configs = client_configs(&object).ok()?;
                let any = configs.iter().any(|config| self.has(&object, config));
                any.then_some(object)
            })
        });
        let lists = futures::future::try_join_all(lists).await?;
        let objects: Vec<Value> = lists.into_iter().flatten().collect();
        if objects.is_empty() {
            anyhow::bail!(
                "no webhook {} in {}; `kubectl get validatingwebhookconfigurations,mutatingwebhookconfigurations` lists them",
                self.describe(),
                cluster.server
            );
        }
        let meant = |name: &String| {
            objects.iter().any(|object| {
                let configs = client_configs(object).unwrap_or_default();
                let webhooks = configs
                    .iter()
                    .filter_map(|config| config.webhook.as_deref());
                ObjectId::of(object).is_some_and(|id| names(name, &id, webhooks))
            })
        };
        refuse_unknown(&self.names, meant, "webhook", cluster)?;
        Ok(objects)
    }

    /// What was asked for, for a message.
    pub(super) fn describe(&self) -> String {
        let mut parts = Vec::new();
        if !self.names.is_empty() {
            parts.push(format!("named {}", self.names.join(", ")));
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
        let mut texts = vec![parts.join(" or ")];
        texts.retain(|text| !text.is_empty());
        texts.extend(
            self.labels
                .iter()
                .map(|labels| format!("with labels {labels}")),
        );
        texts.join(" and ")
    }
}

/// Whether `name` means an object, or one of its webhooks: `crd/widgets.example.com` as kubectl
/// writes it, or a name alone.
pub(super) fn names<'a>(
    name: &str,
    id: &ObjectId,
    webhooks: impl IntoIterator<Item = &'a str>,
) -> bool {
    let qualified = name
        .split_once('/')
        .is_some_and(|(kind, name)| kind.parse() == Ok(id.kind) && name == id.name);
    qualified || name == id.name || webhooks.into_iter().any(|webhook| webhook == name)
}

/// A mistyped name is an error, and not one webhook less.
pub(super) fn refuse_unknown(
    names: &[String],
    meant: impl Fn(&String) -> bool,
    what: &str,
    cluster: &Cluster,
) -> anyhow::Result<()> {
    match names.iter().find(|name| !meant(name)) {
        Some(name) => anyhow::bail!("no {what} is named {name:?} in {}", cluster.server),
        None => Ok(()),
    }
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
    let (name, namespace) = records::service(entry)?;
    Some(ServiceName {
        name: name.to_owned(),
        namespace: namespace.to_owned(),
    })
}
