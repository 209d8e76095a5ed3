//! What the injector knows: the objects that have a source, what each was last seen holding, and
//! what each source gives.
//!
//! Values and instants alone; the loop around it reads and writes. Of an object its name, UID,
//! version and source are kept, and of those without a source nothing.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::cluster::SecretName;
use crate::controller::injection::{Choice, Chosen, Consents, Contest, Material, Origin};
use crate::injectable::{Kind, ObjectId, Outcome, What};

/// What a source gives at the moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Supply {
    /// A bundle, and what a Secret agrees to.
    Good(Arc<Material>, Option<Consents>),
    /// None, and why.
    Bad(String),
}

/// A supply with the number of its edition: another content is another edition.
#[derive(Debug, Clone)]
pub(super) struct Edition {
    pub(super) number: u64,
    pub(super) supply: Supply,
}

/// An object that has a source.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) uid: String,
    /// The version that the watch told of last, or that our own write made.
    pub(super) version: String,
    pub(super) chosen: Chosen,
    pub(super) held: Option<Held>,
    /// When a reading began that found it in order, and of which edition.
    read: Option<(Instant, u64)>,
    /// Why it could not be read or changed when that was tried last.
    trouble: Option<(String, Instant)>,
    pub(super) contest: Contest,
    /// The listing that it was last seen in.
    listing: u64,
}

/// What an object was last known to hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Held {
    edition: u64,
    version: String,
    /// The client configs that held it, by the hashes of their names.
    webhooks: Vec<u64>,
}

#[derive(Debug, Default)]
struct Listing {
    number: u64,
    /// How many objects of the kind it had, those without a source included.
    total: usize,
    under_way: bool,
    complete: bool,
    trouble: Option<String>,
}

/// Objects and sources.
#[derive(Debug, Default)]
pub(super) struct Index {
    entries: HashMap<ObjectId, Entry>,
    listings: BTreeMap<Kind, Listing>,
    sources: HashMap<Origin, Edition>,
    editions: u64,
}

impl Index {
    /// One for objects of these kinds.
    pub(super) fn of(kinds: &[Kind]) -> Self {
        let listings = kinds.iter().map(|kind| (*kind, Listing::default()));
        Self {
            listings: listings.collect(),
            ..Self::default()
        }
    }

    pub(super) fn get(&self, id: &ObjectId) -> Option<&Entry> {
        self.entries.get(id)
    }

    pub(super) fn get_mut(&mut self, id: &ObjectId) -> Option<&mut Entry> {
        self.entries.get_mut(id)
    }

    /// How many objects of a kind there were when it was listed.
    pub(super) fn total(&self, kind: Kind) -> usize {
        self.listings.get(&kind).map_or(0, |listing| listing.total)
    }

    pub(super) fn source(&self, origin: &Origin) -> Option<&Edition> {
        self.sources.get(origin)
    }

    /// A listing of a kind begins.
    pub(super) fn listing(&mut self, kind: Kind) {
        let listing = self.listings.entry(kind).or_default();
        listing.number += 1;
        listing.total = 0;
        listing.under_way = true;
    }

    /// It is complete: what was not in it is forgotten, and returned.
    pub(super) fn listed(&mut self, kind: Kind) -> Vec<ObjectId> {
        let listing = self.listings.entry(kind).or_default();
        listing.complete = true;
        listing.under_way = false;
        listing.trouble = None;
        let number = listing.number;
        let gone: Vec<_> = self
            .entries
            .iter()
            .filter(|(id, entry)| id.kind == kind && entry.listing < number)
            .map(|(id, _)| id.clone())
            .collect();
        for id in &gone {
            self.entries.remove(id);
        }
        gone
    }

    /// A kind cannot be watched.
    pub(super) fn broken(&mut self, kind: Kind, why: String) {
        self.listings.entry(kind).or_default().trouble = Some(why);
    }

    /// An object as the watch tells of it; whether something may have to be done about it.
    pub(super) fn seen(
        &mut self,
        id: &ObjectId,
        uid: &str,
        version: &str,
        choice: &Choice,
    ) -> bool {
        if let Some(listing) = self.listings.get_mut(&id.kind)
            && listing.under_way
        {
            listing.total += 1;
        }
        let Choice::Of(chosen) = choice else {
            self.entries.remove(id);
            return false;
        };
        let listing = self
            .listings
            .get(&id.kind)
            .map_or(0, |listing| listing.number);
        let known = self.entries.get(id);
        if known.is_none_or(|entry| entry.uid != uid || entry.chosen != *chosen) {
            let entry = Entry {
                uid: uid.to_owned(),
                version: String::new(),
                chosen: chosen.clone(),
                held: None,
                read: None,
                trouble: None,
                contest: Contest::default(),
                listing,
            };
            self.entries.insert(id.clone(), entry);
        }
        if let Some(entry) = self.entries.get_mut(id) {
            entry.version = version.to_owned();
            entry.listing = listing;
        }
        self.is_due(id)
    }

    pub(super) fn forget(&mut self, id: &ObjectId) {
        self.entries.remove(id);
    }

    /// Whether an object is not known to hold what its source gives.
    pub(super) fn is_due(&self, id: &ObjectId) -> bool {
        let Some(entry) = self.entries.get(id) else {
            return false;
        };
        match self.sources.get(&entry.chosen.origin) {
            Some(edition) => !entry.is_in_order(edition.number),
            None => false,
        }
    }

    /// All objects for which that is so.
    pub(super) fn due(&self) -> Vec<ObjectId> {
        let ids = self.entries.keys().filter(|id| self.is_due(id));
        ids.cloned().collect()
    }

