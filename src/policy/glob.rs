//! `*` for any characters: all the matching that the language has.

/// Whether `text` is `pattern`, where `*` is any number of characters but none of `stops`.
pub(super) fn glob(pattern: &str, text: &str, stops: &[char]) -> bool {
    let mut pieces = pattern.split('*');
    let Some(mut rest) = pieces.next().and_then(|first| text.strip_prefix(first)) else {
        return false;
    };
    let mut pieces = pieces.peekable();
    if pieces.peek().is_none() {
        return rest.is_empty();
    }
    // Leftmost matches suffice between stars; the last piece is bound to the end.
    while let Some(piece) = pieces.next() {
        let last = pieces.peek().is_none();
        let found = if last {
            rest.strip_suffix(piece).map(|skipped| (skipped, ""))
        } else {
            rest.split_once(piece)
        };
        match found {
            Some((skipped, after)) if !skipped.contains(stops) => rest = after,
            _ => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The obvious definition, exponential.
    fn slow(pattern: &[u8], text: &[u8]) -> bool {
        match (pattern.split_first(), text.split_first()) {
            (None, rest) => rest.is_none(),
            (Some((b'*', pattern)), None) => slow(pattern, text),
            (Some((b'*', after)), Some((byte, rest))) => {
                slow(after, text) || (*byte != b'.' && slow(pattern, rest))
            }
            (Some((wanted, pattern)), Some((byte, rest))) => wanted == byte && slow(pattern, rest),
            (Some(_), None) => false,
        }
    }

    proptest! {
        #[test]
        fn a_glob_matches_what_its_definition_says(
            pattern in "[ab*.]{0,7}", text in "[ab.]{0,9}"
        ) {
            prop_assert_eq!(glob(&pattern, &text, &['.']), slow(pattern.as_bytes(), text.as_bytes()));
        }
    }
}
