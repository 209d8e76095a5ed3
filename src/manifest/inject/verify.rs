//! Reading an edited document anew, and comparing it with what it was.
//!
//! It has to be the original with the new bundles, and nothing else. Where nodes stand in one place
//! each, the two trees are compared; where aliases lead to one node from several places, what they
//! expand to is.

use serde_json::Value;

use super::wishes::{Wish, Wishes};
use crate::injectable::CaBundle;
use crate::manifest::read::load_text;
use crate::manifest::skeleton::Sketch;
use crate::manifest::tree::{Content, NodeId, Tree};

const CHANGED: &str = "something beside the caBundles changed";
const OTHER_BUNDLE: &str = "a caBundle is not the new one";
const UNREADABLE: &str = "it cannot be read any more";

pub(super) fn verify(
    text: &str,
    json: bool,
    before: &Tree<'_>,
    wishes: &Wishes,
) -> Result<(), &'static str> {
    let mut sketch = if json {
        Sketch::default()
    } else {
        Sketch::of(text)
    };
    let fast = sketch.tree.take();
    let after = load_text(text, json, fast, &sketch)
        .map_err(|_| UNREADABLE)?
        .ok_or("it is empty")?;
    if before.aliased || after.aliased {
        return compare_values(before, &after, wishes);
    }
    let trees = Trees {
        before,
        after: &after,
        wishes,
    };
    trees.compare(before.root, after.root)
}

struct Trees<'a> {
    before: &'a Tree<'a>,
    after: &'a Tree<'a>,
    wishes: &'a Wishes,
}

impl Trees<'_> {
    fn compare(&self, before: NodeId, after: NodeId) -> Result<(), &'static str> {
        let same = |same: bool| if same { Ok(()) } else { Err(CHANGED) };
        match (
            &self.before.node(before).content,
            &self.after.node(after).content,
        ) {
            (Content::Mapping { .. }, Content::Mapping { .. }) => {
                self.compare_mappings(before, after)
            }
            (Content::Sequence(old), Content::Sequence(new)) => {
                same(old.len() == new.len())?;
                old.iter()
                    .zip(new)
                    .try_for_each(|(old, new)| self.compare(*old, *new))
            }
            (
                Content::Scalar { text, style, tag },
                Content::Scalar {
                    text: new_text,
                    style: new_style,
                    tag: new_tag,
                },
            ) => same((text, style, tag) == (new_text, new_style, new_tag)),
            (Content::Elided, Content::Elided) => Ok(()),
            _ => Err(CHANGED),
        }
    }

    fn compare_mappings(&self, before: NodeId, after: NodeId) -> Result<(), &'static str> {
        let sharers = self.wishes.get(&before);
        let wish = sharers.and_then(|all| all.iter().find(|wish| wish.differs || wish.verify));
        if let Some(wish) = wish {
            self.check_bundle(after, wish)?;
        }
        let ours = |key: Option<&str>| match key {
            Some("caBundle") => wish.is_some(),
            Some("insecureSkipTLSVerify") => wish.is_some_and(|wish| wish.verify),
            _ => false,
        };
        let mut old = entries(self.before, before).filter(|(key, _)| !ours(self.before.text(*key)));
        let mut new = entries(self.after, after).filter(|(key, _)| !ours(self.after.text(*key)));
        loop {
            match (old.next(), new.next()) {
                (None, None) => return Ok(()),
                (Some((old_key, old)), Some((new_key, new)))
                    if self.before.text(old_key) == self.after.text(new_key) =>
                {
                    self.compare(old, new)?;
                }
                _ => return Err(CHANGED),
            }
        }
    }

    fn check_bundle(&self, after: NodeId, wish: &Wish) -> Result<(), &'static str> {
        let written = self.after.entry(after, "caBundle");
        if wish.base64.is_some()
            && written.and_then(|(_, value)| self.after.text(value)) == wish.base64.as_deref()
            && !wish.verify
        {
            return Ok(());
        }
        let value = |key| {
            let (_, value) = self.after.entry(after, key)?;
            self.after.to_value(value).ok()
        };
        if CaBundle::of_value(value("caBundle").as_ref()).pem() != wish.wanted.as_deref() {
            return Err(OTHER_BUNDLE);
        }
        if wish.verify && value("insecureSkipTLSVerify") != Some(Value::Bool(false)) {
            return Err("insecureSkipTLSVerify is not false");
        }
        Ok(())
    }
}

/// The entries of a mapping whose values are kept.
fn entries<'t>(tree: &'t Tree<'_>, id: NodeId) -> impl Iterator<Item = (NodeId, NodeId)> + 't {
    let entries = match &tree.node(id).content {
        Content::Mapping { entries, .. } => entries.as_slice(),
        _ => &[],
    };
    let kept = |value: NodeId| !matches!(tree.node(value).content, Content::Elided);
    entries
        .iter()
        .copied()
        .filter(move |(_, value)| kept(*value))
}

fn compare_values(
    before: &Tree<'_>,
    after: &Tree<'_>,
    wishes: &Wishes,
) -> Result<(), &'static str> {
    let value = |tree: &Tree<'_>| tree.to_value(tree.root).map_err(|_| UNREADABLE);
    let (mut before, mut after) = (value(before)?, value(after)?);
    let all = wishes.values().flatten();
    for wish in all.filter(|wish| wish.differs || wish.verify) {
        let (Some(before), Some(after)) = (
            before
                .pointer_mut(&wish.pointer)
                .and_then(Value::as_object_mut),
            after
                .pointer_mut(&wish.pointer)
                .and_then(Value::as_object_mut),
        ) else {
            return Err("a clientConfig is gone");
        };
        if CaBundle::of_value(after.get("caBundle")).pem() != wish.wanted.as_deref() {
            return Err(OTHER_BUNDLE);
        }
        after.shift_remove("caBundle");
        before.shift_remove("caBundle");
        if wish.verify {
            before.insert("insecureSkipTLSVerify".to_owned(), Value::Bool(false));
        }
    }
    if before == after {
        Ok(())
    } else {
        Err(CHANGED)
    }
}
