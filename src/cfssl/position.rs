//! Where in a JSON text something is, and what is wrong there.

use super::error::{At, Error};

/// The line and column of an offset in octets.
pub(super) fn place(document: &str, offset: usize, path: String) -> At {
    let before = document.get(..offset).unwrap_or(document);
    At {
        path,
        line: before.matches('\n').count() + 1,
        column: before
            .rsplit('\n')
            .next()
            .map_or(1, |line| line.chars().count() + 1),
    }
}

/// A parser's error about the part of `document` that starts at `base`.
pub(super) fn syntax(document: &str, base: usize, error: &serde_json::Error) -> Error {
    let part = document.get(base..).unwrap_or_default();
    let line_start: usize = part
        .split_inclusive('\n')
        .take(error.line().saturating_sub(1))
        .map(str::len)
        .sum();
    // The column counts the octets read, the offending one among them.
    let mut offset = (base + line_start + error.column().saturating_sub(1)).min(document.len());
    while !document.is_char_boundary(offset) {
        offset -= 1;
    }
    let (before, rest) = document.split_at(offset);
    let after_comma = before.trim_end().ends_with(',');
    let problem = if document.trim().is_empty() {
        "it is empty".to_owned()
    } else if document.starts_with('\u{feff}') {
        "it starts with a byte order mark; save it as UTF-8 without one".to_owned()
    } else if rest.starts_with('/') || rest.starts_with('#') {
        "JSON has no comments; remove them".to_owned()
    } else if after_comma && rest.starts_with(['}', ']']) {
        "there is a comma after the last element; remove it".to_owned()
    } else {
        // serde_json adds its own position, which is only that of the part.
        let text = error.to_string();
        text.split(" at line ").next().unwrap_or(&text).to_owned()
    };
    Error::Syntax {
        at: place(document, offset, String::new()),
        problem,
    }
}
