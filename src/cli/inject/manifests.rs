//! caBundles in manifests: files, directories, stdin.
//!
//! Everything is read and decided before anything is written: an error anywhere leaves every
//! file, and stdout, without a byte.

use std::collections::BTreeSet;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::PathBuf;

use anyhow::{Context, bail};
use time::OffsetDateTime;

use super::files::Place;
use super::planner::Wanted;
use super::report::{self, Item};
use super::stream::Joiner;
use super::work::inject_all;
use super::{Choice, Inject};
use crate::cli::kubernetes::KubernetesArgs;
use crate::cli::sources::{self, Source};
use crate::cli::{ExitStatus, Format, Printer, UsageError, runtime};
use crate::cluster::{Cluster, Mode};
use crate::manifest::{DocumentError, Edit, Note, documents, edited, to_value};
use crate::pki::TrustBundle;

/// Files are read in lots of about this many bytes: what does not change is not kept.
const LOT: usize = 32 << 20;

/// So many errors are shown one by one.
const ERRORS_SHOWN: usize = 50;

/// Where the result goes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum To {
    Stdout,
    /// Back into the files.
    Files,
    /// Nowhere: it is only said what would change.
    Nowhere,
}

/// A manifest with something to write.
struct Done {
    place: Place,
    content: Vec<u8>,
    edits: Vec<Edit>,
}

/// What was found in all of them.
#[derive(Default)]
struct Total {
    manifests: Vec<Done>,
    items: Vec<Item>,
    notes: Vec<Note>,
    errors: Vec<DocumentError>,
    seen: BTreeSet<String>,
    dropped: BTreeSet<String>,
    configs: usize,
}

pub(super) fn run(
    args: &Inject,
    choice: &Choice,
    kubernetes: &KubernetesArgs,
    printer: &Printer,
) -> anyhow::Result<ExitStatus> {
    let to = check_usage(args, printer)?;
    let stdin = [PathBuf::from("-")];
    let named = match args.filenames.as_slice() {
        [] => &stdin,
        named => named,
    };
    let paths = sources::list(named)?;
    let ours = load_bundle(args, kubernetes, printer)?;
    let wanted = Wanted {
        choice,
        ours: &ours,
        mode: args.mode,
        now: OffsetDateTime::now_utc(),
    };
    let total = inject_lots(&paths, &wanted, to)?;
    if !total.errors.is_empty() {
        for error in total.errors.iter().take(ERRORS_SHOWN) {
            printer.error(&anyhow::Error::new(error.clone()));
        }
        let more = total.errors.len().saturating_sub(ERRORS_SHOWN);
        if more > 0 {
            printer.error(&anyhow::anyhow!("and {more} more"));
        }
        printer.hint("nothing was written");
        return Ok(ExitStatus::Error);
    }
    check_choice(choice, &total)?;
    if total.configs == 0 {
        let where_ = names(named);
        match total.notes.as_slice() {
            [] => printer.warning(&format!(
                "nothing to inject into: no webhook configuration, CRD with a conversion webhook or APIService in {where_}"
            )),
            [note, ..] => printer.warning(&format!(
                "nothing to inject into in {where_}: {}: {}",
                note.object, note.nothing
            )),
        }
    }
    for subject in &total.dropped {
        printer.hint(&format!("no longer in a caBundle: {subject}"));
    }
    let items = &total.items;
    let changed = !items.is_empty();
    match to {
        To::Stdout => {
            write_stdout(&total.manifests)?;
            for item in items {
                printer.detail(item.line(true).trim_end());
            }
            if changed {
                printer.hint(&format!("{} injected", report::count(items)));
            }
            return Ok(ExitStatus::Done);
        }
        To::Files => {
            for done in &total.manifests {
                let pieces: Vec<_> = edited(&done.content, &done.edits).collect();
                done.place.write(&pieces.concat())?;
            }
        }
        To::Nowhere => {}
    }
    let done = to == To::Files;
    printer.result(&serde_json::json!({ "items": items }), || {
        report::text(items, printer.format(), done)
    })?;
    if !changed {
        printer.hint("nothing to do: every caBundle is as it should be");
    }
    Ok(if args.check && changed {
        ExitStatus::Finding
    } else {
        ExitStatus::Done
    })
}

fn check_usage(args: &Inject, printer: &Printer) -> anyhow::Result<To> {
    let usage = |text: &str| Err(UsageError(text.to_owned()).into());
    let from_stdin =
        args.filenames.is_empty() || args.filenames.iter().any(|f| sources::is_stdin(f));
    if from_stdin && args.bundle.takes_stdin() {
        return usage(
            "manifests and the CA cannot both come from stdin: name one of them as a file",
        );
    }
    if args
        .filenames
        .iter()
        .filter(|f| sources::is_stdin(f))
        .count()
        > 1
    {
        return usage("stdin can be read once: give -f - once");
    }
    if args.filenames.is_empty() && io::stdin().is_terminal() {
        return usage("which manifests? Give them with -f FILE|DIR|-, on stdin, or use --cluster");
    }
    if args.dry_run.mode() == Mode::Check {
        return usage("--dry-run=server is for --cluster: manifests are not sent anywhere");
    }
    let nowhere = args.check || args.dry_run.mode() == Mode::Plan;
    if args.in_place && from_stdin {
        return usage("--in-place writes files: name them with -f");
    }
    if !nowhere && !args.in_place && printer.format() != Format::Table {
        return usage(
            "stdout is for the manifests here, as they are: -o is for --in-place, --check and --dry-run",
        );
    }
    Ok(match (nowhere, args.in_place) {
        (true, _) => To::Nowhere,
        (false, true) => To::Files,
        (false, false) => To::Stdout,
    })
}

