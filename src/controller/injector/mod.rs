//! caBundles: every object that asks for a bundle, or that the configuration chooses, has what its
//! source gives.
//!
//! * `index`: what is known of objects and sources
//! * `secrets`: the Secrets that are sources
//! * `bulk`: many objects of a kind, read together
//! * `mend`: one object, read and patched
//! * `publish`: a signer's bundle before it signs, given and read back
//!
//! One loop watches metadata alone, queues what may differ from its source, and works on some
//! objects at a time. Three things queue an object: its source changed, it changed itself, or it
//! was not read for a while. Followers watch as the leader does and begin when the gate opens.

mod bulk;
mod index;
mod mend;
mod publish;
mod secrets;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use futures::stream::{FuturesUnordered, SelectAll};
use time::OffsetDateTime;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tracing::{debug, info, warn};

use self::bulk::{Bulk, Page, Read};
use self::index::{Index, Supply};
use self::mend::Ended;
use self::secrets::{Secrets, Told};
use super::config::{Config, Injection};
use super::injection::{Choice, Chosen, Material, Origin, choose, kinds};
use super::queue::Queue;
use super::signer::Context;
use crate::cluster::{Metadata, MetadataEvent, SecretName};
use crate::injectable::{Kind, ObjectId};

pub(super) use self::publish::Proof;

/// How many objects are worked on at a time.
const PARALLEL: usize = 8;
/// The longest pause after an error.
const LONGEST: Duration = Duration::from_secs(30);
/// How often the same trouble is said again.
const AGAIN: Duration = Duration::from_secs(300);

/// What the loop shares with those who publish.
#[derive(Debug, Clone)]
pub(super) struct Injector {
    injection: Arc<Injection>,
    signers: Arc<[String]>,
    index: Arc<Mutex<Index>>,
    /// Objects that somebody wants to be looked at.
    ordered: Arc<Mutex<Vec<ObjectId>>>,
    ordering: Arc<Notify>,
    /// Changes whenever more is known.
    known: watch::Sender<u64>,
}

impl Injector {
    /// One for a configuration.
    pub(super) fn new(config: &Config) -> Self {
        let signers = config.signers.iter().map(|signer| signer.name().to_owned());
        Self {
            index: Arc::new(Mutex::new(Index::of(&kinds(&config.injection)))),
            injection: Arc::new(config.injection.clone()),
            signers: signers.collect(),
            ordered: Arc::default(),
            ordering: Arc::default(),
            known: watch::channel(0).0,
        }
    }

    fn index(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has objects looked at.
    fn order(&self, ids: Vec<ObjectId>) {
        let mut ordered = self.ordered.lock().unwrap_or_else(PoisonError::into_inner);
        ordered.extend(ids);
        self.ordering.notify_one();
    }

    fn ordered(&self) -> Vec<ObjectId> {
        let mut ordered = self.ordered.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut ordered)
    }

    /// Waits until more is known, or the end.
    async fn progress(&self, end: Instant) {
        let mut known = self.known.subscribe();
        let _ = tokio::time::timeout_at(end, known.changed()).await;
    }

    fn choose(
        &self,
        id: &ObjectId,
        labels: &BTreeMap<String, String>,
        annotations: &BTreeMap<String, String>,
    ) -> Choice {
        let signers = self.signers.iter().map(String::as_str);
        choose(
            &self.injection,
            signers,
            id.kind,
            &id.name,
            labels,
            annotations,
        )
    }

    fn check_every(&self) -> Duration {
        self.injection.check_every.unsigned_abs()
    }
}

