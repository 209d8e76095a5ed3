//! Many objects of a kind at once, read a page at a time: a list costs the API server a fraction
//! of as many single readings.
//!
//! An object that was ordered after the request of its page began is read again, so that a
//! reading is never older than the order.

use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::pin::Pin;

use futures::stream::FuturesUnordered;
use serde_json::Value;
use tokio::time::Instant;
use tracing::debug;

use crate::cluster::{Cluster, Error, Pages, Selection};
use crate::injectable::{Kind, ObjectId};

/// From how many on they are read together.
const MANY: usize = 16;

/// How many come at a time: they are in memory until their turn.
const PAGE: u32 = 100;

/// An object, and when the request that brought it began.
pub(super) type Read = (Value, Instant);

type Reading<'a> = Pin<Box<dyn Future<Output = Page<'a>> + 'a>>;

/// What a request brought.
pub(super) struct Page<'a> {
    kind: Kind,
    pages: Pages<'a>,
    began: Instant,
    found: Result<Option<Vec<Value>>, Error>,
}

/// What is read together.
pub(super) struct Bulk<'a> {
    cluster: &'a Cluster,
    /// Objects and when each was ordered.
    wanted: BTreeMap<Kind, HashMap<ObjectId, Instant>>,
    listing: Option<(Kind, Pages<'a>)>,
    pub(super) reading: FuturesUnordered<Reading<'a>>,
}

impl<'a> Bulk<'a> {
    pub(super) fn new(cluster: &'a Cluster) -> Self {
        Self {
            cluster,
            wanted: BTreeMap::new(),
            listing: None,
            reading: FuturesUnordered::new(),
        }
    }

    /// Takes those that are worth a list, given how many objects of a kind there are; the others
    /// are returned.
    pub(super) fn take(
        &mut self,
        ids: Vec<ObjectId>,
        total: impl Fn(Kind) -> usize,
        now: Instant,
    ) -> Vec<ObjectId> {
        let mut kinds: BTreeMap<Kind, Vec<ObjectId>> = BTreeMap::new();
        for id in ids {
            kinds.entry(id.kind).or_default().push(id);
        }
        let mut single = Vec::new();
        for (kind, ids) in kinds {
            // A list brings the others too.
            if ids.len() >= MANY && ids.len() * 4 >= total(kind) {
                let ids = ids.into_iter().map(|id| (id, now));
                self.wanted.entry(kind).or_default().extend(ids);
            } else {
                single.extend(ids);
            }
        }
        single
    }

    /// Asks for the next page, unless one is under way or nothing is wanted.
    pub(super) fn go_on(&mut self) {
        if !self.reading.is_empty() {
            return;
        }
        let next = self.listing.take().or_else(|| {
            let kind = *self.wanted.keys().next()?;
            let pages = self.cluster.injectable_pages(kind, &Selection::default());
            Some((kind, pages.of_at_most(PAGE)))
        });
        if let Some((kind, mut pages)) = next {
            self.reading.push(Box::pin(async move {
                let began = Instant::now();
                let found = pages.next().await;
                Page {
                    kind,
                    pages,
                    began,
                    found,
                }
            }));
        }
    }

    /// What a page brought of what is wanted, and what has to be read singly after all.
    pub(super) fn read(&mut self, page: Page<'a>) -> (Vec<(ObjectId, Read)>, Vec<ObjectId>) {
        let kind = page.kind;
        let found = match page.found {
            Ok(Some(found)) => found,
            ended => {
                if let Err(error) = ended {
                    debug!(%kind, "a list broke off: {error}");
                }
                let left = self.wanted.remove(&kind).unwrap_or_default();
                return (Vec::new(), left.into_keys().collect());
            }
        };
        let mut read = Vec::new();
        let wanted = self.wanted.entry(kind).or_default();
        for object in found {
            let Some(id) = ObjectId::of(&object) else {
                continue;
            };
            if wanted
                .get(&id)
                .is_some_and(|ordered| *ordered <= page.began)
            {
                wanted.remove(&id);
                read.push((id, (object, page.began)));
            }
        }
        if wanted.is_empty() {
            self.wanted.remove(&kind);
        } else {
            self.listing = Some((kind, page.pages));
        }
        (read, Vec::new())
    }
}
