//! Objects that are given the trust bundle, and read back.

use std::collections::BTreeSet;

use serde_json::Value;
use time::OffsetDateTime;

use super::error::{Error, Result};
use crate::authority::{ReadBack, Trust};
use crate::cluster::{Cluster, Mode};
use crate::injectable::{ClientConfig, Decision, ObjectId, client_configs, plan_ca_bundles};
use crate::pki::{Certificate, TrustBundle};
use crate::plan::BundleMode;

/// What became of the objects that should trust a CA.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// What they hold.
    pub read_back: ReadBack,
    /// Objects that were changed.
    pub changed: Vec<ObjectId>,
    /// Objects that do not exist. Nobody is called because of them, so that nothing waits for
    /// them; they get the bundle once they exist.
    pub missing: Vec<ObjectId>,
    /// Objects that exist and call other Services only, so that nothing of them is changed.
    pub of_others: Vec<ObjectId>,
    /// The certificates that they held before; only filled without a bundle, to notice that a
    /// CA of this Secret was trusted before.
    pub seen: Vec<Certificate>,
    /// See [`Observation::in_use`](crate::authority::Observation::in_use).
    pub in_use: Option<BTreeSet<String>>,
}

impl Published {
    /// There is nothing that should trust the CA through certtool.
    #[must_use]
    pub fn nothing() -> Self {
        Self {
            read_back: ReadBack::Holds,
            changed: Vec::new(),
            missing: Vec::new(),
            of_others: Vec::new(),
            seen: Vec::new(),
            in_use: None,
        }
    }
}

impl Published {
    /// This, and what became of other objects.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.read_back = match (self.read_back, other.read_back) {
            (ReadBack::Lacking(mut these), ReadBack::Lacking(those)) => {
                these.extend(those);
                ReadBack::Lacking(these)
            }
            (ReadBack::Lacking(these), _) | (_, ReadBack::Lacking(these)) => {
                ReadBack::Lacking(these)
            }
            (ReadBack::Holds, ReadBack::Holds) => ReadBack::Holds,
            (ReadBack::Unknown, _) | (_, ReadBack::Unknown) => ReadBack::Unknown,
        };
        self.changed.extend(other.changed);
        self.missing.extend(other.missing);
        self.of_others.extend(other.of_others);
        self.seen.extend(other.seen);
        // Of the others it is not known what they use.
        self.in_use = self.in_use.zip(other.in_use).map(|(mut these, those)| {
            these.extend(those);
            these
        });
        self
    }
}

/// A list of objects that are given the bundle, each by its name.
///
/// Certificates of others stay in their bundles, and what is ours is added and leaves
/// ([`Trust::plan`]), which several replicas can do at once, each by its own reading of the
/// Secret. Whoever replaces whole bundles instead has to read the Secret again between reading
/// an object and patching that version of it.
#[derive(Debug, Clone, Default)]
pub struct Injectables {
    objects: Vec<ObjectId>,
    service: Option<(String, String)>,
}

impl Injectables {
    /// These objects, each webhook of them.
    #[must_use]
    pub fn new(objects: Vec<ObjectId>) -> Self {
        let mut once = Vec::with_capacity(objects.len());
        for id in objects {
            if !once.contains(&id) {
                once.push(id);
            }
        }
        Self {
            objects: once,
            service: None,
        }
    }

    /// Only what calls this Service, or a url. An object may have webhooks of several servers.
    #[must_use]
    pub fn calling(mut self, namespace: &str, service: &str) -> Self {
        self.service = Some((namespace.to_owned(), service.to_owned()));
        self
    }

    /// The objects.
    #[must_use]
    pub fn objects(&self) -> &[ObjectId] {
        &self.objects
    }

    fn concerns(&self, config: &ClientConfig) -> bool {
        match (&self.service, config.service()) {
            (Some((namespace, name)), Some(target)) => {
                target.namespace == *namespace && target.name == *name
            }
            _ => true,
        }
    }

