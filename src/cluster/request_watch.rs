//! A watch of the requests of one signer that goes on whatever happens.

use futures::{Stream, StreamExt};
use kube::Api;
use kube::core::{ApiResource, DynamicObject};
use kube::runtime::{WatchStreamExt, watcher};
use serde_json::{Value, json};

use super::call::Call;
use super::client::Cluster;
use super::error::Error;
use super::watching::{Pauses, RENEWED, explain};
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
        let call = Call::cluster_scoped("watch", GROUP, "v1", "certificatesigningrequests");
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
                Err(error) => RequestEvent::Interrupted(explain(error, &server, &call)),
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
