//! The part of a YAML document that can matter for injection, found line by line.
//!
//! A YAML parser reads tens of megabytes a second; CRDs and the base64 of bundles are much larger
//! than what has to be understood. This reader knows block mappings, block sequences and scalars that
//! it can follow with certainty, and cuts out the values of keys that do not matter, keys staying.
//! At the first line that is anything else (anchors, aliases, tags, flow collections over several
//! lines, templates, tabs, odd keys) it gives up, and the whole document is parsed.

mod lexis;
mod outline;
mod reader;

use std::ops::Range;

use self::lexis::has_unusual_break;
use self::outline::Outline;
use self::reader::Reader;
use super::split::Document;
use super::tree::Tree;

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
        let (kept, outline) = Reader::new(text, outline).read()?;
        let tree = outline.and_then(Outline::finish);
        let skeleton = match tree {
            Some(_) => None,
            None => Some(Skeleton::new(text, &kept)?),
        };
        Some(Self { skeleton, tree })
    }
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

#[cfg(test)]
mod tests;
