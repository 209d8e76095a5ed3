//! A CertificateSigningRequest as far as a policy judges it, in plain values.

use std::collections::BTreeMap;

use crate::pki::{Csr, CsrError};
use crate::request::RequestObject;

/// The fields of a CertificateSigningRequest's `spec`. All but `csr` and `usages` are
/// set or checked by the API server; nothing in `csr` is to be believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// `spec.signerName`
    pub signer_name: String,
    /// `spec.username`, set by the API server.
    pub username: String,
    /// `spec.uid`, set by the API server.
    pub uid: String,
    /// `spec.groups`, set by the API server.
    pub groups: Vec<String>,
    /// `spec.extra`, set by the API server.
    pub extra: BTreeMap<String, Vec<String>>,
    /// `spec.usages`
    pub usages: Vec<String>,
    /// `spec.expirationSeconds`
    pub expiration_seconds: Option<i64>,
    /// `spec.request`, decoded and parsed, not yet verified.
    pub csr: Result<Csr, CsrError>,
}

impl From<&RequestObject> for Request {
    fn from(object: &RequestObject) -> Self {
        let requester = object.requester.clone();
        Self {
            signer_name: object.signer_name.clone(),
            username: requester.username,
            uid: requester.uid,
            groups: requester.groups,
            extra: requester.extra,
            usages: object.usages.clone(),
            expiration_seconds: object.expiration_seconds,
            csr: object.csr(),
        }
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use serde_json::{Value, json};

    use super::*;
    use crate::policy::tests::{good_csr, request};

    fn object(request: &Request, pkcs10: &str) -> Value {
        json!({
            "apiVersion": "certificates.k8s.io/v1",
            "kind": "CertificateSigningRequest",
            "metadata": {"name": "hook"},
            "spec": {
                "signerName": request.signer_name,
                "username": request.username,
                "uid": request.uid,
                "groups": request.groups,
                "extra": request.extra,
                "usages": request.usages,
                "expirationSeconds": request.expiration_seconds,
                "request": STANDARD.encode(pkcs10),
            }
        })
    }

    #[test]
    fn an_api_object_becomes_the_same_request_as_its_fields() {
        let object = object(&request(), &good_csr().to_pem());
        let object = RequestObject::read(object).unwrap();
        assert_eq!(Request::from(&object), request());
    }

    #[test]
    fn a_pkcs10_that_does_not_parse_is_still_a_request() {
        let object = RequestObject::read(object(&request(), "junk")).unwrap();
        assert!(Request::from(&object).csr.is_err());
    }
}
