//! Leader election by a Lease.
//!
//! kube-lease-manager takes, renews and releases the Lease. It does not say when it renewed it
//! nor that it could not, and it judges by the Lease's own times. So what opens the write gate
//! is looked up here: each time the Lease is seen with this process as its holder and a new
//! renewTime, the gate is open for the lease's length, counted from the look before. When looks
//! or renewals fail, the gate closes by this process's own clock before the lease is over;
//! when the Lease has another holder, it closes at once.

use std::future::Future;
use std::time::Duration;

use kube_lease_manager::{LeaseManager, LeaseManagerBuilder, LeaseManagerError, LeaseParams};
use tokio::sync::Notify;
use tokio::time::Instant;
use tracing::{error, info, warn};

use super::gate::Keeper;
use super::metrics::Metrics;
use crate::cluster::{Cluster, Holder};

/// How the leader is elected.
#[derive(Debug, Clone)]
pub(super) struct Election {
    /// The Lease's namespace.
    pub(super) namespace: String,
    /// The Lease's name.
    pub(super) name: String,
    /// This process, and no other, ever.
    pub(super) identity: String,
    /// How long a leader that says nothing is still the leader.
    pub(super) duration: Duration,
}

/// How often the Lease is looked at.
const LOOK: Duration = Duration::from_secs(1);
/// An answer about the Lease that takes longer is worth nothing.
pub(super) const ANSWER: Duration = Duration::from_secs(4);
/// Even a lease that is over is looked at for so long.
const SHORTEST: Duration = Duration::from_secs(1);
/// How long the end may take.
const RELEASE: Duration = Duration::from_secs(5);

impl Election {
    /// Takes part until `shutdown`, then gives the Lease back.
    pub(super) async fn run(
        &self,
        cluster: &Cluster,
        keeper: &Keeper,
        metrics: &Metrics,
        shutdown: impl Future<Output = ()>,
    ) {
        let mut shutdown = std::pin::pin!(shutdown);
        let manager = tokio::select! {
            () = &mut shutdown => return,
            manager = self.manager(cluster) => manager,
        };
        let changed = Notify::new();
        tokio::select! {
            () = &mut shutdown => {}
            () = self.renew(cluster, &manager, &changed) => {}
            () = self.look(cluster, keeper, metrics, &changed) => {}
        }
        keeper.close();
        if !metrics.set_leader(false) {
            return;
        }
        match tokio::time::timeout(RELEASE, manager.release()).await {
            Ok(Ok(())) => info!("released the Lease {}/{}", self.namespace, self.name),
            Ok(Err(error)) => warn!("could not release the Lease: {error}"),
            Err(_) => warn!("could not release the Lease within {RELEASE:?}"),
        }
    }

