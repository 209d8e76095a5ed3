//! Splitting a stream into documents, without parsing it.
//!
//! A line that begins with `---` or `...`, followed by white space or nothing, ends a document
//! wherever it stands, within block scalars too: YAML forbids such lines in any content. What
//! stands between two markers may also be several JSON values in a row.

use std::ops::Range;
use std::sync::OnceLock;

use memchr::{memchr, memchr_iter};
use serde::de::IgnoredAny;

use super::error::{DocumentError, Fault, Reason};

const BOM: &[u8] = b"\xEF\xBB\xBF";

/// One document of a stream. Documents without content are not counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document<'a> {
    /// The name of the stream.
    pub source_name: &'a str,
    /// Its number, from 1.
    pub number: usize,
    /// The line of its first content, from 1.
    pub line: usize,
    /// Where its text is in the stream, marker line included.
    pub range: Range<usize>,
    /// Its text.
    pub bytes: &'a [u8],
    /// Whether it is one JSON value.
    pub json: bool,
    /// The line at which `range` starts.
    first_line: usize,
    /// The line breaks before every `STRIDE`th byte.
    breaks: OnceLock<Vec<usize>>,
}

/// How far apart the known line numbers of a document are.
const STRIDE: usize = 4096;

impl<'a> Document<'a> {
    /// Its text.
    ///
    /// # Errors
    /// It is not UTF-8, or has control characters.
    pub fn text(&self) -> Result<&'a str, DocumentError> {
        let is_control = |byte: &u8| *byte < b' ' && !matches!(byte, b'\t' | b'\n' | b'\r');
        // Without an early exit this is as fast as memory; the place is looked for when needed.
        if self
            .bytes
            .iter()
            .fold(false, |any, byte| any | is_control(byte))
            && let Some(at) = self.bytes.iter().position(is_control)
            && !is_utf16(self.bytes)
        {
            return Err(self.error(Fault::new(at, Reason::NotText)));
        }
        str::from_utf8(self.bytes).map_err(|error| {
            let reason = if is_utf16(self.bytes) {
                Reason::Utf16
            } else {
                Reason::NotText
            };
            self.error(Fault::new(error.valid_up_to(), reason))
        })
    }

    /// The line of a byte of [`Document::bytes`] within the stream.
    #[must_use]
    pub fn line_at(&self, offset: usize) -> usize {
        let before = self.bytes.get(..offset).unwrap_or(self.bytes);
        let breaks = self.breaks.get_or_init(|| {
            let strides = self.bytes.chunks_exact(STRIDE);
            let counts = strides.scan(0, |sum, stride| {
                *sum += memchr_iter(b'\n', stride).count();
                Some(*sum)
            });
            std::iter::once(0).chain(counts).collect()
        });
        let stride = before.len() / STRIDE;
        let rest = before.get(stride * STRIDE..).unwrap_or_default();
        let known = breaks.get(stride).copied().unwrap_or_default();
        self.first_line + known + memchr_iter(b'\n', rest).count()
    }

    pub(super) fn error(&self, fault: Fault) -> DocumentError {
        DocumentError {
            source_name: self.source_name.to_owned(),
            document: self.number,
            line: self.line_at(fault.offset),
            object: None,
            reason: Box::new(fault.reason),
        }
    }
}

/// Splits a stream into its documents.
#[must_use]
pub fn documents<'a>(source_name: &'a str, input: &'a [u8]) -> Documents<'a> {
    Documents {
        source_name,
        input,
        position: if input.starts_with(BOM) { BOM.len() } else { 0 },
        line: 1,
        number: 0,
        json: None,
        whole: is_utf16(input),
    }
}

/// The documents of a stream; see [`documents`].
#[derive(Clone, Debug)]
pub struct Documents<'a> {
    source_name: &'a str,
    input: &'a [u8],
    /// Where the next document may start, and its line.
    position: usize,
    line: usize,
    number: usize,
    /// The end of the run of JSON values that `position` is in.
    json: Option<usize>,
    /// The stream is not UTF-8 at all: one document.
    whole: bool,
}

struct Chunk {
    range: Range<usize>,
    first_line: usize,
    /// Where its content begins.
    content: usize,
    content_line: usize,
}

