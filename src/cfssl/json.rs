//! Strict JSON whose every value knows its place.
//!
//! serde_json does the parsing; raw slices of the text keep the positions. As in Go's
//! encoding/json a key matches in any case and `null` leaves a field out; unlike there
//! an unknown key, a key given twice and anything after the value are errors.

use std::fmt;

use serde::Deserializer;
use serde::de::{Deserialize, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::error::{At, Error};
use super::position::{place, syntax};

/// How alike two keys are to suggest one for the other.
const ALIKE: f64 = 0.8;

/// One value of a text.
#[derive(Debug, Clone)]
pub(super) struct Node<'a> {
    document: &'a str,
    raw: &'a str,
    path: String,
}

/// The known members of an object.
#[derive(Debug)]
pub(super) struct Object<'a> {
    at: At,
    members: Vec<(&'static str, Node<'a>)>,
}

/// A key as one of `keys` in any case, or only as it is written.
#[derive(Debug, Clone, Copy)]
pub(super) enum Key {
    AnyCase(&'static str),
    Exact(&'static str),
}

impl<'a> Node<'a> {
    /// The value that is the whole text.
    pub(super) fn parse(document: &'a str) -> Result<Self, Error> {
        let raw: &RawValue =
            serde_json::from_str(document).map_err(|error| syntax(document, 0, &error))?;
        Ok(Self {
            document,
            raw: raw.get(),
            path: String::new(),
        })
    }

    /// Where it is.
    pub(super) fn at(&self) -> At {
        // Both are slices of one text, so that addresses tell the offset.
        let offset = self.raw.as_ptr().addr() - self.document.as_ptr().addr();
        place(self.document, offset, self.path.clone())
    }

    pub(super) fn is_null(&self) -> bool {
        self.raw == "null"
    }

    fn kind(&self) -> &'static str {
        match self.raw.bytes().next() {
            Some(b'{') => "an object",
            Some(b'[') => "a list",
            Some(b'"') => "a string",
            Some(b't' | b'f') => "a boolean",
            Some(b'n') => "null",
            _ => "a number",
        }
    }

    fn read<T: Deserialize<'a>>(&self, kind: &str, expected: &'static str) -> Result<T, Error> {
        if self.kind() != kind {
            return Err(self.wrong_type(expected));
        }
        serde_json::from_str(self.raw).map_err(|error| {
            syntax(
                self.document,
                self.raw.as_ptr().addr() - self.document.as_ptr().addr(),
                &error,
            )
        })
    }

    fn wrong_type(&self, expected: &'static str) -> Error {
        Error::Type {
            at: self.at(),
            expected,
            found: self.kind(),
        }
    }

    pub(super) fn string(&self) -> Result<String, Error> {
        self.read("a string", "a string")
    }

    pub(super) fn boolean(&self) -> Result<bool, Error> {
        self.read("a boolean", "true or false")
    }

    pub(super) fn integer(&self) -> Result<i64, Error> {
        if self.kind() != "a number" {
            return Err(self.wrong_type("a whole number"));
        }
        // As Go does: neither 1.0 nor 1e3 is an integer.
        self.raw
            .parse()
            .map_err(|_| self.value("expected a whole number"))
    }

    pub(super) fn list(&self) -> Result<Vec<Self>, Error> {
        let items: Vec<&'a RawValue> = self.read("a list", "a list")?;
        Ok(items
            .into_iter()
            .enumerate()
            .map(|(index, raw)| self.child(raw, format!("{}[{index}]", self.path)))
            .collect())
    }

    pub(super) fn strings(&self) -> Result<Vec<String>, Error> {
        self.list()?.iter().map(Self::string).collect()
    }

    /// All members, whatever their keys; none twice.
    pub(super) fn map(&self) -> Result<Vec<(String, Self)>, Error> {
        let Members(members) = self.read("an object", "an object")?;
        let mut all: Vec<(String, Self)> = Vec::with_capacity(members.len());
        for (key, raw) in members {
            let node = self.child(raw, self.member_path(&key));
            if all.iter().any(|(before, _)| *before == key) {
                return Err(Error::DuplicateKey {
                    at: node.key_at(&key),
                });
            }
            all.push((key, node));
        }
        Ok(all)
    }

