//! Objects that wait for work: each once, with a back-off of its own.
//!
//! Values and instants alone; the loop around it sleeps and works. Of requests beyond
//! [`HELD`] only the name is kept and the object is read again when its turn comes, so that a
//! flood costs little memory and nobody waits behind it for ever.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use tokio::time::Instant;

/// How many objects are kept.
const HELD: usize = 2000;
/// The first pause after a failure; it doubles.
const FIRST: Duration = Duration::from_millis(200);

/// What is known of an object that waits.
#[derive(Debug)]
struct Entry<T> {
    name: String,
    group: usize,
    object: Option<T>,
    seen: Instant,
    attempts: u32,
    state: State,
    /// The listing that it was last seen in.
    listing: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Until then.
    Waiting(Instant),
    /// Somebody works on it; whether it has changed since.
    Running { changed: bool },
    /// Done; what the watch still says of it is older than that.
    Finished,
}

/// An object to work on.
#[derive(Debug)]
pub(super) struct Job<K, T> {
    pub(super) key: K,
    pub(super) name: String,
    pub(super) group: usize,
    /// The object, unless it has to be read again.
    pub(super) object: Option<T>,
    /// When the controller first saw it.
    pub(super) seen: Instant,
    /// How often it was tried before.
    pub(super) attempts: u32,
}

/// Objects by what identifies each, such as its UID.
#[derive(Debug)]
pub(super) struct Queue<K, T> {
    entries: HashMap<K, Entry<T>>,
    due: BinaryHeap<Reverse<(Instant, K)>>,
    held: usize,
    /// The number of the latest listing of each group.
    listings: HashMap<usize, u64>,
}

impl<K: Clone + Ord + Hash, T> Queue<K, T> {
    pub(super) fn new() -> Self {
        Self {
            entries: HashMap::new(),
            due: BinaryHeap::new(),
            held: 0,
            listings: HashMap::new(),
        }
    }

    /// How many wait or are worked on.
    pub(super) fn len(&self) -> usize {
        let finished = |entry: &&Entry<T>| entry.state != State::Finished;
        self.entries.values().filter(finished).count()
    }

    /// An object that has something to be done, new or changed; without it, it is read when its
    /// turn comes.
    pub(super) fn offer(
        &mut self,
        key: &K,
        name: &str,
        group: usize,
        object: impl Into<Option<T>>,
        now: Instant,
    ) {
        let object = object.into();
        let listing = self.listings.get(&group).copied().unwrap_or_default();
        let Some(entry) = self.entries.get_mut(key) else {
            let object = object.filter(|_| self.held < HELD);
            self.held += usize::from(object.is_some());
            self.entries.insert(
                key.clone(),
                Entry {
                    name: name.to_owned(),
                    group,
                    object,
                    seen: now,
                    attempts: 0,
                    state: State::Waiting(now),
                    listing,
                },
            );
            self.due.push(Reverse((now, key.clone())));
            return;
        };
        entry.listing = listing;
        match &mut entry.state {
            State::Finished => return,
            State::Running { changed } => *changed = true,
            // Its turn comes as before: one that changes all the time is not tried all
            // the time.
            State::Waiting(_) => {}
        }
        // What was kept is of before.
        self.held -= usize::from(entry.object.take().is_some());
        entry.object = object.filter(|_| self.held < HELD);
        self.held += usize::from(entry.object.is_some());
    }

    /// One that is gone, or has nothing left to be done.
    pub(super) fn forget(&mut self, key: &K) {
        if let Some(entry) = self.entries.remove(key)
            && entry.object.is_some()
        {
            self.held -= 1;
        }
    }

    /// A listing of a group begins: [`Queue::listed`] forgets what does not appear in it.
    pub(super) fn listing(&mut self, group: usize) {
        *self.listings.entry(group).or_default() += 1;
    }

