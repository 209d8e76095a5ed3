//! The part of a YAML document that can matter for injection, found line by line.
//!
//! A YAML parser reads tens of megabytes a second; CRDs and the base64 of bundles are much larger
//! than what has to be understood. This reader knows block mappings, block sequences and scalars that
//! it can follow with certainty, and cuts out the values of keys that do not matter, keys staying.
//! At the first line that is anything else (anchors, aliases, tags, flow collections over several
//! lines, templates, tabs, odd keys) it gives up, and the whole document is parsed.

use std::ops::Range;

use memchr::{memchr, memchr_iter, memchr2, memmem};

use super::outline::Outline;
use super::split::Document;
use super::tree::{Style, Tree, is_relevant};

/// Base64 text longer than this is cut down.
const LONG: usize = 64;

/// How much of it stays.
const HEAD: usize = 4;

/// A document without what does not matter.
#[derive(Debug)]
pub(super) struct Skeleton {
    pub(super) text: String,
    /// Where each kept piece begins here, and where in the document.
    pieces: Vec<(usize, usize)>,
}

/// What could be made of a document without a YAML parser.
#[derive(Debug, Default)]
pub(super) struct Sketch<'a> {
    /// What the parser has to read; `None` when it has to read all, or nothing: the document has
    /// something that cannot be followed with certainty, or `tree` is there.
    pub(super) skeleton: Option<Skeleton>,
    /// What the parser would give for that; `None` when it has to.
    pub(super) tree: Option<Tree<'a>>,
}

impl<'a> Sketch<'a> {
    pub(super) fn of_document(document: &Document<'_>, text: &'a str) -> Self {
        if document.json {
            Self::default()
        } else {
            Self::of(text)
        }
    }

    pub(super) fn of(text: &'a str) -> Self {
        Self::read_as(text, Some(Outline::new())).unwrap_or_default()
    }

    fn read_as(text: &'a str, outline: Option<Outline<'a>>) -> Option<Self> {
        if has_unusual_break(text.as_bytes()) {
            return None;
        }
        let mut reader = Reader {
            text,
            bytes: text.as_bytes(),
            position: 0,
            kept: Vec::new(),
            outline,
            copied: 0,
            elision: None,
            plain: None,
        };
        while reader.position < text.len() {
            reader.line()?;
        }
        if let Some(elision) = reader.elision.take() {
            reader.cut(elision.from, text.len())?;
        }
        reader.cut(text.len(), text.len())?;
        let tree = reader.outline.take().and_then(Outline::finish);
        let skeleton = match tree {
            Some(_) => None,
            None => Some(Skeleton::new(text, &reader.kept)?),
        };
        Some(Self { skeleton, tree })
    }
}

/// Whether a line ends in another way than by a line feed, as YAML 1.1 allows (section 5.4: a
/// carriage return alone, NEL, LS, PS): a comment then ends where it does not seem to.
fn has_unusual_break(text: &[u8]) -> bool {
    memchr_iter(b'\r', text).any(|at| text.get(at + 1) != Some(&b'\n'))
        || ["\u{85}", "\u{2028}", "\u{2029}"]
            .iter()
            .any(|mark| memmem::find(text, mark.as_bytes()).is_some())
}

impl Skeleton {
    fn new(text: &str, kept: &[Range<usize>]) -> Option<Self> {
        let length = kept.iter().map(Range::len).sum();
        let mut skeleton = Self {
            text: String::with_capacity(length),
            pieces: Vec::with_capacity(kept.len()),
        };
        for piece in kept {
            skeleton.pieces.push((skeleton.text.len(), piece.start));
            skeleton.text.push_str(text.get(piece.clone())?);
        }
        Some(skeleton)
    }

    /// Where a place of the skeleton is in the document. At a cut it is the place after it.
    pub(super) fn to_document(&self, offset: usize) -> usize {
        let after = self.pieces.partition_point(|(here, _)| *here <= offset);
        match after
            .checked_sub(1)
            .and_then(|index| self.pieces.get(index))
        {
            Some((here, document)) => document + (offset - here),
            None => offset,
        }
    }
}

