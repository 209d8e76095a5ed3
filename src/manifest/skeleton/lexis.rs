//! What the characters of a line say by themselves: where it begins, its key, where a quote or a
//! bracket closes, whether a text is nothing but text.

use memchr::{memchr, memchr_iter, memchr2, memmem};

use crate::manifest::tree::Style;

/// Whether a line ends in another way than by a line feed, as YAML 1.1 allows (section 5.4: a
/// carriage return alone, NEL, LS, PS): a comment then ends where it does not seem to.
pub(super) fn has_unusual_break(text: &[u8]) -> bool {
    memchr_iter(b'\r', text).any(|at| text.get(at + 1) != Some(&b'\n'))
        || ["\u{85}", "\u{2028}", "\u{2029}"]
            .iter()
            .any(|mark| memmem::find(text, mark.as_bytes()).is_some())
}

pub(super) struct Line {
    pub(super) indent: usize,
    /// Its first byte that is not a space.
    pub(super) start: usize,
    /// Its end, without the line break.
    pub(super) end: usize,
    pub(super) next: usize,
}

/// The line that begins here.
pub(super) fn line_at(bytes: &[u8], position: usize) -> Line {
    let rest = &bytes[position..];
    let length = memchr(b'\n', rest).unwrap_or(rest.len());
    let end = position + length;
    let next = (end + 1).min(bytes.len());
    let end = if end > position && bytes[end - 1] == b'\r' {
        end - 1
    } else {
        end
    };
    let content = &bytes[position..end];
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

/// The key at this place and its colon. `None` within `Some`: there is no key here.
pub(super) fn key(text: &str, at: usize, end: usize) -> Option<Option<(&str, usize)>> {
    let bytes = text.as_bytes();
    let content = &bytes[at..end];
    let quote = *content.first()?;
    let (key, colon) = if quote == b'"' || quote == b'\'' {
        let Some(close) = memchr2(quote, b'\\', &content[1..]) else {
            return Some(None);
        };
        if content[1 + close] == b'\\' {
            return if quote == b'"' { Some(None) } else { None };
        }
        (text.get(at + 1..at + 1 + close)?, at + close + 2)
    } else {
        let length = content
            .iter()
            .position(|byte| !(byte.is_ascii_alphanumeric() || b"_./-".contains(byte)))
            .unwrap_or(content.len());
        (text.get(at..at + length)?, at + length)
    };
    let is_key = !key.is_empty()
        && colon < end
        && bytes[colon] == b':'
        && is_space_or_end(bytes, colon + 1, end);
    Some(is_key.then_some((key, colon)))
}

/// Where the quoted scalar that begins here ends.
pub(super) fn closing_quote(bytes: &[u8], open: usize) -> Option<usize> {
    let quote = bytes[open];
    let mut at = open + 1;
    loop {
        let rest = bytes.get(at..)?;
        if quote == b'"' {
            at += memchr2(b'"', b'\\', rest)?;
            if bytes[at] == b'"' {
                return Some(at);
            }
        } else {
            at += memchr(b'\'', rest)?;
            if bytes.get(at + 1) != Some(&b'\'') {
                return Some(at);
            }
        }
        at += 2;
    }
}

/// That nothing but a comment comes before `end`.
pub(super) fn only_comment(bytes: &[u8], from: usize, end: usize) -> Option<()> {
    let rest = bytes.get(from..end)?;
    let text = rest.trim_ascii_start();
    (text.is_empty() || (text[0] == b'#' && text.len() < rest.len())).then_some(())
}

pub(super) fn is_space_or_end(bytes: &[u8], at: usize, end: usize) -> bool {
    at >= end || bytes[at] == b' '
}

/// What names, paths, urls and base64 are made of.
pub(super) fn is_plain(byte: u8) -> bool {
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

pub(super) fn style_of(first: u8) -> Style {
    match first {
        b'"' => Style::DoubleQuoted,
        b'\'' => Style::SingleQuoted,
        _ => Style::Plain,
    }
}

/// Text that is nothing but text: no key, no comment, no tab.
pub(super) fn is_simple_text(text: &[u8]) -> bool {
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
pub(super) fn closing_bracket(content: &[u8]) -> Option<usize> {
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
            b'"' | b'\'' => at = closing_quote(content, at)?,
            b'&' | b'*' | b'!' | b'#' | b'\t' => return None,
            _ => {}
        }
        at += 1;
    }
    None
}