    /// The listing of a group is complete.
    pub(super) fn listed(&mut self, group: usize) {
        let listing = self.listings.get(&group).copied().unwrap_or_default();
        let gone: Vec<K> = self
            .entries
            .iter()
            .filter(|(_, entry)| entry.group == group && entry.listing < listing)
            .filter(|(_, entry)| !matches!(entry.state, State::Running { .. }))
            .map(|(key, _)| key.clone())
            .collect();
        for key in gone {
            self.forget(&key);
        }
    }

    /// When the next one is due.
    pub(super) fn next_due(&mut self) -> Option<Instant> {
        self.drop_stale();
        self.due.peek().map(|Reverse((at, _))| *at)
    }

    /// One that is due.
    pub(super) fn take(&mut self, now: Instant) -> Option<Job<K, T>> {
        self.drop_stale();
        if self.due.peek().is_none_or(|Reverse((at, _))| *at > now) {
            return None;
        }
        let Reverse((_, key)) = self.due.pop()?;
        let entry = self.entries.get_mut(&key)?;
        entry.state = State::Running { changed: false };
        let object = entry.object.take();
        self.held -= usize::from(object.is_some());
        Some(Job {
            name: entry.name.clone(),
            group: entry.group,
            object,
            seen: entry.seen,
            attempts: entry.attempts,
            key,
        })
    }

    /// Work on one is over for good.
    pub(super) fn finish(&mut self, key: &K) {
        if let Some(entry) = self.entries.get_mut(key) {
            self.held -= usize::from(entry.object.take().is_some());
            entry.state = State::Finished;
        }
    }

    /// Nothing is to be done about it until it changes.
    pub(super) fn rest(&mut self, key: &K, now: Instant) {
        match self.entries.get(key).map(|entry| entry.state) {
            Some(State::Running { changed: true }) => self.schedule(key, now),
            Some(_) => self.forget(key),
            None => {}
        }
    }

    /// It has to be tried again, after a pause that doubles up to `longest`; how long.
    pub(super) fn retry(&mut self, key: &K, longest: Duration, now: Instant) -> Duration {
        let Some(entry) = self.entries.get_mut(key) else {
            return Duration::ZERO;
        };
        let doubled = FIRST.saturating_mul(1 << entry.attempts.min(16));
        entry.attempts = entry.attempts.saturating_add(1);
        // Many that failed together do not come back together.
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        let [spread, ..] = hasher.finish().to_le_bytes();
        let pause = doubled
            .min(longest)
            .mul_f64(0.75 + f64::from(spread) / 512.0);
        self.schedule(key, now + pause);
        pause
    }

    /// It waits until then, whatever happens to it meanwhile.
    pub(super) fn postpone(&mut self, key: &K, until: Instant) {
        self.schedule(key, until);
    }

    /// It is due now if it waits: what it waited for may be there.
    pub(super) fn hasten(&mut self, key: &K, now: Instant) {
        if let Some(State::Waiting(at)) = self.entries.get(key).map(|entry| entry.state)
            && at > now
        {
            self.schedule(key, now);
        }
    }

    /// Whatever waits is due now: what it waited for may be there.
    pub(super) fn wake(&mut self, now: Instant) {
        let waiting: Vec<K> = self
            .entries
            .iter()
            .filter(|(_, entry)| matches!(entry.state, State::Waiting(at) if at > now))
            .map(|(key, _)| key.clone())
            .collect();
        for key in waiting {
            self.schedule(&key, now);
        }
    }

    fn schedule(&mut self, key: &K, at: Instant) {
        if let Some(entry) = self.entries.get_mut(key) {
            entry.state = State::Waiting(at);
            self.due.push(Reverse((at, key.clone())));
        }
    }

