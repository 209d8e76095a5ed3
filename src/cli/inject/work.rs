//! Documents on all cores.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::planner::{Planner, Wanted};
use crate::cli::sources::Source;
use crate::injectable::{ClientConfig, ObjectId};
use crate::manifest::{
    Change, Document, DocumentError, Edit, InjectedDocument, Injector, Note, documents,
};

/// Less than this is done before a thread has started.
const ONE_THREAD: usize = 1 << 18;

/// Documents are handed out in stretches of about this many bytes.
const STRETCH: usize = 1 << 16;

/// What is to be done to each source, and what was found in all of them.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) sources: Vec<FoundIn>,
    pub(super) errors: Vec<DocumentError>,
    /// Client configs, whether they change or not.
    pub(super) configs: usize,
    pub(super) seen: BTreeSet<String>,
    pub(super) dropped: BTreeSet<String>,
}

/// What is to be done to one source.
#[derive(Debug, Default)]
pub(super) struct FoundIn {
    pub(super) edits: Vec<Edit>,
    pub(super) changes: Vec<Change>,
    pub(super) notes: Vec<Note>,
}

/// A source and a document of it.
type Job<'a> = (usize, Document<'a>);

type Outcome = Result<InjectedDocument, Vec<DocumentError>>;

/// What one thread did: the outcomes by the number of the job.
#[derive(Default)]
struct Share {
    outcomes: Vec<(usize, Outcome)>,
    done: usize,
    seen: BTreeSet<String>,
    dropped: BTreeSet<String>,
}

/// Plans every edit.
///
/// # Errors
/// A thread did not end as it should.
pub(super) fn inject_all(sources: &[&Source], wanted: &Wanted<'_>) -> anyhow::Result<Found> {
    let jobs: Vec<Job<'_>> = sources
        .iter()
        .enumerate()
        .flat_map(|(index, source)| {
            documents(&source.name, &source.content).map(move |document| (index, document))
        })
        .collect();
    let size: usize = jobs.iter().map(|(_, document)| document.bytes.len()).sum();
    let threads = if size < ONE_THREAD {
        1
    } else {
        thread::available_parallelism().map_or(1, usize::from)
    };
    let next = AtomicUsize::new(0);
    let starts = stretches(&jobs);
    let mut shares: Vec<Share> = if threads == 1 {
        vec![work(&jobs, &starts, &next, wanted)]
    } else {
        thread::scope(|scope| {
            let work = || work(&jobs, &starts, &next, wanted);
            let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
            let shares = workers.into_iter().filter_map(|worker| worker.join().ok());
            shares.collect()
        })
    };
    anyhow::ensure!(
        shares.iter().map(|share| share.done).sum::<usize>() == jobs.len(),
        "a thread ended early; nothing was written"
    );
    let mut found = Found::default();
    found.sources.resize_with(sources.len(), FoundIn::default);
    let mut outcomes: Vec<_> = shares
        .iter_mut()
        .flat_map(|share| share.outcomes.drain(..))
        .collect();
    outcomes.sort_unstable_by_key(|(number, _)| *number);
    for (number, outcome) in outcomes {
        let source = jobs.get(number).map(|(source, _)| *source);
        match (
            outcome,
            source.and_then(|source| found.sources.get_mut(source)),
        ) {
            (Ok(document), Some(into)) => {
                found.configs += document.configs;
                into.edits.extend(document.edits);
                into.changes.extend(document.changes);
                into.notes.extend(document.notes);
            }
            (Err(errors), _) => found.errors.extend(errors),
            (Ok(_), None) => {}
        }
    }
    for share in shares {
        found.seen.extend(share.seen);
        found.dropped.extend(share.dropped);
    }
    Ok(found)
}

/// Where each stretch of jobs begins.
fn stretches(jobs: &[Job<'_>]) -> Vec<usize> {
    let mut starts = vec![0];
    let mut size = 0;
    for (index, (_, document)) in jobs.iter().enumerate() {
        if size >= STRETCH {
            starts.push(index);
            size = 0;
        }
        size += document.bytes.len();
    }
    starts
}

fn work(jobs: &[Job<'_>], starts: &[usize], next: &AtomicUsize, wanted: &Wanted<'_>) -> Share {
    let mut share = Share::default();
    let mut planner = Planner::new(wanted);
    let mut injector =
        Injector::new(|config: &ClientConfig, id: &ObjectId| planner.decide(config, id));
    loop {
        let stretch = next.fetch_add(1, Ordering::Relaxed);
        let Some(&start) = starts.get(stretch) else {
            break;
        };
        let end = starts.get(stretch + 1).copied().unwrap_or(jobs.len());
        for (number, (_, document)) in jobs.iter().enumerate().take(end).skip(start) {
            let outcome = injector.document(document);
            share.done += 1;
            let nothing = outcome
                .as_ref()
                .is_ok_and(|document| document.configs == 0 && document.notes.is_empty());
            if !nothing {
                share.outcomes.push((number, outcome));
            }
        }
    }
    drop(injector);
    share.seen = planner.seen;
    share.dropped = planner.dropped;
    share
}
