//! The trust bundle of a signer as a ConfigMap in each configured namespace, for clients.
//!
//! It is part of publishing a CA: a CA that is not in all of them does not sign. Invariants:
//! * a ConfigMap is written only when its entry means something else, by compare-and-swap;
//!   other entries stay;
//! * an entry that somebody else made is never changed; in certtool's own, certificates stay as
//!   they do in a caBundle;
//! * a namespace that is not there holds nothing up: it has no clients.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use futures::{StreamExt, stream};
use time::OffsetDateTime;
use tracing::{info, warn};

use super::config::Signer;
use super::reporter::Reporter;
use crate::authority::{EntryPlan, ReadBack, Trust};
use crate::cluster::{Cluster, ConfigMap, ConfigMapName, Error, Event};
use crate::pki::TrustBundle;
use crate::rotation::{self, Published};

/// How many namespaces are looked at at once.
const AT_ONCE: usize = 8;
/// How often one is read anew because somebody else was faster.
const ATTEMPTS: usize = 4;

/// Where the bundle of one signer is published.
pub(super) struct Bundles<'a> {
    cluster: &'a Cluster,
    reporter: &'a Reporter,
    signer: &'a str,
    key: &'a str,
    config_maps: BTreeSet<ConfigMapName>,
    /// What is wrong with each, so that it is said once.
    troubles: Mutex<BTreeMap<ConfigMapName, String>>,
}

/// Why an entry does not hold the bundle.
enum Trouble {
    /// There is no such namespace, or it is going.
    NoNamespace,
    /// Somebody else's entry.
    NotOurs(ConfigMap),
    /// Somebody else was faster each time.
    Outrun,
    Refused(Error),
}

impl<'a> Bundles<'a> {
    /// Those of `signer`; often none.
    pub(super) fn of(signer: &'a Signer, cluster: &'a Cluster, reporter: &'a Reporter) -> Self {
        let bundle = signer.trust_bundle.as_ref();
        let names = bundle.into_iter().flat_map(|bundle| {
            let name = |namespace: &String| ConfigMapName {
                namespace: namespace.clone(),
                name: bundle.config_map.clone(),
            };
            bundle.namespaces.iter().map(name)
        });
        Self {
            cluster,
            reporter,
            signer: signer.name(),
            key: bundle.map_or("", |bundle| bundle.key.as_str()),
            config_maps: names.collect(),
            troubles: Mutex::default(),
        }
    }

    /// Gives each the bundle and says what they hold then; without a bundle, only looks.
    ///
    /// # Errors
    /// Without a bundle, when a ConfigMap cannot be read.
    pub(super) async fn publish(&self, trust: Option<&Trust>) -> rotation::Result<Published> {
        let mut published = Published::nothing();
        let Some(trust) = trust else {
            for name in &self.config_maps {
                let found = match self.find(name).await {
                    Err(Trouble::Refused(error)) => return Err(error.into()),
                    found => found.unwrap_or_default(),
                };
                let text = found.as_ref().and_then(|found| found.data.get(self.key));
                let seen = text.map(|text| TrustBundle::usable(text.as_bytes()).0);
                let seen = seen.unwrap_or_default();
                published.seen.extend(seen.certificates().iter().cloned());
            }
            published.read_back = ReadBack::Unknown;
            return Ok(published);
        };
        let each = stream::iter(&self.config_maps)
            .map(|name| async move { (name, self.publish_into(name, trust).await) });
        let each: Vec<_> = each.buffered(AT_ONCE).collect().await;
        let lacking = each
            .into_iter()
            .filter_map(|(name, done)| match done {
                Ok(()) => self.is_well(name),
                Err(trouble) => self.is_amiss(name, trouble),
            })
            .collect::<Vec<_>>();
        if !lacking.is_empty() {
            published.read_back = ReadBack::Lacking(lacking);
        }
        Ok(published)
    }