fn load_bundle(
    args: &Inject,
    kubernetes: &KubernetesArgs,
    printer: &Printer,
) -> anyhow::Result<TrustBundle> {
    if !args.bundle.needs_cluster() {
        return args.bundle.load_files(printer);
    }
    runtime::current_thread()?.block_on(async {
        let cluster = Cluster::connect(&kubernetes.access()).await?;
        args.bundle.load(Some(&cluster), printer).await
    })
}

fn inject_lots(paths: &[PathBuf], wanted: &Wanted<'_>, to: To) -> anyhow::Result<Total> {
    let mut total = Total::default();
    let mut malformed = Vec::new();
    let mut files = paths.iter();
    let mut places = BTreeSet::new();
    loop {
        let mut lot: Vec<(Place, Source)> = Vec::new();
        let mut size = 0;
        while size < LOT
            && let Some(path) = files.next()
        {
            let place = Place::of(path, to == To::Files)?;
            // A file that is named twice is written once.
            if to == To::Files && !places.insert(place.path().to_owned()) {
                continue;
            }
            let source = sources::read_one(path)?;
            if sources::is_stdin(path) && source.content.trim_ascii().is_empty() {
                bail!("stdin is empty: see whether the command before the pipe failed");
            }
            size += source.content.len();
            lot.push((place, source));
        }
        if lot.is_empty() {
            break;
        }
        let found = {
            let all: Vec<&Source> = lot.iter().map(|(_, source)| source).collect();
            inject_all(&all, wanted)?
        };
        total.configs += found.configs;
        total.seen.extend(found.seen);
        total.dropped.extend(found.dropped);
        total.errors.extend(found.errors);
        let edits = found.sources.into_iter();
        for ((place, source), found) in lot.into_iter().zip(edits) {
            let items = found.changes.into_iter();
            total
                .items
                .extend(items.map(|change| Item::new(&source.name, change)));
            total.notes.extend(found.notes);
            if total.configs == 0 && total.notes.is_empty() {
                let errors = documents(&source.name, &source.content)
                    .filter_map(|document| to_value(&document).err());
                malformed.extend(errors);
            }
            if to == To::Stdout || (to == To::Files && !found.edits.is_empty()) {
                total.manifests.push(Done {
                    place,
                    content: source.content,
                    edits: found.edits,
                });
            }
        }
    }
    // Nothing is parsed that holds nothing for us; where nothing at all was found, that may be
    // because it is broken.
    if total.configs == 0 && total.notes.is_empty() {
        total.errors.extend(malformed);
    }
    Ok(total)
}

/// What was chosen has to be there: a typo must not pass for success.
fn check_choice(choice: &Choice, total: &Total) -> anyhow::Result<()> {
    let missing = choice.missing();
    if missing.is_empty() {
        return Ok(());
    }
    let note = total.notes.iter().find(|note| choice.names(&note.object));
    let why = match note {
        Some(note) => format!("{} is there, but {}", note.object, note.nothing),
        None if total.seen.is_empty() => {
            "there is no webhook configuration, CRD with a conversion webhook or APIService"
                .to_owned()
        }
        None => {
            let seen: Vec<_> = total.seen.iter().map(String::as_str).collect();
            format!("there are {}", seen.join(", "))
        }
    };
    bail!(
        "not in these manifests: {}; {why}. Nothing was written",
        missing.join(", ")
    )
}

fn names(paths: &[PathBuf]) -> String {
    let names: Vec<_> = paths
        .iter()
        .map(|path| {
            if sources::is_stdin(path) {
                "stdin".to_owned()
            } else {
                path.display().to_string()
            }
        })
        .collect();
    names.join(", ")
}

fn write_stdout(manifests: &[Done]) -> anyhow::Result<()> {
    let mut joiner = Joiner::new(manifests.iter().map(|done| done.content.as_slice()));
    let mut stdout = BufWriter::with_capacity(1 << 16, io::stdout().lock());
    let mut write = || {
        for done in manifests {
            let (separator, skip) = joiner.before(&done.content, manifests.len() == 1);
            stdout.write_all(separator.as_bytes())?;
            let mut last = None;
            for (index, piece) in edited(&done.content, &done.edits).enumerate() {
                // Only a byte order mark is ever skipped, and no edit comes before its end.
                let piece = if index == 0 {
                    &piece[skip.min(piece.len())..]
                } else {
                    piece
                };
                stdout.write_all(piece)?;
                last = piece.last().copied().or(last);
            }
            joiner.written(last);
        }
        stdout.flush()
    };
    let result: io::Result<()> = write();
    result.context("could not write to stdout")
}