/// Injects; never ends.
pub(super) async fn run(context: &Context, injector: &Injector) {
    let mut events = SelectAll::new();
    for kind in kinds(&injector.injection) {
        let watch = context.cluster.watch_injectables(kind);
        events.push(watch.map(move |event| (kind, event)).boxed());
    }
    if events.is_empty() {
        return std::future::pending().await;
    }
    let check_every = injector.check_every();
    let mut state = Loop {
        context,
        injector,
        queue: Queue::new(),
        bulk: Bulk::new(&context.cluster),
        secrets: Secrets::new(check_every),
        refused: HashMap::new(),
        troubles: HashMap::new(),
    };
    state.supply_api_server();
    let mut running = FuturesUnordered::new();
    // A fraction, so that not all objects are read in one go.
    let mut checks = tokio::time::interval(check_every / 20);
    let mut open = false;
    loop {
        if context.gate.is_open() != open {
            open = !open;
            let due = injector.index().due();
            state.offer(due);
            if open {
                state.say_refused();
            }
        }
        while open && running.len() < PARALLEL {
            let Some(job) = state.queue.take(Instant::now()) else {
                break;
            };
            running.push(async move {
                let ended = injector
                    .mend(context, &job.key, job.object, job.attempts)
                    .await;
                (job.key, ended)
            });
        }
        // The next page comes while the last objects of this one are worked on.
        if open && state.queue.len() < 2 * PARALLEL {
            state.bulk.go_on();
        }
        let due = state.queue.next_due();
        let may_begin = open && running.len() < PARALLEL;
        tokio::select! {
            biased;
            Some((id, ended)) = running.next() => state.ended(&id, &ended),
            Some(page) = state.bulk.reading.next() => state.read(page),
            Some((kind, event)) = events.next() => state.event(kind, event),
            (name, told) = state.secrets.next() => state.told(name, told),
            () = injector.ordering.notified() => {
                let ordered = injector.ordered();
                state.offer(ordered);
            }
            _ = checks.tick() => state.check(),
            () = sleep_until(due), if may_begin && due.is_some() => {}
            () = context.gate.opened(), if !open => {}
            () = context.gate.closed(), if open => {}
        }
    }
}

async fn sleep_until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}

struct Loop<'a> {
    context: &'a Context,
    injector: &'a Injector,
    /// Objects that may have something to be done, some as they were read in a list.
    queue: Queue<ObjectId, Read>,
    bulk: Bulk<'a>,
    secrets: Secrets,
    /// Objects whose metadata asks for what cannot be done: their UIDs, and why.
    refused: HashMap<ObjectId, (String, String)>,
    /// What is wrong, where, and when that was said.
    troubles: HashMap<String, (String, Instant)>,
}

impl<'a> Loop<'a> {
    /// Objects that may have something to be done, at once even if they wait after an error.
    fn offer(&mut self, ids: Vec<ObjectId>) {
        let now = Instant::now();
        let single = {
            let index = self.injector.index();
            let ids = ids.into_iter().filter(|id| {
                let entry = index.get(id);
                entry.is_some_and(|entry| entry.contest.until(now.into_std()).is_none())
            });
            self.bulk.take(ids.collect(), |kind| index.total(kind), now)
        };
        for id in single {
            self.queue.offer(&id, "", 0, None, now);
            self.queue.hasten(&id, now);
        }
    }

    /// A page of a list was read.
    fn read(&mut self, page: Page<'a>) {
        let now = Instant::now();
        let (read, single) = self.bulk.read(page);
        let single = single.into_iter().map(|id| (id, None));
        let read = read.into_iter().map(|(id, read)| (id, Some(read)));
        for (id, read) in read.chain(single) {
            self.queue.offer(&id, "", 0, read, now);
            self.queue.hasten(&id, now);
        }
    }

    fn event(&mut self, kind: Kind, event: MetadataEvent) {
        match event {
            MetadataEvent::Listing => {
                self.injector.index().listing(kind);
                self.refused.retain(|id, _| id.kind != kind);
            }
            MetadataEvent::Listed => {
                let gone = self.injector.index().listed(kind);
                for id in gone {
                    self.queue.forget(&id);
                }
                self.follow_secrets();
                if self.troubles.remove(kind.as_str()).is_some() {
                    info!(%kind, "watching objects again");
                }
            }
            MetadataEvent::Seen(metadata) => self.seen(kind, metadata),
            MetadataEvent::Gone(metadata) => {
                let name = metadata.name;
                let id = ObjectId { kind, name };
                self.injector.index().forget(&id);
                self.queue.forget(&id);
                self.refused.remove(&id);
                self.follow_secrets();
            }
            MetadataEvent::Interrupted(error) => {
                self.context.metrics.injection_watch_restart(kind.as_str());
                self.injector.index().broken(kind, error.to_string());
                let what = format!("the watch of {} broke off, trying again", kind.plural());
                self.trouble(kind.as_str().to_owned(), &what, error.to_string());
            }
        }
        self.more_is_known();
    }

