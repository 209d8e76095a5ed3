//! Patterns of requesters: service accounts and other users, never both.

use std::fmt;

use super::glob::glob;
use super::pattern::PatternError;
use super::requester::{Requester, is_label};
use super::text::from_text;

/// `NAMESPACE/NAME` of service accounts: `requester.serviceAccounts`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AccountPattern {
    namespace: String,
    name: String,
}

/// The name of a user that is not a service account: `requester.usernames`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct UserPattern(String);

from_text!(AccountPattern, UserPattern);

impl TryFrom<String> for AccountPattern {
    type Error = PatternError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let parts: Vec<&str> = text.split('/').collect();
        let [namespace, name] = parts.as_slice() else {
            return Err(PatternError::new(
                &text,
                "write service accounts as NAMESPACE/NAME",
            ));
        };
        let is_name = |part: &str| part.replace('*', "x").split('.').all(is_label);
        if !is_name(name) || !is_name(namespace) || namespace.contains('.') {
            return Err(PatternError::new(
                &text,
                "NAMESPACE and NAME are names of Kubernetes objects, in which * may stand for any \
                 characters; they have no placeholders",
            ));
        }
        Ok(Self {
            namespace: (*namespace).to_owned(),
            name: (*name).to_owned(),
        })
    }
}

impl AccountPattern {
    /// Whether the requester is one of these service accounts.
    pub(super) fn matches(&self, requester: &Requester<'_>) -> bool {
        requester.account().is_some_and(|account| {
            glob(&self.namespace, account.namespace, &[]) && glob(&self.name, account.name, &[])
        })
    }
}

impl fmt::Display for AccountPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

impl TryFrom<String> for UserPattern {
    type Error = PatternError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        if text.starts_with("system:serviceaccount") {
            return Err(PatternError::new(
                &text,
                "service accounts are written as NAMESPACE/NAME in serviceAccounts",
            ));
        }
        if text.is_empty() || text.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err(PatternError::new(&text, "it is empty or has white space"));
        }
        if text.contains(['{', '}']) {
            return Err(PatternError::new(
                &text,
                "placeholders have a value for service accounts alone",
            ));
        }
        Ok(Self(text))
    }
}

impl UserPattern {
    /// Whether the requester is such a user. Whoever claims to be a service account is not.
    pub(super) fn matches(&self, username: &str, requester: &Requester<'_>) -> bool {
        *requester == Requester::User && glob(&self.0, username, &[':', '@', '/'])
    }
}

impl fmt::Display for UserPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::super::requester::SOMEBODY;
    use super::*;

    fn problem<T>(result: Result<T, PatternError>) -> String {
        result.err().unwrap().to_string()
    }

    #[test]
    fn service_accounts_are_matched_part_by_part() {
        let account = |text: &str| AccountPattern::try_from(text.to_owned());
        for (pattern, expected) in [
            ("*/*", true),
            ("team-a/*", true),
            ("team-*/hook", true),
            ("team/*", false),
            ("team-a/hoo", false),
            ("eam-a/hook", false),
        ] {
            assert_eq!(
                account(pattern).unwrap().matches(&SOMEBODY),
                expected,
                "{pattern}"
            );
        }
        assert!(!account("*/*").unwrap().matches(&Requester::User));
        for text in ["team-a", "a/b/c", "{namespace}/x", "Team/x", "a.b/c", "/"] {
            assert!(account(text).is_err(), "{text}");
        }
    }

    #[test]
    fn user_patterns_never_mean_service_accounts() {
        let user = |text: &str| UserPattern::try_from(text.to_owned());
        assert!(problem(user("system:serviceaccount:a:*")).contains("NAMESPACE/NAME"));
        assert!(problem(user("{namespace}")).contains("service accounts alone"));
        assert!(user("").is_err() && user("a b").is_err());
        let any = user("*:*:*:*").unwrap();
        assert!(any.matches("oidc:a:b:c", &Requester::User));
        assert!(!any.matches("system:serviceaccount:team-a:hook", &SOMEBODY));
        let impostor = Requester::Impostor("");
        assert!(!any.matches("system:serviceaccount:team-a:hook", &impostor));
        let at = user("*@example.com").unwrap();
        assert!(at.matches("ann@example.com", &Requester::User));
        assert!(!at.matches("ann@evil.com@example.com", &Requester::User));
        assert!(!at.matches("oidc:ann@example.com", &Requester::User));
    }
}
