//! Objects that carry a caBundle.

use crate::{support::ControlPlane, waiting::until_bundle};

/// A configuration with one webhook.
pub fn configuration(kind: &str, name: &str, annotations: &str) -> String {
    format!(
        "---
apiVersion: admissionregistration.k8s.io/v1
kind: {kind}
metadata: {{name: {name}, annotations: {annotations}}}
webhooks:
- name: {name}.example.com
  clientConfig: {{service: {{name: {name}, namespace: shop}}}}
  admissionReviewVersions: [v1]
  sideEffects: None
  rules: [{{apiGroups: [example.com], apiVersions: [v1], resources: [hooks], operations: [CREATE]}}]
"
    )
}

/// One of each kind, which asks for the signer's.
pub fn injectable() -> String {
    let annotations = "{certtool.dev/inject-ca-from-signer: example.com/serving}";
    let mutating = configuration("MutatingWebhookConfiguration", "hook", annotations);
    let validating = configuration("ValidatingWebhookConfiguration", "hook", annotations);
    format!("{mutating}{validating}---{OTHER_KINDS}")
}

const OTHER_KINDS: &str = "
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  name: hooks.example.com
  annotations: {certtool.dev/inject-ca-from-signer: example.com/serving}
spec:
  group: example.com
  names: {kind: Hook, plural: hooks}
  scope: Namespaced
  versions:
  - {name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object}}}
  conversion:
    strategy: Webhook
    webhook:
      clientConfig: {service: {name: hook, namespace: shop}}
      conversionReviewVersions: [v1]
---
apiVersion: apiregistration.k8s.io/v1
kind: APIService
metadata:
  name: v1.hooks.example.com
  annotations: {certtool.dev/inject-ca-from-signer: example.com/serving}
spec:
  group: hooks.example.com
  version: v1
  service: {name: hook, namespace: shop}
  groupPriorityMinimum: 100
  versionPriority: 100
";

/// Waits until each of [`injectable`] has as many CAs.
pub async fn until_injected(cluster: &ControlPlane, count: usize) {
    let webhook = ".webhooks[0].clientConfig.caBundle";
    for (object, field) in [
        ("mutatingwebhookconfiguration/hook", webhook),
        ("validatingwebhookconfiguration/hook", webhook),
        (
            "crd/hooks.example.com",
            ".spec.conversion.webhook.clientConfig.caBundle",
        ),
        ("apiservice/v1.hooks.example.com", ".spec.caBundle"),
    ] {
        until_bundle(cluster, object, field, count).await;
    }
}
