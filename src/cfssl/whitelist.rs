//! `name_whitelist`: a regular expression in Go's syntax.

use regex::Regex;

use crate::pki::San;

/// The expression, which must be found somewhere in every name; anchors are up to its
/// author. Unlike cfssl's it is applied to IP addresses too.
#[derive(Debug, Clone)]
pub(super) struct NameWhitelist(Regex);

/// The largest count that Go repeats an expression.
const MAX_REPEAT: u32 = 1000;

impl NameWhitelist {
    /// # Errors
    /// What is wrong with it, or what Go and certtool would read differently.
    pub(super) fn compile(pattern: &str) -> Result<Self, String> {
        if let Some(construct) = read_differently(pattern) {
            return Err(format!(
                "it has {construct}, which Go's and certtool's regular expressions read differently; write it in another way"
            ));
        }
        Regex::new(pattern).map(Self).map_err(|error| {
            let text = error.to_string();
            // The last line says what is wrong; those before draw it.
            let reason = text.lines().last().unwrap_or_default();
            format!(
                "it is not a regular expression: {}",
                reason.trim_start_matches("error: ")
            )
        })
    }

    /// Whether the common name, if there is one, and every name match; else the first
    /// that does not.
    pub(super) fn refused(&self, common_name: Option<&str>, names: &[San]) -> Option<String> {
        // The classes \w, \d and \s are ASCII in Go and Unicode here, which is the same
        // for all but a common name with other characters.
        let common_name = common_name.filter(|name| !name.is_empty());
        if let Some(name) = common_name.filter(|name| !name.is_ascii() || !self.0.is_match(name)) {
            return Some(name.to_owned());
        }
        names
            .iter()
            .find(|name| !self.0.is_match(&name.value()))
            .map(ToString::to_string)
    }

    /// Whether it could match only a part of a name.
    pub(super) fn is_unanchored(&self) -> bool {
        let pattern = self.0.as_str();
        let start = pattern.starts_with('^') || pattern.starts_with(r"\A");
        let end = (pattern.ends_with('$') && !pattern.ends_with(r"\$")) || pattern.ends_with(r"\z");
        !(start && end)
    }
}

