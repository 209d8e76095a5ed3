//! Follows a document line by line, and cuts out what does not matter.

use std::ops::Range;

use memchr::memmem;

use super::lexis::{
    Line, closing_bracket, closing_quote, is_plain, is_simple_text, is_space_or_end, key, line_at,
    only_comment, style_of,
};
use super::outline::Outline;
use crate::manifest::tree::{Style, is_relevant};

/// Base64 text longer than this is cut down.
const LONG: usize = 64;

/// How much of it stays.
const HEAD: usize = 4;

/// A value that is being left out: all lines further in than `column`, and the entries of a sequence
/// at `column` itself.
struct Elision {
    column: usize,
    from: usize,
}

/// Reads a document line by line.
pub(super) struct Reader<'a> {
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

impl<'a> Reader<'a> {
    pub(super) fn new(text: &'a str, outline: Option<Outline<'a>>) -> Self {
        Self {
            text,
            bytes: text.as_bytes(),
            position: 0,
            kept: Vec::new(),
            outline,
            copied: 0,
            elision: None,
            plain: None,
        }
    }

    /// The pieces that are kept, and the outline unless it gave up; `None` when there is something
    /// that cannot be followed with certainty.
    pub(super) fn read(mut self) -> Option<(Vec<Range<usize>>, Option<Outline<'a>>)> {
        while self.position < self.text.len() {
            self.line()?;
        }
        if let Some(elision) = self.elision.take() {
            self.cut(elision.from, self.text.len())?;
        }
        self.cut(self.text.len(), self.text.len())?;
        Some((self.kept, self.outline))
    }

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

    /// Reads one line, or as many as its value takes.
    fn line(&mut self) -> Option<()> {
        let line = line_at(self.bytes, self.position);
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
        let is_entry = first == b'-' && is_space_or_end(self.bytes, line.start + 1, line.end);
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
        while self.bytes.get(at) == Some(&b'-') && is_space_or_end(self.bytes, at + 1, line.end) {
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
        let Some((key, colon)) = key(self.text, at, line.end)? else {
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
                let close = closing_quote(self.bytes, at)?;
                let rest = line_at(self.bytes, close + 1);
                only_comment(self.bytes, close + 1, rest.end)?;
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
                only_comment(self.bytes, at + close + 1, line.end)?;
                self.position = line.next;
            }
            b'&' | b'*' | b'!' | b'%' | b'@' | b'`' | b',' | b']' | b'}' => return None,
            b'-' | b'?' | b':' if is_space_or_end(self.bytes, at + 1, line.end) => return None,
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
        only_comment(self.bytes, at + indicators, line.end)?;
        self.position = line.next;
        while self.position < self.bytes.len() {
            let line = line_at(self.bytes, self.position);
            if line.start < line.end && line.indent <= column {
                break;
            }
            self.position = line.next;
        }
        Some(())
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
}
