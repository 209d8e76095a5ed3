//! What happens, as Events of the Pod: `kubectl describe pod` shows them.

use std::collections::HashMap;
use std::time::Duration;

use time::OffsetDateTime;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::happening::Happening;
use crate::cluster::{self, Cluster, Event};

/// How many wait to be written; more are dropped, since there is the log too.
const QUEUE: usize = 16;
/// Events of one reason are written at most so often.
const PACE_OF_NEWS: Duration = Duration::from_secs(60);
const PACE_OF_WARNINGS: Duration = Duration::from_secs(300);

/// The pod that events are about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodName {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its UID, without which `kubectl describe pod` does not show the events.
    pub uid: String,
}

/// Gives what happens to the API server, in a task of its own on the present runtime: an
/// observer for [`Sidecar::observe`](super::Sidecar::observe). `refused` is told when events
/// may not be written.
pub fn pod_events(
    cluster: Cluster,
    pod: PodName,
    refused: impl Fn(&cluster::Error) + Send + 'static,
) -> impl Fn(&Happening) + Send + Sync + 'static {
    let (sender, mut receiver) = mpsc::channel::<Event>(QUEUE);
    let instance = pod.name.clone();
    tokio::spawn(async move {
        let mut written: HashMap<String, Instant> = HashMap::new();
        let mut is_refused = false;
        while let Some(event) = receiver.recv().await {
            let pace = if event.warning {
                PACE_OF_WARNINGS
            } else {
                PACE_OF_NEWS
            };
            let is_early = |at: &Instant| at.elapsed() < pace;
            if written.get(&event.reason).is_some_and(is_early) {
                continue;
            }
            let now = OffsetDateTime::now_utc();
            match cluster.create_event(&event, &instance, now).await {
                Ok(()) => {
                    is_refused = false;
                    written.insert(event.reason, Instant::now());
                }
                Err(error) if !is_refused => {
                    is_refused = true;
                    refused(&error);
                }
                Err(_) => {}
            }
        }
    });
    move |happening| {
        if let Some(event) = event(happening, &pod) {
            let _ = sender.try_send(event);
        }
    }
}

fn event(happening: &Happening, pod: &PodName) -> Option<Event> {
    let is_news = matches!(happening, Happening::Issued { .. }) || happening.is_warning();
    is_news.then(|| Event {
        api_version: "v1".to_owned(),
        kind: "Pod".to_owned(),
        namespace: Some(pod.namespace.clone()),
        name: pod.name.clone(),
        uid: pod.uid.clone(),
        warning: happening.is_warning(),
        reason: happening.reason().to_owned(),
        action: "Renew",
        note: happening.to_string(),
    })
}
