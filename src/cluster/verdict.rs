//! What the API server's answer to a probe means.

/// What a probe showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    /// The verdict.
    pub verdict: Verdict,
    /// The API server's own words, empty when it had nothing to object.
    pub message: String,
}

impl Proof {
    pub(super) fn of(answer: Option<String>, webhook: &str) -> Self {
        match answer {
            None => Self {
                verdict: Verdict::Answered,
                message: String::new(),
            },
            Some(message) => Self {
                verdict: classify(&message, webhook),
                message,
            },
        }
    }

    /// The API server's words without their preamble: what went wrong.
    #[must_use]
    pub fn cause(&self) -> &str {
        on_its_way(&self.message)
            .or_else(|| Some(self.message.split_once(CALLED)?.1))
            .unwrap_or(&self.message)
    }
}

const CALLED: &str = "failed to call webhook: ";

/// What went wrong with a request on its way, which Go quotes as `Post "URL": CAUSE`.
fn on_its_way(message: &str) -> Option<&str> {
    let (_, request) = message.split_once("Post \"")?;
    Some(request.split_once("\": ")?.1)
}

/// Whether the API server's request arrived over TLS that it trusts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The webhook answered an admission review: allowed or denied.
    Answered,
    /// Something answered over trusted TLS, but not with an admission review: a
    /// conversion webhook, which expects another request, or a path that is not served.
    AnsweredOtherwise,
    /// Nothing answered at the path: HTTP 404.
    PathNotServed,
    /// Nothing listens there.
    NotListening,
    /// No TLS connection that the API server trusts.
    NotTrusted,
    /// No connection at all, or no answer in time.
    Unreachable,
    /// The request was stopped before it came to the webhook.
    Inconclusive,
}

impl Verdict {
    /// Whether trusted TLS from the API server to the webhook is proven.
    #[must_use]
    pub fn is_proof(self) -> bool {
        matches!(
            self,
            Self::Answered | Self::AnsweredOtherwise | Self::PathNotServed
        )
    }
}

/// Reads the API server's objection (`staging/src/k8s.io/apiserver/pkg/admission/plugin/webhook/errors`
/// and `…/validating/dispatcher.go`): what does not quote a request that failed on its way came
/// back from the server that was called.
fn classify(message: &str, webhook: &str) -> Verdict {
    if !message.contains(webhook) {
        return Verdict::Inconclusive;
    }
    if message.contains("denied the request") {
        return Verdict::Answered;
    }
    // The URL is left out: `certificate` is part of many a path.
    if let Some(cause) = on_its_way(message) {
        return classify_failure(cause);
    }
    if message.contains("could not get REST client") {
        return classify_failure(message);
    }
    if message.contains("could not find the requested resource") {
        Verdict::PathNotServed
    } else {
        Verdict::AnsweredOtherwise
    }
}

fn classify_failure(cause: &str) -> Verdict {
    let has = |words: &[&str]| words.iter().any(|word| cause.contains(word));
    if has(&[
        "x509:",
        "tls:",
        "unable to load root certificates",
        "certificate",
        "server gave HTTP response",
    ]) {
        Verdict::NotTrusted
    } else if has(&["connection refused"]) {
        Verdict::NotListening
    } else {
        Verdict::Unreachable
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &str = "target-0-abc.probe.certtool.dev";

    fn verdict(rest: &str) -> Verdict {
        classify(
            &format!(
                "Internal error occurred: failed calling webhook \"{NAME}\": failed to call webhook: {rest}"
            ),
            NAME,
        )
    }

    #[test]
    fn the_api_servers_own_words_are_told_apart() {
        let post = "Post \"https://127.0.0.1:9443/validate?timeout=5s\": ";
        assert_eq!(
            verdict(&format!(
                "{post}dial tcp 127.0.0.1:9443: connect: connection refused"
            )),
            Verdict::NotListening
        );
        assert_eq!(
            verdict(&format!(
                "{post}tls: failed to verify certificate: x509: certificate signed by unknown authority"
            )),
            Verdict::NotTrusted
        );
        assert_eq!(
            verdict(&format!(
                "{post}http: server gave HTTP response to HTTPS client"
            )),
            Verdict::NotTrusted
        );
        assert_eq!(
            verdict(&format!("{post}context deadline exceeded")),
            Verdict::Unreachable
        );
        assert_eq!(
            verdict(&format!(
                "{post}dial tcp: lookup host.docker.internal: no such host"
            )),
            Verdict::Unreachable
        );
        assert_eq!(
            verdict(
                "Post \"https://127.0.0.1:9443/validate-certificate?timeout=5s\": context deadline exceeded"
            ),
            Verdict::Unreachable
        );
        assert_eq!(
            verdict("the server could not find the requested resource"),
            Verdict::PathNotServed
        );
        assert_eq!(
            verdict(
                "expected webhook response of admission.k8s.io/v1, Kind=AdmissionReview, got /, Kind="
            ),
            Verdict::AnsweredOtherwise
        );
        assert_eq!(
            verdict("the server rejected our request for an unknown reason"),
            Verdict::AnsweredOtherwise
        );
        assert_eq!(
            classify(
                &format!("admission webhook \"{NAME}\" denied the request: no"),
                NAME
            ),
            Verdict::Answered
        );
        assert_eq!(
            classify("admission webhook \"other\" denied the request: no", NAME),
            Verdict::Inconclusive
        );
    }

    #[test]
    fn the_cause_is_what_follows_the_request() {
        let proof = |message: &str| Proof::of(Some(message.to_owned()), NAME);
        let refused = format!(
            "Internal error occurred: failed calling webhook \"{NAME}\": failed to call webhook: \
             Post \"https://127.0.0.1:9443/a?timeout=5s\": dial tcp 127.0.0.1:9443: connect: connection refused"
        );
        assert_eq!(
            proof(&refused).cause(),
            "dial tcp 127.0.0.1:9443: connect: connection refused"
        );
        let not_found = format!(
            "failed calling webhook \"{NAME}\": failed to call webhook: the server could not find the requested resource"
        );
        assert_eq!(
            proof(&not_found).cause(),
            "the server could not find the requested resource"
        );
        assert_eq!(proof("exceeded quota").cause(), "exceeded quota");
    }
}
