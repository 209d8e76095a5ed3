//! Requests and certificates as reports: the data of `-o json`, and the text for people.

use std::fmt::Write;

use serde::Serialize;

use super::instant;
use crate::pki::{Certificate, Csr, San, Usage};
use crate::request::RequestObject;

/// A name with its type.
#[derive(Debug, Clone, Serialize)]
pub(super) struct NameReport {
    #[serde(rename = "type")]
    pub(super) kind: &'static str,
    pub(super) value: String,
}

/// A CSR, decoded.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CsrReport {
    pub(super) subject: String,
    pub(super) names: Vec<NameReport>,
    pub(super) public_key: String,
    pub(super) signature_algorithm: String,
    pub(super) signature_valid: bool,
    /// Why the signature proves nothing.
    pub(super) problem: Option<String>,
    pub(super) asks_for_ca: bool,
    pub(super) usages: Vec<String>,
    pub(super) extensions: Vec<String>,
    pub(super) attributes: Vec<String>,
}

/// A certificate, decoded.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CertificateReport {
    pub(super) subject: String,
    pub(super) issuer: String,
    pub(super) serial: String,
    pub(super) names: Vec<NameReport>,
    pub(super) not_before: String,
    pub(super) not_after: String,
    pub(super) public_key: String,
    pub(super) signature_algorithm: String,
    pub(super) usages: Vec<String>,
    pub(super) ca: bool,
    pub(super) path_length: Option<u8>,
    pub(super) fingerprint: String,
}

/// A CertificateSigningRequest, decoded.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RequestReport {
    name: String,
    uid: String,
    created: Option<String>,
    signer_name: String,
    requester: RequesterReport,
    usages: Vec<String>,
    expiration_seconds: Option<i64>,
    state: &'static str,
    conditions: Vec<ConditionReport>,
    request: Option<CsrReport>,
    /// Why the request itself does not read.
    problem: Option<String>,
    certificates: Vec<CertificateReport>,
    /// Why the issued certificate does not read.
    certificate_problem: Option<String>,
}

#[derive(Debug, Serialize)]
struct RequesterReport {
    username: String,
    uid: String,
    groups: Vec<String>,
    pod: Option<String>,
    extra: std::collections::BTreeMap<String, Vec<String>>,
}

#[derive(Debug, Serialize)]
struct ConditionReport {
    #[serde(rename = "type")]
    kind: String,
    reason: String,
    message: String,
    updated: Option<String>,
}

pub(super) fn names(names: &[San]) -> Vec<NameReport> {
    names
        .iter()
        .map(|name| NameReport {
            kind: name.kind(),
            value: name.value(),
        })
        .collect()
}

fn usage_names<'a>(usages: impl IntoIterator<Item = &'a Usage>) -> Vec<String> {
    usages.into_iter().map(ToString::to_string).collect()
}

impl CsrReport {
    pub(super) fn of(csr: &Csr) -> Self {
        let problem = csr.verified().err().map(|error| error.to_string());
        Self {
            subject: csr.subject.to_string(),
            names: names(&csr.names),
            public_key: csr.public_key.kind().to_string(),
            signature_algorithm: csr.signature_algorithm.clone(),
            signature_valid: problem.is_none(),
            problem,
            asks_for_ca: csr.asks_for_ca,
            usages: usage_names(&csr.usages),
            extensions: csr
                .extensions
                .iter()
                .map(|extension| extension.oid.to_string())
                .collect(),
            attributes: csr.attributes.clone(),
        }
    }

    pub(super) fn text(&self, indent: &str) -> String {
        let mut text = Text::new(indent);
        text.line("Subject", or_none(&self.subject));
        text.names(&self.names);
        text.line("Key", &self.public_key);
        let signature = match &self.problem {
            None => format!("{} (valid)", self.signature_algorithm),
            Some(problem) => format!("{} (NOT VALID: {problem})", self.signature_algorithm),
        };
        text.line("Signature", &signature);
        if self.asks_for_ca {
            text.line("Asks for", "a CA certificate (never granted)");
        }
        if !self.usages.is_empty() {
            text.line("Asks for usages", &self.usages.join(", "));
        }
        if !self.extensions.is_empty() {
            text.line("Extensions", &self.extensions.join(", "));
        }
        if !self.attributes.is_empty() {
            text.line("Attributes", &self.attributes.join(", "));
        }
        text.0
    }
}

impl CertificateReport {
    pub(super) fn of(certificate: &Certificate) -> Self {
        let usages = certificate
            .key_usages
            .iter()
            .flatten()
            .chain(certificate.extended_usages.iter().flatten());
        Self {
            subject: certificate.subject.to_string(),
            issuer: certificate.issuer.to_string(),
            serial: certificate.serial.clone(),
            names: names(&certificate.names),
            not_before: instant(certificate.validity.not_before),
            not_after: instant(certificate.validity.not_after),
            public_key: certificate.public_key.kind().to_string(),
            signature_algorithm: certificate.signature_algorithm.clone(),
            usages: usage_names(usages),
            ca: certificate.ca.is_some(),
            path_length: certificate.ca.and_then(|ca| ca.path_length),
            fingerprint: certificate.fingerprint(),
        }
    }

