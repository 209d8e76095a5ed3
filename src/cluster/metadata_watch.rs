//! Watches that go on whatever happens and bring metadata alone: no schemas of CRDs, no data of
//! Secrets.

use std::collections::BTreeMap;

use futures::{Stream, StreamExt};
use kube::Api;
use kube::core::{ApiResource, ObjectMeta};
use kube::runtime::{WatchStreamExt, watcher};

use super::call::Call;
use super::client::Cluster;
use super::error::Error;
use super::lean::Lean;
use super::secrets::{self, SecretName};
use super::watching::{Pauses, RENEWED, explain};
use crate::injectable::Kind;

/// What is looked at of an object's metadata.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Metadata {
    /// `metadata.name`
    pub name: String,
    /// `metadata.uid`
    pub uid: String,
    /// `metadata.resourceVersion`
    pub resource_version: String,
    /// `metadata.labels`
    pub labels: BTreeMap<String, String>,
    /// `metadata.annotations` of certtool and cert-manager
    pub annotations: BTreeMap<String, String>,
}

/// What a watch tells.
#[derive(Debug)]
pub enum MetadataEvent {
    /// A listing begins: all objects follow as [`MetadataEvent::Seen`].
    Listing,
    /// The listing is complete; what was not in it is gone.
    Listed,
    /// An object that is there, new or changed.
    Seen(Metadata),
    /// An object that is gone.
    Gone(Metadata),
    /// The watch broke off and is tried again after a pause.
    Interrupted(Error),
}

/// How many objects a page of a listing has; its text is in memory as a whole.
const PAGE: u32 = 100;
/// The same of CRDs: the manifest that kubectl has applied, schemas and all, is in an annotation.
const PAGE_OF_CRDS: u32 = 16;

impl Cluster {
    /// Watches all objects of an injectable kind. It never ends.
    pub fn watch_injectables(
        &self,
        kind: Kind,
    ) -> impl Stream<Item = MetadataEvent> + Send + 'static {
        let resource = resource(kind.group(), kind.as_str(), kind.plural());
        let api = Api::all_with(self.client(), &resource);
        let call = Call::cluster_scoped("watch", kind.group(), kind.version(), kind.plural());
        let page = match kind {
            Kind::CustomResourceDefinition => PAGE_OF_CRDS,
            _ => PAGE,
        };
        let config = watcher::Config::default().page_size(page);
        self.watch_metadata(api, config, call)
    }

    /// Watches one Secret and no other, which a Role can be limited to. It never ends.
    pub fn watch_secret(
        &self,
        secret: &SecretName,
    ) -> impl Stream<Item = MetadataEvent> + Send + 'static {
        let resource = resource("", "Secret", "secrets");
        let api = Api::namespaced_with(self.client(), &secret.namespace, &resource);
        let config = watcher::Config::default().fields(&format!("metadata.name={}", secret.name));
        self.watch_metadata(api, config, secrets::call("watch", secret))
    }

    fn watch_metadata(
        &self,
        api: Api<Lean>,
        config: watcher::Config,
        call: Call,
    ) -> impl Stream<Item = MetadataEvent> + Send + 'static {
        let server = self.server.to_string();
        watcher(api, config.timeout(RENEWED))
            .backoff(Pauses::default())
            .map(move |event| match event {
                Ok(watcher::Event::Init) => MetadataEvent::Listing,
                Ok(watcher::Event::InitDone) => MetadataEvent::Listed,
                Ok(watcher::Event::Apply(object) | watcher::Event::InitApply(object)) => {
                    MetadataEvent::Seen(read(object.into_metadata()))
                }
                Ok(watcher::Event::Delete(object)) => {
                    MetadataEvent::Gone(read(object.into_metadata()))
                }
                Err(error) => MetadataEvent::Interrupted(explain(error, &server, &call)),
            })
    }
}

fn resource(group: &str, kind: &str, plural: &str) -> ApiResource {
    let api_version = match group {
        "" => "v1".to_owned(),
        group => format!("{group}/v1"),
    };
    ApiResource {
        group: group.to_owned(),
        version: "v1".to_owned(),
        api_version,
        kind: kind.to_owned(),
        plural: plural.to_owned(),
    }
}

fn read(metadata: ObjectMeta) -> Metadata {
    Metadata {
        name: metadata.name.unwrap_or_default(),
        uid: metadata.uid.unwrap_or_default(),
        resource_version: metadata.resource_version.unwrap_or_default(),
        labels: metadata.labels.unwrap_or_default(),
        annotations: metadata.annotations.unwrap_or_default(),
    }
}