/// A value that is being left out: all lines further in than `column`, and the entries of a sequence
/// at `column` itself.
struct Elision {
    column: usize,
    from: usize,
}

struct Reader<'a> {
    text: &'a str,
    bytes: &'a [u8],
    position: usize,
    /// The pieces that are kept.
    kept: Vec<Range<usize>>,
    copied: usize,
    elision: Option<Elision>,
    /// `None` once there was something that the parser has to read.
    outline: Option<Outline<'a>>,
    /// The column of the collection whose plain scalar may go on: lines further in belong to it.
    plain: Option<usize>,
}

struct Line {
    indent: usize,
    /// Its first byte that is not a space.
    start: usize,
    /// Its end, without the line break.
    end: usize,
    next: usize,
}

impl<'a> Reader<'a> {
    /// Keeps what comes before `from`, and leaves out what comes before `to`.
    fn cut(&mut self, from: usize, to: usize) -> Option<()> {
        self.text.get(self.copied..from)?;
        self.kept.push(self.copied..from);
        self.copied = to;
        Some(())
    }

    /// Tells the outline of something that is not left out; `None` is that it gives up.
    fn tell(&mut self, what: impl FnOnce(&mut Outline<'a>) -> Option<()>) {
        if self.elision.is_none()
            && let Some(outline) = &mut self.outline
            && what(outline).is_none()
        {
            self.outline = None;
        }
    }

    fn line_at(&self, position: usize) -> Line {
        let rest = &self.bytes[position..];
        let length = memchr(b'\n', rest).unwrap_or(rest.len());
        let end = position + length;
        let next = (end + 1).min(self.bytes.len());
        let end = if end > position && self.bytes[end - 1] == b'\r' {
            end - 1
        } else {
            end
        };
        let content = &self.bytes[position..end];
        let indent = content
            .iter()
            .position(|byte| *byte != b' ')
            .unwrap_or(content.len());
        Line {
            indent,
            start: position + indent,
            end,
            next,
        }
    }

    /// Reads one line, or as many as its value takes.
    fn line(&mut self) -> Option<()> {
        let line = self.line_at(self.position);
        let content = &self.bytes[line.start..line.end];
        let first = match content.first() {
            None => {
                self.position = line.next;
                return Some(());
            }
            Some(b'#') => {
                self.plain = None;
                self.position = line.next;
                return Some(());
            }
            Some(first) => *first,
        };
        if line.indent == 0 && content.starts_with(b"---") {
            let rest = content[3..].trim_ascii_start();
            let marker = self.position == 0 && (rest.is_empty() || rest[0] == b'#');
            if marker {
                self.position = line.next;
            }
            return marker.then_some(());
        }
        if let Some(column) = self.plain {
            if line.indent > column {
                self.tell(|_| None);
                self.position = line.next;
                return is_simple_text(content).then_some(());
            }
            self.plain = None;
        }
        self.end_elision(&line, first)?;
        self.structure(&line)
    }

    fn end_elision(&mut self, line: &Line, first: u8) -> Option<()> {
        let Some(elision) = &self.elision else {
            return Some(());
        };
        let is_entry = first == b'-' && self.is_space_or_end(line.start + 1, line.end);
        let inside = line.indent > elision.column || (line.indent == elision.column && is_entry);
        if inside {
            return Some(());
        }
        let from = elision.from;
        self.elision = None;
        // The line break before this line stays, to end the line of the key.
        self.cut(from, self.position.saturating_sub(1))
    }

    /// `- - key: value`
    fn structure(&mut self, line: &Line) -> Option<()> {
        let mut at = line.start;
        let mut column = line.indent;
        let mut dash = None;
        while self.bytes.get(at) == Some(&b'-') && self.is_space_or_end(at + 1, line.end) {
            dash = Some(column);
            self.tell(|outline| outline.dash(at, column));
            at += 1;
            let spaces = self.bytes[at..line.end]
                .iter()
                .position(|byte| *byte != b' ');
            at = spaces.map_or(line.end, |spaces| at + spaces);
            column = at - (line.start - line.indent);
        }
        if at == line.end || self.bytes[at] == b'#' {
            self.position = line.next;
            return Some(());
        }
        let Some((key, colon)) = self.key(at, line.end)? else {
            return self.value(at, line, dash?, None);
        };
        let after = colon + 1;
        let matters = is_relevant(key);
        let style = style_of(self.bytes[at]);
        self.tell(|outline| {
            let simple = key.bytes().all(is_plain);
            outline
                .key(at..colon, key, column, style, matters)
                .filter(|()| simple)
        });
        if self.elision.is_none() && !matters {
            self.elision = Some(Elision {
                column,
                from: after,
            });
        }
        let spaces = self.bytes[after..line.end]
            .iter()
            .position(|byte| *byte != b' ');
        match spaces {
            None => {
                self.position = line.next;
                Some(())
            }
            Some(spaces) => self.value(after + spaces, line, column, Some(key)),
        }
    }

    /// The key at this place and its colon. `None` within `Some`: there is no key here.
    fn key(&self, at: usize, end: usize) -> Option<Option<(&'a str, usize)>> {
        let content = &self.bytes[at..end];
        let quote = *content.first()?;
        let (key, colon) = if quote == b'"' || quote == b'\'' {
            let Some(close) = memchr2(quote, b'\\', &content[1..]) else {
                return Some(None);
            };
            if content[1 + close] == b'\\' {
                return if quote == b'"' { Some(None) } else { None };
            }
            (self.text.get(at + 1..at + 1 + close)?, at + close + 2)
        } else {
            let length = content
                .iter()
                .position(|byte| !(byte.is_ascii_alphanumeric() || b"_./-".contains(byte)))
                .unwrap_or(content.len());
            (self.text.get(at..at + length)?, at + length)
        };
        let is_key = !key.is_empty()
            && colon < end
            && self.bytes[colon] == b':'
            && self.is_space_or_end(colon + 1, end);
        Some(is_key.then_some((key, colon)))
    }

    /// The value at `at`, of a key or a sequence entry at `column`.
    fn value(&mut self, at: usize, line: &Line, column: usize, key: Option<&str>) -> Option<()> {
        let content = &self.bytes[at..line.end];
        let first = *content.first()?;
        match first {
            b'#' => self.position = line.next,
            b'|' | b'>' => {
                self.tell(|_| None);
                self.block_scalar(content, line, column)?;
            }
            b'"' | b'\'' => {
                let close = self.closing_quote(at)?;
                let rest = self.line_at(close + 1);
                self.only_comment(close + 1, rest.end)?;
                let inside = self.text.get(at + 1..close)?;
                let escape = if first == b'"' { '\\' } else { '\'' };
                self.tell(|outline| {
                    let simple = !inside.contains([escape, '\n', '\r']);
                    let style = style_of(first);
                    outline
                        .scalar(at..close + 1, inside, style)
                        .filter(|()| simple)
                });
                if key == Some("caBundle") {
                    self.shorten(at + 1, close)?;
                }
                self.position = rest.next;
            }
            b'[' | b'{' => {
                self.tell(|_| None);
                let close = closing_bracket(content)?;
                self.only_comment(at + close + 1, line.end)?;
                self.position = line.next;
            }
            b'&' | b'*' | b'!' | b'%' | b'@' | b'`' | b',' | b']' | b'}' => return None,
            b'-' | b'?' | b':' if self.is_space_or_end(at + 1, line.end) => return None,
            _ => {
                let comment = memmem::find(content, b" #");
                let text = content.get(..comment.unwrap_or(content.len()))?;
                if !is_simple_text(text) {
                    return None;
                }
                let length = text.trim_ascii_end().len();
                let value = self.text.get(at..at + length)?;
                self.tell(|outline| {
                    // Anything else a parser would look at twice.
                    let simple = first.is_ascii_alphanumeric() || first == b'/';
                    let simple = simple && value.bytes().all(is_plain);
                    outline
                        .scalar(at..at + length, value, Style::Plain)
                        .filter(|()| simple)
                });
                if key == Some("caBundle") {
                    self.shorten(at, at + length)?;
                }
                self.plain = comment.is_none().then_some(column);
                self.position = line.next;
            }
        }
        Some(())
    }

    fn block_scalar(&mut self, content: &[u8], line: &Line, column: usize) -> Option<()> {
        let indicators = content[1..]
            .iter()
            .position(|byte| !matches!(byte, b'+' | b'-' | b'1'..=b'9'))
            .map_or(content.len(), |length| length + 1);
        let at = line.end - content.len();
        self.only_comment(at + indicators, line.end)?;
        self.position = line.next;
        while self.position < self.bytes.len() {
            let line = self.line_at(self.position);
            if line.start < line.end && line.indent <= column {
                break;
            }
            self.position = line.next;
        }
        Some(())
    }

    fn closing_quote(&self, open: usize) -> Option<usize> {
        let quote = self.bytes[open];
        let mut at = open + 1;
        loop {
            let rest = self.bytes.get(at..)?;
            if quote == b'"' {
                at += memchr2(b'"', b'\\', rest)?;
                if self.bytes[at] == b'"' {
                    return Some(at);
                }
            } else {
                at += memchr(b'\'', rest)?;
                if self.bytes.get(at + 1) != Some(&b'\'') {
                    return Some(at);
                }
            }
            at += 2;
        }
    }

    /// Leaves out the greater part of a long base64 text.
    fn shorten(&mut self, from: usize, to: usize) -> Option<()> {
        let text = self.bytes.get(from..to)?;
        let is_base64 =
            |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=');
        if self.elision.is_none() && text.len() > LONG && text.iter().all(is_base64) {
            self.cut(from + HEAD, to)?;
        }
        Some(())
    }

    fn only_comment(&self, from: usize, end: usize) -> Option<()> {
        let rest = self.bytes.get(from..end)?;
        let text = rest.trim_ascii_start();
        (text.is_empty() || (text[0] == b'#' && text.len() < rest.len())).then_some(())
    }

    fn is_space_or_end(&self, at: usize, end: usize) -> bool {
        at >= end || self.bytes[at] == b' '
    }
}

/// What names, paths, urls and base64 are made of.
fn is_plain(byte: u8) -> bool {
    PLAIN[usize::from(byte)]
}

/// A table: bundles are most of the bytes.
static PLAIN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        #[allow(clippy::cast_possible_truncation)] // below 256
        let is_alphanumeric = (byte as u8).is_ascii_alphanumeric();
        table[byte] = is_alphanumeric;
        byte += 1;
    }
    let others = b"._/:-+=?%@ ";
    let mut at = 0;
    while at < others.len() {
        table[others[at] as usize] = true;
        at += 1;
    }
    table
};

