//! Label selectors as kubectl's `-l` spells them, checked when the file is read and matched here:
//! the injector watches all objects of a kind once, whatever the targets select.

use std::collections::{BTreeMap, BTreeSet};

use super::value::ValueError;

/// A label selector: every requirement has to hold.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(try_from = "String")]
pub struct Selector(Vec<Requirement>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Requirement {
    Exists(String),
    Absent(String),
    In(String, BTreeSet<String>),
    /// Holds too when there is no such label, as in Kubernetes.
    NotIn(String, BTreeSet<String>),
}

impl Selector {
    /// Whether an object with these labels is selected.
    #[must_use]
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.0.iter().all(|requirement| match requirement {
            Requirement::Exists(key) => labels.contains_key(key),
            Requirement::Absent(key) => !labels.contains_key(key),
            Requirement::In(key, values) => {
                labels.get(key).is_some_and(|value| values.contains(value))
            }
            Requirement::NotIn(key, values) => {
                labels.get(key).is_none_or(|value| !values.contains(value))
            }
        })
    }
}

impl TryFrom<String> for Selector {
    type Error = ValueError;

    fn try_from(text: String) -> Result<Self, ValueError> {
        let parts = split(&text).into_iter();
        let requirements: Option<Vec<_>> = parts.map(|part| requirement(part.trim())).collect();
        match requirements {
            Some(requirements) if !text.trim().is_empty() => Ok(Self(requirements)),
            _ => Err(ValueError::new(format!(
                "{text:?} is not a label selector: write app=shop, app!=shop, \
                 app in (shop, cart), app notin (shop), app or !app, with commas in between"
            ))),
        }
    }
}

/// The requirements: what is between commas that are not in parentheses.
fn split(text: &str) -> Vec<&str> {
    let mut inside = false;
    text.split(|letter| {
        match letter {
            '(' => inside = true,
            ')' => inside = false,
            _ => {}
        }
        letter == ',' && !inside
    })
    .collect()
}

fn requirement(text: &str) -> Option<Requirement> {
    if let Some(set) = text.strip_suffix(')') {
        let (head, values) = set.split_once('(')?;
        let (name, operator) = head.trim().split_once(char::is_whitespace)?;
        let values: Option<_> = values.split(',').map(|one| value(one.trim())).collect();
        return match operator.trim() {
            "in" => Some(Requirement::In(key(name)?, values?)),
            "notin" => Some(Requirement::NotIn(key(name)?, values?)),
            _ => None,
        };
    }
    let single = |text: &str| Some(BTreeSet::from([value(text.trim())?]));
    if let Some((name, wanted)) = text.split_once("!=") {
        return Some(Requirement::NotIn(key(name.trim())?, single(wanted)?));
    }
    if let Some((name, wanted)) = text.split_once("==").or_else(|| text.split_once('=')) {
        return Some(Requirement::In(key(name.trim())?, single(wanted)?));
    }
    match text.strip_prefix('!') {
        Some(name) => Some(Requirement::Absent(key(name.trim())?)),
        None => Some(Requirement::Exists(key(text)?)),
    }
}

/// A label's name, with its prefix if it has one
/// (`staging/src/k8s.io/apimachinery/pkg/util/validation/validation.go`).
fn key(text: &str) -> Option<String> {
    let name = match text.split_once('/') {
        Some((prefix, name)) if crate::namespaced::is_name(prefix) => name,
        Some(_) => return None,
        None => text,
    };
    (!name.is_empty() && is_label(name)).then(|| text.to_owned())
}

fn value(text: &str) -> Option<String> {
    is_label(text).then(|| text.to_owned())
}

fn is_label(text: &str) -> bool {
    let ends = |letter: Option<char>| letter.is_none_or(|letter| letter.is_ascii_alphanumeric());
    text.len() <= 63
        && ends(text.chars().next())
        && ends(text.chars().last())
        && text
            .chars()
            .all(|letter| letter.is_ascii_alphanumeric() || "-_.".contains(letter))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selects(selector: &str, labels: &[(&str, &str)]) -> bool {
        let selector = Selector::try_from(selector.to_owned()).unwrap();
        let own = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        selector.matches(&labels.iter().map(own).collect())
    }

    #[test]
    fn every_form_selects_as_kubectl_does() {
        let shop = [("app", "shop"), ("example.com/tier", "front")];
        for selector in [
            "app=shop",
            "app==shop",
            "app = shop",
            "app",
            "app!=cart",
            "other!=cart",
            "app in (cart, shop)",
            "app notin (cart)",
            "other notin (cart)",
            "!other",
            "app=shop,example.com/tier=front",
            "app in (shop,cart),!other",
        ] {
            assert!(selects(selector, &shop), "{selector}");
        }
        for selector in [
            "app=cart",
            "other",
            "other=",
            "app!=shop",
            "app in (cart)",
            "app notin (shop, cart)",
            "!app",
            "app=shop,example.com/tier=back",
        ] {
            assert!(!selects(selector, &shop), "{selector}");
        }
        assert!(selects("app=", &[("app", "")]));
    }

    #[test]
    fn what_is_no_selector_is_refused() {
        for text in [
            "",
            " ",
            "app=shop,",
            "app in shop",
            "app in (shop",
            "=shop",
            "app=a b",
            "app~shop",
            "Ex ample/x=y",
            "-x",
            "app within (a)",
            "a/b/c=d",
        ] {
            assert!(Selector::try_from(text.to_owned()).is_err(), "{text:?}");
        }
    }
}
