//! Patterns of names: DNS names, Services, URIs, e-mail addresses.
//!
//! Not regular expressions: `*` stands for any characters within one part (a DNS
//! label) and never crosses to the next, and a placeholder stands for one value that the requester cannot choose freely.
//!
//! Invariants, all checked when a pattern is read:
//! * a label has at most one placeholder, and then no `*`: from the name that results
//!   the value can be read back, so no two requesters share a name (`team` and `-a` of
//!   `{namespace}{serviceaccount}` would be `team-a`, as are `team-` and `a`);
//! * `*` matches no label that begins with `xn--`, which may look like any other;
//! * no `*` where it would mean every top-level domain or every namespace.

use std::fmt;

use super::glob::glob;
use super::requester::{Requester, is_label};
use super::text::from_text;

/// A value of the requester that a pattern can refer to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Placeholder {
    Namespace,
    ServiceAccount,
    Pod,
}

impl Placeholder {
    const ALL: [Self; 3] = [Self::Namespace, Self::ServiceAccount, Self::Pod];

    fn text(self) -> &'static str {
        match self {
            Self::Namespace => "{namespace}",
            Self::ServiceAccount => "{serviceaccount}",
            Self::Pod => "{pod}",
        }
    }

    fn value<'a>(self, requester: &Requester<'a>) -> Option<&'a str> {
        let account = requester.account()?;
        match self {
            Self::Namespace => Some(account.namespace),
            Self::ServiceAccount => Some(account.name),
            Self::Pod => account.pod.map(|pod| pod.name),
        }
    }
}

/// Why a text is not a pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{given:?} is not a pattern here: {problem}")]
pub(super) struct PatternError {
    given: String,
    problem: String,
}

impl PatternError {
    pub(super) fn new(given: &str, problem: impl Into<String>) -> Self {
        Self {
            given: given.to_owned(),
            problem: problem.into(),
        }
    }
}

/// A DNS name with `*` and placeholders, lower-case: `names.dns`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DnsPattern(Vec<String>);

/// `*.` and a DNS name with placeholders: `names.wildcards`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct WildcardPattern(DnsPattern);

/// `NAME.NAMESPACE` of Services: `names.services`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ServicePattern(DnsPattern);

/// A text with placeholders and no `*`: `names.uris`, `names.emails`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TextPattern(String);

from_text!(DnsPattern, WildcardPattern, ServicePattern, TextPattern);

impl TryFrom<String> for DnsPattern {
    type Error = PatternError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let error = |problem: &str| PatternError::new(&text, problem);
        if text.is_empty() {
            return Err(error("it is empty"));
        }
        if text.ends_with('.') || text.starts_with('.') {
            return Err(error(
                "a name in a certificate neither begins nor ends with a dot",
            ));
        }
        let lower = text.to_ascii_lowercase();
        let labels: Vec<String> = lower.split('.').map(str::to_owned).collect();
        for label in &labels {
            check_label(label).map_err(|problem| PatternError::new(&text, problem))?;
        }
        // NAME.NAMESPACE.svc, or a pod's HOST.NAME.NAMESPACE.svc.
        let names_service = labels.windows(2).skip(1).any(
            |pair| matches!(pair, [namespace, svc] if svc == "svc" && namespace.contains('*')),
        );
        if names_service {
            return Err(error(
                "it would cover the Services of every namespace; write {namespace}",
            ));
        }
        if labels.last().is_some_and(|label| label.contains('*')) {
            return Err(error("its last part has a *, which is too much"));
        }
        Ok(Self(labels))
    }
}

fn check_label(label: &str) -> Result<(), String> {
    let mut rest = label.to_owned();
    let mut placeholders = 0;
    for placeholder in Placeholder::ALL {
        placeholders += rest.matches(placeholder.text()).count();
        // As one letter, which is as good as any value.
        rest = rest.replace(placeholder.text(), "x");
    }
    if rest.contains(['{', '}']) {
        return Err(format!(
            "the placeholders are {}",
            Placeholder::ALL.map(Placeholder::text).join(", ")
        ));
    }
    if placeholders > 1 {
        return Err(
            "one part has two placeholders, so that two requesters could be given one name; \
             put a dot between them"
                .to_owned(),
        );
    }
    if placeholders == 1 && rest.contains('*') {
        return Err(
            "one part has a placeholder and a *, so that it covers other requesters' names; \
             put a dot between them"
                .to_owned(),
        );
    }
    if !is_label(&rest.replace('*', "x")) {
        return Err(
            "every part between dots is letters, digits and '-', at most 63, with no '-' at either \
             end (RFC 1123, section 2.1)"
                .to_owned(),
        );
    }
    Ok(())
}

impl DnsPattern {
    /// The labels with the requester's values in place, if it has them.
    fn resolve(&self, requester: &Requester<'_>) -> Option<Vec<String>> {
        self.0
            .iter()
            .map(|label| substitute(label, requester))
            .collect()
    }