impl<'a> Iterator for Documents<'a> {
    type Item = Document<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.whole {
            self.whole = false;
            self.position = self.input.len();
            return Some(self.document(0..self.input.len(), 1, 1, false));
        }
        if let Some(end) = self.json {
            return Some(self.next_json(end));
        }
        let chunk = self.next_chunk()?;
        let body = self.input.get(chunk.content..chunk.range.end)?;
        let first = body.first_chunk::<1>();
        if matches!(first, Some(b"{" | b"[")) && starts_json_run(body) {
            // Back to the first value: the run is given out one by one.
            let after = (self.position, self.line);
            self.position = chunk.content;
            self.line = chunk.content_line;
            let document = self.next_json(chunk.range.end);
            if self.json.is_none() {
                (self.position, self.line) = after;
            }
            return Some(document);
        }
        Some(self.document(chunk.range, chunk.first_line, chunk.content_line, false))
    }
}

impl<'a> Documents<'a> {
    fn document(
        &mut self,
        range: Range<usize>,
        first_line: usize,
        line: usize,
        json: bool,
    ) -> Document<'a> {
        self.number += 1;
        Document {
            source_name: self.source_name,
            number: self.number,
            line,
            bytes: self.input.get(range.clone()).unwrap_or_default(),
            range,
            json,
            first_line,
            breaks: OnceLock::new(),
        }
    }

    /// The value at `position`, within a run of JSON values that goes up to `end`.
    fn next_json(&mut self, end: usize) -> Document<'a> {
        let start = self.position;
        let line = self.line;
        let body = self.input.get(start..end).unwrap_or_default();
        let (length, json) = match json_length(body) {
            Some(length) => (length, true),
            // Left to the parser, which says what is wrong.
            None => (body.len(), false),
        };
        let rest = body.get(length..).unwrap_or_default();
        let blank = rest.len() - rest.trim_ascii_start().len();
        let consumed = body.get(..length + blank).unwrap_or(body);
        self.line += memchr_iter(b'\n', consumed).count();
        self.position = start + consumed.len();
        self.json = (self.position < end).then_some(end);
        if self.json.is_none() {
            // The marker line that ends the run is read by `next_chunk`.
            self.position = end;
        }
        self.document(start..start + length, line, line, json)
    }

    /// The next stretch between markers that has content.
    fn next_chunk(&mut self) -> Option<Chunk> {
        let input = self.input;
        let mut start = self.position;
        let mut first_line = self.line;
        let mut content: Option<(usize, usize)> = None;
        let mut directives = false;
        while self.position < input.len() {
            let at = self.position;
            let end = memchr(b'\n', &input[at..]).map_or(input.len(), |length| at + length + 1);
            let mut line = &input[at..end];
            if line.starts_with(BOM) {
                line = &line[BOM.len()..];
            }
            let marker = is_marker(line, b"---");
            if (marker || is_marker(line, b"..."))
                && let Some((content, content_line)) = content
            {
                // A `---` opens the next document; a `...` only closes this one.
                if !marker {
                    self.position = end;
                    self.line += 1;
                }
                return Some(Chunk {
                    range: start..at,
                    first_line,
                    content,
                    content_line,
                });
            }
            let text = line.trim_ascii_start();
            if marker {
                if !directives {
                    start = end - line.len();
                    first_line = self.line;
                }
                directives = false;
                let inline = line[3..].trim_ascii_start();
                if !inline.is_empty() && inline[0] != b'#' {
                    content = Some((end - inline.len(), self.line));
                }
            } else if is_marker(line, b"...") {
                start = end;
                first_line = self.line + 1;
                directives = false;
            } else if content.is_none() && line.starts_with(b"%") {
                if !directives {
                    start = at;
                    first_line = self.line;
                }
                directives = true;
            } else if content.is_none() && !text.is_empty() && text[0] != b'#' {
                content = Some((end - text.len(), self.line));
            }
            self.position = end;
            self.line += 1;
        }
        let (content, content_line) = content?;
        Some(Chunk {
            range: start..input.len(),
            first_line,
            content,
            content_line,
        })
    }
}

pub(super) fn is_utf16(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0xFE, 0xFF]) || bytes.starts_with(&[0xFF, 0xFE])
}

fn is_marker(line: &[u8], marker: &[u8]) -> bool {
    line.starts_with(marker) && line.get(3).is_none_or(u8::is_ascii_whitespace)
}

/// Whether a JSON value stands here, followed by nothing or by another one.
fn starts_json_run(body: &[u8]) -> bool {
    json_length(body).is_some_and(|length| {
        let rest = body.get(length..).unwrap_or_default().trim_ascii_start();
        matches!(rest.first(), None | Some(b'{' | b'['))
    })
}

