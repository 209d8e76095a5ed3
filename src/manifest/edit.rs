//! The edit that gives one mapping another caBundle: which bytes go, and what comes in their place.
//!
//! Style is kept: quotes stay quotes, block scalars stay block scalars with their indentation and
//! line width, a new key looks like its siblings.

use std::ops::Range;
use std::sync::Arc;

use super::tree::{Content, NodeId, Style, Tree};

/// A replacement of some bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    /// The bytes that go.
    pub range: Range<usize>,
    text: Text,
}

/// Many edits of a manifest put in the same caBundle: it is there once.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Text {
    Own(String),
    Around(Box<str>, Arc<str>, Box<str>),
}

impl Edit {
    fn new(range: Range<usize>, text: String) -> Self {
        Self {
            range,
            text: Text::Own(text),
        }
    }

    /// Refers to `value` instead of repeating it.
    pub(super) fn sharing(self, value: &Arc<str>) -> Self {
        let Text::Own(text) = &self.text else {
            return self;
        };
        // There are a few bytes around it at most.
        let around = text.len().saturating_sub(value.len());
        let at = (0..=around).find(|at| text.as_bytes()[*at..].starts_with(value.as_bytes()));
        let Some((before, rest)) = at.and_then(|at| text.split_at_checked(at)) else {
            return self;
        };
        let after = rest.get(value.len()..).unwrap_or_default();
        Self {
            range: self.range,
            text: Text::Around(before.into(), Arc::clone(value), after.into()),
        }
    }

    /// What comes in their place, in pieces.
    #[must_use]
    pub fn pieces(&self) -> [&str; 3] {
        match &self.text {
            Text::Own(text) => [text, "", ""],
            Text::Around(before, value, after) => [before, value, after],
        }
    }

    /// How long that is.
    #[must_use]
    pub fn len(&self) -> usize {
        self.pieces().iter().map(|piece| piece.len()).sum()
    }

