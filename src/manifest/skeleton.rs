//! The part of a YAML document that can matter for injection, found line by line.
//!
//! A YAML parser reads tens of megabytes a second; CRDs and the base64 of bundles are much larger
//! than what has to be understood. This reader knows block mappings, block sequences and scalars that
//! it can follow with certainty, and cuts out the values of keys that do not matter, keys staying.
//! At the first line that is anything else (anchors, aliases, tags, flow collections over several
//! lines, templates, tabs, odd keys) it gives up, and the whole document is parsed.

use memchr::{memchr, memchr2, memmem};

use super::split::Document;
use super::tree::is_relevant;

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

impl Skeleton {
    pub(super) fn of_document(document: &Document<'_>, text: &str) -> Option<Self> {
        if document.json { None } else { Self::of(text) }
    }

    /// `None` when the document has anything that cannot be followed with certainty.
    pub(super) fn of(text: &str) -> Option<Self> {
        let mut reader = Reader {
            text,
            bytes: text.as_bytes(),
            position: 0,
            kept: Self {
                text: String::new(),
                pieces: Vec::new(),
            },
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
        Some(reader.kept)
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
    kept: Skeleton,
    copied: usize,
    elision: Option<Elision>,
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
        let piece = self.text.get(self.copied..from)?;
        self.kept.pieces.push((self.kept.text.len(), self.copied));
        self.kept.text.push_str(piece);
        self.copied = to;
        Some(())
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
        if self.elision.is_none() && !is_relevant(key) {
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
            b'|' | b'>' => self.block_scalar(content, line, column)?,
            b'"' | b'\'' => {
                let close = self.closing_quote(at)?;
                let rest = self.line_at(close + 1);
                self.only_comment(close + 1, rest.end)?;
                if key == Some("caBundle") {
                    self.shorten(at + 1, close)?;
                }
                self.position = rest.next;
            }
            b'[' | b'{' => {
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

/// Text that is nothing but text: no key, no comment, no tab.
fn is_simple_text(text: &[u8]) -> bool {
    text.last() != Some(&b':')
        && memchr(b'\t', text).is_none()
        && memmem::find(text, b": ").is_none()
        && memmem::find(text, b" #").is_none()
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