    /// Drops what was rescheduled, taken or forgotten since.
    fn drop_stale(&mut self) {
        while let Some(Reverse((at, key))) = self.due.peek() {
            let entry = self.entries.get(key);
            if entry.is_some_and(|entry| entry.state == State::Waiting(*at)) {
                return;
            }
            self.due.pop();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> String {
        text.to_owned()
    }

    fn filled(count: usize, now: Instant) -> Queue<String, usize> {
        let mut queue = Queue::new();
        for number in 0..count {
            queue.offer(&format!("u{number}"), "name", 0, number, now);
        }
        queue
    }

    #[test]
    fn each_request_is_worked_on_once_at_a_time() {
        let now = Instant::now();
        let mut queue = filled(1, now);
        queue.offer(&key("u0"), "name", 0, 7, now);
        let job = queue.take(now).unwrap();
        assert_eq!((job.key.as_str(), job.object), ("u0", Some(7)));
        queue.offer(&key("u0"), "name", 0, 8, now);
        assert!(queue.take(now).is_none(), "it is being worked on");
        // It changed meanwhile: not over.
        queue.rest(&key("u0"), now);
        assert_eq!(queue.take(now).unwrap().object, Some(8));
        queue.rest(&key("u0"), now);
        assert_eq!(queue.len(), 0);
    }

    #[test]
    fn what_is_finished_is_not_begun_again_by_an_older_event() {
        let now = Instant::now();
        let mut queue = filled(1, now);
        queue.take(now).unwrap();
        queue.offer(&key("u0"), "name", 0, 1, now);
        queue.finish(&key("u0"));
        queue.offer(&key("u0"), "name", 0, 2, now);
        assert!(queue.take(now).is_none());
        assert_eq!((queue.len(), queue.held), (0, 0));
    }

    #[test]
    fn a_failure_waits_twice_as_long_each_time_and_holds_up_nobody() {
        let now = Instant::now();
        let mut queue = filled(2, now);
        let longest = Duration::from_secs(10);
        let mut pauses = Vec::new();
        let mut at = now;
        for _ in 0..12 {
            let job = queue.take(at).unwrap();
            assert_eq!(job.key, "u0");
            pauses.push(queue.retry(&key("u0"), longest, at));
            at += pauses.last().copied().unwrap();
            if pauses.len() == 1 {
                assert_eq!(queue.take(now).unwrap().key, "u1");
                queue.finish(&key("u1"));
            }
        }
        assert!(
            pauses.windows(2).all(|pair| pair[0] <= pair[1]),
            "{pauses:?}"
        );
        assert!(pauses[0] < Duration::from_millis(300));
        assert!(*pauses.last().unwrap() <= longest.mul_f64(1.25));
        assert!(*pauses.last().unwrap() >= longest.mul_f64(0.75));
    }

    #[test]
    fn a_flood_keeps_names_and_not_objects() {
        let now = Instant::now();
        let mut queue = filled(3 * HELD, now);
        assert_eq!((queue.len(), queue.held), (3 * HELD, HELD));
        let mut without = 0;
        while let Some(job) = queue.take(now) {
            without += usize::from(job.object.is_none());
            queue.finish(&job.key);
        }
        assert_eq!(without, 2 * HELD);
        assert_eq!(queue.held, 0);
    }

    #[test]
    fn what_a_new_listing_does_not_have_is_gone() {
        let now = Instant::now();
        let mut queue = filled(3, now);
        queue.offer(&key("x"), "name", 1, 1, now);
        queue.listing(0);
        queue.offer(&key("u1"), "name", 0, 1, now);
        queue.listing(1);
        queue.listed(0);
        assert_eq!(queue.len(), 2, "another signer's are still there");
        queue.listed(1);
        assert_eq!(queue.len(), 1);
        assert_eq!(queue.take(now).unwrap().key, "u1");
    }

    #[test]
    fn waking_makes_everything_due() {
        let now = Instant::now();
        let mut queue = filled(2, now);
        for _ in 0..2 {
            let key = queue.take(now).unwrap().key;
            queue.retry(&key, Duration::from_secs(10), now);
        }
        assert!(queue.take(now).is_none());
        queue.wake(now);
        assert!(queue.take(now).is_some() && queue.take(now).is_some());
    }
}
