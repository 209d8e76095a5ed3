//! Why a request is not approved: one sentence that names what is wrong, for the
//! requester and for whoever is asked about it.
//!
//! Requests are written by strangers. What they contain is quoted, escaped and cut to
//! size before it reaches a condition, a log or a terminal.

use std::fmt;

use crate::pki::{CsrError, SignatureError};

/// Why a request is not approved. `Display` is the sentence, [`Refusal::code`] the
/// CamelCase word for a condition's `reason`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The PKCS #10 does not parse.
    #[error("{}", cut(&.0.to_string()))]
    Malformed(CsrError),
    /// The PKCS #10 proves nothing.
    #[error("{}", cut(&.0.to_string()))]
    Signature(SignatureError),
    /// Basic constraints with CA:TRUE.
    #[error("the request asks for a CA certificate")]
    CertificateAuthority,
    /// An extension that a request for a leaf has no use for.
    #[error("the request asks for the extension {0}, which is never granted")]
    Extension(String),
    /// An attribute that some CAs take extensions from.
    #[error("the request has the attribute {0}, from which some CAs copy extensions")]
    Attribute(String),
    /// An extended key usage that has no name in the Kubernetes API.
    #[error("the request asks for the extended key usage {0}, which is never granted")]
    Purpose(String),
    /// No subject alternative name.
    #[error(
        "the request has no subject alternative name; clients ignore the common name (RFC 9525, \
         section 2)"
    )]
    NoNames,
    /// A name that is not valid in a certificate, or of no server.
    #[error("{} {problem}", Quoted(.name))]
    BadName {
        /// The name.
        name: String,
        /// What is wrong with it, as the rest of a sentence.
        problem: &'static str,
    },
    /// A kind of name that is never granted.
    #[error("the request has a name of the kind {0}, which is never granted")]
    NameKind(&'static str),
    /// The API server's own name.
    #[error("{} is a name of the API server itself, which is never granted", Quoted(.0))]
    ApiServer(String),
    /// An attribute of the subject.
    #[error("the subject has {0}; only a common name and organizations can be allowed")]
    SubjectAttribute(String),
    /// Several common names.
    #[error("the subject has {0} common names; one at most is allowed")]
    CommonNames(usize),
    /// A common name that is not one of the names.
    #[error(
        "the common name {} is not one of the request's subject alternative names", Quoted(.0)
    )]
    CommonName(String),
    /// A common name longer than X.520 allows.
    #[error("the common name is longer than 64 characters (RFC 5280, appendix A)")]
    CommonNameLength,
    /// A usage that the Kubernetes API does not have.
    #[error("{} is no usage of the Kubernetes API", Quoted(.0))]
    UnknownUsage(String),
    /// `expirationSeconds` under the API's own minimum.
    #[error("spec.expirationSeconds is {0}; at least 600 is allowed")]
    LifetimeTooShort(i64),
    /// No rule is about this requester.
    #[error("no rule allows requests of {}", Quoted(.0))]
    Requester(String),
    /// A user name that claims to be a service account's.
    #[error("{} is not a service account, although it looks like one: {why}", Quoted(.username))]
    Impostor {
        /// The user name.
        username: String,
        /// Why not.
        why: &'static str,
    },
    /// A common name where none is allowed.
    #[error("the subject has the common name {}, and none is allowed", Quoted(.0))]
    CommonNameForbidden(String),
    /// An organization that is not listed.
    #[error("the subject has the organization {}, which is not allowed", Quoted(.0))]
    Organization(String),
    /// Another key than allowed.
    #[error("the key is {given}; allowed are {allowed}")]
    Key {
        /// What it is.
        given: String,
        /// The rule's list.
        allowed: String,
    },
    /// Another usage than allowed.
    #[error("the usage {given:?} is not allowed; allowed are {allowed}")]
    Usage {
        /// The usage's name.
        given: &'static str,
        /// The rule's list.
        allowed: String,
    },
    /// A usage that must be there.
    #[error("the usage {0:?} is required and not asked for")]
    UsageMissing(&'static str),
    /// More names than allowed.
    #[error("the request has {count} names; at most {max} are allowed")]
    TooManyNames {
        /// How many.
        count: usize,
        /// The rule's limit.
        max: usize,
    },
    /// A name that the rule does not allow to this requester.
    #[error("the name {} is not allowed{}", Quoted(.name), list_allowed(.allowed))]
    Name {
        /// The name with its kind.
        name: String,
        /// What the rule allows to this requester.
        allowed: Vec<String>,
    },
    /// Longer than allowed.
    #[error("the lifetime asked for is {asked} seconds; at most {max} are allowed")]
    LifetimeTooLong {
        /// `expirationSeconds`.
        asked: i64,
        /// The rule's limit.
        max: i64,
    },
    /// Not said, where the rule wants it said.
    #[error("spec.expirationSeconds is not set; set it to at most {0}")]
    LifetimeAbsent(i64),
    /// A requester that is no pod, where a Service must select it.
    #[error(
        "the requester is not known to be a pod, so no Service can be found to select it: use a \
         pod's own service account token"
    )]
    NotAPod,
    /// A Service of another namespace than the pod's.
    #[error("Service {service} cannot select a pod in namespace {}", Quoted(.namespace))]
    OtherNamespace {
        /// The Service.
        service: String,
        /// The pod's namespace.
        namespace: String,
    },
    /// No such pod.
    #[error("pod {} does not exist", Quoted(.0))]
    PodMissing(String),
    /// Another pod of the same name, or another service account's.
    #[error("pod {} is not the one that asks: its UID or its service account differs", Quoted(.0))]
    PodDiffers(String),
    /// No such Service.
    #[error("Service {0} does not exist")]
    ServiceMissing(String),
    /// The Service does not lead to the pod.
    #[error("Service {service} does not select pod {}", Quoted(.pod))]
    NotSelected {
        /// The Service.
        service: String,
        /// The pod.
        pod: String,
    },
    /// RBAC does not let the requester ask this signer.
    #[error(
        "the requester may not ask signer {0}: grant it the verb \"request\" on \
         signers.certificates.k8s.io of that name"
    )]
    SignerAccess(String),
}

