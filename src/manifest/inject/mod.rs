//! Giving the objects of a manifest their caBundles, every other byte staying as it is.

mod bundles;
mod edits;
mod outcome;
mod verify;
mod wishes;

use std::borrow::Cow;
use std::ops::Range;

use self::bundles::Bundles;
use self::edits::edits;
pub use self::outcome::{Change, Edited, Injected, InjectedDocument, Note};
use self::verify::verify;
use super::edit::Edit;
use super::error::{DocumentError, Fault, Reason};
use super::read::{load, may_hold_injectable};
use super::skeleton::Sketch;
use super::split::{Document, documents};
use crate::injectable::{ClientConfig, Decision, ObjectId};

/// Injects into every injectable object of a stream; `decide` is asked for each client config.
///
/// Documents that cannot hold an injectable object are copied without being parsed. A document with
/// an error is copied too, so that nothing is half done; the others are still changed.
pub fn inject<'a>(
    source_name: &str,
    input: &'a [u8],
    decide: impl FnMut(&ClientConfig, &ObjectId) -> Decision,
) -> Injected<'a> {
    let mut injected = Injected {
        output: Cow::Borrowed(input),
        changes: Vec::new(),
        notes: Vec::new(),
        errors: Vec::new(),
    };
    let mut injector = Injector::new(decide);
    let mut edits = Vec::new();
    for document in documents(source_name, input) {
        match injector.document(&document) {
            Ok(edited) => {
                injected.notes.extend(edited.notes);
                injected.changes.extend(edited.changes);
                edits.extend(edited.edits);
            }
            Err(errors) => injected.errors.extend(errors),
        }
    }
    if !edits.is_empty() {
        let pieces: Vec<&[u8]> = edited(input, &edits).collect();
        injected.output = Cow::Owned(pieces.concat());
    }
    injected
}

/// Injects into documents one by one; remembers the bundles, of which there are few.
#[derive(Debug)]
pub struct Injector<D> {
    decide: D,
    bundles: Bundles,
}

impl<D: FnMut(&ClientConfig, &ObjectId) -> Decision> Injector<D> {
    /// `decide` is asked for each client config.
    pub fn new(decide: D) -> Self {
        Self {
            decide,
            bundles: Bundles::default(),
        }
    }

    /// Plans the edits of a document, and reads it anew with them: what it gives out is right.
    ///
    /// # Errors
    /// The document cannot be read, or something in it cannot be changed: all of what is wrong
    /// with it. It has to stay as it is then.
    pub fn document(
        &mut self,
        document: &Document<'_>,
    ) -> Result<InjectedDocument, Vec<DocumentError>> {
        if !may_hold_injectable(document.bytes) {
            return Ok(InjectedDocument::default());
        }
        let one = |error: DocumentError| vec![error];
        let text = document.text().map_err(one)?;
        let mut sketch = Sketch::of_document(document, text);
        let fast = sketch.tree.take();
        let Some(tree) = load(document, text, fast, &sketch).map_err(one)? else {
            return Ok(InjectedDocument::default());
        };
        let mut injected = InjectedDocument::default();
        let wishes = self.wishes(document, &tree, &mut injected)?;
        let (mut edits, changes) = edits(document, text, &tree, &wishes)?;
        if edits.is_empty() {
            return Ok(injected);
        }
        edits.sort_by_key(|edit| edit.range.start);
        let after = apply(text, &edits);
        verify(&after, document.json, &tree, &wishes)
            .map_err(|what| one(document.error(Fault::new(0, Reason::Verification(what)))))?;
        for edit in &mut edits {
            edit.range.start += document.range.start;
            edit.range.end += document.range.start;
        }
        injected.edits = edits;
        injected.changes = changes;
        Ok(injected)
    }
}

/// A document of the stream with its edits, whose places are within it.
fn apply(text: &str, edits: &[Edit]) -> String {
    let more: usize = edits.iter().map(Edit::len).sum();
    let mut output = String::with_capacity(text.len() + more);
    let mut copied = 0;
    for edit in edits {
        let Range { start, end } = edit.range;
        // Edits never overlap; were they to, the verification would say so.
        output.push_str(text.get(copied..start).unwrap_or_default());
        edit.pieces()
            .into_iter()
            .for_each(|piece| output.push_str(piece));
        copied = end;
    }
    output.push_str(text.get(copied..).unwrap_or_default());
    output
}

/// A stream with edits, piece by piece; they have to be in order, as the documents give them.
pub fn edited<'a>(input: &'a [u8], edits: &'a [Edit]) -> impl Iterator<Item = &'a [u8]> {
    let mut copied = 0;
    let last = edits.last().map_or(0, |edit| edit.range.end);
    let changed = edits.iter().flat_map(move |edit| {
        let before = input.get(copied..edit.range.start).unwrap_or_default();
        copied = edit.range.end;
        let [a, b, c] = edit.pieces().map(str::as_bytes);
        [before, a, b, c]
    });
    let rest = input.get(last..).unwrap_or_default();
    changed.chain([rest])
}
