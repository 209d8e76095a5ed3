//! Giving the objects of a manifest their caBundles, every other byte staying as it is.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::rc::Rc;

use super::edit::{Edit, replace_plain, set_bundle};
use super::error::{DocumentError, Fault, Reason};
use super::read::{candidates, error_at, identify, load, may_hold_injectable};
use super::skeleton::Skeleton;
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
    mut decide: impl FnMut(&ClientConfig, &ObjectId) -> Decision,
) -> Injected<'a> {
    let mut injected = Injected {
        output: Cow::Borrowed(input),
        changes: Vec::new(),
        notes: Vec::new(),
        errors: Vec::new(),
    };
    let mut output = Vec::new();
    let mut copied = 0;
    for document in documents(source_name, input).filter(|d| may_hold_injectable(d.bytes)) {
        match edit_document(&document, &mut decide) {
            Ok(edited) => {
                injected.notes.extend(edited.notes);
                injected.changes.extend(edited.changes);
                if let Some(text) = edited.text {
                    output.reserve(if copied == 0 {
                        input.len() + text.len() / 4
                    } else {
                        0
                    });
                    output.extend_from_slice(&input[copied..document.range.start]);
                    output.extend_from_slice(text.as_bytes());
                    copied = document.range.end;
                }
            }
            Err(errors) => injected.errors.extend(errors),
        }
    }
    if copied > 0 {
        output.extend_from_slice(&input[copied..]);
        injected.output = Cow::Owned(output);
    }
    injected
}

#[derive(Default)]
struct EditedDocument {
    /// `None` when nothing changed.
    text: Option<String>,
    changes: Vec<Change>,
    notes: Vec<Note>,
}

/// What a client config should become, and where it is.
pub(super) struct Wish {
    object: Rc<ObjectId>,
    webhook: Option<String>,
    /// From the root of the document.
    pub(super) pointer: String,
    /// The bundle that it should have in the end, when that is a usable one.
    pub(super) wanted: Option<Rc<[u8]>>,
    /// Whether it has another one now.
    pub(super) differs: bool,
    /// Whether `insecureSkipTLSVerify` has to become false.
    pub(super) verify: bool,
    line: usize,
}

/// By the mapping that holds the caBundle: several client configs may share one through an alias.
pub(super) type Wishes = BTreeMap<NodeId, Vec<Wish>>;

type Errors = Vec<DocumentError>;

fn edit_document(
    document: &Document<'_>,
    decide: &mut impl FnMut(&ClientConfig, &ObjectId) -> Decision,
) -> Result<EditedDocument, Errors> {
    let one = |error: DocumentError| vec![error];
    let text = document.text().map_err(one)?;
    let skeleton = Skeleton::of_document(document, text);
    let Some(tree) = load(document, text, skeleton.as_ref()).map_err(one)? else {
        return Ok(EditedDocument::default());
    };
    let mut edited = EditedDocument::default();
    let wishes = wishes(document, &tree, decide, &mut edited.notes)?;
    let (edits, changes) = edits(document, text, &tree, &wishes)?;
    if edits.is_empty() {
        return Ok(edited);
    }
    let text = apply(text, edits);
    verify(&text, document.json, &tree, &wishes)
        .map_err(|what| one(document.error(Fault::new(0, Reason::Verification(what)))))?;
    edited.text = Some(text);
    edited.changes = changes;
    Ok(edited)
}

/// Asks for every client config.
fn wishes(
    document: &Document<'_>,
    tree: &Tree<'_>,
    decide: &mut impl FnMut(&ClientConfig, &ObjectId) -> Decision,
    notes: &mut Vec<Note>,
) -> Result<Wishes, Errors> {
    let mut wishes = Wishes::new();
    let mut errors = Errors::new();
    let mut bundles = BTreeSet::new();
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
                notes.push(Note {
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
        let id = Rc::new(id);
        for config in configs {
            let place = tree.lookup(candidate.node, &config.pointer);
            let line = place.map_or_else(
                || webhook_line(document, tree, candidate.node, &config, line),
                |place| document.line_at(start_of_bundle(tree, place)),
            );
            match decide_one(&config, &id, decide) {
                Ok(decision) => {
                    let Some(place) = place else { continue };
                    let pointer = format!("{}{}", candidate.pointer, config.pointer);
                    let wish = Wish::new(
                        config,
                        &id,
                        pointer,
                        line,
                        decision.as_deref(),
                        &mut bundles,
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

fn decide_one(
    config: &ClientConfig,
    id: &ObjectId,
    decide: &mut impl FnMut(&ClientConfig, &ObjectId) -> Decision,
) -> Result<Option<Vec<u8>>, Reason> {
    let webhook = || config.webhook.clone();
    if let Err(target) = &config.target {
        return Err(Reason::Target {
            webhook: webhook(),
            target: target.clone(),
        });
    }
    match decide(config, id) {
        Decision::Keep => Ok(None),
        Decision::Set(pem) => Ok(Some(pem)),
        Decision::Refuse(reason) => Err(Reason::Refused {
            webhook: webhook(),
            reason,
        }),
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
        id: &Rc<ObjectId>,
        pointer: String,
        line: usize,
        new: Option<&[u8]>,
        bundles: &mut BTreeSet<Rc<[u8]>>,
    ) -> Self {
        let old = config.ca_bundle.pem();
        Self {
            object: Rc::clone(id),
            webhook: config.webhook,
            pointer,
            differs: new.is_some() && new != old,
            verify: new.is_some() && config.insecure_skip_tls_verify,
            // There are few bundles and many webhooks.
            wanted: new.or(old).map(|pem| match bundles.get(pem) {
                Some(known) => Rc::clone(known),
                None => {
                    let pem: Rc<[u8]> = pem.into();
                    bundles.insert(Rc::clone(&pem));
                    pem
                }
            }),
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
        let new = wish.wanted.as_deref().unwrap_or_default();
        if wish.differs {
            match bundle_edit(text, tree, *place, new, wishes) {
                Ok(edit) => edits.extend(edit),
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
            Some(_) => Edited::Replaced,
            None => Edited::Added,
        };
        changes.extend(sharers.iter().map(|wish| Change {
            object: ObjectId::clone(&wish.object),
            webhook: wish.webhook.clone(),
            document: document.number,
            line: wish.line,
            edited,
            verify: wish.verify,
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
    set_bundle(text, tree, place, &encode(new))
        .map(Some)
        .map_err(Refusal::Layout)
}

fn apply(text: &str, mut edits: Vec<Edit>) -> String {
    edits.sort_by_key(|edit| edit.range.start);
    let more: usize = edits.iter().map(|edit| edit.text.len()).sum();
    let mut output = String::with_capacity(text.len() + more);
    let mut copied = 0;
    for edit in edits {
        let Range { start, end } = edit.range;
        // Edits never overlap; were they to, the verification would say so.
        output.push_str(text.get(copied..start).unwrap_or_default());
        output.push_str(&edit.text);
        copied = end;
    }
    output.push_str(text.get(copied..).unwrap_or_default());
    output
}