    /// Whether that is nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Why there is no edit: a layout that would need more than the value changed.
pub(super) type Layout = &'static str;

const KEY: &str = "caBundle";

/// Sets `caBundle` in a mapping to this base64 text.
pub(super) fn set_bundle(
    document: &str,
    tree: &Tree<'_>,
    mapping: NodeId,
    value: &str,
) -> Result<Edit, Layout> {
    match tree.entry(mapping, KEY) {
        Some((key, old)) => replace(document, tree, key, old, value),
        None => insert(document, tree, mapping, value),
    }
}

/// Replaces a plain scalar that is not aliased: `insecureSkipTLSVerify: true`.
pub(super) fn replace_plain(tree: &Tree<'_>, node: NodeId, value: &str) -> Result<Edit, Layout> {
    let found = tree.node(node);
    match &found.content {
        Content::Scalar {
            style: Style::Plain,
            ..
        } if !found.properties && !found.span.is_empty() => {
            Ok(Edit::new(found.span.clone(), value.to_owned()))
        }
        _ => Err("insecureSkipTLSVerify is not a plain value"),
    }
}

fn replace(
    document: &str,
    tree: &Tree<'_>,
    key: NodeId,
    old: NodeId,
    value: &str,
) -> Result<Edit, Layout> {
    let node = tree.node(old);
    let (text, style) = match &node.content {
        Content::Scalar { text, style, tag } => {
            if *tag == Some(super::tree::Tag::Other) {
                return Err("it has a YAML tag other than !!str; remove the tag");
            }
            (text, *style)
        }
        // The literal value: whatever else uses the anchor stays as it is.
        Content::Alias(_) => {
            return Ok(Edit::new(node.span.clone(), value.to_owned()));
        }
        Content::Mapping { .. } | Content::Sequence(_) | Content::Elided => {
            return Err("it is a list or a mapping; remove it");
        }
    };
    match style {
        Style::Plain if node.span.is_empty() => {
            if node.properties {
                return Err("it has an anchor or a tag but no value; remove that");
            }
            after_colon(document, tree.node(key).span.end, value)
        }
        // JSON's `null`, or the `null` of a flow mapping with JSON's quotes.
        Style::Plain if is_quoted(tree, key) && text == "null" => {
            Ok(Edit::new(node.span.clone(), format!("\"{value}\"")))
        }
        Style::Plain => Ok(Edit::new(node.span.clone(), value.to_owned())),
        Style::SingleQuoted | Style::DoubleQuoted => {
            let inside = node.span.start + 1..node.span.end.saturating_sub(1);
            if inside.start > inside.end {
                return Err("its quotes do not match");
            }
            Ok(Edit::new(inside, value.to_owned()))
        }
        Style::Literal | Style::Folded => {
            let key = tree.node(key).span.clone();
            block_scalar(document, &key, node.span.start, style, value)
        }
    }
}

fn is_quoted(tree: &Tree<'_>, key: NodeId) -> bool {
    matches!(
        tree.node(key).content,
        Content::Scalar {
            style: Style::DoubleQuoted,
            ..
        }
    )
}

/// `caBundle:` without a value: it goes right behind the colon, before any comment.
fn after_colon(document: &str, key_end: usize, value: &str) -> Result<Edit, Layout> {
    let rest = document.get(key_end..).unwrap_or_default();
    let blank = rest.len() - rest.trim_start_matches([' ', '\t']).len();
    let after = rest.get(blank..).unwrap_or_default();
    let Some(behind) = after.strip_prefix(':') else {
        return Err("it is a key without a colon");
    };
    let at = key_end + blank + 1;
    // In a flow mapping something may follow at once: `{caBundle:}`.
    let space = if behind.starts_with([' ', '\t', '\r', '\n', ',', '}']) || behind.is_empty() {
        ""
    } else {
        " "
    };
    Ok(Edit::new(at..at, format!(" {value}{space}")))
}

/// Replaces the content lines of a block scalar; its header line, with any comment, stays.
fn block_scalar(
    document: &str,
    key: &Range<usize>,
    content_start: usize,
    style: Style,
    value: &str,
) -> Result<Edit, Layout> {
    let header_end = match document.get(key.end..).and_then(|rest| rest.find('\n')) {
        Some(length) => key.end + length + 1,
        // `caBundle: |` at the very end of the document.
        None => document.len(),
    };
    let header = document.get(key.end..header_end).unwrap_or_default();
    if content_start < header_end && header_end < document.len() {
        return Err("the header of its block scalar is not on the line of the key");
    }
    let line_break = line_break_of(header).unwrap_or_else(|| nearest_break(document, key.start));
    let column = column_of(document, key.start);

    // The content: every line that is blank or further in than the key.
    let mut end = header_end;
    let mut indent = None::<usize>;
    let mut width = 0;
    let mut lines = 0;
    let mut position = header_end;
    for line in document
        .get(header_end..)
        .unwrap_or_default()
        .split_inclusive('\n')
    {
        let text = line.trim_end_matches(['\n', '\r']);
        let spaces = text.len() - text.trim_start_matches(' ').len();
        let blank = text.trim().is_empty();
        if !blank && spaces <= column {
            break;
        }
        position += line.len();
        if !blank {
            end = position;
            lines += 1;
            if lines == 1 {
                width = text.trim().len();
            }
            indent = Some(indent.map_or(spaces, |least| least.min(spaces)));
        }
    }
    let indent = " ".repeat(indent.unwrap_or(column + 2));
    // Folding would put a space between the lines of base64, which makes it invalid.
    let width = if style == Style::Literal && lines > 1 && width >= 16 {
        width
    } else {
        value.len().max(1)
    };
    let ended = document
        .get(..end)
        .is_some_and(|before| before.ends_with('\n'));
    let mut text = String::new();
    if end == header_end && !ended {
        text.push_str(line_break);
    }
    let mut rest = value;
    while !rest.is_empty() {
        let (line, more) = rest.split_at_checked(width).unwrap_or((rest, ""));
        text.push_str(&indent);
        text.push_str(line);
        rest = more;
        if !rest.is_empty() || ended {
            text.push_str(line_break);
        }
    }
    Ok(Edit::new(header_end..end, text))
}

fn insert(document: &str, tree: &Tree<'_>, mapping: NodeId, value: &str) -> Result<Edit, Layout> {
    let node = tree.node(mapping);
    let Content::Mapping { flow, entries } = &node.content else {
        return Err("what should hold it is not a mapping");
    };
    let first = entries.first();
    if *flow {
        return match first {
            Some((key, _)) => insert_in_flow(document, tree, node.span.start, *key, value),
            None => {
                let at = node.span.start + 1;
                let text = format!("{KEY}: {value}");
                Ok(Edit::new(at..at, text))
            }
        };
    }
    let Some((key, _)) = first else {
        return Err("what should hold it is empty");
    };
    insert_line(document, tree.node(*key).span.start, value)
}

/// A line of its own before the first key, and before the comments that belong to that.
fn insert_line(document: &str, key: usize, value: &str) -> Result<Edit, Layout> {
    let mut at = line_start(document, key);
    let indent = document.get(at..key).unwrap_or_default();
    if !indent.bytes().all(|byte| byte == b' ') {
        return Err("the first key beside it is not on a line of its own");
    }
    let line_break = nearest_break(document, at);
    while at > 0 {
        let previous = line_start(document, at - 1);
        let line = document.get(previous..at).unwrap_or_default();
        if !line.trim_start().starts_with('#') {
            break;
        }
        at = previous;
    }
    Ok(Edit::new(
        at..at,
        format!("{indent}{KEY}: {value}{line_break}"),
    ))
}

/// Before the first key of a flow mapping, set apart as that is.
fn insert_in_flow(
    document: &str,
    tree: &Tree<'_>,
    mapping: usize,
    key: NodeId,
    value: &str,
) -> Result<Edit, Layout> {
    let at = tree.node(key).span.start;
    let before = document
        .get(mapping + 1..at)
        .ok_or("its mapping begins in an unusual place")?;
    // The white space from the last line break on, if there is one: comments stay before it.
    let separator = match before.rfind('\n') {
        Some(line) => {
            let line = if before[..line].ends_with('\r') {
                line - 1
            } else {
                line
            };
            &before[line..]
        }
        None => before,
    };
    if !separator.trim().is_empty() {
        return Err("something stands between the brace and the first key");
    }
    if !is_quoted(tree, key) {
        let separator = if separator.is_empty() { " " } else { separator };
        return Ok(Edit::new(at..at, format!("{KEY}: {value},{separator}")));
    }
    // As in JSON; `"a":1` or `"a": 1`.
    let rest = document.get(tree.node(key).span.end..).unwrap_or_default();
    let colon = if rest.starts_with(':') && !rest.starts_with(": ") {
        ":"
    } else {
        ": "
    };
    Ok(Edit::new(
        at..at,
        format!("\"{KEY}\"{colon}\"{value}\",{separator}"),
    ))
}

fn line_start(document: &str, at: usize) -> usize {
    document
        .get(..at)
        .and_then(|before| before.rfind('\n'))
        .map_or(0, |end| end + 1)
}

fn column_of(document: &str, at: usize) -> usize {
    at - line_start(document, at)
}

fn line_break_of(text: &str) -> Option<&'static str> {
    match text {
        _ if text.ends_with("\r\n") => Some("\r\n"),
        _ if text.ends_with('\n') => Some("\n"),
        _ => None,
    }
}

/// The line break of the line before this place, or of the next one there is.
fn nearest_break(document: &str, at: usize) -> &'static str {
    let before = document.get(..at).unwrap_or_default();
    let (text, end) = match before.rfind('\n') {
        Some(end) => (before, end + 1),
        None => (document, document.find('\n').map_or(0, |end| end + 1)),
    };
    text.get(..end).and_then(line_break_of).unwrap_or("\n")
}