    /// The ConfigMap. Where it is missing, or forbidden as everything is where there can be no Role,
    /// the namespace is looked for.
    async fn find(&self, name: &ConfigMapName) -> Result<Option<ConfigMap>, Trouble> {
        let found = self.cluster.get_config_map(name).await;
        if matches!(found, Ok(None) | Err(Error::Forbidden { .. }))
            && let Ok(false) = self.cluster.has_namespace(&name.namespace).await
        {
            return Err(Trouble::NoNamespace);
        }
        Ok(found?)
    }

    async fn publish_into(&self, name: &ConfigMapName, trust: &Trust) -> Result<(), Trouble> {
        for _ in 0..ATTEMPTS {
            let found = self.find(name).await?;
            let text = found.as_ref().and_then(|found| found.data.get(self.key));
            let is_ours = found.as_ref().is_none_or(ConfigMap::is_ours);
            // By the API server's clock: by one that is ahead, valid certificates would leave.
            let now = self.cluster.server_time();
            let now = now.unwrap_or_else(OffsetDateTime::now_utc);
            let text = match trust.plan_entry(text.map(String::as_str), is_ours, now) {
                EntryPlan::Keep => return Ok(()),
                EntryPlan::NotOurs => return Err(found.map_or(Trouble::Outrun, Trouble::NotOurs)),
                EntryPlan::Set(text) => text,
            };
            let written = match &found {
                None => self.cluster.create_config_map(name, self.key, &text).await,
                Some(found) => {
                    let cluster = self.cluster;
                    cluster
                        .update_config_map(name, found, self.key, &text)
                        .await
                }
            };
            // The answer is what is stored, admission webhooks included.
            if written?.is_some_and(|written| written.data.get(self.key) == Some(&text)) {
                info!(
                    signer = self.signer,
                    config_map = name.to_string(),
                    "the trust bundle is published"
                );
                return Ok(());
            }
        }
        Err(Trouble::Outrun)
    }

    fn is_well(&self, name: &ConfigMapName) -> Option<String> {
        let mut troubles = self.troubles.lock().unwrap_or_else(PoisonError::into_inner);
        troubles.remove(name);
        None
    }

    /// What is lacking, if a rotation has to wait for it; said when it is news.
    fn is_amiss(&self, name: &ConfigMapName, trouble: Trouble) -> Option<String> {
        let key = self.key;
        let (why, waits) = match &trouble {
            Trouble::NoNamespace => (
                format!("there is no namespace {:?} yet", name.namespace),
                false,
            ),
            Trouble::NotOurs(_) => (
                format!(
                    "its entry {key:?} was made by somebody else and lacks the signer's CA: remove the entry, or label the ConfigMap app.kubernetes.io/managed-by=certtool"
                ),
                true,
            ),
            Trouble::Outrun => ("somebody else changed it at the same time".to_owned(), true),
            Trouble::Refused(error) => (error.to_string(), true),
        };
        let text = format!("ConfigMap {name}: {why}");
        let mut troubles = self.troubles.lock().unwrap_or_else(PoisonError::into_inner);
        if troubles.insert(name.clone(), text.clone()).as_ref() != Some(&text) {
            warn!(
                signer = self.signer,
                "the trust bundle is not published: {text}"
            );
            if let Trouble::NotOurs(found) = trouble {
                self.report(name, &found, &text);
            }
        }
        waits.then_some(text)
    }

    fn report(&self, name: &ConfigMapName, found: &ConfigMap, note: &str) {
        self.reporter.report(Event {
            api_version: "v1".to_owned(),
            kind: "ConfigMap".to_owned(),
            namespace: Some(name.namespace.clone()),
            name: name.name.clone(),
            uid: found.uid().to_owned(),
            warning: true,
            reason: "NotCerttools".to_owned(),
            action: "Publish",
            note: format!(
                "the trust bundle of signer {} is not published: {note}",
                self.signer
            ),
        });
    }
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        match &error {
            Error::NoNamespace { .. } => Self::NoNamespace,
            // `NamespaceLifecycle`, k8s.io/apiserver pkg/admission/plugin/namespace/lifecycle
            Error::Api {
                code: 403, message, ..
            } if message.contains("because it is being terminated") => Self::NoNamespace,
            _ => Self::Refused(error),
        }
    }
}