    fn is_of_others(&self, object: &Value) -> bool {
        let configs = client_configs(object).unwrap_or_default();
        let mut configs = configs.iter().filter(|config| config.exists()).peekable();
        configs.peek().is_some() && !configs.any(|config| self.concerns(config))
    }

    /// Gives each object the bundle and reads it back; without a bundle, only looks. An object
    /// that cannot be read or changed is lacking, with the reason.
    ///
    /// # Errors
    /// Without a bundle, when an object cannot be read.
    pub async fn publish(
        &self,
        cluster: &Cluster,
        trust: Option<&Trust>,
        now: OffsetDateTime,
    ) -> Result<Published> {
        let mut published = Published::nothing();
        let mut lacking = Vec::new();
        let mut due = Vec::new();
        for (id, object) in cluster.get_injectables(self.objects.clone()).await {
            match (object, trust) {
                (Ok(None), _) => published.missing.push(id),
                (Ok(Some(object)), None) => published.seen.extend(self.seen(&object)?),
                (Ok(Some(object)), Some(trust)) => {
                    if self.is_of_others(&object) {
                        published.of_others.push(id);
                    }
                    due.push((self.needs(&object, trust, now), object));
                }
                (Err(error), None) => return Err(error.into()),
                (Err(error), Some(_)) => lacking.push(format!("{id}: {error}")),
            }
        }
        let Some(trust) = trust else {
            published.read_back = ReadBack::Unknown;
            return Ok(published);
        };
        let due = due.into_iter().filter(|(due, _)| *due);
        let due: Vec<_> = due.map(|(_, object)| object).collect();
        let applied = cluster
            .apply_plans(
                due,
                Mode::Apply,
                |_, object| {
                    let plan = plan_ca_bundles(object, |config| match self.concerns(config) {
                        true => trust.plan(&config.ca_bundle, BundleMode::Merge, now),
                        false => Decision::Keep,
                    });
                    Ok(plan?)
                },
                |_| Ok(()),
            )
            .await?;
        let mut changed = Vec::new();
        for (id, applied) in applied {
            match applied {
                Ok(Some(_)) => changed.push(id),
                Ok(None) => published.missing.push(id),
                Err(error) => lacking.push(format!("{id}: {error}")),
            }
        }
        for (id, object) in cluster.get_injectables(changed.clone()).await {
            match object {
                Ok(Some(object)) => lacking.extend(self.lacking(&id, &object, trust)),
                Ok(None) => published.missing.push(id),
                Err(error) => lacking.push(format!("{id}: {error}")),
            }
        }
        published.changed = changed;
        if !lacking.is_empty() {
            published.read_back = ReadBack::Lacking(lacking);
        }
        Ok(published)
    }

    /// Whether an object is to be changed: it lacks something, or holds what must leave. One
    /// that does not read is tried, for its error.
    fn needs(&self, object: &Value, trust: &Trust, now: OffsetDateTime) -> bool {
        let plan = plan_ca_bundles(object, |config| match self.concerns(config) {
            true => trust.plan(&config.ca_bundle, BundleMode::Merge, now),
            false => Decision::Keep,
        });
        plan.map_or(true, |plan| plan.patch.is_some())
    }

    fn lacking(&self, id: &ObjectId, object: &Value, trust: &Trust) -> Vec<String> {
        let configs = match client_configs(object) {
            Ok(configs) => configs,
            Err(error) => return vec![error.to_string()],
        };
        let lacking = configs.iter().filter(|config| {
            config.exists() && self.concerns(config) && !trust.is_in(&config.ca_bundle)
        });
        lacking
            .map(|config| match &config.webhook {
                Some(webhook) => format!("{id} (webhook {webhook}): somebody else changed it"),
                None => format!("{id}: somebody else changed it"),
            })
            .collect()
    }

    fn seen(&self, object: &Value) -> Result<Vec<Certificate>> {
        let configs = client_configs(object).map_err(|error| Error::Cluster(error.into()))?;
        let bundles = configs.iter().filter_map(|config| config.ca_bundle.pem());
        let certificates =
            bundles.flat_map(|pem| TrustBundle::usable(pem).0.certificates().to_vec());
        Ok(certificates.collect())
    }
}