    /// The members, which must all be among `keys`; those that are `null` are left out.
    pub(super) fn object(&self, keys: &[Key]) -> Result<Object<'a>, Error> {
        let mut members: Vec<(&'static str, Self)> = Vec::new();
        for (key, node) in self.map()? {
            let known = keys.iter().find_map(|known| known.matches(&key));
            let Some(known) = known else {
                return Err(Error::UnknownKey {
                    at: node.key_at(&key),
                    meant: closest(&key, keys.iter().map(|known| known.name())),
                });
            };
            if members.iter().any(|(before, _)| *before == known) {
                return Err(Error::DuplicateKey {
                    at: node.key_at(&key),
                });
            }
            members.push((known, node));
        }
        members.retain(|(_, node)| !node.is_null());
        Ok(Object {
            at: self.at(),
            members,
        })
    }

    fn child(&self, raw: &'a RawValue, path: String) -> Self {
        Self {
            document: self.document,
            raw: raw.get(),
            path,
        }
    }

    fn member_path(&self, key: &str) -> String {
        let plain = |c: char| c.is_ascii_alphanumeric() || "_-/ ".contains(c);
        match (
            self.path.as_str(),
            key.chars().all(plain) && !key.is_empty(),
        ) {
            ("", true) => key.to_owned(),
            (path, true) => format!("{path}.{key}"),
            (path, false) => format!("{path}[{key:?}]"),
        }
    }

    /// Where the key of this value is: the last place before it that reads so.
    fn key_at(&self, key: &str) -> At {
        let value = self.raw.as_ptr().addr() - self.document.as_ptr().addr();
        let quoted = serde_json::to_string(key).unwrap_or_default();
        let offset = self
            .document
            .get(..value)
            .and_then(|before| before.rfind(&quoted))
            .unwrap_or(value);
        place(self.document, offset, self.path.clone())
    }

    /// An error about the value.
    pub(super) fn value(&self, problem: impl Into<String>) -> Error {
        Error::Value {
            at: self.at(),
            problem: problem.into(),
        }
    }
}

impl Key {
    fn name(self) -> &'static str {
        match self {
            Self::AnyCase(name) | Self::Exact(name) => name,
        }
    }

    fn matches(self, key: &str) -> Option<&'static str> {
        match self {
            Self::AnyCase(name) => name.eq_ignore_ascii_case(key).then_some(name),
            Self::Exact(name) => (name == key).then_some(name),
        }
    }
}

impl<'a> Object<'a> {
    pub(super) fn at(&self) -> &At {
        &self.at
    }

    pub(super) fn get(&self, key: &str) -> Option<&Node<'a>> {
        self.members
            .iter()
            .find_map(|(known, node)| (*known == key).then_some(node))
    }

    /// The text of `key`; nothing when it is left out, `null` or empty, which cfssl
    /// does not tell apart.
    pub(super) fn text(&self, key: &str) -> Result<Option<(String, &Node<'a>)>, Error> {
        let Some(node) = self.get(key) else {
            return Ok(None);
        };
        let text = node.string()?;
        Ok((!text.is_empty()).then_some((text, node)))
    }

    pub(super) fn flag(&self, key: &str) -> Result<bool, Error> {
        self.get(key).map_or(Ok(false), Node::boolean)
    }
}

/// The one of `known` that `given` was probably meant to be.
pub(super) fn closest(given: &str, known: impl Iterator<Item = &'static str>) -> Option<String> {
    let given = given.to_ascii_lowercase();
    known
        .map(|name| {
            (
                strsim::jaro_winkler(&given, &name.to_ascii_lowercase()),
                name,
            )
        })
        .filter(|(alike, _)| *alike >= ALIKE)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name.to_owned())
}

