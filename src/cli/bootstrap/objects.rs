//! The objects that get the caBundle: which ones, and the change.

use anyhow::bail;
use serde_json::Value;
use time::OffsetDateTime;

use super::report::Ledger;
use super::waiting::NotYet;
use super::{Bootstrap, Job};
use crate::cli::UsageError;
use crate::cluster::{Cluster, Error, Selection};
use crate::injectable::{
    ClientConfig, ClientConfigs, Decision, FailurePolicy, Kind, ObjectId, Outcome, Plan, Target,
    examine, plan_ca_bundles, plan_failure_policy,
};
use crate::pki::{ServiceName, TrustBundle};
use crate::plan::{BundleMode, plan_bundle};

/// The kinds that `--webhook` means.
const CONFIGURATIONS: [Kind; 2] = [
    Kind::MutatingWebhookConfiguration,
    Kind::ValidatingWebhookConfiguration,
];

/// Which objects: those that are named, or all that call a Service.
#[derive(Debug, Clone)]
pub(super) struct Choice {
    services: Vec<ServiceName>,
    named: Vec<Named>,
}

/// A name, and the objects that it may mean: at least one of them has to be there.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Named {
    shown: String,
    ids: Vec<ObjectId>,
    /// A webhook's own name, if it may be one.
    webhook: Option<String>,
}

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Objects that call a Service of ours.
    pub(super) objects: Vec<Value>,
    /// What is missing, a sentence each.
    missing: Vec<String>,
}

impl Choice {
    pub(super) fn new(
        args: &Bootstrap,
        services: &[ServiceName],
        callers: &[(ServiceName, ObjectId)],
    ) -> Result<Self, UsageError> {
        let mut named: Vec<Named> = Vec::new();
        for name in &args.webhooks {
            named.push(Named::webhook(name)?);
        }
        let one = |flag: &str, kind: Kind, name: &String| {
            let bare = match name.split_once('/') {
                Some((prefix, bare)) if prefix.parse() == Ok(kind) => bare,
                Some(_) => {
                    return Err(UsageError(format!("{flag} {name}: it names no {kind}")));
                }
                None => name.as_str(),
            };
            Ok(Named::exactly(ObjectId {
                kind,
                name: bare.to_owned(),
            }))
        };
        for name in &args.crds {
            named.push(one("--crd", Kind::CustomResourceDefinition, name)?);
        }
        for name in &args.apiservices {
            named.push(one("--apiservice", Kind::ApiService, name)?);
        }
        for (service, id) in callers {
            if services.contains(service) {
                named.push(Named::exactly(id.clone()));
            }
        }
        named.dedup();
        Ok(Self {
            services: services.to_vec(),
            named,
        })
    }

    /// Whether a client config calls a Service of ours.
    pub(super) fn calls(&self, config: &ClientConfig) -> bool {
        config.service().is_some_and(|target| {
            self.services
                .iter()
                .any(|service| service.name == target.name && service.namespace == target.namespace)
        })
    }

    fn services(&self) -> String {
        let services: Vec<_> = self.services.iter().map(ToString::to_string).collect();
        format!("Service {}", services.join(" or "))
    }

    /// Looks for the objects.
    pub(super) async fn find(&self, cluster: &Cluster) -> anyhow::Result<Found> {
        if self.named.is_empty() {
            return self.find_all(cluster).await;
        }
        let mut found = Found::default();
        let ids = self.named.iter().flat_map(|named| named.ids.clone());
        let mut looked = cluster.get_injectables(ids).await.into_iter();
        let mut known: Vec<ObjectId> = Vec::new();
        for named in &self.named {
            let mut any = false;
            let mut reasons = Vec::new();
            for _ in &named.ids {
                let Some((id, result)) = looked.next() else {
                    break;
                };
                let Some(object) = result? else {
                    continue;
                };
                match self.why_not(&object, &id)? {
                    None => {
                        any = true;
                        if !known.contains(&id) {
                            known.push(id);
                            found.objects.push(object);
                        }
                    }
                    Some(reason) => reasons.push(reason),
                }
            }
            if !any
                && reasons.is_empty()
                && let Some(webhook) = &named.webhook
            {
                for object in self.find_by_webhook(cluster, webhook).await? {
                    any = true;
                    let id = ObjectId::of(&object).filter(|id| !known.contains(id));
                    if let Some(id) = id {
                        known.push(id);
                        found.objects.push(object);
                    }
                }
            }
            if any {
                continue;
            }
            if reasons.is_empty() {
                found.missing.push(format!("there is no {}", named.shown));
            }
            found.missing.extend(reasons);
        }
        Ok(found)
    }