    /// Objects that were not read for that long, each at a time of its own a little before.
    pub(super) fn unread(&self, since: Duration, now: Instant) -> Vec<ObjectId> {
        let old = |id: &ObjectId, entry: &Entry| {
            let [spread, ..] = hash(&id.name).to_le_bytes();
            let since = since.mul_f64(1.0 - f64::from(spread) / 1024.0);
            let read = entry.read.map(|(at, _)| at);
            read.is_none_or(|at| now.saturating_duration_since(at) > since)
        };
        let entries = self.entries.iter();
        let entries = entries.filter(|(id, entry)| {
            old(id, entry) && self.sources.contains_key(&entry.chosen.origin)
        });
        entries.map(|(id, _)| id.clone()).collect()
    }

    /// What a source gives now; the number of its edition, and whether that is another one.
    pub(super) fn supply(&mut self, origin: &Origin, supply: Supply) -> (u64, bool) {
        if let Some(known) = self.sources.get(origin)
            && known.supply == supply
        {
            return (known.number, false);
        }
        self.editions += 1;
        let number = self.editions;
        self.sources
            .insert(origin.clone(), Edition { number, supply });
        (number, true)
    }

    pub(super) fn forget_source(&mut self, origin: &Origin) {
        self.sources.remove(origin);
    }

    /// The objects of a source.
    pub(super) fn objects_of(&self, origin: &Origin) -> Vec<ObjectId> {
        let entries = self.entries.iter();
        let mut ids: Vec<_> = entries
            .filter(|(_, entry)| entry.chosen.origin == *origin)
            .map(|(id, _)| id.clone())
            .collect();
        ids.sort();
        ids
    }

    /// The Secrets that some object takes its bundle from.
    pub(super) fn secrets(&self) -> BTreeSet<SecretName> {
        let origins = self.entries.values().map(|entry| &entry.chosen.origin);
        origins
            .filter_map(|origin| match origin {
                Origin::Secret(name) => Some(name.clone()),
                Origin::Signer(_) | Origin::ApiServer => None,
            })
            .collect()
    }

    /// The kinds among these of which it is not known yet which objects there are: why, and
    /// whether the watch is in trouble.
    pub(super) fn unlisted(&self, kinds: &[Kind]) -> Vec<(String, bool)> {
        let listings = kinds.iter().filter_map(|kind| {
            let listing = self.listings.get(kind)?;
            let (why, trouble) = match (listing.complete, &listing.trouble) {
                (true, _) => return None,
                (false, Some(why)) => (why.as_str(), true),
                (false, None) => ("they have not been listed yet", false),
            };
            let text = format!("the objects of kind {kind} are not known: {why}");
            Some((text, trouble))
        });
        listings.collect()
    }

    /// The objects of a source that are not known to hold an edition of it, with what is in the
    /// way, if that was `tried` since then. With `since` only a reading that began after it
    /// counts. One that is left alone, since somebody else keeps overwriting it, is not waited for.
    pub(super) fn lacking(
        &self,
        origin: &Origin,
        edition: u64,
        since: Option<Instant>,
        tried: Option<Instant>,
        now: Instant,
    ) -> Vec<(ObjectId, Option<String>)> {
        let entries = self.entries.iter();
        let entries = entries.filter(|(_, entry)| {
            entry.chosen.origin == *origin
                && entry.contest.until(now.into_std()).is_none()
                && match since {
                    None => !entry.is_in_order(edition),
                    Some(since) => entry
                        .read
                        .is_none_or(|(at, read)| read != edition || at < since),
                }
        });
        let mut lacking: Vec<_> = entries
            .map(|(id, entry)| {
                let trouble = entry.trouble.as_ref().filter(|(_, at)| tried <= Some(*at));
                (id.clone(), trouble.map(|(why, _)| why.clone()))
            })
            .collect();
        lacking.sort();
        lacking
    }
}

impl Entry {
    fn is_in_order(&self, edition: u64) -> bool {
        let held = self.held.as_ref();
        held.is_some_and(|held| held.edition == edition && held.version == self.version)
    }

    /// Whether these outcomes of a plan put back what was taken: the object was changed since it
    /// was known to hold this edition, and a client config that held it does not any more.
    pub(super) fn was_taken(&self, edition: u64, version: &str, outcomes: &[Outcome]) -> bool {
        let Some(held) = &self.held else {
            return false;
        };
        let taken = |outcome: &Outcome| {
            matches!(outcome.what, What::CaBundle { .. })
                && held.webhooks.contains(&hash(&outcome.webhook))
        };
        held.edition == edition && held.version != version && outcomes.iter().any(taken)
    }

    /// It was read at this version, by a request that was begun then, and is in order.
    pub(super) fn holds(&mut self, edition: u64, version: &str, began: Instant, all: &[Outcome]) {
        self.read = Some((began, edition));
        self.wrote(edition, version, all);
    }

    /// It was brought in order by a write that made this version.
    pub(super) fn wrote(&mut self, edition: u64, version: &str, outcomes: &[Outcome]) {
        version.clone_into(&mut self.version);
        self.trouble = None;
        self.held = Some(Held {
            edition,
            version: version.to_owned(),
            webhooks: outcomes
                .iter()
                .map(|outcome| hash(&outcome.webhook))
                .collect(),
        });
    }

    /// It is not in order and left so for now.
    pub(super) fn lacks(&mut self, why: String, now: Instant) {
        self.held = None;
        self.read = None;
        self.trouble = Some((why, now));
    }
}

fn hash(name: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests;
