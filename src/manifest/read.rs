//! Reading documents: the injectable objects in a stream, each with its place.

use std::sync::LazyLock;

use memchr::memmem::{self, Finder};
use serde_json::Value;

use super::error::{DocumentError, Fault, Reason};
use super::json;
use super::skeleton::Sketch;
use super::split::{Document, documents, is_utf16};
use super::tree::{Content, Keep, NodeId, Style, Tree};
use super::yaml::{self, Parsed};
use crate::injectable::{ClientConfigs, Kind, ObjectId, examine};

/// Lists within lists are read this deep.
const LIST_DEPTH: usize = 8;

/// The injectable objects of a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Objects {
    /// Found, in order; the items of a `List` one by one.
    pub objects: Vec<Located>,
    /// Documents that could not be read.
    pub errors: Vec<DocumentError>,
}

/// An injectable object and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Located {
    /// Which object.
    pub id: ObjectId,
    /// Its client configs, or why it has none.
    pub configs: ClientConfigs,
    /// The number of its document.
    pub document: usize,
    /// The line at which it begins.
    pub line: usize,
    /// The line of each client config, in their order.
    pub lines: Vec<usize>,
}

/// Finds the injectable objects of a stream; `List`s are opened.
#[must_use]
pub fn objects(source_name: &str, input: &[u8]) -> Objects {
    let mut found = Objects::default();
    for document in documents(source_name, input).filter(|d| may_hold_injectable(d.bytes)) {
        if let Err(error) = read_document(&document, &mut found) {
            found.errors.push(error);
        }
    }
    found
}

fn read_document(document: &Document<'_>, found: &mut Objects) -> Result<(), DocumentError> {
    let text = document.text()?;
    let mut sketch = Sketch::of_document(document, text);
    let fast = sketch.tree.take();
    let Some(tree) = load(document, text, fast, &sketch)? else {
        return Ok(());
    };
    for candidate in candidates(&tree).map_err(|fault| document.error(fault))? {
        match locate(document, &tree, &candidate) {
            Ok(located) => found.objects.push(located),
            Err(error) => found.errors.push(error),
        }
    }
    Ok(())
}

fn locate(
    document: &Document<'_>,
    tree: &Tree<'_>,
    candidate: &Candidate,
) -> Result<Located, DocumentError> {
    let line = document.line_at(tree.node(candidate.node).span.start);
    let (object, id) = identify(document, tree, candidate)?;
    let configs = examine(&object).map_err(|error| error_at(document, line, &id, error.into()))?;
    let lines = match &configs {
        ClientConfigs::Some(configs) => configs
            .iter()
            .map(|config| {
                tree.lookup(candidate.node, &config.pointer)
                    .map_or(line, |node| document.line_at(tree.node(node).span.start))
            })
            .collect(),
        ClientConfigs::Nothing(_) => Vec::new(),
    };
    Ok(Located {
        id,
        configs,
        document: document.number,
        line,
        lines,
    })
}

/// The whole document as a JSON value, aliases and merge keys expanded.
///
/// # Errors
/// It is malformed, has a key twice, or expands without bound.
pub fn to_value(document: &Document<'_>) -> Result<Value, DocumentError> {
    let text = document.text()?;
    let parsed = parse(text, document.json, Keep::All);
    let value = parsed.and_then(|tree| match tree {
        Some(tree) => tree.to_value(tree.root),
        None => Ok(Value::Null),
    });
    value.map_err(|fault| document.error(diagnose(text, fault)))
}

/// Whether the document can hold an injectable object: a look at its bytes alone.
pub(super) fn may_hold_injectable(bytes: &[u8]) -> bool {
    let has = |needle: &Finder<'_>| needle.find(bytes).is_some();
    has(&CONFIGURATION)
        || (has(&CRD) && has(&CONVERSION) && has(&WEBHOOK))
        || has(&API_SERVICE)
        // UTF-16, of which nothing can be found this way.
        || is_utf16(bytes)
}

// Made once: most documents are small, and making a searcher costs as much as searching them.
static CONFIGURATION: LazyLock<Finder<'_>> = LazyLock::new(|| Finder::new("WebhookConfiguration"));
static CRD: LazyLock<Finder<'_>> = LazyLock::new(|| Finder::new("CustomResourceDefinition"));
static CONVERSION: LazyLock<Finder<'_>> = LazyLock::new(|| Finder::new("conversion"));
static WEBHOOK: LazyLock<Finder<'_>> = LazyLock::new(|| Finder::new("Webhook"));
static API_SERVICE: LazyLock<Finder<'_>> = LazyLock::new(|| Finder::new("APIService"));

/// Parses what matters of a document; positions are those of its text. `None` when it is empty.
///
/// `fast` is the sketch's own tree, taken out of it: that may be all.
pub(super) fn load<'a>(
    document: &Document<'_>,
    text: &'a str,
    fast: Option<Tree<'a>>,
    sketch: &'a Sketch<'a>,
) -> Result<Option<Tree<'a>>, DocumentError> {
    load_text(text, document.json, fast, sketch)
        .map_err(|fault| document.error(diagnose(text, fault)))
}

