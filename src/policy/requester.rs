//! Who asks: a service account, proven, or anybody else.
//!
//! Invariant: `{namespace}`, `{serviceaccount}` and `{pod}` have a value only for a
//! requester that the API server's service account authenticator let in: a username
//! of exactly four parts *and* the two groups that come with it. A user name that
//! only looks like one, or `extra` fields of anybody else, bind nothing.

use super::Request;

/// `ServiceAccountUsernamePrefix` of Kubernetes'
/// `staging/src/k8s.io/apiserver/pkg/authentication/serviceaccount/util.go`, as are
/// the group names and the keys of `extra` below.
pub(super) const ACCOUNT_PREFIX: &str = "system:serviceaccount:";
const ALL_ACCOUNTS: &str = "system:serviceaccounts";
const POD_NAME: &str = "authentication.kubernetes.io/pod-name";
const POD_UID: &str = "authentication.kubernetes.io/pod-uid";

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Requester<'a> {
    /// A service account.
    Account(Account<'a>),
    /// A user name that claims to be a service account's and is not, and why.
    Impostor(&'static str),
    /// Any other user.
    User,
}

/// A service account and, where its token is bound to one, its pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Account<'a> {
    pub(super) namespace: &'a str,
    pub(super) name: &'a str,
    pub(super) pod: Option<BoundPod<'a>>,
}

/// The pod that a token is bound to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BoundPod<'a> {
    pub(super) name: &'a str,
    pub(super) uid: &'a str,
}

impl<'a> Requester<'a> {
    pub(super) fn of(request: &'a Request) -> Self {
        let Some(rest) = request.username.strip_prefix(ACCOUNT_PREFIX) else {
            return Self::User;
        };
        let parts: Vec<&str> = rest.split(':').collect();
        let [namespace, name] = parts.as_slice() else {
            return Self::Impostor("it is not system:serviceaccount:NAMESPACE:NAME");
        };
        if !is_label(namespace) || !is_subdomain(name) {
            return Self::Impostor("its parts are not names of a namespace and a service account");
        }
        let in_group = |group: &str| request.groups.iter().any(|have| have == group);
        if !in_group(ALL_ACCOUNTS) || !in_group(&format!("{ALL_ACCOUNTS}:{namespace}")) {
            return Self::Impostor(
                "it is not in the groups system:serviceaccounts and system:serviceaccounts:NAMESPACE",
            );
        }
        Self::Account(Account {
            namespace,
            name,
            pod: bound_pod(request),
        })
    }

    pub(super) fn account(&self) -> Option<&Account<'a>> {
        match self {
            Self::Account(account) => Some(account),
            Self::Impostor(_) | Self::User => None,
        }
    }
}

/// Both fields, one value each: anything else is no proof.
fn bound_pod(request: &Request) -> Option<BoundPod<'_>> {
    let only = |key: &str| match request.extra.get(key).map(Vec::as_slice) {
        Some([value]) if !value.is_empty() => Some(value.as_str()),
        _ => None,
    };
    let (name, uid) = (only(POD_NAME)?, only(POD_UID)?);
    is_subdomain(name).then_some(BoundPod { name, uid })
}

/// An RFC 1123 label as Kubernetes has them: lower-case.
pub(super) fn is_label(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// Labels with dots between them, at most 253 characters.
pub(super) fn is_subdomain(text: &str) -> bool {
    text.len() <= 253 && text.split('.').all(is_label)
}

/// For tests of patterns: pod `hook-0` of `team-a/hook`.
#[cfg(test)]
pub(super) const SOMEBODY: Requester<'static> = Requester::Account(Account {
    namespace: "team-a",
    name: "hook",
    pod: Some(BoundPod {
        name: "hook-0",
        uid: "u",
    }),
});

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::tests::request;

    #[test]
    fn a_service_account_needs_four_parts_and_its_groups() {
        let mut given = request();
        assert_eq!(
            Requester::of(&given).account().map(|account| (
                account.namespace,
                account.name,
                account.pod.map(|pod| (pod.name, pod.uid))
            )),
            Some(("team-a", "hook", Some(("hook-0", "pod-uid-1"))))
        );
        given.groups.retain(|group| !group.ends_with(":team-a"));
        assert!(matches!(Requester::of(&given), Requester::Impostor(_)));
        for username in [
            "system:serviceaccount:team-a:hook:x",
            "system:serviceaccount:team-a",
            "system:serviceaccount:Team-A:hook",
            "system:serviceaccount::hook",
            "system:serviceaccount:team-a:../hook",
        ] {
            let given = Request {
                username: username.to_owned(),
                ..request()
            };
            assert!(matches!(Requester::of(&given), Requester::Impostor(_)));
        }
    }

    #[test]
    fn a_pod_is_known_only_by_one_name_and_one_uid() {
        for key in [POD_NAME, POD_UID] {
            let mut given = request();
            given.extra.remove(key);
            assert_eq!(bound_pod(&given), None);
            given
                .extra
                .insert(key.to_owned(), vec!["a".into(), "b".into()]);
            assert_eq!(bound_pod(&given), None);
        }
    }
}