    /// Whether `name`, valid and in lower case, is one of these for this requester. Label
    /// by label: a value with dots in it is no label, and matches nothing.
    pub(super) fn matches(&self, name: &str, requester: &Requester<'_>) -> bool {
        self.resolve(requester).is_some_and(|labels| {
            labels.len() == name.split('.').count()
                && labels
                    .iter()
                    .zip(name.split('.'))
                    .all(|(pattern, label)| label_matches(pattern, label))
        })
    }

    /// What it means for this requester, for a message.
    pub(super) fn shown(&self, requester: &Requester<'_>) -> String {
        self.resolve(requester)
            .map_or_else(|| self.to_string(), |labels| labels.join("."))
    }
}

fn label_matches(pattern: &str, label: &str) -> bool {
    let hidden = label.starts_with("xn--") && pattern.contains('*');
    !hidden && glob(pattern, label, &['.'])
}

impl fmt::Display for DnsPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("."))
    }
}

impl TryFrom<String> for WildcardPattern {
    type Error = PatternError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let Some(parent) = text.strip_prefix("*.") else {
            return Err(PatternError::new(&text, "it does not begin with *."));
        };
        if parent.contains('*') || !parent.contains('.') {
            return Err(PatternError::new(
                &text,
                "after *. come at least two parts without a *",
            ));
        }
        DnsPattern::try_from(parent.to_owned())
            .map(Self)
            .map_err(|error| PatternError::new(&text, error.problem))
    }
}

impl WildcardPattern {
    /// Whether `*.parent` is this one for this requester.
    pub(super) fn matches(&self, parent: &str, requester: &Requester<'_>) -> bool {
        self.0.matches(parent, requester)
    }

    pub(super) fn shown(&self, requester: &Requester<'_>) -> String {
        format!("*.{}", self.0.shown(requester))
    }
}

impl TryFrom<String> for ServicePattern {
    type Error = PatternError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let parts: Vec<&str> = text.split('.').collect();
        let [_, namespace] = parts.as_slice() else {
            return Err(PatternError::new(&text, "write Services as NAME.NAMESPACE"));
        };
        if namespace.contains('*') {
            return Err(PatternError::new(
                &text,
                "it would cover the Services of every namespace; write {namespace}, or name one",
            ));
        }
        DnsPattern::try_from(text).map(Self)
    }
}

impl ServicePattern {
    /// Whether `NAME.NAMESPACE` is one of these for this requester.
    pub(super) fn matches(&self, service: &str, requester: &Requester<'_>) -> bool {
        self.0.matches(service, requester)
    }

    pub(super) fn shown(&self, requester: &Requester<'_>) -> String {
        self.0.shown(requester)
    }
}

impl TryFrom<String> for TextPattern {
    type Error = PatternError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        // A line feed is in no text that is accepted below.
        let mut rest = text.clone();
        for placeholder in Placeholder::ALL {
            rest = rest.replace(placeholder.text(), "\n");
        }
        let between: Vec<&str> = rest.split('\n').collect();
        let ambiguous = between
            .get(1..between.len() - 1)
            .unwrap_or_default()
            .iter()
            .any(|text| {
                text.split('.')
                    .all(|part| part.is_empty() || is_in_names(part))
            });
        if ambiguous {
            return Err(PatternError::new(
                &text,
                "two placeholders with no '/', ':' or '@' between them, so that two requesters \
                 could be given one name",
            ));
        }
        let rest = rest.replace('\n', "x");
        if rest.contains(['{', '}']) {
            return Err(PatternError::new(
                &text,
                format!(
                    "the placeholders are {}",
                    Placeholder::ALL.map(Placeholder::text).join(", ")
                ),
            ));
        }
        if rest.is_empty()
            || !rest
                .bytes()
                .all(|byte| byte.is_ascii_graphic() && byte != b'*')
        {
            return Err(PatternError::new(
                &text,
                "it is written out in printable ASCII, without spaces and without *",
            ));
        }
        Ok(Self(text))
    }
}

fn is_in_names(text: &str) -> bool {
    text.bytes()
        .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

impl TextPattern {
    /// Whether this is `text`, exactly, for this requester.
    pub(super) fn matches(&self, text: &str, requester: &Requester<'_>) -> bool {
        substitute(&self.0, requester).is_some_and(|wanted| wanted == text)
    }

    pub(super) fn shown(&self, requester: &Requester<'_>) -> String {
        substitute(&self.0, requester).unwrap_or_else(|| self.0.clone())
    }
}

/// `template` with the requester's values for its placeholders, if it has them all.
fn substitute(template: &str, requester: &Requester<'_>) -> Option<String> {
    let mut text = template.to_owned();
    for placeholder in Placeholder::ALL {
        if text.contains(placeholder.text()) {
            text = text.replace(placeholder.text(), placeholder.value(requester)?);
        }
    }
    Some(text)
}

#[cfg(test)]
mod tests;