/// The members of an object in order, their values as raw text.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;

        impl<'de> Visitor<'de> for InOrder {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(InOrder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: &[Key] = &[
        Key::AnyCase("CN"),
        Key::AnyCase("hosts"),
        Key::Exact("expiry"),
    ];

    fn object(text: &str) -> Result<Object<'_>, Error> {
        Node::parse(text)?.object(KEYS)
    }

    fn error(text: &str) -> String {
        object(text).unwrap_err().to_string()
    }

    #[test]
    fn values_are_found_in_any_case_with_their_place() {
        let object = object("{\n  \"cn\": \"ü\",\n  \"Hosts\": [\"a\",  7]\n}").unwrap();
        assert_eq!(object.text("CN").unwrap().unwrap().0, "ü");
        let items = object.get("hosts").unwrap().list().unwrap();
        assert_eq!(
            items[1].string().unwrap_err().to_string(),
            "Hosts[1], line 3, column 19: expected a string, found a number"
        );
        assert_eq!(items[1].integer().unwrap(), 7);
    }

    #[test]
    fn null_and_the_empty_string_are_left_out() {
        let object = object(r#"{"CN": "", "hosts": null}"#).unwrap();
        assert!(object.text("CN").unwrap().is_none());
        assert!(object.get("hosts").is_none());
        assert!(!object.flag("hosts").unwrap());
    }

    #[test]
    fn unknown_and_repeated_keys_are_errors_with_a_suggestion() {
        assert_eq!(
            error("{\"CN\": \"hots\",\n \"hots\": []}"),
            "hots, line 2, column 2: unknown key; did you mean \"hosts\"?"
        );
        assert!(error(r#"{"zebra": 1}"#).ends_with("unknown key; remove it"));
        assert!(error(r#"{"CN": "a", "cn": "b"}"#).starts_with("cn, line 1, column 13: "));
        assert!(error(r#"{"CN": "a", "CN": "b"}"#).contains("twice"));
        assert!(error(r#"{"Expiry": 1}"#).contains("did you mean \"expiry\"?"));
    }

    #[test]
    fn what_is_not_json_is_said_with_its_place() {
        assert_eq!(
            error("{\n  // a comment\n}"),
            "line 2, column 3: not valid JSON: JSON has no comments; remove them"
        );
        assert!(error("{\"CN\": \"a\", # no\n}").contains("no comments"));
        assert!(error("{\"CN\": \"a\",}").contains("comma after the last"));
        assert!(error("{} x").contains("line 1, column 4"));
        assert!(error("").contains("empty"));
        assert!(error("\u{feff}{}").contains("byte order mark"));
        let lone = object(r#"{"CN": "\ud800"}"#).unwrap();
        assert!(matches!(lone.text("CN"), Err(Error::Syntax { .. })));
        for text in ["{", "[", "\"", "{\"a\"", "nul", "{\"CN\": tru}", "\0"] {
            assert!(error(text).contains("not valid JSON"), "{text:?}");
        }
        assert_eq!(
            error("[]"),
            "line 1, column 1: expected an object, found a list"
        );
    }

    #[test]
    fn numbers_are_integers_as_in_go() {
        let integer = |text: &str| Node::parse(text).unwrap().integer();
        assert_eq!(integer("-1"), Ok(-1));
        for text in ["1.0", "1e3", "99999999999999999999", "\"1\"", "null"] {
            assert!(integer(text).is_err(), "{text}");
        }
    }

    #[test]
    fn every_cut_of_a_text_is_an_error_and_none_panics() {
        let text = "{\"CN\": \"\u{e9}\\u00e9\", \"hosts\": [\"a\", {\"b\": [1, true, null]}]}";
        for at in (0..text.len()).filter(|at| text.is_char_boundary(*at)) {
            assert!(object(&text[..at]).is_err(), "{at}");
        }
    }

    #[test]
    fn a_comma_after_the_last_element_is_found_at_any_depth() {
        for (text, place) in [
            ("{\"CN\": \"a\",\n}", "line 2, column 1"),
            ("{\"hosts\": [\"a\", ]}", "line 1, column 17"),
            ("{\"key\": {\"algo\": \"rsa\",}}", "line 1, column 24"),
            (
                "{\"key\": {\"size\": 1,\r\n\t},\n \"CN\": \"a\"}",
                "line 2, column 2",
            ),
            ("{\"names\": [{\"O\": \"a\",\n }]}", "line 2, column 2"),
            (
                "{\"names\": [\n {\"O\": {\"a\": [true,\n]}},\n]}",
                "line 3, column 1",
            ),
        ] {
            let said = error(text);
            assert!(said.starts_with(place), "{text:?}: {said}");
            assert!(said.contains("comma after the last element"), "{said}");
        }
    }
}
