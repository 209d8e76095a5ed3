//! The objects of the cluster that may have to be changed.
//!
//! Named objects are read by name, so that the rights to get and to patch those few will do, and
//! all of them before anything is changed: a mistyped name changes nothing. What is chosen by
//! Service or label is listed, and changed as it comes.

use std::collections::VecDeque;

use anyhow::bail;
use futures::stream::{self, BoxStream, StreamExt, TryStreamExt};
use serde_json::Value;

use super::{Choice, ChoiceArgs};
use crate::cluster::{Cluster, Pages, Result, Selection};
use crate::injectable::{ClientConfigs, Kind, ObjectId, examine};

const CONFIGURATIONS: [Kind; 2] = [
    Kind::MutatingWebhookConfiguration,
    Kind::ValidatingWebhookConfiguration,
];

pub(super) struct Search<'a> {
    args: &'a ChoiceArgs,
    choice: &'a Choice,
    cluster: &'a Cluster,
}

impl<'a> Search<'a> {
    pub(super) fn new(args: &'a ChoiceArgs, choice: &'a Choice, cluster: &'a Cluster) -> Self {
        Self {
            args,
            choice,
            cluster,
        }
    }

    /// The objects with client configs that are meant, as far as they are there at first.
    ///
    /// # Errors
    /// The cluster cannot be asked, or something is named that is not there.
    pub(super) async fn begin(&self) -> anyhow::Result<BoxStream<'a, Result<Value>>> {
        let ChoiceArgs {
            webhooks,
            crds,
            apiservices,
            ..
        } = self.args;
        if webhooks.is_empty() && crds.is_empty() && apiservices.is_empty() {
            return self.all().await;
        }
        let mut objects = self.configurations().await?;
        objects.extend(self.named(Kind::CustomResourceDefinition, crds).await?);
        objects.extend(self.named(Kind::ApiService, apiservices).await?);
        self.refuse_missing(&objects)?;
        Ok(stream::iter(objects).map(Ok).boxed())
    }

    fn selection(&self) -> Selection {
        Selection {
            labels: self.args.selector.clone(),
        }
    }

    /// The objects of these names that are there.
    async fn named(&self, kind: Kind, names: &[String]) -> Result<Vec<Value>> {
        if self.args.selector.is_some() {
            // A get knows no labels.
            let mut objects = Vec::new();
            for name in names {
                let mut pages = self.cluster.injectable_pages(kind, &self.selection());
                pages = pages.named(name);
                while let Some(page) = pages.next().await? {
                    objects.extend(page);
                }
            }
            return Ok(objects);
        }
        let ids = names.iter().map(|name| ObjectId {
            kind,
            name: name.clone(),
        });
        let read = self.cluster.get_injectables(ids).await;
        read.into_iter()
            .filter_map(|(_, object)| object.transpose())
            .collect()
    }

    /// Configurations by their own names, else those with webhooks of such names.
    async fn configurations(&self) -> Result<Vec<Value>> {
        let mut objects = Vec::new();
        for kind in CONFIGURATIONS {
            objects.extend(self.named(kind, &self.args.webhooks).await?);
        }
        let is_there = |name: &String| {
            let mut ids = objects.iter().filter_map(ObjectId::of);
            ids.any(|id| id.name == *name)
        };
        if self.args.webhooks.iter().all(is_there) {
            return Ok(objects);
        }
        let known: Vec<ObjectId> = objects.iter().filter_map(ObjectId::of).collect();
        for kind in CONFIGURATIONS {
            let has = |object: Value| {
                let id = ObjectId::of(&object)?;
                let meant = !known.contains(&id) && self.is_meant(&id, &object);
                meant.then_some(object)
            };
            let selection = self.selection();
            let found = self.cluster.list_injectables(kind, &selection, has).await?;
            objects.extend(found);
        }
        Ok(objects)
    }

    fn is_meant(&self, id: &ObjectId, object: &Value) -> bool {
        match examine(object) {
            Ok(ClientConfigs::Some(configs)) => {
                // Each is asked: the choice remembers what was there.
                let meant = configs.iter().filter(|config| self.choice.has(id, config));
                meant.count() > 0
            }
            Ok(ClientConfigs::Nothing(_)) | Err(_) => false,
        }
    }

    fn refuse_missing(&self, objects: &[Value]) -> anyhow::Result<()> {
        for object in objects {
            let Some(id) = ObjectId::of(object) else {
                continue;
            };
            if let ClientConfigs::Nothing(reason) = examine(object)? {
                bail!("{id} has no caBundle: {reason}; nothing was changed");
            }
            self.is_meant(&id, object);
        }
        match self.choice.missing().first() {
            None => Ok(()),
            Some(missing) => bail!(
                "there is no {missing}{} in {}; nothing was changed",
                self.with_labels(),
                self.cluster.server
            ),
        }
    }

    fn with_labels(&self) -> String {
        let labels = self.args.selector.as_ref();
        labels.map_or_else(String::new, |labels| format!(" with labels {labels}"))
    }

    /// Everything there is, a page at a time. The first pages of all kinds are read at once: a
    /// list that is refused stops everything before anything is changed.
    async fn all(&self) -> anyhow::Result<BoxStream<'a, Result<Value>>> {
        let selection = self.selection();
        let first = Kind::ALL.map(|kind| {
            let mut pages = self.cluster.injectable_pages(kind, &selection);
            async {
                let page = pages.next().await?;
                Ok::<_, crate::cluster::Error>((page, pages))
            }
        });
        let kinds = futures::future::try_join_all(first).await?;
        let choice = self.choice;
        let objects = stream::iter(kinds).flat_map(|(page, pages)| listed(page, pages));
        Ok(objects
            .try_filter(move |object| {
                let meant =
                    ObjectId::of(object).is_some_and(|id| is_worth_planning(choice, &id, object));
                futures::future::ready(meant)
            })
            .boxed())
    }
}

/// Whether a plan has to be made: something is meant, or cannot be read.
fn is_worth_planning(choice: &Choice, id: &ObjectId, object: &Value) -> bool {
    match examine(object) {
        Ok(ClientConfigs::Some(configs)) => {
            configs
                .iter()
                .filter(|config| choice.has(id, config))
                .count()
                > 0
        }
        Ok(ClientConfigs::Nothing(_)) => false,
        Err(_) => true,
    }
}

fn listed<'a>(
    first: Option<Vec<Value>>,
    pages: Pages<'a>,
) -> impl futures::Stream<Item = Result<Value>> + 'a {
    let page: VecDeque<Value> = first.unwrap_or_default().into();
    stream::try_unfold((page, pages), |(mut page, mut pages)| async move {
        loop {
            if let Some(object) = page.pop_front() {
                return Ok(Some((object, (page, pages))));
            }
            match pages.next().await? {
                Some(next) => page = next.into(),
                None => return Ok(None),
            }
        }
    })
}

/// What was chosen and is not there once all is done.
pub(super) fn gone(confirmed: &Choice, cluster: &Cluster) -> Vec<String> {
    let missing = confirmed.missing().into_iter();
    missing
        .map(|what| format!("there is no {what} (any more) in {}", cluster.server))
        .collect()
}
