//! Single settings of a signing profile, read with the defaults and the limits of Go.

use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime};

use crate::pki::{CaConstraint, Usage};

use super::duration;
use super::error::{At, Error};
use super::json::{Key, Node, Object, closest};
use super::profile::Inert;
use super::whitelist::NameWhitelist;

const CA_CONSTRAINT: &[Key] = &[
    Key::AnyCase("is_ca"),
    Key::AnyCase("max_path_len"),
    Key::AnyCase("max_path_len_zero"),
];

pub(super) fn usages(object: &Object<'_>) -> Result<Vec<Usage>, Error> {
    let Some(node) = object.get("usages") else {
        return Ok(Vec::new());
    };
    node.list()?
        .iter()
        .map(|item| {
            let text = item.string()?;
            text.parse().map_err(|error: crate::pki::UnknownUsage| {
                let meant = closest(&text, Usage::all().map(Usage::name));
                item.value(meant.map_or_else(
                    || error.to_string(),
                    |meant| format!("unknown usage {text:?}; did you mean {meant:?}?"),
                ))
            })
        })
        .collect()
}

/// A duration; nothing when it is left out or empty.
pub(super) fn span(object: &Object<'_>, key: &str) -> Result<Option<Duration>, Error> {
    object
        .text(key)?
        .map(|(text, node)| duration::parse(&text).map_err(|problem| node.value(problem)))
        .transpose()
}

/// A time in RFC 3339; Go's zero time is none.
pub(super) fn instant(object: &Object<'_>, key: &str) -> Result<Option<OffsetDateTime>, Error> {
    let Some(node) = object.get(key) else {
        return Ok(None);
    };
    let text = node.string()?;
    // As strict as Go: an upper-case T and Z.
    let strict = text.as_bytes().get(10) == Some(&b'T') && !text.ends_with('z');
    let parsed = OffsetDateTime::parse(&text, &Rfc3339)
        .ok()
        .filter(|_| strict);
    let instant = parsed.ok_or_else(|| {
        node.value(format!(
            "{text:?} is not a time: write it as in 2026-01-31T00:00:00Z"
        ))
    })?;
    let zero =
        instant.year() == 1 && instant.ordinal() == 1 && instant.time().as_hms() == (0, 0, 0);
    Ok((!zero).then_some(instant))
}

/// The constraint, and what has no effect in it.
pub(super) fn ca_constraint(
    object: &Object<'_>,
) -> Result<(Option<CaConstraint>, Vec<Inert>), Error> {
    let Some(node) = object.get("ca_constraint") else {
        return Ok((None, Vec::new()));
    };
    let constraint = node.object(CA_CONSTRAINT)?;
    let length = constraint.get("max_path_len");
    let number = length.map_or(Ok(0), Node::integer)?;
    let zero = constraint.flag("max_path_len_zero")?;
    if !constraint.flag("is_ca")? {
        let inert = (number != 0 || zero).then(|| Inert {
            at: node.at(),
            why: "max_path_len has no effect without is_ca",
        });
        return Ok((None, inert.into_iter().collect()));
    }
    let path_length = path_length(length.unwrap_or(node), number, zero)?;
    Ok((Some(CaConstraint { path_length }), Vec::new()))
}

/// A path length as Go writes it: 0 counts only together with `zero`, -1 is none.
pub(super) fn path_length(node: &Node<'_>, number: i64, zero: bool) -> Result<Option<u8>, Error> {
    match number {
        -1 => Ok(None),
        0 => Ok(zero.then_some(0)),
        number => u8::try_from(number)
            .map(Some)
            .map_err(|_| node.value("a path length lies between 0 and 255; -1 is none")),
    }
}

pub(super) fn name_whitelist(object: &Object<'_>) -> Result<Option<(At, NameWhitelist)>, Error> {
    object
        .text("name_whitelist")?
        .map(|(pattern, node)| {
            NameWhitelist::compile(&pattern)
                .map(|list| (node.at(), list))
                .map_err(|problem| node.value(problem))
        })
        .transpose()
}
