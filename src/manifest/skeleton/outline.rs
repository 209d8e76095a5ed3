//! A tree built while the skeleton is read, without a YAML parser.
//!
//! It is told of the keys, dashes and scalars that the skeleton's reader follows with certainty, and
//! gives up at the first that it would have to interpret: then the parser reads the skeleton.

use std::borrow::Cow;
use std::collections::HashSet;
use std::ops::Range;

use crate::manifest::tree::{Content, NodeId, Style, Tree};

/// Builds a tree from what stands at which column.
#[derive(Debug)]
pub(super) struct Outline<'a> {
    tree: Tree<'a>,
    open: Vec<Collection<'a>>,
    root: Option<NodeId>,
}

/// A block collection that may go on.
#[derive(Debug)]
struct Collection<'a> {
    node: NodeId,
    column: usize,
    content: Kind<'a>,
    /// A key or a dash came, its value has not.
    pending: bool,
}

#[derive(Debug)]
enum Kind<'a> {
    Mapping {
        entries: Vec<(NodeId, NodeId)>,
        keys: Keys<'a>,
        /// The key whose value is pending.
        key: NodeId,
    },
    Sequence(Vec<NodeId>),
}

/// The keys of a mapping, to notice one that is there twice.
#[derive(Debug, Default)]
struct Keys<'a> {
    few: Vec<&'a str>,
    many: HashSet<&'a str>,
}

impl<'a> Keys<'a> {
    fn add(&mut self, key: &'a str) -> bool {
        /// Above this many keys a set is faster than looking through them.
        const FEW: usize = 16;

        if self.few.len() < FEW {
            let new = !self.few.contains(&key);
            self.few.push(key);
            return new;
        }
        if self.many.is_empty() {
            self.many.extend(&self.few);
        }
        self.many.insert(key)
    }
}

impl<'a> Outline<'a> {
    pub(super) fn new() -> Self {
        Self {
            tree: Tree::new(),
            open: Vec::new(),
            root: None,
        }
    }

    /// A dash: the next item of a sequence.
    pub(super) fn dash(&mut self, at: usize, column: usize) -> Option<()> {
        while self.open.last().is_some_and(|top| top.column > column) {
            self.close()?;
        }
        match self.open.last_mut() {
            Some(top) if top.column == column && matches!(top.content, Kind::Sequence(_)) => {
                if top.pending {
                    return None;
                }
                top.pending = true;
            }
            // The value of a key may be a sequence at the key's own column.
            _ => self.open(at, column, true)?,
        }
        Some(())
    }

    /// A key. Whether its value matters; otherwise nothing is told of that.
    pub(super) fn key(
        &mut self,
        span: Range<usize>,
        text: &'a str,
        column: usize,
        style: Style,
        matters: bool,
    ) -> Option<()> {
        let ends = |top: &Collection<'_>| {
            top.column > column
                || (top.column == column && matches!(top.content, Kind::Sequence(_)))
        };
        while self.open.last().is_some_and(ends) {
            self.close()?;
        }
        if self.open.last().is_none_or(|top| top.column < column) {
            self.open(span.start, column, false)?;
        }
        let top = self.open.last_mut()?;
        let Kind::Mapping { entries, keys, key } = &mut top.content else {
            return None;
        };
        if top.pending || !keys.add(text) {
            return None;
        }
        let content = Content::Scalar {
            text: Cow::Borrowed(text),
            style,
            tag: None,
        };
        if matters {
            *key = self.tree.push(span, content);
            top.pending = true;
        } else if entries.is_empty() {
            // The first key stays in any case: something may have to be put before it.
            let node = self.tree.push(span, content);
            entries.push((node, self.tree.elided()));
        }
        Some(())
    }

    /// A scalar on one line, as the value of the last key or dash.
    pub(super) fn scalar(&mut self, span: Range<usize>, text: &'a str, style: Style) -> Option<()> {
        let content = Content::Scalar {
            text: Cow::Borrowed(text),
            style,
            tag: None,
        };
        let node = self.tree.push(span, content);
        self.value(node)
    }

    /// The tree, once all was told.
    pub(super) fn finish(mut self) -> Option<Tree<'a>> {
        while !self.open.is_empty() {
            self.close()?;
        }
        self.tree.root = self.root?;
        Some(self.tree)
    }

    /// Begins a collection where a value is pending, or as the whole document.
    fn open(&mut self, at: usize, column: usize, sequence: bool) -> Option<()> {
        let node = self.tree.push(at..at, Content::Elided);
        match self.open.last() {
            Some(top) if !top.pending || top.column > column => return None,
            // Only a sequence may stand at the column of its key.
            Some(top) if top.column == column && !sequence => return None,
            Some(_) => self.value(node)?,
            None if self.root.is_some() => return None,
            None => self.root = Some(node),
        }
        let content = if sequence {
            Kind::Sequence(Vec::new())
        } else {
            Kind::Mapping {
                entries: Vec::new(),
                keys: Keys::default(),
                key: node,
            }
        };
        self.open.push(Collection {
            node,
            column,
            content,
            pending: sequence,
        });
        Some(())
    }

    fn value(&mut self, node: NodeId) -> Option<()> {
        let top = self.open.last_mut().filter(|top| top.pending)?;
        top.pending = false;
        match &mut top.content {
            Kind::Mapping { entries, key, .. } => entries.push((*key, node)),
            Kind::Sequence(items) => items.push(node),
        }
        Some(())
    }

    /// Ends the innermost collection; one whose last value is missing has a null there.
    fn close(&mut self) -> Option<()> {
        let top = self.open.pop()?;
        if top.pending {
            return None;
        }
        self.tree.node_mut(top.node).content = match top.content {
            Kind::Mapping { entries, .. } => Content::Mapping {
                flow: false,
                entries,
            },
            Kind::Sequence(items) => Content::Sequence(items),
        };
        Some(())
    }
}
