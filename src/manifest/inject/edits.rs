//! The edits that fulfil the wishes, or why a document does not allow them.

use super::wishes::{Errors, Wish, Wishes};
use super::{Change, Edited};
use crate::injectable::ObjectId;
use crate::manifest::edit::{Edit, replace_plain, set_bundle};
use crate::manifest::error::Reason;
use crate::manifest::read::error_at;
use crate::manifest::split::Document;
use crate::manifest::tree::{Content, NodeId, Tree};

/// One edit for each place, though several client configs may share it through an alias.
pub(super) fn edits(
    document: &Document<'_>,
    text: &str,
    tree: &Tree<'_>,
    wishes: &Wishes,
) -> Result<(Vec<Edit>, Vec<Change>), Errors> {
    let mut edits = Vec::new();
    let mut changes = Vec::new();
    let mut errors = Errors::new();
    for (place, sharers) in wishes {
        let Some(wish) = sharers.iter().find(|wish| wish.differs || wish.verify) else {
            continue;
        };
        let mut fail = |reason| errors.push(error_at(document, wish.line, &wish.object, reason));
        let layout = |reason| Reason::Layout {
            webhook: wish.webhook.clone(),
            reason,
        };
        if sharers.iter().any(|other| other.wanted != wish.wanted) {
            fail(Reason::SharedAnchor {
                webhooks: sharers.iter().map(Wish::name).collect(),
            });
            continue;
        }
        if let (Some(new), Some(base64)) = (&wish.wanted, &wish.base64) {
            match bundle_edit(text, tree, *place, new, base64, wishes) {
                Ok(edit) => edits.extend(edit.map(|edit| edit.sharing(base64))),
                Err(Refusal::Layout(reason)) => {
                    fail(layout(reason));
                    continue;
                }
                Err(Refusal::Shared(webhooks)) => {
                    fail(Reason::SharedAnchor { webhooks });
                    continue;
                }
            }
        }
        if wish.verify
            && let Some((_, value)) = tree.entry(*place, "insecureSkipTLSVerify")
        {
            match replace_plain(tree, value, "false") {
                Ok(edit) => edits.push(edit),
                Err(reason) => fail(layout(reason)),
            }
        }
        let edited = match tree.entry(*place, "caBundle") {
            _ if !wish.differs => Edited::Kept,
            Some(_) => Edited::Replaced,
            None => Edited::Added,
        };
        changes.extend(sharers.iter().map(|wish| {
            Change {
                object: ObjectId::clone(&wish.object),
                webhook: wish.webhook.clone(),
                pointer: wish
                    .pointer
                    .get(wish.object_at..)
                    .unwrap_or_default()
                    .to_owned(),
                document: document.number,
                line: wish.line,
                edited,
                verify: wish.verify,
            }
        }));
    }
    if errors.is_empty() {
        Ok((edits, changes))
    } else {
        Err(errors)
    }
}

enum Refusal {
    Layout(&'static str),
    Shared(Vec<String>),
}

/// The edit for one place; `None` when an edit elsewhere, at an anchor, does it already.
fn bundle_edit(
    text: &str,
    tree: &Tree<'_>,
    place: NodeId,
    new: &[u8],
    base64: &str,
    wishes: &Wishes,
) -> Result<Option<Edit>, Refusal> {
    let value = tree.entry(place, "caBundle").map(|(_, value)| value);
    let owner = |anchored: NodeId| {
        wishes.iter().find(|(place, _)| {
            tree.entry(**place, "caBundle")
                .is_some_and(|(_, value)| value == anchored)
        })
    };
    let gets_new = |sharers: &[Wish]| {
        sharers
            .iter()
            .all(|wish| wish.differs && wish.wanted.as_deref() == Some(new))
    };
    match value.map(|value| (value, &tree.node(value).content)) {
        Some((_, Content::Alias(anchored)))
            if owner(*anchored).is_some_and(|(_, sharers)| gets_new(sharers)) =>
        {
            return Ok(None);
        }
        Some((value, Content::Scalar { .. })) if tree.node(value).aliases > 0 => {
            // Every alias to it has to be the caBundle of a client config that gets the same.
            let users = wishes.iter().filter(|(place, _)| {
                tree.entry(**place, "caBundle")
                    .is_some_and(|(_, user)| user != value && tree.resolve(user) == value)
            });
            let (same, different): (Vec<_>, Vec<_>) =
                users.partition(|(_, sharers)| gets_new(sharers));
            if same.len() < tree.node(value).aliases as usize || !different.is_empty() {
                let sharers = wishes.get(&place).into_iter().flatten();
                let others = different.iter().flat_map(|(_, sharers)| sharers.iter());
                return Err(Refusal::Shared(
                    sharers.chain(others).map(Wish::name).collect(),
                ));
            }
        }
        _ => {}
    }
    set_bundle(text, tree, place, base64)
        .map(Some)
        .map_err(Refusal::Layout)
}