impl Refusal {
    /// A CamelCase word for the `reason` of a condition.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "MalformedRequest",
            Self::Signature(_) => "SignatureNotAccepted",
            Self::CertificateAuthority => "CANotAllowed",
            Self::Extension(_) | Self::Attribute(_) => "ExtensionNotAllowed",
            Self::Purpose(_) | Self::Usage { .. } | Self::UnknownUsage(_) => "UsageNotAllowed",
            Self::UsageMissing(_) => "UsageMissing",
            Self::NoNames => "NoNames",
            Self::BadName { .. } => "InvalidName",
            Self::NameKind(_) | Self::ApiServer(_) | Self::Name { .. } => "NameNotAllowed",
            Self::TooManyNames { .. } => "TooManyNames",
            Self::SubjectAttribute(_)
            | Self::CommonNames(_)
            | Self::CommonName(_)
            | Self::CommonNameLength
            | Self::CommonNameForbidden(_)
            | Self::Organization(_) => "SubjectNotAllowed",
            Self::LifetimeTooShort(_) | Self::LifetimeTooLong { .. } | Self::LifetimeAbsent(_) => {
                "LifetimeNotAllowed"
            }
            Self::Requester(_) | Self::Impostor { .. } | Self::NotAPod => "RequesterNotAllowed",
            Self::Key { .. } => "KeyNotAllowed",
            Self::OtherNamespace { .. } | Self::ServiceMissing(_) | Self::NotSelected { .. } => {
                "ServiceDoesNotSelectPod"
            }
            Self::PodMissing(_) | Self::PodDiffers(_) => "PodMismatch",
            Self::SignerAccess(_) => "SignerAccessDenied",
        }
    }

    /// Whether the same request could be approved later, since objects in the cluster
    /// and not the request itself stand in its way: a Service that is applied after its
    /// pods, say. A denial is for ever, so a controller may choose to wait a while.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        matches!(
            self,
            Self::ServiceMissing(_)
                | Self::NotSelected { .. }
                | Self::PodMissing(_)
                | Self::SignerAccess(_)
        )
    }

    /// How far a request got before it was refused; of several rules' reasons the one
    /// that got furthest says most.
    pub(super) fn progress(&self) -> u8 {
        match self {
            Self::Requester(_) | Self::Impostor { .. } => 0,
            Self::Key { .. } | Self::Usage { .. } | Self::UsageMissing(_) => 1,
            Self::Name { .. } | Self::TooManyNames { .. } => 2,
            Self::CommonNameForbidden(_) | Self::Organization(_) => 3,
            Self::LifetimeTooLong { .. } | Self::LifetimeAbsent(_) => 4,
            _ => 5,
        }
    }
}

fn list_allowed(allowed: &[String]) -> String {
    match allowed {
        [] => ": no name is".to_owned(),
        some => format!("; allowed are {}", some.join(", ")),
    }
}

/// The longest text of a stranger that is repeated.
const LONGEST: usize = 120;

/// A stranger's text in quotation marks, without control characters, cut to size.
struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cut: String = self.0.chars().take(LONGEST).collect();
        write!(f, "{cut:?}")?;
        if cut.len() < self.0.len() {
            f.write_str("…")?;
        }
        Ok(())
    }
}

fn cut(sentence: &str) -> String {
    sentence
        .chars()
        .filter(|character| !character.is_control())
        .take(4 * LONGEST)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_strangers_text_is_escaped_and_cut() {
        let refusal = Refusal::CommonName(format!("\u{1b}[31m\n{}", "x".repeat(5000)));
        let sentence = refusal.to_string();
        assert!(sentence.len() < 300, "{}", sentence.len());
        assert!(!sentence.chars().any(char::is_control), "{sentence}");
        let malformed = Refusal::Malformed(CsrError::Malformed("\u{1b}x".repeat(5000)));
        assert!(malformed.to_string().len() < 600);
        assert!(!malformed.to_string().contains('\u{1b}'));
    }
}