/// A construct that both accept and read differently, or that only Rust accepts.
fn read_differently(pattern: &str) -> Option<&'static str> {
    let mut chars = pattern.chars().peekable();
    let mut in_class = false;
    let mut class_start = false;
    // Whether the last thing was a repetition that may not be repeated again.
    let mut repeated = false;
    let mut previous = None;
    while let Some(c) = chars.next() {
        let next = chars.peek().copied();
        let first_in_class = std::mem::take(&mut class_start);
        let was_repeated = std::mem::take(&mut repeated);
        let before = previous.replace(c);
        match (in_class, c) {
            (_, '\\') => {
                let escaped = chars.next();
                match escaped {
                    Some('<' | '>') => return Some(r"\< or \>"),
                    Some('u' | 'U') => return Some(r"\u or \U"),
                    Some('b' | 'B') if chars.peek() == Some(&'{') => return Some(r"\b{"),
                    _ => {}
                }
                previous = None;
            }
            (true, '[') if next == Some(':') => {
                // A named class, up to `:]`.
                while let Some(c) = chars.next() {
                    if c == ':' && chars.peek() == Some(&']') {
                        chars.next();
                        break;
                    }
                }
            }
            (true, '[') => return Some("a [ inside a character class"),
            (true, '&' | '-' | '~') if before == Some(c) => {
                return Some("&&, -- or ~~ inside a character class");
            }
            (true, ']') if !first_in_class => in_class = false,
            (true, '^') if first_in_class && before == Some('[') => class_start = true,
            (false, '[') => {
                in_class = true;
                class_start = true;
            }
            (false, '(') if next == Some('?') => {
                let rest: String = chars.clone().skip(1).collect();
                let named = rest.starts_with("P<") || rest.starts_with('<');
                let flags: String = rest.chars().take_while(|c| !":)".contains(*c)).collect();
                if !named && flags.chars().any(|flag| !"imsU-".contains(flag)) {
                    return Some("a flag other than i, m, s and U");
                }
                chars.next();
            }
            (false, '*' | '+' | '?') => {
                if was_repeated {
                    return Some("a repetition of a repetition");
                }
                if next == Some('?') {
                    chars.next();
                }
                repeated = true;
            }
            (false, '{') => {
                let rest: String = chars.clone().take_while(|c| *c != '}').collect();
                let counts: Vec<&str> = rest.split(',').collect();
                let numbers = counts.iter().map(|n| n.parse::<u32>());
                match counts.as_slice() {
                    ["", ..] => return Some("a { without a number"),
                    _ if numbers.clone().flatten().any(|n| n > MAX_REPEAT) => {
                        return Some("a repetition of more than 1000 times");
                    }
                    _ if was_repeated => return Some("a repetition of a repetition"),
                    _ => {}
                }
                for _ in 0..=rest.chars().count() {
                    chars.next();
                }
                if chars.peek() == Some(&'?') {
                    chars.next();
                }
                repeated = true;
            }
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dns(name: &str) -> San {
        San::Dns(name.to_owned())
    }

    #[test]
    fn every_name_must_match_addresses_too() {
        let list = NameWhitelist::compile(r"^[a-z.]+\.svc$").unwrap();
        assert_eq!(list.refused(None, &[dns("a.svc")]), None);
        assert_eq!(list.refused(Some("a.svc"), &[]), None);
        assert_eq!(list.refused(Some(""), &[]), None);
        assert_eq!(list.refused(Some("x"), &[]), Some("x".to_owned()));
        let ip = San::Ip("10.0.0.1".parse().unwrap());
        assert_eq!(
            list.refused(None, &[dns("a.svc"), ip]),
            Some("IP:10.0.0.1".to_owned())
        );
        let any = NameWhitelist::compile(r"\w").unwrap();
        assert!(any.refused(Some("ü"), &[]).is_some(), "\\w is ASCII in Go");
    }

    #[test]
    fn anchors_are_the_author_s() {
        let unanchored = |pattern| NameWhitelist::compile(pattern).unwrap().is_unanchored();
        assert!(unanchored("example"));
        assert!(unanchored("^example"));
        assert!(unanchored(r"^example\$"));
        assert!(!unanchored("^example$"));
        let list = NameWhitelist::compile("example").unwrap();
        assert_eq!(list.refused(None, &[dns("my-example.com")]), None);
    }

    #[test]
    fn what_go_reads_differently_is_refused() {
        for pattern in [
            r"[a[b]]",
            "[a&&b]",
            "[a--b]",
            "[a~~b]",
            r"\<a",
            r"\u0041",
            r"\b{start}",
            "a**",
            "a+*",
            "a{2}{3}",
            "a{,3}",
            "a{1001}",
            "(?x) a",
            "(?u)a",
            "a*??",
        ] {
            let error = NameWhitelist::compile(pattern).unwrap_err();
            assert!(error.contains("differently"), "{pattern}: {error}");
        }
        for pattern in ["(", "[", "a{2,1}", r"\Qa\E", "(?=a)", r"\1", "*a"] {
            assert!(NameWhitelist::compile(pattern).is_err(), "{pattern}");
        }
    }

    #[test]
    fn ordinary_expressions_are_read() {
        for pattern in [
            "",
            "a--b",
            r"^(.+\.)?example\.(com|org)$",
            "[a-z0-9-]{1,63}?",
            "[[:alpha:]_]+",
            "[]a]",
            "[^]a]",
            r"[\w.-]+",
            "(?i)EXAMPLE",
            "(?P<n>a)",
            "(?<n>a)",
            "(?:a|b)*?",
            r"\d{3}",
            "a{2,}",
            r"\[\]\{\}",
            "[^-a]",
            "a|b|",
            r"\.svc\z",
            "(?i:a)b",
            "(?s).+",
        ] {
            let compiled = NameWhitelist::compile(pattern);
            assert!(compiled.is_ok(), "{pattern}: {compiled:?}");
        }
    }
}
