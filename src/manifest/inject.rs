//! Giving the objects of a manifest their caBundles, every other byte staying as it is.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;

use serde_json::Value;

use super::edit::{Edit, replace_plain, set_bundle};
use super::error::{DocumentError, Fault, Reason};
use super::read::{error_at, identify, injectables, load, load_text, may_hold_injectable};
use super::skeleton::Skeleton;
use super::split::{Document, documents};
use super::tree::{Content, NodeId, Tree};
use crate::injectable::{
    CaBundle, ClientConfig, ClientConfigs, Decision, Nothing, ObjectId, encode, examine,
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
struct Wish {
    object: ObjectId,
    webhook: Option<String>,
    /// From the root of the document.
    pointer: String,
    old: CaBundle,
    /// `None` to leave it.
    new: Option<Vec<u8>>,
    verify: bool,
    line: usize,
}

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
    let root = tree
        .to_value(tree.root)
        .map_err(|fault| one(document.error(fault)))?;

    let mut edited = EditedDocument::default();
    let wishes = wishes(document, &tree, &root, decide, &mut edited.notes)?;
    let (edits, changes) = edits(document, text, &tree, &wishes)?;
    if edits.is_empty() {
        return Ok(edited);
    }
    let text = apply(text, edits);
    verify(&text, document.json, root, &wishes)
        .map_err(|what| one(document.error(Fault::new(0, Reason::Verification(what)))))?;
    edited.text = Some(text);
    edited.changes = changes;
    Ok(edited)
}

/// Asks for every client config; where it stands is the key, since several may share one place.
fn wishes(
    document: &Document<'_>,
    tree: &Tree<'_>,
    root: &Value,
    decide: &mut impl FnMut(&ClientConfig, &ObjectId) -> Decision,
    notes: &mut Vec<Note>,
) -> Result<BTreeMap<NodeId, Vec<Wish>>, Errors> {
    let mut wishes: BTreeMap<NodeId, Vec<Wish>> = BTreeMap::new();
    let mut errors = Errors::new();
    for (prefix, node) in injectables(tree) {
        let object = root.pointer(&prefix).unwrap_or(&Value::Null);
        let line = document.line_at(tree.node(node).span.start);
        let id = match identify(object, line, document) {
            Ok(Some(id)) => id,
            Ok(None) => continue,
            Err(error) => {
                errors.push(error);
                continue;
            }
        };
        let configs = match examine(object) {
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
        for config in configs {
            let place = tree.lookup(node, &config.pointer);
            let line = place.map_or_else(
                || webhook_line(document, tree, node, &config, line),
                |place| document.line_at(line_of_bundle(tree, place)),
            );
            match wish(&config, &id, &prefix, line, decide) {
                Ok(wish) => {
                    if let Some(place) = place {
                        wishes.entry(place).or_default().push(wish);
                    }
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

fn wish(
    config: &ClientConfig,
    id: &ObjectId,
    prefix: &str,
    line: usize,
    decide: &mut impl FnMut(&ClientConfig, &ObjectId) -> Decision,
) -> Result<Wish, Reason> {
    let webhook = config.webhook.clone();
    if let Err(target) = &config.target {
        let target = target.clone();
        return Err(Reason::Target { webhook, target });
    }
    let new = match decide(config, id) {
        Decision::Keep => None,
        Decision::Set(pem) => Some(pem),
        Decision::Refuse(reason) => return Err(Reason::Refused { webhook, reason }),
    };
    Ok(Wish {
        object: id.clone(),
        webhook,
        pointer: format!("{prefix}{}", config.pointer),
        old: config.ca_bundle.clone(),
        verify: new.is_some() && config.insecure_skip_tls_verify,
        new,
        line,
    })
}

/// The place of the caBundle, or of the mapping that it is missing from.
fn line_of_bundle(tree: &Tree<'_>, mapping: NodeId) -> usize {
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
    /// The bundle that it should have in the end.
    fn wanted(&self) -> Option<&[u8]> {
        self.new.as_deref().or_else(|| self.old.pem())
    }

    fn changes_bundle(&self) -> bool {
        self.new.is_some() && self.new.as_deref() != self.old.pem()
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
    wishes: &BTreeMap<NodeId, Vec<Wish>>,
) -> Result<(Vec<Edit>, Vec<Change>), Errors> {
    let mut edits = Vec::new();
    let mut changes = Vec::new();
    let mut errors = Errors::new();
    for (place, sharers) in wishes {
        let Some(wish) = sharers.iter().find(|w| w.changes_bundle() || w.verify) else {
            continue;
        };
        let mut fail = |reason| errors.push(error_at(document, wish.line, &wish.object, reason));
        let layout = |reason| Reason::Layout {
            webhook: wish.webhook.clone(),
            reason,
        };
        if sharers.iter().any(|other| other.wanted() != wish.wanted()) {
            fail(Reason::SharedAnchor {
                webhooks: sharers.iter().map(Wish::name).collect(),
            });
            continue;
        }
        let new = wish.new.as_deref().unwrap_or_default();
        if wish.changes_bundle() {
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
            object: wish.object.clone(),
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
    wishes: &BTreeMap<NodeId, Vec<Wish>>,
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
            .all(|wish| wish.changes_bundle() && wish.new.as_deref() == Some(new))
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

/// Reads the edited text anew: it has to be the original with the new bundles, and nothing else.
fn verify(
    text: &str,
    json: bool,
    mut expected: Value,
    wishes: &BTreeMap<NodeId, Vec<Wish>>,
) -> Result<(), &'static str> {
    let skeleton = if json { None } else { Skeleton::of(text) };
    let tree = load_text(text, json, skeleton.as_ref())
        .map_err(|_| "it cannot be read any more")?
        .ok_or("it is empty")?;
    let mut found = tree
        .to_value(tree.root)
        .map_err(|_| "it cannot be read any more")?;
    for wish in wishes.values().flatten() {
        let Some(new) = &wish.new else {
            continue;
        };
        let (Some(expected), Some(found)) = (
            expected
                .pointer_mut(&wish.pointer)
                .and_then(Value::as_object_mut),
            found
                .pointer_mut(&wish.pointer)
                .and_then(Value::as_object_mut),
        ) else {
            return Err("a clientConfig is gone");
        };
        if CaBundle::of_value(found.get("caBundle")).pem() != Some(new) {
            return Err("a caBundle is not the new one");
        }
        found.shift_remove("caBundle");
        expected.shift_remove("caBundle");
        if wish.verify {
            expected.insert("insecureSkipTLSVerify".to_owned(), Value::Bool(false));
        }
    }
    if expected == found {
        Ok(())
    } else {
        Err("something beside the caBundles changed")
    }
}