fn style_of(first: u8) -> Style {
    match first {
        b'"' => Style::DoubleQuoted,
        b'\'' => Style::SingleQuoted,
        _ => Style::Plain,
    }
}

/// Text that is nothing but text: no key, no comment, no tab.
fn is_simple_text(text: &[u8]) -> bool {
    let mut before = b'x';
    for &byte in text {
        match (before, byte) {
            (_, b'\t') | (b':', b' ') | (b' ', b'#') => return false,
            _ => before = byte,
        }
    }
    before != b':'
}

/// Where the flow collection that begins the line ends, if it ends on it.
fn closing_bracket(content: &[u8]) -> Option<usize> {
    if content.starts_with(b"{{") {
        return None;
    }
    let mut depth = 0_usize;
    let mut at = 0;
    while let Some(byte) = content.get(at) {
        match byte {
            b'[' | b'{' => depth += 1,
            b']' | b'}' => {
                depth -= 1;
                if depth == 0 {
                    return Some(at);
                }
            }
            b'"' => {
                at += 1;
                loop {
                    at += memchr2(b'"', b'\\', content.get(at..)?)?;
                    if content[at] == b'"' {
                        break;
                    }
                    at += 2;
                }
            }
            b'\'' => at += 1 + memchr(b'\'', content.get(at + 1..)?)?,
            b'&' | b'*' | b'!' | b'#' | b'\t' => return None,
            _ => {}
        }
        at += 1;
    }
    None
}

#[cfg(test)]
mod tests;