    async fn manager(&self, cluster: &Cluster) -> LeaseManager {
        let seconds = self.duration.as_secs();
        // Renewed after a third of its length, so that two renewals may fail.
        let grace = seconds * 2 / 3;
        let mut said = String::new();
        loop {
            let built = LeaseManagerBuilder::new(cluster.client(), &self.name)
                .with_namespace(&self.namespace)
                .with_parameters(LeaseParams::new(&self.identity, seconds, grace))
                .build()
                .await;
            match built {
                Ok(manager) => return manager,
                Err(error) => report(&mut said, self, &error.to_string()),
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Takes and renews the Lease; never ends.
    async fn renew(&self, cluster: &Cluster, manager: &LeaseManager, changed: &Notify) {
        let mut said = String::new();
        loop {
            match manager.changed().await {
                Ok(_) => {
                    said.clear();
                    changed.notify_one();
                }
                Err(error) => {
                    report(&mut said, self, &error.to_string());
                    tokio::time::sleep(LOOK).await;
                    // Somebody deleted the Lease. A manager makes it when it is made itself, and
                    // never again.
                    if matches!(error, LeaseManagerError::NonexistentLease(_)) {
                        drop(self.manager(cluster).await);
                    }
                }
            }
        }
    }

    /// Looks at the Lease and opens or closes the gate; never ends.
    async fn look(&self, cluster: &Cluster, keeper: &Keeper, metrics: &Metrics, changed: &Notify) {
        let mut view = View::default();
        let mut said = String::new();
        loop {
            let sent = Instant::now();
            // Not beyond the lease's end, which has to be noticed.
            let patience = view.end.map_or(sent + ANSWER, |end| end.min(sent + ANSWER));
            let look = cluster.lease_holder(&self.namespace, &self.name);
            match tokio::time::timeout_at(patience.max(sent + SHORTEST), look).await {
                Err(_) => report(&mut said, self, "the API server does not answer"),
                Ok(Ok(holder)) => {
                    said.clear();
                    match view.see(holder, &self.identity, sent, self.duration) {
                        Verdict::Until(end) => {
                            keeper.open_until(end);
                            if !metrics.set_leader(true) {
                                info!(identity = self.identity, "became the leader");
                            }
                        }
                        Verdict::AsBefore => {}
                        Verdict::Lost => {
                            keeper.close();
                            if metrics.set_leader(false) {
                                warn!(identity = self.identity, "lost the lease: writing nothing");
                            }
                        }
                    }
                }
                Ok(Err(error)) => report(&mut said, self, &error.to_string()),
            }
            if view.end.is_some_and(|end| end <= Instant::now()) && metrics.set_leader(false) {
                keeper.close();
                warn!(
                    identity = self.identity,
                    "the lease could not be renewed: writing nothing"
                );
            }
            let rest = view.end.filter(|end| *end > Instant::now());
            // A look that took long is not followed by another at once.
            let next = (sent + LOOK).max(Instant::now() + LOOK / 2);
            let next = rest.map_or(next, |end| end.min(next));
            tokio::select! {
                () = tokio::time::sleep_until(next) => {}
                () = changed.notified() => {}
            }
        }
    }
}

/// Says a problem once, not once a second.
fn report(said: &mut String, election: &Election, problem: &str) {
    if said != problem {
        error!(
            "no leader can be elected by the Lease {}/{}: {problem}",
            election.namespace, election.name
        );
        problem.clone_into(said);
    }
}

/// What was seen of the Lease so far.
#[derive(Debug, Default)]
struct View {
    /// When the latest look that was answered was begun.
    looked: Option<Instant>,
    renewed: Option<String>,
    end: Option<Instant>,
}

#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Until(Instant),
    AsBefore,
    Lost,
}

impl View {
    fn see(
        &mut self,
        holder: Option<Holder>,
        identity: &str,
        sent: Instant,
        length: Duration,
    ) -> Verdict {
        let before = self.looked.replace(sent);
        let Some(holder) = holder.filter(|holder| holder.identity == identity) else {
            self.renewed = None;
            self.end = None;
            return Verdict::Lost;
        };
        if self.renewed.as_ref() == Some(&holder.renewed) {
            return Verdict::AsBefore;
        }
        self.renewed = Some(holder.renewed);
        // It was renewed after the look before, at which it was not; without one, nothing is
        // known about when.
        let Some(before) = before else {
            return Verdict::AsBefore;
        };
        self.end = Some(before + length);
        Verdict::Until(before + length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LENGTH: Duration = Duration::from_secs(12);

    fn held(identity: &str, renewed: u32) -> Option<Holder> {
        Some(Holder {
            identity: identity.to_owned(),
            renewed: renewed.to_string(),
        })
    }

    #[test]
    fn a_lease_counts_from_the_look_before_it_was_seen_renewed() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut view = View::default();
        let mut see = |holder, second| view.see(holder, "me", at(second), LENGTH);
        assert_eq!(see(None, 0), Verdict::Lost);
        assert_eq!(see(held("me", 1), 1), Verdict::Until(at(12)));
        assert_eq!(see(held("me", 1), 2), Verdict::AsBefore);
        // Looks that were not answered are not there.
        assert_eq!(see(held("me", 2), 9), Verdict::Until(at(14)));
        assert_eq!(see(held("other", 3), 10), Verdict::Lost);
        assert_eq!(see(held("me", 2), 11), Verdict::Until(at(22)));
    }

    #[test]
    fn a_lease_that_was_never_seen_free_opens_nothing() {
        let mut view = View::default();
        let verdict = view.see(held("me", 1), "me", Instant::now(), LENGTH);
        assert_eq!(verdict, Verdict::AsBefore);
    }
}