/// The length of the JSON value at the start, when there is one.
fn json_length(body: &[u8]) -> Option<usize> {
    let mut values = serde_json::Deserializer::from_slice(body).into_iter::<IgnoredAny>();
    match values.next() {
        Some(Ok(_)) => Some(values.byte_offset()),
        Some(Err(_)) | None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(input: &str) -> Vec<(usize, &str)> {
        documents("x", input.as_bytes())
            .map(|document| (document.line, &input[document.range]))
            .collect()
    }

    #[test]
    fn markers_comments_and_empty_documents_are_told_apart() {
        assert_eq!(split(""), []);
        assert_eq!(split("# only\n---\n---\n# a comment\n---\n"), []);
        assert_eq!(split("a: 1"), [(1, "a: 1")]);
        assert_eq!(
            split("# Source: x\na: 1\n---\n# Source: y\nb: 2\n...\n# z\nc: 3\n---\n"),
            [
                (2, "# Source: x\na: 1\n"),
                (5, "---\n# Source: y\nb: 2\n"),
                (8, "# z\nc: 3\n")
            ]
        );
        assert_eq!(
            split("--- {a: 1}\n--- # c\nb: 2\n"),
            [(1, "--- {a: 1}\n"), (3, "--- # c\nb: 2\n")]
        );
    }

    #[test]
    fn a_marker_counts_at_the_start_of_a_line_and_as_a_word_only() {
        let text = "a: |\n  ---\n  ...\nb: ---x\n---x: 1\n";
        assert_eq!(split(text), [(1, text)]);
        assert_eq!(
            split("a: |\n  x\n---\nb: 1\n"),
            [(1, "a: |\n  x\n"), (4, "---\nb: 1\n")]
        );
    }

    #[test]
    fn line_ends_of_windows_a_byte_order_mark_and_directives_are_understood() {
        assert_eq!(
            split("\u{feff}a: 1\r\n---\r\nb: 2\r\n"),
            [(1, "a: 1\r\n"), (3, "---\r\nb: 2\r\n")]
        );
        assert_eq!(
            split("a: 1\n\u{feff}---\nb: 2\n"),
            [(1, "a: 1\n"), (3, "---\nb: 2\n")]
        );
        assert_eq!(
            split("%YAML 1.2\n---\na: 1\n...\n%TAG ! x\n---\nb: 2\n"),
            [(3, "%YAML 1.2\n---\na: 1\n"), (7, "%TAG ! x\n---\nb: 2\n")]
        );
    }

    #[test]
    fn json_values_in_a_row_are_documents_of_their_own() {
        assert_eq!(
            split("{\"a\":1}{\"b\":\n2}\n\n[3]\n---\n{\"c\":4}\n---\nd: 5\n"),
            [
                (1, "{\"a\":1}"),
                (1, "{\"b\":\n2}"),
                (4, "[3]"),
                (6, "{\"c\":4}"),
                (8, "d: 5\n".trim_start()),
            ]
            .map(|(line, text)| if line == 8 {
                (8, "---\nd: 5\n")
            } else {
                (line, text)
            })
        );
    }

    #[test]
    fn braces_that_are_no_json_are_one_yaml_document() {
        for text in ["{a: 1}\n", "{\"a\": 1} # c\n", "{{ x }}\n", "{\"a\": \n"] {
            let found: Vec<_> = documents("x", text.as_bytes()).collect();
            assert_eq!(found.len(), 1, "{text}");
            assert!(!found[0].json, "{text}");
        }
        let broken: Vec<_> = documents("x", b"{\"a\":1}\n{\"b\":}").collect();
        assert_eq!(
            (broken.len(), broken[0].json, broken[1].json),
            (2, true, false)
        );
    }

    #[test]
    fn what_is_not_utf_8_is_an_error_with_its_line() {
        let documents: Vec<_> = documents("f", b"a: 1\n---\nb: 2\nc: \xff\n---\nd: 3\n").collect();
        assert_eq!(documents.len(), 3);
        let error = documents[1].text().unwrap_err();
        assert_eq!((error.line, error.document), (4, 2));
        assert_eq!(
            error.to_string(),
            "f, line 4 (document 2): this is not UTF-8 text (a binary file?)"
        );
        assert!(documents[2].text().is_ok());
        let utf16 = super::documents("f", b"\xff\xfea\0:\0").next().unwrap();
        assert_eq!(*utf16.text().unwrap_err().reason, Reason::Utf16);
    }

    #[test]
    fn every_document_ends_before_the_next_one_begins() {
        let input = b"a: 1\n---\n{\"b\":1}{\"c\":2}\n...\n---\n...\n--- d\n";
        let mut end = 0;
        for document in documents("x", input) {
            assert!(document.range.start >= end);
            assert_eq!(document.bytes, &input[document.range.clone()]);
            end = document.range.end;
        }
    }
}
