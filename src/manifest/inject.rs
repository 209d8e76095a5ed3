//! Giving the objects of a manifest their caBundles, every other byte staying as it is.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::Arc;

use super::edit::{Edit, replace_plain, set_bundle};
use super::error::{DocumentError, Fault, Reason};
use super::read::{candidates, error_at, identify, load, may_hold_injectable};
use super::skeleton::Sketch;
use super::split::{Document, documents};
use super::tree::{Content, NodeId, Tree};
use super::verify::verify;
use crate::injectable::{
    ClientConfig, ClientConfigs, Decision, Nothing, ObjectId, encode, examine,
};

/// A manifest after injection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Injected<'a> {
    /// The manifest; the input itself when nothing changed. A document with an error stays as it
    /// was.
    pub output: Cow<'a, [u8]>,
    /// The caBundles that changed.
    pub changes: Vec<Change>,
    /// Objects of our kinds without anything to inject into.
    pub notes: Vec<Note>,
    /// Documents that could not be read or changed.
    pub errors: Vec<DocumentError>,
}

/// A caBundle that changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The object.
    pub object: ObjectId,
    /// The webhook, for kinds that have several.
    pub webhook: Option<String>,
    /// JSON pointer, within the object, of the mapping that holds the caBundle.
    pub pointer: String,
    /// The number of the document.
    pub document: usize,
    /// The line in the input: of the caBundle, or of what it was added to.
    pub line: usize,
    /// Whether the field was there before.
    pub edited: Edited,
    /// `insecureSkipTLSVerify: true` became false, since the API server accepts only one of the two.
    pub verify: bool,
}

/// How a caBundle changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edited {
    /// There was no such field.
    Added,
    /// Its value was replaced.
    Replaced,
    /// It stays: only `insecureSkipTLSVerify` changed.
    Kept,
}

/// An object of our kinds without anything to inject into.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// The object.
    pub object: ObjectId,
    /// The number of its document.
    pub document: usize,
    /// Its line.
    pub line: usize,
    /// Why.
    pub nothing: Nothing,
}

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

/// What is to change in a document.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InjectedDocument {
    /// The edits, in order, by their places in the stream; see [`edited`].
    pub edits: Vec<Edit>,
    /// The caBundles that change.
    pub changes: Vec<Change>,
    /// Objects of our kinds without anything to inject into.
    pub notes: Vec<Note>,
    /// How many client configs there are, whether they change or not.
    pub configs: usize,
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

/// The bundles that occur, each with its base64 once it was needed.
#[derive(Debug, Default)]
struct Bundles {
    all: HashMap<Arc<[u8]>, Option<Arc<str>>>,
    /// The last one: mostly it is the next one too.
    last: Option<(Arc<[u8]>, Arc<str>)>,
}

impl Bundles {
    /// Where every object has a bundle of its own, remembering them is of no use.
    const LIMIT: usize = 256;

    fn shared(&mut self, pem: &[u8]) -> Arc<[u8]> {
        if let Some((last, _)) = &self.last
            && **last == *pem
        {
            return Arc::clone(last);
        }
        if let Some((known, _)) = self.all.get_key_value(pem) {
            return Arc::clone(known);
        }
        if self.all.len() >= Self::LIMIT {
            self.all.clear();
        }
        let pem: Arc<[u8]> = pem.into();
        self.all.insert(Arc::clone(&pem), None);
        pem
    }

    fn encoded(&mut self, pem: &Arc<[u8]>) -> Arc<str> {
        if let Some((last, base64)) = &self.last
            && Arc::ptr_eq(last, pem)
        {
            return Arc::clone(base64);
        }
        let entry = self.all.entry(Arc::clone(pem)).or_default();
        let base64 = Arc::clone(entry.get_or_insert_with(|| encode(pem).into()));
        self.last = Some((Arc::clone(pem), Arc::clone(&base64)));
        base64
    }
}

/// What a client config should become, and where it is.
pub(super) struct Wish {
    object: Arc<ObjectId>,
    webhook: Option<String>,
    /// From the root of the document.
    pub(super) pointer: String,
    /// The length of the part of it that leads to the object.
    object_at: usize,
    /// The bundle that it should have in the end, when that is a usable one.
    pub(super) wanted: Option<Arc<[u8]>>,
    /// Its text in base64, when it is to be written.
    pub(super) base64: Option<Arc<str>>,
    /// Whether it has another one now.
    pub(super) differs: bool,
    /// Whether `insecureSkipTLSVerify` has to become false.
    pub(super) verify: bool,
    line: usize,
}