    pub(super) fn text(&self, indent: &str) -> String {
        let mut text = Text::new(indent);
        text.line("Subject", or_none(&self.subject));
        text.line("Issuer", &self.issuer);
        text.names(&self.names);
        text.line(
            "Valid",
            &format!("{} to {}", self.not_before, self.not_after),
        );
        text.line("Key", &self.public_key);
        text.line("Signature", &self.signature_algorithm);
        text.line("Usages", &self.usages.join(", "));
        if self.ca {
            let length = self
                .path_length
                .map_or_else(|| "unlimited".to_owned(), |n| n.to_string());
            text.line("CA", &format!("yes, path length {length}"));
        }
        text.line("Serial", &self.serial);
        text.line("SHA-256", &self.fingerprint);
        text.0
    }
}

impl RequestReport {
    pub(super) fn of(request: &RequestObject) -> Self {
        let (csr, problem) = match request.csr() {
            Ok(csr) => (Some(CsrReport::of(&csr)), None),
            Err(error) => (None, Some(error.to_string())),
        };
        let chain = request
            .certificate
            .as_deref()
            .map(Certificate::all_from_pem);
        let (certificates, certificate_problem) = match chain {
            Some(Ok(chain)) => (chain, None),
            Some(Err(error)) => (Vec::new(), Some(error.to_string())),
            None => (Vec::new(), None),
        };
        Self {
            name: request.name.clone(),
            uid: request.uid.clone(),
            created: request.created.map(instant),
            signer_name: request.signer_name.clone(),
            requester: RequesterReport {
                username: request.requester.username.clone(),
                uid: request.requester.uid.clone(),
                groups: request.requester.groups.clone(),
                pod: request.requester.pod().map(str::to_owned),
                extra: request.requester.extra.clone(),
            },
            usages: request.usages.clone(),
            expiration_seconds: request.expiration_seconds,
            state: request.state().as_str(),
            conditions: request
                .conditions
                .iter()
                .map(|condition| ConditionReport {
                    kind: condition.kind.clone(),
                    reason: condition.reason.clone(),
                    message: condition.message.clone(),
                    updated: condition.updated.map(instant),
                })
                .collect(),
            request: csr,
            problem,
            certificates: certificates.iter().map(CertificateReport::of).collect(),
            certificate_problem,
        }
    }

    pub(super) fn text(&self) -> String {
        let mut text = Text::new("");
        text.line("Name", &self.name);
        text.line("UID", &self.uid);
        text.line("Created", self.created.as_deref().unwrap_or("?"));
        text.line("State", self.state);
        text.line("Signer", &self.signer_name);
        text.line("Requester", &self.requester.username);
        if !self.requester.groups.is_empty() {
            text.line("Groups", &self.requester.groups.join(", "));
        }
        if let Some(pod) = &self.requester.pod {
            text.line("Pod", pod);
        }
        text.line("Usages", &self.usages.join(", "));
        let life = self.expiration_seconds.map_or_else(
            || "not said (the signer decides)".to_owned(),
            |seconds| super::duration::about(time::Duration::seconds(seconds)),
        );
        text.line("Life asked for", &life);
        for condition in &self.conditions {
            let at = condition.updated.as_deref().unwrap_or("?");
            text.line(
                "Condition",
                &format!(
                    "{} at {at}: {}: {}",
                    condition.kind, condition.reason, condition.message
                ),
            );
        }
        match (&self.request, &self.problem) {
            (Some(request), _) => {
                text.0.push_str("Request:\n");
                text.0.push_str(&request.text("  "));
            }
            (None, problem) => {
                text.line(
                    "Request",
                    &format!("does not read: {}", problem.as_deref().unwrap_or("?")),
                );
            }
        }
        if let Some(problem) = &self.certificate_problem {
            text.line("Certificate", &format!("does not read: {problem}"));
        }
        for (index, certificate) in self.certificates.iter().enumerate() {
            let heading = if index == 0 {
                "Certificate:\n"
            } else {
                "Chain:\n"
            };
            text.0.push_str(heading);
            text.0.push_str(&certificate.text("  "));
        }
        text.0
    }
}

/// Aligned `Key:  value` lines.
struct Text(String, String);

impl Text {
    fn new(indent: &str) -> Self {
        Self(String::new(), indent.to_owned())
    }

    fn line(&mut self, key: &str, value: &str) {
        // Writing to a String cannot fail.
        let value = plain(value);
        let _ = writeln!(self.0, "{}{:<17}{value}", self.1, format!("{key}:"));
    }

    fn names(&mut self, names: &[NameReport]) {
        if names.is_empty() {
            self.line("Names", "<none>");
        }
        for kind in ["DNS", "IP", "email", "URI"] {
            let of_kind: Vec<_> = names
                .iter()
                .filter(|name| name.kind == kind)
                .map(|name| name.value.as_str())
                .collect();
            if !of_kind.is_empty() {
                self.line(&format!("{kind} names"), &of_kind.join(", "));
            }
        }
        for name in names
            .iter()
            .filter(|name| !["DNS", "IP", "email", "URI"].contains(&name.kind))
        {
            self.line("Other name", name.kind);
        }
    }
}

/// Control characters in what others wrote must not steer the terminal.
pub(super) fn plain(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

fn or_none(text: &str) -> &str {
    if text.is_empty() { "<none>" } else { text }
}
