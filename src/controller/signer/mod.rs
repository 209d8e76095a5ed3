//! The signer: watches the requests of the configured signers, approves by policy, signs.
//!
//! One loop owns the queue; up to [`PARALLEL`] requests are worked on at a time, each by a
//! future of its own (`work`), so that one that fails or hangs holds up no other. Followers
//! watch and queue as the leader does and begin when the gate opens.

mod facts;
mod work;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::{FuturesUnordered, SelectAll};
use futures::{FutureExt, Stream, StreamExt};
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::{debug, error, info, warn};

use self::work::{Ended, Work};
use super::authorities::Signing;
use super::config::Signer;
use super::gate::Gate;
use super::metrics::{Metrics, Outcome};
use super::queue::Queue;
use super::readiness::Readiness;
use super::reporter::Reporter;
use crate::cluster::{Cluster, RequestEvent};
use crate::request::{RequestObject, State};

/// How many requests are worked on at a time.
const PARALLEL: usize = 16;
/// How long work that was begun may take after the end was announced.
const LAST: Duration = Duration::from_secs(10);
/// How often the same trouble with a watch is said again.
const AGAIN: Duration = Duration::from_secs(300);

/// A signer with the CA that it has at the moment.
#[derive(Debug, Clone)]
pub(super) struct Active {
    pub(super) signer: Arc<Signer>,
    pub(super) signing: watch::Receiver<Signing>,
}

/// What the loop works with.
#[derive(Debug, Clone)]
pub(super) struct Context {
    pub(super) cluster: Cluster,
    pub(super) gate: Gate,
    pub(super) metrics: Metrics,
    pub(super) reporter: Reporter,
    pub(super) readiness: Readiness,
}

type Events = SelectAll<Pin<Box<dyn Stream<Item = (usize, RequestEvent)> + Send>>>;

/// Signs until `shutdown`, then finishes what was begun.
pub(super) async fn run(context: &Context, signers: &[Active], shutdown: impl Future<Output = ()>) {
    let mut shutdown = std::pin::pin!(shutdown.fuse());
    let mut events: Events = SelectAll::new();
    for (index, active) in signers.iter().enumerate() {
        let watch = context.cluster.watch_requests(active.signer.name());
        events.push(watch.map(move |event| (index, event)).boxed());
    }
    let mut changes: SelectAll<_> = signers
        .iter()
        .map(|active| authority_changes(active.signing.clone()).boxed())
        .collect();
    let work = Work::new(context.clone(), signers.to_vec());
    let mut state = Loop {
        context,
        signers,
        queue: Queue::new(),
        troubles: vec![None; signers.len()],
    };
    let mut running = FuturesUnordered::new();
    loop {
        let open = context.gate.is_open();
        while open && running.len() < PARALLEL {
            let Some(job) = state.queue.take(Instant::now()) else {
                break;
            };
            running.push(work.clone().one(job));
        }
        context.metrics.queue_length(state.queue.len());
        let due = state.queue.next_due();
        let may_begin = open && running.len() < PARALLEL;
        tokio::select! {
            biased;
            () = &mut shutdown => break,
            Some((uid, ended)) = running.next() => state.ended(&uid, ended),
            Some((index, event)) = events.next() => state.event(index, event),
            Some(()) = changes.next() => state.queue.wake(Instant::now()),
            () = sleep_until(due), if may_begin && due.is_some() => {}
            () = context.gate.opened(), if !open => {}
            () = context.gate.closed(), if open => {}
        }
    }
    let finish = async { while running.next().await.is_some() {} };
    if tokio::time::timeout(LAST, finish).await.is_err() {
        warn!("some requests could not be finished within {LAST:?}");
    }
}

async fn sleep_until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}

/// An item whenever the signer gets another CA.
fn authority_changes(receiver: watch::Receiver<Signing>) -> impl Stream<Item = ()> + Send {
    futures::stream::unfold(receiver, |mut receiver| async move {
        receiver.changed().await.ok()?;
        Some(((), receiver))
    })
}

struct Loop<'a> {
    context: &'a Context,
    signers: &'a [Active],
    queue: Queue<String, RequestObject>,
    /// What is wrong with each signer's watch, and since when that was said.
    troubles: Vec<Option<(String, Instant)>>,
}

impl Loop<'_> {
    fn name(&self, index: usize) -> &str {
        self.signers
            .get(index)
            .map_or("", |active| active.signer.name())
    }

    fn event(&mut self, index: usize, event: RequestEvent) {
        let now = Instant::now();
        match event {
            RequestEvent::Listing => self.queue.listing(index),
            RequestEvent::Listed => {
                self.queue.listed(index);
                self.context.readiness.watching(self.name(index));
                if self.troubles[index].take().is_some() {
                    info!(signer = self.name(index), "watching requests again");
                }
            }
            RequestEvent::Seen(request) => self.seen(index, *request, now),
            RequestEvent::Gone(uid) => self.queue.forget(&uid),
            RequestEvent::Malformed(malformed) => {
                let signer = self.name(index);
                self.context.metrics.request(signer, Outcome::malformed);
                error!(signer, "{malformed}; it is left alone");
            }
            RequestEvent::Interrupted(problem) => {
                let problem = problem.to_string();
                let signer = self.name(index).to_owned();
                self.context.metrics.watch_restart(&signer);
                let said = self.troubles[index].as_ref();
                if said.is_some_and(|(text, at)| *text == problem && at.elapsed() < AGAIN) {
                    debug!(signer, "still: {problem}");
                } else {
                    warn!(
                        signer,
                        "the watch of requests broke off, trying again: {problem}"
                    );
                    self.troubles[index] = Some((problem, now));
                }
            }
        }
    }

    fn seen(&mut self, index: usize, request: RequestObject, now: Instant) {
        let approves = self
            .signers
            .get(index)
            .is_some_and(|active| active.signer.approve);
        match request.state() {
            State::Approved => {}
            State::Pending if approves => {}
            // Nothing left to be done, or somebody else's turn.
            State::Pending | State::Denied | State::Failed | State::Issued => {
                self.queue.forget(&request.uid);
                return;
            }
        }
        let (uid, name) = (request.uid.clone(), request.name.clone());
        self.queue.offer(&uid, &name, index, request, now);
    }

    #[allow(clippy::ptr_arg)] // the queue's key
    fn ended(&mut self, uid: &String, ended: Ended) {
        let now = Instant::now();
        match ended {
            Ended::Finished => self.queue.finish(uid),
            Ended::Nothing => self.queue.rest(uid, now),
            Ended::Again { signer, longest } => {
                self.context.metrics.retry(&signer);
                let pause = self.queue.retry(uid, longest, now);
                debug!(uid, "tried again in {pause:?}");
            }
        }
    }
}
