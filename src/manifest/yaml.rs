//! From the YAML parser's events to a [`Tree`].

use std::collections::HashMap;

use granit_parser::{Event, Parser, ScalarStyle, Span, StrInput, StructureStyle};

use super::error::{Fault, Reason};
use super::tree::{Content, Keep, Keys, NodeId, Style, Tag, Tree};

/// Nested collections of each style; a CRD has some dozens.
const NESTING_LIMIT: usize = 128;

/// What came of parsing.
pub(super) enum Parsed<'a> {
    Tree(Tree<'a>),
    /// No content: an empty document.
    Empty,
    /// There are aliases, which may lead to what was left out: parse again and keep all.
    Aliases,
}

/// Parses one document.
pub(super) fn parse(text: &str, keep: Keep) -> Result<Parsed<'_>, Fault> {
    let options = granit_parser::options! {
        emit_comments: false,
        block_nesting_limit: NESTING_LIMIT,
        flow_nesting_limit: NESTING_LIMIT,
    };
    let mut builder = Builder {
        parser: Parser::new_from_str_with_options(text, options),
        tree: Tree::new(),
        anchors: HashMap::new(),
        keep,
        text,
        aliases: false,
    };
    loop {
        match builder.next()? {
            (Event::StreamStart | Event::DocumentStart(..), _) => {}
            (Event::StreamEnd | Event::DocumentEnd, _) => return Ok(Parsed::Empty),
            (event, span) => {
                builder.tree.root = builder.node(event, &span)?;
                break;
            }
        }
    }
    // To the end, for errors after the content.
    while !matches!(builder.next()?, (Event::StreamEnd, _)) {}
    if builder.aliases && keep == Keep::Relevant {
        return Ok(Parsed::Aliases);
    }
    builder.tree.aliased = builder.aliases;
    Ok(Parsed::Tree(builder.tree))
}

struct Builder<'a> {
    parser: Parser<'a, StrInput<'a>>,
    tree: Tree<'a>,
    anchors: HashMap<usize, NodeId>,
    keep: Keep,
    text: &'a str,
    aliases: bool,
}

impl<'a> Builder<'a> {
    fn next(&mut self) -> Result<(Event<'a>, Span), Fault> {
        match self.parser.next_event() {
            Some(Ok(event)) => Ok(event),
            Some(Err(error)) => {
                let offset = error.marker().byte_offset().unwrap_or(0);
                Err(Fault::new(
                    offset,
                    Reason::Syntax {
                        format: "YAML",
                        message: error.info(),
                    },
                ))
            }
            None => Ok((Event::StreamEnd, Span::default())),
        }
    }

    fn node(&mut self, event: Event<'a>, span: &Span) -> Result<NodeId, Fault> {
        let range = span.byte_range().unwrap_or_default();
        let start = range.start;
        let (id, anchor) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                let tag = tag.map(|tag| match tag.core_suffix() {
                    Some("str") => Tag::String,
                    _ => Tag::Other,
                });
                let style = style_of(style);
                let content = Content::Scalar { text, style, tag };
                (self.tree.push(range, content), anchor)
            }
            Event::Alias(anchor) => {
                self.aliases = true;
                if self.keep == Keep::Relevant {
                    // All is made anew.
                    return Ok(self.tree.elided());
                }
                let content = match self.anchors.get(&anchor) {
                    // Still under construction: it would contain itself.
                    Some(&target) if matches!(self.tree.node(target).content, Content::Elided) => {
                        return Err(Fault::new(start, Reason::TooMuch));
                    }
                    Some(&target) => {
                        self.tree.node_mut(target).aliases += 1;
                        Content::Alias(target)
                    }
                    None => Content::Elided,
                };
                (self.tree.push(range, content), 0)
            }
            Event::SequenceStart(_, anchor, _) => {
                let id = self.tree.push(start..start, Content::Elided);
                self.anchor(anchor, id);
                let mut items = Vec::new();
                loop {
                    match self.next()? {
                        (Event::SequenceEnd, _) => break,
                        (event, span) => items.push(self.node(event, &span)?),
                    }
                }
                self.tree.node_mut(id).content = Content::Sequence(items);
                (id, anchor)
            }
            Event::MappingStart(style, anchor, _) => {
                self.check_template(start)?;
                let id = self.tree.push(start..start, Content::Elided);
                self.anchor(anchor, id);
                let entries = self.mapping()?;
                let flow = style == StructureStyle::Flow;
                self.tree.node_mut(id).content = Content::Mapping { flow, entries };
                (id, anchor)
            }
            _ => (self.tree.elided(), 0),
        };
        self.anchor(anchor, id);
        self.tree.node_mut(id).properties = anchor != 0 || span.tag_start().is_some();
        Ok(id)
    }

    fn mapping(&mut self) -> Result<Vec<(NodeId, NodeId)>, Fault> {
        let mut entries = Vec::new();
        let mut keys = Keys::default();
        loop {
            let (event, span) = self.next()?;
            if event == Event::MappingEnd {
                return Ok(entries);
            }
            if matches!(event, Event::MappingStart(..) | Event::SequenceStart(..)) {
                let at = span.byte_range().unwrap_or_default().start;
                return Err(Fault::new(at, Reason::ComplexKey));
            }
            let key = self.node(event, &span)?;
            keys.add(&self.tree, key)?;
            let text = self.tree.text(key);
            let keep = text.is_some_and(|text| self.keep.keeps(text));
            let (event, span) = self.next()?;
            let value = if keep {
                self.node(event, &span)?
            } else {
                self.skip(event, &span)?
            };
            // The first key stays in any case: something may have to be put before it.
            if keep || entries.is_empty() {
                entries.push((key, value));
            } else {
                self.tree.forget(key);
            }
        }
    }

    /// Reads over a node that is left out.
    fn skip(&mut self, event: Event<'a>, span: &Span) -> Result<NodeId, Fault> {
        let mut depth = 0_usize;
        let (mut event, mut span) = (event, *span);
        loop {
            match &event {
                Event::MappingStart(..) => {
                    self.check_template(span.byte_range().unwrap_or_default().start)?;
                    depth += 1;
                }
                Event::SequenceStart(..) => depth += 1,
                Event::MappingEnd | Event::SequenceEnd => depth = depth.saturating_sub(1),
                Event::Alias(_) => self.aliases = true,
                _ => {}
            }
            // The tree keeps no anchors from here; when there are aliases it is made anew.
            if depth == 0 || event == Event::StreamEnd {
                return Ok(self.tree.elided());
            }
            (event, span) = self.next()?;
        }
    }

    /// `{{ .Values.x }}` is a mapping whose key is a mapping.
    fn check_template(&self, at: usize) -> Result<(), Fault> {
        match self.text.get(at..) {
            Some(rest) if rest.starts_with("{{") => Err(Fault::new(at, Reason::Template)),
            _ => Ok(()),
        }
    }

    fn anchor(&mut self, anchor: usize, id: NodeId) {
        if anchor != 0 {
            self.anchors.insert(anchor, id);
        }
    }
}

fn style_of(style: ScalarStyle) -> Style {
    match style {
        ScalarStyle::Plain => Style::Plain,
        ScalarStyle::SingleQuoted => Style::SingleQuoted,
        ScalarStyle::DoubleQuoted => Style::DoubleQuoted,
        ScalarStyle::Literal => Style::Literal,
        ScalarStyle::Folded => Style::Folded,
    }
}
