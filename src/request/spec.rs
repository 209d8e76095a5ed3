//! New requests, and whether one that exists is the same.

use base64::Engine;
use serde_json::{Value, json};
use time::Duration;

use super::object::RequestObject;
use crate::pki::Usage;

/// The shortest life that the API server accepts (`validation.go`, `expirationSeconds`).
const MINIMUM: Duration = Duration::minutes(10);

/// What a new CertificateSigningRequest is to ask for.
#[derive(Debug, Clone)]
pub struct NewRequest {
    /// `metadata.name`
    pub name: String,
    /// `spec.signerName`
    pub signer_name: String,
    /// `spec.request`: PEM
    pub request: Vec<u8>,
    /// `spec.usages`
    pub usages: Vec<Usage>,
    /// `spec.expirationSeconds`
    pub expiration: Option<Duration>,
}

/// Why the API server would refuse it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    /// No name of an object.
    #[error("{0:?} is not a name for an object: it is empty, a dot or two, or has a / or %")]
    Name(String),
    /// Not `DOMAIN/PATH`.
    #[error("signer name {0:?} is not of the form DOMAIN/NAME, for example example.com/serving")]
    SignerName(String),
    /// v1 refuses it.
    #[error(
        "signer kubernetes.io/legacy-unknown is refused by certificates.k8s.io/v1: use a signer name of your own"
    )]
    LegacyUnknown,
    /// Too short a life.
    #[error(
        "a certificate's life of {0} seconds is too short: the API server accepts 600 (10 minutes) or more"
    )]
    TooShort(i64),
    /// Too long for the field.
    #[error(
        "a certificate's life of {0} seconds does not fit into expirationSeconds (at most 2147483647, 68 years)"
    )]
    TooLong(i64),
    /// No usage.
    #[error("a request needs at least one usage")]
    NoUsage,
}

impl NewRequest {
    /// The object to create.
    ///
    /// # Errors
    /// See [`SpecError`].
    pub fn to_object(&self) -> Result<Value, SpecError> {
        // `ValidatePathSegmentName` of apimachinery; the API server has no other rule.
        if matches!(self.name.as_str(), "" | "." | "..") || self.name.contains(['/', '%']) {
            return Err(SpecError::Name(self.name.clone()));
        }
        let valid = self
            .signer_name
            .split_once('/')
            .is_some_and(|(domain, path)| {
                domain.contains('.') && !path.is_empty() && !path.contains('/')
            });
        if !valid {
            return Err(SpecError::SignerName(self.signer_name.clone()));
        }
        if self.signer_name == "kubernetes.io/legacy-unknown" {
            return Err(SpecError::LegacyUnknown);
        }
        if self.usages.is_empty() {
            return Err(SpecError::NoUsage);
        }
        let usages: Vec<&str> = self.usages.iter().map(|usage| usage.name()).collect();
        let mut spec = json!({
            "request": base64::engine::general_purpose::STANDARD.encode(&self.request),
            "signerName": self.signer_name,
            "usages": usages,
        });
        if let Some(expiration) = self.expiration {
            let seconds = expiration.whole_seconds();
            if expiration < MINIMUM {
                return Err(SpecError::TooShort(seconds));
            }
            let seconds = i32::try_from(seconds).map_err(|_| SpecError::TooLong(seconds))?;
            spec["expirationSeconds"] = json!(seconds);
        }
        Ok(json!({
            "apiVersion": "certificates.k8s.io/v1",
            "kind": "CertificateSigningRequest",
            "metadata": {
                "name": self.name,
                "labels": { "app.kubernetes.io/managed-by": "certtool" },
            },
            "spec": spec,
        }))
    }
}

/// Whether an object asks for the same: same request (by its DER), signer, usages and life.
#[must_use]
pub fn same_request(existing: &RequestObject, wanted: &NewRequest) -> bool {
    let der = |pem: &[u8]| crate::pki::Csr::from_pem(pem).map(|csr| csr.der().to_vec());
    let sorted = |mut usages: Vec<String>| {
        usages.sort();
        usages.dedup();
        usages
    };
    let wanted_usages = wanted
        .usages
        .iter()
        .map(|usage| usage.name().to_owned())
        .collect();
    let same_bytes = match (der(&existing.request), der(&wanted.request)) {
        (Ok(ours), Ok(theirs)) => ours == theirs,
        _ => existing.request == wanted.request,
    };
    same_bytes
        && existing.signer_name == wanted.signer_name
        && sorted(existing.usages.clone()) == sorted(wanted_usages)
        && existing.expiration_seconds == wanted.expiration.map(Duration::whole_seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> NewRequest {
        NewRequest {
            name: "hook".into(),
            signer_name: "example.com/serving".into(),
            request: b"pem".to_vec(),
            usages: Usage::SERVING.to_vec(),
            expiration: Some(Duration::hours(24)),
        }
    }

    #[test]
    fn a_request_has_the_fields_of_the_api() {
        let object = request().to_object().unwrap();
        assert_eq!(object["spec"]["expirationSeconds"], 86400);
        assert_eq!(
            object["spec"]["usages"],
            json!(["digital signature", "key encipherment", "server auth"])
        );
    }

    #[test]
    fn what_the_api_server_would_refuse_is_said_before() {
        let with = |change: fn(&mut NewRequest)| {
            let mut request = request();
            change(&mut request);
            request.to_object().unwrap_err()
        };
        assert!(matches!(
            with(|r| r.signer_name = "serving".into()),
            SpecError::SignerName(_)
        ));
        assert_eq!(
            with(|r| r.signer_name = "kubernetes.io/legacy-unknown".into()),
            SpecError::LegacyUnknown
        );
        assert_eq!(
            with(|r| r.expiration = Some(Duration::minutes(9))),
            SpecError::TooShort(540)
        );
        assert!(matches!(
            with(|r| r.expiration = Some(Duration::days(36500))),
            SpecError::TooLong(_)
        ));
        assert_eq!(with(|r| r.usages.clear()), SpecError::NoUsage);
        for name in ["", ".", "..", "a/b", "../x", "50%"] {
            let mut request = request();
            request.name = name.to_owned();
            let error = request.to_object().unwrap_err();
            assert_eq!(error, SpecError::Name(name.to_owned()));
        }
    }
}
