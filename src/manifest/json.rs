//! From JSON text to a [`Tree`].
//!
//! JSON is not quite a subset of YAML (tabs, long keys), and is much faster to read by itself. The
//! text has been found to be one well-formed JSON value when the stream was split; anything else is
//! an error here all the same.

use std::borrow::Cow;

use memchr::memchr2;

use super::error::{Fault, Reason};
use super::tree::{Content, Keep, Keys, NodeId, Style, Tree};

const DEPTH_LIMIT: usize = 256;

pub(super) fn parse(text: &str, keep: Keep) -> Result<Tree<'_>, Fault> {
    let mut reader = Reader {
        text,
        position: 0,
        tree: Tree::new(),
        keep,
    };
    reader.tree.root = reader.value(false, 0)?;
    reader.blank();
    if reader.position < text.len() {
        return Err(reader.unexpected("something follows the value"));
    }
    Ok(reader.tree)
}

struct Reader<'a> {
    text: &'a str,
    position: usize,
    tree: Tree<'a>,
    keep: Keep,
}

impl<'a> Reader<'a> {
    fn value(&mut self, elide: bool, depth: usize) -> Result<NodeId, Fault> {
        if depth > DEPTH_LIMIT {
            return Err(Fault::new(self.position, Reason::TooMuch));
        }
        self.blank();
        let start = self.position;
        match self.peek() {
            Some(b'{') => self.object(elide, depth),
            Some(b'[') => self.array(elide, depth),
            Some(b'"') => self.string(elide),
            Some(_) => {
                let rest = &self.text.as_bytes()[start..];
                let length = rest
                    .iter()
                    .position(|byte| {
                        matches!(byte, b',' | b']' | b'}') || byte.is_ascii_whitespace()
                    })
                    .unwrap_or(rest.len());
                let Some(text) = self
                    .text
                    .get(start..start + length)
                    .filter(|t| !t.is_empty())
                else {
                    return Err(self.unexpected("a value is missing"));
                };
                self.position += length;
                let content = Content::Scalar {
                    text: Cow::Borrowed(text),
                    style: Style::Plain,
                    tag: None,
                };
                Ok(self.push(start, elide, content))
            }
            None => Err(self.unexpected("it ends too early")),
        }
    }

    fn object(&mut self, elide: bool, depth: usize) -> Result<NodeId, Fault> {
        let start = self.position;
        self.position += 1;
        let mut entries = Vec::new();
        let mut keys = Keys::default();
        self.blank();
        if self.peek() != Some(b'}') {
            loop {
                self.blank();
                if self.peek() != Some(b'"') {
                    return Err(self.unexpected("a key is missing"));
                }
                let key = self.string(elide)?;
                if !elide {
                    keys.add(&self.tree, key)?;
                }
                self.blank();
                if self.peek() != Some(b':') {
                    return Err(self.unexpected("a colon is missing"));
                }
                self.position += 1;
                let keep = !elide && self.tree.text(key).is_some_and(|key| self.keep.keeps(key));
                let value = self.value(!keep, depth + 1)?;
                // The first key stays in any case: something may have to be put before it.
                if keep || (!elide && entries.is_empty()) {
                    entries.push((key, value));
                } else if !elide {
                    self.tree.forget(key);
                }
                if self.ends(b'}')? {
                    break;
                }
            }
        } else {
            self.position += 1;
        }
        let content = Content::Mapping {
            flow: true,
            entries,
        };
        Ok(self.push(start, elide, content))
    }

    fn array(&mut self, elide: bool, depth: usize) -> Result<NodeId, Fault> {
        let start = self.position;
        self.position += 1;
        let mut items = Vec::new();
        self.blank();
        if self.peek() == Some(b']') {
            self.position += 1;
        } else {
            loop {
                let item = self.value(elide, depth + 1)?;
                if !elide {
                    items.push(item);
                }
                if self.ends(b']')? {
                    break;
                }
            }
        }
        Ok(self.push(start, elide, Content::Sequence(items)))
    }

    /// Steps over a comma (false) or over the closing bracket (true).
    fn ends(&mut self, bracket: u8) -> Result<bool, Fault> {
        self.blank();
        let byte = self.peek();
        if byte != Some(b',') && byte != Some(bracket) {
            return Err(self.unexpected("a comma or a closing bracket is missing"));
        }
        self.position += 1;
        Ok(byte == Some(bracket))
    }

    fn string(&mut self, elide: bool) -> Result<NodeId, Fault> {
        let start = self.position;
        let bytes = self.text.as_bytes();
        let mut escapes = false;
        let mut at = start + 1;
        loop {
            let rest = bytes.get(at..).unwrap_or_default();
            let Some(next) = memchr2(b'"', b'\\', rest) else {
                return Err(self.unexpected("a string does not end"));
            };
            at += next;
            if bytes[at] == b'"' {
                break;
            }
            escapes = true;
            at += 2;
        }
        self.position = at + 1;
        let raw = self.text.get(start..=at).unwrap_or_default();
        let text = if elide {
            Cow::Borrowed("")
        } else if escapes {
            let decoded = serde_json::from_str::<String>(raw);
            Cow::Owned(decoded.map_err(|_| Fault::new(start, syntax("a string is malformed")))?)
        } else {
            Cow::Borrowed(&raw[1..raw.len() - 1])
        };
        let content = Content::Scalar {
            text,
            style: Style::DoubleQuoted,
            tag: None,
        };
        Ok(self.push(start, elide, content))
    }

    fn push(&mut self, start: usize, elide: bool, content: Content<'a>) -> NodeId {
        // What is left out needs no node of its own.
        if elide {
            return self.tree.elided();
        }
        self.tree.push(start..self.position, content)
    }

    fn blank(&mut self) {
        let rest = &self.text.as_bytes()[self.position..];
        let blank = rest
            .iter()
            .position(|byte| !matches!(byte, b' ' | b'\t' | b'\r' | b'\n'));
        self.position += blank.unwrap_or(rest.len());
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.position).copied()
    }

    fn unexpected(&self, message: &'static str) -> Fault {
        Fault::new(self.position.min(self.text.len()), syntax(message))
    }
}

fn syntax(message: &str) -> Reason {
    Reason::Syntax {
        format: "JSON",
        message: message.to_owned(),
    }
}
