//! A watch of the requests of one signer that goes on whatever happens.

use futures::{Stream, StreamExt};
use kube::Api;
use kube::core::{ApiResource, DynamicObject};
use kube::runtime::utils::Backoff;
use kube::runtime::{WatchStreamExt, watcher};
use serde_json::{Value, json};
use std::time::Duration;

use super::call::Call;
use super::client::Cluster;
use super::error::Error;
use crate::request::{GROUP, Malformed, RequestObject};

/// What a watch tells.
#[derive(Debug)]
pub enum RequestEvent {
    /// A listing begins: all requests follow as [`RequestEvent::Seen`].
    Listing,
    /// The listing is complete; what was not in it is gone.
    Listed,
    /// A request that is there, new or changed.
    Seen(Box<RequestObject>),
    /// A request that does not read. It does not stop the others.
    Malformed(Malformed),
    /// A request that is gone, by its UID.
    Gone(String),
    /// The watch broke off and is tried again after a pause.
    Interrupted(Error),
}

/// A watch that stays silent is renewed after this many seconds, so that a connection that
/// leads nowhere is noticed.
const RENEWED: u32 = 45;
/// A page of a listing, as small as is still quick: it is in memory as a whole.
const PAGE: u32 = 100;

impl Cluster {
    /// Watches the requests of one signer and no others: the API server selects by signer
    /// itself (`pkg/apis/certificates/v1/conversion.go`). It never ends.
    pub fn watch_requests(
        &self,
        signer: &str,
    ) -> impl Stream<Item = RequestEvent> + Send + 'static {
        let resource = ApiResource {
            group: GROUP.to_owned(),
            version: "v1".to_owned(),
            api_version: format!("{GROUP}/v1"),
            kind: "CertificateSigningRequest".to_owned(),
            plural: "certificatesigningrequests".to_owned(),
        };
        let api: Api<DynamicObject> = Api::all_with(self.client(), &resource);
        let config = watcher::Config::default()
            .fields(&format!("spec.signerName={signer}"))
            .timeout(RENEWED)
            .page_size(PAGE);
        let server = self.server.to_string();
        watcher(api, config)
            .backoff(Pauses::default())
            .map(move |event| match event {
                Ok(watcher::Event::Init) => RequestEvent::Listing,
                Ok(watcher::Event::InitDone) => RequestEvent::Listed,
                Ok(watcher::Event::Apply(object) | watcher::Event::InitApply(object)) => {
                    match read(object) {
                        Ok(request) => RequestEvent::Seen(Box::new(request)),
                        Err(malformed) => RequestEvent::Malformed(malformed),
                    }
                }
                Ok(watcher::Event::Delete(object)) => {
                    RequestEvent::Gone(object.metadata.uid.unwrap_or_default())
                }
                Err(error) => RequestEvent::Interrupted(explain(error, &server)),
            })
    }
}

fn read(mut object: DynamicObject) -> Result<RequestObject, Malformed> {
    object.metadata.managed_fields = None;
    let malformed = |error: serde_json::Error| Malformed {
        name: String::new(),
        why: error.to_string(),
    };
    let metadata = serde_json::to_value(&object.metadata).map_err(malformed)?;
    let mut whole = json!({
        "apiVersion": format!("{GROUP}/v1"),
        "kind": "CertificateSigningRequest",
        "metadata": metadata,
    });
    for part in ["spec", "status"] {
        whole[part] = object.data.get_mut(part).map_or(json!({}), Value::take);
    }
    RequestObject::read(whole).map(RequestObject::for_subresources)
}

fn explain(error: watcher::Error, server: &str) -> Error {
    let call = |verb| Call::cluster_scoped(verb, GROUP, "v1", "certificatesigningrequests");
    match error {
        watcher::Error::InitialListFailed(error) => Error::of(&call("list"), server, &error),
        watcher::Error::WatchStartFailed(error) | watcher::Error::WatchFailed(error) => {
            Error::of(&call("watch"), server, &error)
        }
        watcher::Error::WatchError(status) => {
            Error::of(&call("watch"), server, &kube::Error::Api(status))
        }
        watcher::Error::NoResourceVersion => Error::Other {
            call: Box::new(call("list")),
            why: error.to_string(),
        },
    }
}

/// Pauses between attempts: doubling to five seconds, so that an API server that comes back is
/// noticed soon.
#[derive(Debug, Default)]
struct Pauses(u32);

impl Iterator for Pauses {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let pause = Duration::from_millis(200).saturating_mul(1 << self.0.min(8));
        self.0 = self.0.saturating_add(1);
        Some(pause.min(Duration::from_secs(5)))
    }
}

impl Backoff for Pauses {
    fn reset(&mut self) {
        self.0 = 0;
    }
}