/// By the mapping that holds the caBundle: several client configs may share one through an alias.
pub(super) type Wishes = BTreeMap<NodeId, Vec<Wish>>;

type Errors = Vec<DocumentError>;

impl<D: FnMut(&ClientConfig, &ObjectId) -> Decision> Injector<D> {
    /// Asks for every client config.
    fn wishes(
        &mut self,
        document: &Document<'_>,
        tree: &Tree<'_>,
        injected: &mut InjectedDocument,
    ) -> Result<Wishes, Errors> {
        let mut wishes = Wishes::new();
        let mut errors = Errors::new();
        let candidates = candidates(tree).map_err(|fault| vec![document.error(fault)])?;
        for candidate in candidates {
            let line = document.line_at(tree.node(candidate.node).span.start);
            let (object, id) = match identify(document, tree, &candidate) {
                Ok(identified) => identified,
                Err(error) => {
                    errors.push(error);
                    continue;
                }
            };
            let configs = match examine(&object) {
                Ok(ClientConfigs::Some(configs)) => configs,
                Ok(ClientConfigs::Nothing(nothing)) => {
                    injected.notes.push(Note {
                        object: id,
                        document: document.number,
                        line,
                        nothing,
                    });
                    continue;
                }
                Err(error) => {
                    errors.push(error_at(document, line, &id, error.into()));
                    continue;
                }
            };
            drop(object);
            let id = Arc::new(id);
            injected.configs += configs.len();
            for config in configs {
                let place = tree.lookup(candidate.node, &config.pointer);
                let line = place.map_or_else(
                    || webhook_line(document, tree, candidate.node, &config, line),
                    |place| document.line_at(start_of_bundle(tree, place)),
                );
                match decide_one(&config, &id, &mut self.decide) {
                    Ok(decision) => {
                        let Some(place) = place else { continue };
                        let pointer = format!("{}{}", candidate.pointer, config.pointer);
                        let wish = Wish::new(
                            config,
                            &id,
                            (pointer, candidate.pointer.len()),
                            line,
                            decision.as_deref(),
                            &mut self.bundles,
                        );
                        wishes.entry(place).or_default().push(wish);
                    }
                    Err(reason) => errors.push(error_at(document, line, &id, reason)),
                }
            }
        }
        if errors.is_empty() {
            Ok(wishes)
        } else {
            Err(errors)
        }
    }
}

fn decide_one(
    config: &ClientConfig,
    id: &ObjectId,
    decide: &mut impl FnMut(&ClientConfig, &ObjectId) -> Decision,
) -> Result<Option<Vec<u8>>, Reason> {
    let webhook = config.webhook.clone();
    match (decide(config, id), &config.target) {
        // Whatever is wrong with what is not ours.
        (Decision::Keep, _) => Ok(None),
        (_, Err(target)) => Err(Reason::Target {
            webhook,
            target: target.clone(),
        }),
        (Decision::Set(pem), Ok(_)) => Ok(Some(pem)),
        (Decision::Refuse(reason), Ok(_)) => Err(Reason::Refused { webhook, reason }),
    }
}

/// The place of the caBundle, or of the mapping that it is missing from.
fn start_of_bundle(tree: &Tree<'_>, mapping: NodeId) -> usize {
    match tree.entry(mapping, "caBundle") {
        Some((key, _)) => tree.node(key).span.start,
        None => tree.node(mapping).span.start,
    }
}

fn webhook_line(
    document: &Document<'_>,
    tree: &Tree<'_>,
    object: NodeId,
    config: &ClientConfig,
    otherwise: usize,
) -> usize {
    config
        .index
        .and_then(|index| tree.lookup(object, &format!("/webhooks/{index}")))
        .map_or(otherwise, |node| {
            document.line_at(tree.node(node).span.start)
        })
}

impl Wish {
    fn new(
        config: ClientConfig,
        id: &Arc<ObjectId>,
        (pointer, object_at): (String, usize),
        line: usize,
        new: Option<&[u8]>,
        bundles: &mut Bundles,
    ) -> Self {
        let old = config.ca_bundle.pem();
        let differs = new.is_some() && new != old;
        let wanted = new.or(old).map(|pem| bundles.shared(pem));
        Self {
            object: Arc::clone(id),
            webhook: config.webhook,
            pointer,
            object_at,
            base64: wanted
                .as_ref()
                .filter(|_| differs)
                .map(|pem| bundles.encoded(pem)),
            differs,
            verify: new.is_some() && config.insecure_skip_tls_verify,
            wanted,
            line,
        }
    }

