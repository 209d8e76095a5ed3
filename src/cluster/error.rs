//! Why the API server was not reached, or did not do what was asked.

use std::error::Error as _;

use kube::config::{InferConfigError, KubeconfigError};

use super::call::Call;

/// The result of asking the API server.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, in words that say what to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No kubeconfig and not in a cluster.
    #[error(
        "no cluster to talk to: there is no kubeconfig (--kubeconfig, $KUBECONFIG, ~/.kube/config), \
         and this is not a pod; `kubectl config view` shows what kubectl would use"
    )]
    NoKubeconfig,
    /// The kubeconfig is unusable.
    #[error("the kubeconfig cannot be used: {0}")]
    Kubeconfig(String),
    /// The server does not answer.
    #[error("cannot reach the API server {server}: {why}")]
    Unreachable {
        /// Its URL.
        server: String,
        /// The network's or TLS's own words.
        why: String,
    },
    /// 401.
    #[error(
        "the API server does not accept these credentials ({message}): log in again, or check the kubeconfig's user"
    )]
    Unauthorized {
        /// The server's message.
        message: String,
    },
    /// 403.
    #[error("not allowed to {call}: {message}\nneeded: {}", .call.rbac_rule())]
    Forbidden {
        /// What was asked.
        call: Box<Call>,
        /// The server's message.
        message: String,
    },
    /// 404.
    #[error("cannot {call}: it does not exist")]
    NotFound {
        /// What was asked.
        call: Box<Call>,
    },
    /// 404, because of the namespace.
    #[error("there is no namespace {name:?}: choose another with --namespace")]
    NoNamespace {
        /// Its name.
        name: String,
    },
    /// 409, or a guarded patch that no longer fits.
    #[error("cannot {call}: somebody else changed it at the same time ({message}); run again")]
    Conflict {
        /// What was asked.
        call: Box<Call>,
        /// The server's message.
        message: String,
    },
    /// Anything else that the server said.
    #[error("cannot {call}: {message}")]
    Api {
        /// What was asked.
        call: Box<Call>,
        /// The HTTP status code.
        code: u16,
        /// The server's message.
        message: String,
    },
    /// The answer could not be read, or something local failed.
    #[error("cannot {call}: {why}")]
    Other {
        /// What was asked.
        call: Box<Call>,
        /// What failed.
        why: String,
    },
    /// The API server did not come back while it was waited for.
    #[error("gave up after {} s: {last}", waited.as_secs())]
    TimedOut {
        /// How long it was waited for.
        waited: std::time::Duration,
        /// What it did last.
        last: Box<Error>,
    },
    /// An object that is not as it should be.
    #[error(transparent)]
    Injectable(#[from] crate::injectable::Error),
    /// The local record of originals could not be kept; without it nothing is changed.
    #[error(transparent)]
    Record(crate::store::Error),
}

impl Error {
    pub(super) fn of(call: &Call, server: &str, error: &kube::Error) -> Self {
        let call = Box::new(call.clone());
        match error {
            kube::Error::Api(status) => {
                let message = status.message.clone();
                match status.code {
                    401 => Self::Unauthorized { message },
                    403 if is_rbac(&message) => Self::Forbidden { call, message },
                    404 if is_missing_namespace(status) => Self::NoNamespace {
                        name: call.namespace.clone().unwrap_or_default(),
                    },
                    404 => Self::NotFound { call },
                    409 if status.reason == "Conflict" => Self::Conflict { call, message },
                    code => Self::Api {
                        call,
                        code,
                        message,
                    },
                }
            }
            kube::Error::Service(_) | kube::Error::HyperError(_) => Self::Unreachable {
                server: server.to_owned(),
                why: innermost(error),
            },
            other => Self::Other {
                call,
                why: innermost(other),
            },
        }
    }

    /// Whether the API server may answer the next time: it restarts, or is overloaded.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            Self::Api { code, .. } => matches!(code, 429 | 500 | 502 | 503 | 504),
            _ => false,
        }
    }
}

/// An admission plugin's denial is 403 too, and a refusal to impersonate is not about the
/// request (k8s.io/apiserver pkg/endpoints/handlers/responsewriters/errors.go).
fn is_rbac(message: &str) -> bool {
    message.contains(" is forbidden: User \"") && !message.contains(" cannot impersonate")
}

fn is_missing_namespace(status: &kube::core::Status) -> bool {
    status
        .details
        .as_ref()
        .is_some_and(|details| details.kind == "namespaces")
}

/// The last cause, which says most, with the hint that belongs to it.
fn innermost(error: &kube::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    let text = cause.to_string();
    if text.contains("UnsupportedCertVersion") {
        return format!(
            "{text}: a certificate of the kubeconfig or of the API server is X.509 version 1, which \
             `openssl x509 -req` makes without extensions and rustls refuses; make it with extensions"
        );
    }
    text
}

impl From<KubeconfigError> for Error {
    fn from(error: KubeconfigError) -> Self {
        let mut text = error.to_string();
        if let Some(source) = error.source() {
            let source = source.to_string();
            if !text.contains(&source) {
                text = format!("{text}: {source}");
            }
        }
        Self::Kubeconfig(text)
    }
}

impl From<InferConfigError> for Error {
    fn from(_: InferConfigError) -> Self {
        Self::NoKubeconfig
    }
}

/// An error with all its causes, each said once.
pub(super) fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let said = cause.to_string();
        if !text.contains(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        next = cause.source();
    }
    text
}
