//! Objects that the unit tests of this module share.

use serde_json::{Value, json};

use super::*;

pub(super) const CA: &str = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
pub(super) const OTHER_CA: &str = "-----BEGIN CERTIFICATE-----\nBBBB\n-----END CERTIFICATE-----\n";
pub(super) const KEY: &str = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";

pub(super) fn validating() -> Value {
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": "shop", "resourceVersion": "42"},
        "webhooks": [
            {
                "name": "a.example.com",
                "clientConfig": {"service": {
                    "namespace": "shop", "name": "hook", "path": "/validate-a", "port": 443}},
                "failurePolicy": "Fail",
                "sideEffects": "None",
            },
            {
                "name": "b.example.com",
                "clientConfig": {
                    "service": {"namespace": "shop", "name": "hook", "path": "/validate-b", "port": 8443},
                    "caBundle": encode(OTHER_CA.as_bytes()),
                },
            },
            {"name": "c.example.com", "clientConfig": {"url": "https://elsewhere/c"}},
        ],
    })
}

pub(super) fn crd() -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": "things.example.com",
            "resourceVersion": "7",
            "annotations": {"controller-gen.kubebuilder.io/version": "v0.16"},
        },
        "spec": {"group": "example.com", "conversion": {
            "strategy": "Webhook",
            "webhook": {
                "clientConfig": {"service": {"namespace": "shop", "name": "hook", "path": "/convert"}},
                "conversionReviewVersions": ["v1"],
            },
        }},
    })
}

pub(super) fn api_service() -> Value {
    json!({
        "apiVersion": "apiregistration.k8s.io/v1",
        "kind": "APIService",
        "metadata": {"name": "v1.metrics.example.com", "resourceVersion": "9"},
        "spec": {
            "group": "metrics.example.com",
            "insecureSkipTLSVerify": true,
            "service": {"namespace": "kube-system", "name": "metrics"},
        },
    })
}

pub(super) fn apply(object: &Value, plan: &Plan) -> Value {
    let mut object = object.clone();
    if let Some(patch) = &plan.patch {
        json_patch::patch(&mut object, patch).unwrap();
    }
    object
}
