//! Secrets that objects take their bundle from: each watched by its name, by metadata alone, and
//! read when it has changed. Of its data nothing but `ca.crt` is looked at or kept.

use std::collections::{BTreeSet, HashMap};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::{AbortHandle, SelectAll, abortable};
use futures::{Stream, StreamExt};
use time::OffsetDateTime;
use tokio::time::Instant;

use super::index::Supply;
use crate::cluster::{Cluster, Error, MetadataEvent, SecretName};
use crate::controller::injection::{Consents, Material, ca_of_secret};

/// After an error it is read again this much later.
const AGAIN: Duration = Duration::from_secs(5);

/// What is told of a Secret.
#[derive(Debug)]
pub(super) enum Told {
    /// What it gives.
    Gives(Supply),
    /// It could not be read or watched; what was known of it counts on.
    Trouble(Error),
}

type Tellings = Pin<Box<dyn Stream<Item = (SecretName, Told)> + Send>>;

/// The Secrets that are followed.
pub(super) struct Secrets {
    streams: SelectAll<Tellings>,
    followed: HashMap<SecretName, AbortHandle>,
    check_every: Duration,
}

impl Secrets {
    pub(super) fn new(check_every: Duration) -> Self {
        Self {
            streams: SelectAll::new(),
            followed: HashMap::new(),
            check_every,
        }
    }

    /// Follows these and no others; those that are followed no more.
    pub(super) fn follow(
        &mut self,
        cluster: &Cluster,
        wanted: &BTreeSet<SecretName>,
    ) -> Vec<SecretName> {
        let given_up: Vec<_> = self
            .followed
            .keys()
            .filter(|name| !wanted.contains(name))
            .cloned()
            .collect();
        for name in &given_up {
            if let Some(handle) = self.followed.remove(name) {
                handle.abort();
            }
        }
        for name in wanted {
            if !self.followed.contains_key(name) {
                let told = follow(cluster.clone(), name.clone(), self.check_every);
                let (told, handle) = abortable(told);
                self.streams.push(told.boxed());
                self.followed.insert(name.clone(), handle);
            }
        }
        given_up
    }

    /// What is told next; never while nothing is followed.
    pub(super) async fn next(&mut self) -> (SecretName, Told) {
        match self.streams.next().await {
            Some(told) => told,
            None => std::future::pending().await,
        }
    }
}

struct Following<W> {
    cluster: Cluster,
    name: SecretName,
    watch: W,
    listed: bool,
    read_at: Instant,
    check_every: Duration,
}

fn follow(
    cluster: Cluster,
    name: SecretName,
    check_every: Duration,
) -> impl Stream<Item = (SecretName, Told)> + Send {
    let watch = cluster.watch_secret(&name).boxed();
    let following = Following {
        cluster,
        name,
        watch,
        listed: false,
        read_at: Instant::now() + check_every,
        check_every,
    };
    futures::stream::unfold(following, |mut following| async move {
        let told = following.next().await;
        Some(((following.name.clone(), told), following))
    })
}

impl<W: Stream<Item = MetadataEvent> + Unpin + Send> Following<W> {
    async fn next(&mut self) -> Told {
        loop {
            let event = tokio::select! {
                event = self.watch.next() => event,
                () = tokio::time::sleep_until(self.read_at) => return self.read().await,
            };
            match event {
                Some(MetadataEvent::Listing) => self.listed = false,
                Some(MetadataEvent::Seen(_)) => {
                    self.listed = true;
                    return self.read().await;
                }
                Some(MetadataEvent::Listed) if self.listed => {}
                Some(MetadataEvent::Listed | MetadataEvent::Gone(_)) => return self.read().await,
                Some(MetadataEvent::Interrupted(error)) => return Told::Trouble(error),
                None => std::future::pending().await,
            }
        }
    }

    async fn read(&mut self) -> Told {
        let now = Instant::now();
        match self.cluster.get_secret(&self.name).await {
            Err(error) => {
                self.read_at = now + AGAIN;
                Told::Trouble(error)
            }
            Ok(found) => {
                self.read_at = now + self.check_every;
                let Some(secret) = found else {
                    return Told::Gives(Supply::Bad("it does not exist".to_owned()));
                };
                let consents = Consents::of(&secret.annotations, secret.is_ours);
                let ca = secret.data.get("ca.crt").map(Vec::as_slice);
                Told::Gives(match ca_of_secret(ca, OffsetDateTime::now_utc()) {
                    Ok(bundle) => Supply::Good(Arc::new(Material::Whole(bundle)), Some(consents)),
                    Err(why) => Supply::Bad(why),
                })
            }
        }
    }
}