    /// Configurations with a webhook of this name that calls a Service of ours.
    async fn find_by_webhook(
        &self,
        cluster: &Cluster,
        webhook: &str,
    ) -> anyhow::Result<Vec<Value>> {
        let selection = Selection::default();
        let lists = CONFIGURATIONS.map(|kind| {
            cluster.list_injectables(kind, &selection, |object| {
                let ClientConfigs::Some(configs) = examine(&object).ok()? else {
                    return None;
                };
                configs
                    .iter()
                    .any(|config| config.webhook.as_deref() == Some(webhook) && self.calls(config))
                    .then_some(object)
            })
        });
        match futures::future::try_join_all(lists).await {
            Ok(lists) => Ok(lists.into_iter().flatten().collect()),
            // Who may not list names configurations, and there is none of this name.
            Err(Error::Forbidden { .. }) => Ok(Vec::new()),
            Err(error) => Err(error.into()),
        }
    }

    async fn find_all(&self, cluster: &Cluster) -> anyhow::Result<Found> {
        let selection = Selection::default();
        let lists = Kind::ALL.map(|kind| {
            cluster.list_injectables(kind, &selection, |object| {
                // What is malformed cannot be told to be ours.
                let ClientConfigs::Some(configs) = examine(&object).ok()? else {
                    return None;
                };
                configs
                    .iter()
                    .any(|config| self.calls(config))
                    .then_some(object)
            })
        });
        let lists = futures::future::try_join_all(lists).await?;
        let mut found = Found {
            objects: lists.into_iter().flatten().collect(),
            missing: Vec::new(),
        };
        if found.objects.is_empty() {
            found.missing.push(format!(
                "no webhook configuration, CustomResourceDefinition or APIService calls {}",
                self.services()
            ));
        }
        Ok(found)
    }

    /// Why an object that is there does not do, if it does not.
    fn why_not(&self, object: &Value, id: &ObjectId) -> anyhow::Result<Option<String>> {
        let configs = match examine(object)? {
            ClientConfigs::Nothing(nothing) => {
                return Ok(Some(format!(
                    "{id} does not call {}: {nothing}",
                    self.services()
                )));
            }
            ClientConfigs::Some(configs) => configs,
        };
        if configs.iter().any(|config| self.calls(config)) {
            return Ok(None);
        }
        let mut others: Vec<String> = configs
            .iter()
            .map(|config| match &config.target {
                Ok(Target::Service(service)) => format!("Service {service}"),
                Ok(Target::Url(url)) => url.clone(),
                Err(error) => error.to_string(),
            })
            .collect();
        others.dedup();
        Ok(Some(format!(
            "{id} does not call {}, but {}",
            self.services(),
            others.join(", ")
        )))
    }
}

impl Named {
    fn exactly(id: ObjectId) -> Self {
        Self {
            shown: id.to_string(),
            ids: vec![id],
            webhook: None,
        }
    }

    /// certgen's meaning: both kinds of webhook configuration of this name; or else those that
    /// have a webhook of this name.
    fn webhook(name: &str) -> Result<Self, UsageError> {
        if let Some((prefix, name)) = name.split_once('/') {
            return match prefix.parse::<Kind>() {
                Ok(kind) => Ok(Self::exactly(ObjectId {
                    kind,
                    name: name.to_owned(),
                })),
                Err(error) => Err(UsageError(format!("--webhook {prefix}/{name}: {error}"))),
            };
        }
        Ok(Self {
            shown: format!("mutating or validating webhook configuration {name:?}"),
            webhook: Some(name.to_owned()),
            ids: CONFIGURATIONS
                .map(|kind| ObjectId {
                    kind,
                    name: name.to_owned(),
                })
                .to_vec(),
        })
    }
}

