//! A document as a tree of nodes that know where they stand.
//!
//! Only what can matter for injection is kept, unless all is asked for: the rest is
//! [`Content::Elided`]. An alias is a node of its own that leads to the anchored one.

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::HashSet;
use std::ops::Range;

use serde_json::{Map, Value};

use super::error::{Fault, Reason};
use super::scalar;

/// Nodes that a document with aliases may expand to, if it is not that large itself.
const EXPANSION_LIMIT: usize = 1 << 20;

/// As deep as YAML's block and flow collections may be nested together.
const DEPTH_LIMIT: usize = 280;

/// The position of a node in its tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct NodeId(u32);

/// What to keep of a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keep {
    All,
    /// Keys that name, locate or make up client configs; see [`is_relevant`].
    Relevant,
}

impl Keep {
    pub(super) fn keeps(self, key: &str) -> bool {
        self == Self::All || is_relevant(key)
    }
}

/// Whether the value under this key can matter for injection.
pub(super) fn is_relevant(key: &str) -> bool {
    matches!(
        key,
        "apiVersion"
            | "kind"
            | "metadata"
            | "name"
            | "generateName"
            | "namespace"
            | "items"
            | "webhooks"
            | "clientConfig"
            | "service"
            | "url"
            | "path"
            | "port"
            | "caBundle"
            | "insecureSkipTLSVerify"
            | "spec"
            | "conversion"
            | "strategy"
            | "webhook"
            | "<<"
    )
}

#[derive(Debug)]
pub(super) struct Tree<'a> {
    nodes: Vec<Node<'a>>,
    pub(super) root: NodeId,
    /// There are aliases, so that one node may stand in several places.
    pub(super) aliased: bool,
    /// Nodes expanded so far.
    spent: Cell<usize>,
}

#[derive(Debug)]
pub(super) struct Node<'a> {
    /// For scalars all of the text, quotes included; for collections where they begin.
    pub(super) span: Range<usize>,
    pub(super) content: Content<'a>,
    /// How many aliases lead here.
    pub(super) aliases: u32,
    /// It has an anchor or a tag.
    pub(super) properties: bool,
}

#[derive(Debug)]
pub(super) enum Content<'a> {
    Scalar {
        text: Cow<'a, str>,
        style: Style,
        tag: Option<Tag>,
    },
    Mapping {
        flow: bool,
        entries: Vec<(NodeId, NodeId)>,
    },
    Sequence(Vec<NodeId>),
    Alias(NodeId),
    Elided,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    Plain,
    SingleQuoted,
    DoubleQuoted,
    Literal,
    Folded,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tag {
    String,
    Other,
}

impl<'a> Tree<'a> {
    pub(super) fn new() -> Self {
        let mut tree = Self {
            nodes: Vec::new(),
            root: NodeId(0),
            aliased: false,
            spent: Cell::new(0),
        };
        tree.push(0..0, Content::Elided);
        tree
    }

    /// The node that stands for everything that is left out.
    pub(super) fn elided(&self) -> NodeId {
        NodeId(0)
    }

    pub(super) fn push(&mut self, span: Range<usize>, content: Content<'a>) -> NodeId {
        // A document has fewer bytes than 2^32, and a node at least one of them; were there more,
        // the surplus would be unreachable rather than wrong.
        let id = NodeId(u32::try_from(self.nodes.len()).unwrap_or(u32::MAX));
        self.nodes.push(Node {
            span,
            content,
            aliases: 0,
            properties: false,
        });
        id
    }

