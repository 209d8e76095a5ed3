//! Kubernetes Events, beside the work and never in its way: a bounded queue, a bounded rate,
//! each said once.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use time::OffsetDateTime;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tracing::debug;

use super::gate::Gate;
use super::metrics::{Ended, Metrics};
use crate::cluster::{Cluster, Event};

/// How many Events wait at most; further ones are dropped and counted.
const WAITING: usize = 64;
/// How many are written at once, as a burst.
const BURST: u32 = 25;
/// The pause between Events after a burst.
const PAUSE: Duration = Duration::from_millis(200);
/// How many are remembered, so that they are not said twice.
const REMEMBERED: usize = 4096;

/// Takes Events.
#[derive(Debug, Clone)]
pub(super) struct Reporter {
    sender: mpsc::Sender<Event>,
    wanted: Arc<AtomicBool>,
    metrics: Metrics,
}

/// The other end.
pub(super) struct Writer {
    receiver: mpsc::Receiver<Event>,
    metrics: Metrics,
    instance: String,
}

/// Events that `instance` reports.
pub(super) fn reporter(instance: &str, metrics: &Metrics) -> (Reporter, Writer) {
    let (sender, receiver) = mpsc::channel(WAITING);
    let reporter = Reporter {
        sender,
        wanted: Arc::new(AtomicBool::new(true)),
        metrics: metrics.clone(),
    };
    let writer = Writer {
        receiver,
        metrics: metrics.clone(),
        instance: instance.to_owned(),
    };
    (reporter, writer)
}

impl Reporter {
    /// Whether anything is reported at all.
    pub(super) fn want(&self, wanted: bool) {
        self.wanted.store(wanted, Ordering::Relaxed);
    }

    /// Reports, or drops the Event when too many wait. What went well gives way first.
    pub(super) fn report(&self, event: Event) {
        if !self.wanted.load(Ordering::Relaxed) {
            return;
        }
        let full = !event.warning && self.sender.capacity() < WAITING / 2;
        if full || self.sender.try_send(event).is_err() {
            self.metrics.event(Ended::dropped);
        }
    }
}

impl Writer {
    /// Writes Events until nobody reports any more.
    pub(super) async fn run(mut self, cluster: &Cluster, gate: &Gate) {
        let mut said = Said::default();
        let mut allowance = f64::from(BURST);
        let mut filled = Instant::now();
        while let Some(event) = self.receiver.recv().await {
            if !said.is_news(&event) {
                continue;
            }
            let now = Instant::now();
            allowance += (now - filled).as_secs_f64() / PAUSE.as_secs_f64();
            allowance = allowance.min(f64::from(BURST));
            filled = now;
            if allowance < 1.0 {
                tokio::time::sleep(PAUSE).await;
            } else {
                allowance -= 1.0;
            }
            let now = OffsetDateTime::now_utc();
            let written = gate
                .write(cluster.create_event(&event, &self.instance, now))
                .await;
            match written {
                Ok(Ok(())) => self.metrics.event(Ended::success),
                Ok(Err(error)) => {
                    self.metrics.event(Ended::failure);
                    debug!("could not write an Event: {error}");
                }
                Err(_) => {
                    said.forget(&event);
                    self.metrics.event(Ended::dropped);
                }
            }
        }
    }
}

/// What was said, by hashes.
#[derive(Debug, Default)]
struct Said(HashSet<u64>);

impl Said {
    /// Whether this was not said yet; it is from now on.
    fn is_news(&mut self, event: &Event) -> bool {
        if self.0.len() >= REMEMBERED {
            self.0.clear();
        }
        self.0.insert(hash(event))
    }

    /// It was not written: a follower's Event may be said once it leads.
    fn forget(&mut self, event: &Event) {
        self.0.remove(&hash(event));
    }
}

fn hash(event: &Event) -> u64 {
    let mut hasher = DefaultHasher::new();
    event.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_said_once_unless_it_could_not_be_written() {
        let event = Event::example("n");
        let mut said = Said::default();
        assert!(said.is_news(&event));
        assert!(!said.is_news(&event));
        said.forget(&event);
        assert!(said.is_news(&event));
        assert!(said.is_news(&Event::example("m")));
    }
}