impl Found {
    /// What is missing, in words.
    pub(super) fn missing(&self) -> Option<String> {
        (!self.missing.is_empty()).then(|| self.missing.join("; "))
    }
}

impl Job<'_> {
    /// Merges the CA into the caBundle of every client config that calls the Service.
    pub(super) async fn inject(
        &self,
        cluster: &Cluster,
        objects: Vec<Value>,
        anchors: &TrustBundle,
        ledger: &mut Ledger,
        now: OffsetDateTime,
    ) -> anyhow::Result<()> {
        let plan = |_: &ObjectId, object: &Value| -> crate::cluster::Result<Plan> {
            let mut plan = plan_ca_bundles(object, |config| {
                if self.choice.calls(config) {
                    plan_bundle(&config.ca_bundle, anchors, BundleMode::Merge, now).decision
                } else {
                    Decision::Keep
                }
            })?;
            self.keep_ours(object, &mut plan);
            Ok(plan)
        };
        self.carry_out(cluster, objects, plan, ledger).await
    }

    /// Sets the failure policy of the webhooks that call the Service.
    pub(super) async fn set_failure_policy(
        &self,
        cluster: &Cluster,
        ids: &[ObjectId],
        policy: FailurePolicy,
        ledger: &mut Ledger,
    ) -> anyhow::Result<()> {
        let objects = read_again(cluster, ids).await?;
        let plan = |_: &ObjectId, object: &Value| {
            Ok(plan_failure_policy(object, policy, |config| {
                self.choice.calls(config)
            })?)
        };
        self.carry_out(cluster, objects, plan, ledger).await
    }

    async fn carry_out<P>(
        &self,
        cluster: &Cluster,
        objects: Vec<Value>,
        plan: P,
        ledger: &mut Ledger,
    ) -> anyhow::Result<()>
    where
        P: Fn(&ObjectId, &Value) -> crate::cluster::Result<Plan>,
    {
        let results = cluster
            .apply_plans(objects, self.mode, plan, |_| Ok(()))
            .await?;
        let mut failed: Vec<(ObjectId, Error)> = Vec::new();
        let mut gone = Vec::new();
        for (id, result) in results {
            match result {
                Ok(Some(applied)) => ledger.object(&id, &applied.plan.outcomes),
                Ok(None) => gone.push(id.to_string()),
                Err(error) => failed.push((id, error)),
            }
        }
        if failed.len() > 1 {
            let lines: Vec<_> = failed
                .iter()
                .map(|(id, error)| format!("{id}: {error}"))
                .collect();
            if failed.iter().any(|(_, error)| !error.is_transient()) {
                bail!("{}", lines.join("\n"));
            }
        }
        if let Some((id, error)) = failed.into_iter().next() {
            return Err(anyhow::Error::new(error).context(id.to_string()));
        }
        if !gone.is_empty() {
            let problem = format!("{} was deleted in the meantime", gone.join(", "));
            return Err(NotYet::new(problem).into());
        }
        Ok(())
    }

    /// Leaves out what becomes of client configs that are none of our business: nothing.
    fn keep_ours(&self, object: &Value, plan: &mut Plan) {
        let Ok(ClientConfigs::Some(configs)) = examine(object) else {
            return;
        };
        let ours = |outcome: &Outcome| {
            configs.iter().any(|config| {
                let name = config.webhook.as_ref().unwrap_or(&plan.object.name);
                *name == outcome.webhook && self.choice.calls(config)
            })
        };
        plan.outcomes.retain(ours);
    }
}

/// The objects as they are now, all of them.
pub(super) async fn read_again(cluster: &Cluster, ids: &[ObjectId]) -> anyhow::Result<Vec<Value>> {
    let mut objects = Vec::new();
    for (id, result) in cluster.get_injectables(ids.iter().cloned()).await {
        match result? {
            Some(object) => objects.push(object),
            None => {
                return Err(NotYet::new(format!("{id} was deleted in the meantime")).into());
            }
        }
    }
    Ok(objects)
}