    fn name(&self) -> String {
        self.webhook
            .clone()
            .unwrap_or_else(|| self.object.to_string())
    }
}

fn edits(
    document: &Document<'_>,
    text: &str,
    tree: &Tree<'_>,
    wishes: &Wishes,
) -> Result<(Vec<Edit>, Vec<Change>), Errors> {
    let mut edits = Vec::new();
    let mut changes = Vec::new();
    let mut errors = Errors::new();
    for (place, sharers) in wishes {
        let Some(wish) = sharers.iter().find(|wish| wish.differs || wish.verify) else {
            continue;
        };
        let mut fail = |reason| errors.push(error_at(document, wish.line, &wish.object, reason));
        let layout = |reason| Reason::Layout {
            webhook: wish.webhook.clone(),
            reason,
        };
        if sharers.iter().any(|other| other.wanted != wish.wanted) {
            fail(Reason::SharedAnchor {
                webhooks: sharers.iter().map(Wish::name).collect(),
            });
            continue;
        }
        if let (Some(new), Some(base64)) = (&wish.wanted, &wish.base64) {
            match bundle_edit(text, tree, *place, new, base64, wishes) {
                Ok(edit) => edits.extend(edit.map(|edit| edit.sharing(base64))),
                Err(Refusal::Layout(reason)) => {
                    fail(layout(reason));
                    continue;
                }
                Err(Refusal::Shared(webhooks)) => {
                    fail(Reason::SharedAnchor { webhooks });
                    continue;
                }
            }
        }
        if wish.verify
            && let Some((_, value)) = tree.entry(*place, "insecureSkipTLSVerify")
        {
            match replace_plain(tree, value, "false") {
                Ok(edit) => edits.push(edit),
                Err(reason) => fail(layout(reason)),
            }
        }
        let edited = match tree.entry(*place, "caBundle") {
            _ if !wish.differs => Edited::Kept,
            Some(_) => Edited::Replaced,
            None => Edited::Added,
        };
        changes.extend(sharers.iter().map(|wish| {
            Change {
                object: ObjectId::clone(&wish.object),
                webhook: wish.webhook.clone(),
                pointer: wish
                    .pointer
                    .get(wish.object_at..)
                    .unwrap_or_default()
                    .to_owned(),
                document: document.number,
                line: wish.line,
                edited,
                verify: wish.verify,
            }
        }));
    }
    if errors.is_empty() {
        Ok((edits, changes))
    } else {
        Err(errors)
    }
}

enum Refusal {
    Layout(&'static str),
    Shared(Vec<String>),
}

/// The edit for one place; `None` when an edit elsewhere, at an anchor, does it already.
fn bundle_edit(
    text: &str,
    tree: &Tree<'_>,
    place: NodeId,
    new: &[u8],
    base64: &str,
    wishes: &Wishes,
) -> Result<Option<Edit>, Refusal> {
    let value = tree.entry(place, "caBundle").map(|(_, value)| value);
    let owner = |anchored: NodeId| {
        wishes.iter().find(|(place, _)| {
            tree.entry(**place, "caBundle")
                .is_some_and(|(_, value)| value == anchored)
        })
    };
    let gets_new = |sharers: &[Wish]| {
        sharers
            .iter()
            .all(|wish| wish.differs && wish.wanted.as_deref() == Some(new))
    };
    match value.map(|value| (value, &tree.node(value).content)) {
        Some((_, Content::Alias(anchored)))
            if owner(*anchored).is_some_and(|(_, sharers)| gets_new(sharers)) =>
        {
            return Ok(None);
        }
        Some((value, Content::Scalar { .. })) if tree.node(value).aliases > 0 => {
            // Every alias to it has to be the caBundle of a client config that gets the same.
            let users = wishes.iter().filter(|(place, _)| {
                tree.entry(**place, "caBundle")
                    .is_some_and(|(_, user)| user != value && tree.resolve(user) == value)
            });
            let (same, different): (Vec<_>, Vec<_>) =
                users.partition(|(_, sharers)| gets_new(sharers));
            if same.len() < tree.node(value).aliases as usize || !different.is_empty() {
                let sharers = wishes.get(&place).into_iter().flatten();
                let others = different.iter().flat_map(|(_, sharers)| sharers.iter());
                return Err(Refusal::Shared(
                    sharers.chain(others).map(Wish::name).collect(),
                ));
            }
        }
        _ => {}
    }
    set_bundle(text, tree, place, base64)
        .map(Some)
        .map_err(Refusal::Layout)
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