    pub(super) fn node(&self, id: NodeId) -> &Node<'a> {
        &self.nodes[id.0 as usize]
    }

    pub(super) fn node_mut(&mut self, id: NodeId) -> &mut Node<'a> {
        &mut self.nodes[id.0 as usize]
    }

    pub(super) fn nodes_mut(&mut self) -> impl Iterator<Item = &mut Node<'a>> {
        self.nodes.iter_mut()
    }

    /// The node itself, or the one that an alias leads to.
    pub(super) fn resolve(&self, id: NodeId) -> NodeId {
        match self.node(id).content {
            // An anchored node is never an alias, so one step is enough.
            Content::Alias(target) => target,
            _ => id,
        }
    }

    /// Forgets the newest node, which nothing refers to yet.
    pub(super) fn forget(&mut self, id: NodeId) {
        if id.0 as usize + 1 == self.nodes.len() {
            self.nodes.pop();
        }
    }

    /// The text of a scalar.
    pub(super) fn text(&self, id: NodeId) -> Option<&str> {
        match &self.node(self.resolve(id)).content {
            Content::Scalar { text, .. } => Some(text),
            _ => None,
        }
    }

    /// The entry with this key that the mapping itself has (merged ones do not count).
    pub(super) fn entry(&self, mapping: NodeId, key: &str) -> Option<(NodeId, NodeId)> {
        match &self.node(self.resolve(mapping)).content {
            Content::Mapping { entries, .. } => entries
                .iter()
                .find(|(known, _)| self.text(*known) == Some(key))
                .copied(),
            _ => None,
        }
    }

    /// The node at a JSON pointer below `from`, through aliases and merge keys.
    pub(super) fn lookup(&self, from: NodeId, pointer: &str) -> Option<NodeId> {
        pointer
            .split('/')
            .skip(1)
            .try_fold(self.resolve(from), |node, token| {
                self.child(node, token, 0).map(|child| self.resolve(child))
            })
    }

    fn child(&self, node: NodeId, token: &str, depth: usize) -> Option<NodeId> {
        if depth > DEPTH_LIMIT {
            return None;
        }
        match &self.node(self.resolve(node)).content {
            Content::Sequence(items) => items.get(token.parse::<usize>().ok()?).copied(),
            Content::Mapping { .. } => match self.entry(node, token) {
                Some((_, value)) => Some(value),
                None => self
                    .merged(node)
                    .find_map(|merged| self.child(merged, token, depth + 1)),
            },
            _ => None,
        }
    }

    /// The mappings that `<<` merges into this one.
    fn merged(&self, mapping: NodeId) -> impl Iterator<Item = NodeId> + '_ {
        let value = self
            .entry(mapping, "<<")
            .map(|(_, value)| self.resolve(value));
        let (one, many) = match value.map(|value| (value, &self.node(value).content)) {
            Some((value, Content::Mapping { .. })) => (Some(value), &[][..]),
            Some((_, Content::Sequence(items))) => (None, items.as_slice()),
            _ => (None, &[][..]),
        };
        one.into_iter().chain(many.iter().copied())
    }

    /// The node as a JSON value, aliases and merge keys expanded, as Kubernetes reads YAML.
    pub(super) fn to_value(&self, id: NodeId) -> Result<Value, Fault> {
        self.value(id, 0)
    }

    /// Counts a node as expanded; aliases must not make that go on without bound.
    pub(super) fn spend(&self, id: NodeId) -> Result<(), Fault> {
        self.spent.set(self.spent.get() + 1);
        // Without aliases every node is expanded a few times at most, however many there are.
        if self.aliased && self.spent.get() > EXPANSION_LIMIT.max(4 * self.nodes.len()) {
            return Err(Fault::new(self.node(id).span.start, Reason::TooMuch));
        }
        Ok(())
    }

    fn value(&self, id: NodeId, depth: usize) -> Result<Value, Fault> {
        self.spend(id)?;
        let node = self.node(self.resolve(id));
        if depth > DEPTH_LIMIT {
            return Err(Fault::new(self.node(id).span.start, Reason::TooMuch));
        }
        Ok(match &node.content {
            Content::Scalar { text, style, tag } => scalar::value(text, *style, *tag),
            Content::Sequence(items) => Value::Array(
                items
                    .iter()
                    .map(|item| self.value(*item, depth + 1))
                    .collect::<Result<_, _>>()?,
            ),
            Content::Mapping { entries, .. } => {
                let mut map = Map::with_capacity(entries.len());
                let mut merge = false;
                for (key, value) in entries {
                    let Some(text) = self.text(*key) else {
                        continue;
                    };
                    if text == "<<" {
                        merge = true;
                        continue;
                    }
                    map.insert(text.to_owned(), self.value(*value, depth + 1)?);
                }
                if merge {
                    for merged in self.merged(id) {
                        if let Value::Object(more) = self.value(merged, depth + 1)? {
                            for (key, value) in more {
                                map.entry(key).or_insert(value);
                            }
                        }
                    }
                }
                Value::Object(map)
            }
            Content::Alias(_) | Content::Elided => Value::Null,
        })
    }
}

/// The keys of a mapping under construction.
#[derive(Default)]
pub(super) struct Keys {
    few: Vec<String>,
    many: HashSet<String>,
}

impl Keys {
    /// Adds the key that this node is, unless it is there already.
    pub(super) fn add(&mut self, tree: &Tree<'_>, key: NodeId) -> Result<(), Fault> {
        /// Above this many keys a set is faster than looking through them.
        const FEW: usize = 16;

        let Some(text) = tree.text(key) else {
            return Ok(());
        };
        let twice = if self.many.is_empty() {
            self.few.iter().any(|known| known == text)
        } else {
            self.many.contains(text)
        };
        if twice {
            let offset = tree.node(key).span.start;
            return Err(Fault::new(offset, Reason::DuplicateKey(text.to_owned())));
        }
        if self.many.is_empty() && self.few.len() < FEW {
            self.few.push(text.to_owned());
        } else {
            self.many.extend(self.few.drain(..));
            self.many.insert(text.to_owned());
        }
        Ok(())
    }
}