    fn seen(&mut self, kind: Kind, metadata: Metadata) {
        let name = metadata.name;
        let id = ObjectId { kind, name };
        let choice = self
            .injector
            .choose(&id, &metadata.labels, &metadata.annotations);
        let (known, due) = {
            let mut index = self.injector.index();
            let known = index.get(&id).map(|entry| entry.chosen.clone());
            let due = index.seen(&id, &metadata.uid, &metadata.resource_version, &choice);
            (known, due)
        };
        let refused = self.refused.remove(&id);
        match &choice {
            Choice::Nothing | Choice::Of(_) => {}
            Choice::Elsewhere(signer) => {
                debug!(
                    object = id.to_string(),
                    "signer {signer} is not in the configuration"
                );
            }
            Choice::Refused(why) => {
                let now = (metadata.uid, why.clone());
                if self.context.gate.is_open() && refused.as_ref() != Some(&now) {
                    self.injector.refused(self.context, &id, &now.0, why);
                }
                self.refused.insert(id.clone(), now);
            }
        }
        let chosen = match choice {
            Choice::Of(chosen) => Some(chosen),
            _ => None,
        };
        if chosen.is_none() {
            self.queue.forget(&id);
        }
        if due {
            self.queue.offer(&id, "", 0, None, Instant::now());
        }
        let secret = |chosen: &Option<Chosen>| {
            let origin = chosen.as_ref().map(|chosen| &chosen.origin);
            matches!(origin, Some(Origin::Secret(_)))
        };
        if known != chosen && (secret(&known) || secret(&chosen)) {
            self.follow_secrets();
        }
    }

    /// Says what the leader before may not have said.
    fn say_refused(&self) {
        for (id, (uid, why)) in &self.refused {
            self.injector.refused(self.context, id, uid, why);
        }
    }

    /// Follows the Secrets that objects name, and no others.
    fn follow_secrets(&mut self) {
        let wanted = self.injector.index().secrets();
        for name in self.secrets.follow(&self.context.cluster, &wanted) {
            self.injector.index().forget_source(&Origin::Secret(name));
        }
    }

    fn told(&mut self, name: SecretName, told: Told) {
        let origin = Origin::Secret(name);
        let trouble = origin.to_string();
        match told {
            Told::Trouble(error) => {
                // Ours to settle and not the objects': nothing is said on them.
                let what = "a source of bundles cannot be read, trying again";
                return self.trouble(trouble, what, error.to_string());
            }
            Told::Gives(supply) => {
                self.troubles.remove(&trouble);
                if !self.injector.index().supply(&origin, supply).1 {
                    return;
                }
            }
        }
        let objects = self.injector.index().objects_of(&origin);
        self.offer(objects);
    }

    /// The CA of the API server, as this process was told it when it started.
    fn supply_api_server(&self) {
        let supply = match self.context.cluster.api_server_ca() {
            Some(bundle) => {
                let now = OffsetDateTime::now_utc();
                let bundle = bundle.without_expired(now);
                Supply::Good(Arc::new(Material::Whole(bundle)), None)
            }
            None => Supply::Bad("the kubeconfig names no CA of the API server".to_owned()),
        };
        self.injector.index().supply(&Origin::ApiServer, supply);
    }

    /// Looks at what was not read for a while.
    fn check(&mut self) {
        let unread = self
            .injector
            .index()
            .unread(self.injector.check_every(), Instant::now());
        self.offer(unread);
    }

    fn ended(&mut self, id: &ObjectId, ended: &Ended) {
        let now = Instant::now();
        match ended {
            Ended::Nothing => self.queue.rest(id, now),
            Ended::Until(until) => self.queue.postpone(id, *until),
            Ended::Again => {
                self.queue.retry(id, LONGEST, now);
            }
        }
        self.more_is_known();
    }

    fn more_is_known(&self) {
        self.injector
            .known
            .send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Says what is wrong, and not every few seconds.
    fn trouble(&mut self, place: String, what: &str, why: String) {
        let said = self.troubles.get(&place);
        if said.is_some_and(|(before, at)| *before == why && at.elapsed() < AGAIN) {
            debug!(place, "still: {why}");
            return;
        }
        warn!(place, "{what}: {why}");
        self.troubles.insert(place, (why, Instant::now()));
    }
}