/// Like [`load`], for text that is no document of a stream.
pub(super) fn load_text<'a>(
    text: &'a str,
    json: bool,
    fast: Option<Tree<'a>>,
    sketch: &'a Sketch<'a>,
) -> Result<Option<Tree<'a>>, Fault> {
    if fast.is_some() {
        return Ok(fast);
    }
    let Some(skeleton) = &sketch.skeleton else {
        return parse(text, json, Keep::Relevant);
    };
    // What the skeleton leaves out may be what is wrong, or what explains it.
    let Ok(Some(mut tree)) = parse(&skeleton.text, false, Keep::Relevant) else {
        return parse(text, json, Keep::Relevant);
    };
    for node in tree.nodes_mut() {
        let short = node.span.len();
        node.span = skeleton.to_document(node.span.start)..skeleton.to_document(node.span.end);
        if let Content::Scalar {
            text: value, style, ..
        } = &mut node.content
            && node.span.len() != short
        {
            // Only the middle of a one-line base64 text is ever left out of a scalar.
            let whole = text.get(node.span.clone()).unwrap_or_default();
            *value = match style {
                Style::SingleQuoted | Style::DoubleQuoted => whole
                    .get(1..whole.len().saturating_sub(1))
                    .unwrap_or_default(),
                Style::Plain | Style::Literal | Style::Folded => whole,
            }
            .into();
        }
    }
    Ok(Some(tree))
}

fn parse(text: &str, json: bool, keep: Keep) -> Result<Option<Tree<'_>>, Fault> {
    if json {
        return json::parse(text, keep).map(Some);
    }
    match yaml::parse(text, keep)? {
        Parsed::Tree(tree) => Ok(Some(tree)),
        Parsed::Empty => Ok(None),
        Parsed::Aliases => match yaml::parse(text, Keep::All)? {
            Parsed::Tree(tree) => Ok(Some(tree)),
            Parsed::Empty | Parsed::Aliases => Ok(None),
        },
    }
}

/// A node that says that it is an injectable object.
pub(super) struct Candidate {
    /// Its JSON pointer.
    pub(super) pointer: String,
    pub(super) node: NodeId,
    kind: Kind,
}

/// The injectable objects of a document: itself, or the items of a list.
pub(super) fn candidates(tree: &Tree<'_>) -> Result<Vec<Candidate>, Fault> {
    let mut found = Vec::new();
    collect(tree, tree.root, String::new(), LIST_DEPTH, &mut found)?;
    Ok(found)
}

fn collect(
    tree: &Tree<'_>,
    node: NodeId,
    pointer: String,
    depth: usize,
    found: &mut Vec<Candidate>,
) -> Result<(), Fault> {
    tree.spend(node)?;
    let text = |key| tree.lookup(node, key).and_then(|key| tree.text(key));
    let kind = text("/kind").unwrap_or_default();
    if let Some(kind) = Kind::of_any_version(text("/apiVersion").unwrap_or_default(), kind) {
        found.push(Candidate {
            pointer,
            node,
            kind,
        });
    } else if kind.ends_with("List")
        && depth > 0
        && let Some(items) = tree.lookup(node, "/items")
        && let Content::Sequence(items) = &tree.node(items).content
    {
        for (index, item) in items.iter().enumerate() {
            let pointer = format!("{pointer}/items/{index}");
            collect(tree, tree.resolve(*item), pointer, depth - 1, found)?;
        }
    }
    Ok(())
}

/// The object that a candidate is, as a value, and its identity.
pub(super) fn identify(
    document: &Document<'_>,
    tree: &Tree<'_>,
    candidate: &Candidate,
) -> Result<(Value, ObjectId), DocumentError> {
    let object = tree
        .to_value(candidate.node)
        .map_err(|fault| document.error(fault))?;
    match ObjectId::of(&object) {
        Some(id) => Ok((object, id)),
        None => {
            let api_version = object.get("apiVersion").and_then(Value::as_str);
            let kind = candidate.kind;
            Err(document.error(Fault::new(
                tree.node(candidate.node).span.start,
                Reason::OldVersion {
                    api_version: format!("{} {kind}", api_version.unwrap_or_default()),
                    wanted: kind.api_version(),
                },
            )))
        }
    }
}

pub(super) fn error_at(
    document: &Document<'_>,
    line: usize,
    object: &ObjectId,
    reason: Reason,
) -> DocumentError {
    DocumentError {
        source_name: document.source_name.to_owned(),
        document: document.number,
        line,
        object: Some(object.clone()),
        reason: Box::new(reason),
    }
}

/// Says what a person did, where the parser says what it expected.
fn diagnose(text: &str, fault: Fault) -> Fault {
    if !matches!(fault.reason, Reason::Syntax { .. }) {
        return fault;
    }
    if let Some(at) = memmem::find(text.as_bytes(), b"{{") {
        return Fault::new(at, Reason::Template);
    }
    // The parser may stop at the end of the line before the tab.
    let before = text.get(..fault.offset).unwrap_or(text);
    let mut start = before.rfind('\n').map_or(0, |at| at + 1);
    for line in text
        .get(start..)
        .unwrap_or_default()
        .split_inclusive('\n')
        .take(2)
    {
        let indentation = line.len() - line.trim_start_matches([' ', '\t']).len();
        if line[..indentation].contains('\t') && !line.trim().is_empty() {
            return Fault::new(start, Reason::Tab);
        }
        start += line.len();
    }
    fault
}
