//! Which objects of a stream have something to inject into.

use certtool::manifest::Edited;

use crate::{HEAD, becomes, run};

#[test]
fn all_four_kinds_are_injected_and_others_are_copied() {
    let input = "\u{feff}# Source: shop/templates/all.yaml
apiVersion: v1
kind: Service
metadata: {name: hook, caBundle: no}
---
# Source: shop/templates/crd.yaml
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  name: things.example.com
  annotations:
    note: 'a \"quoted\" {{ thing }}'
spec:
  versions:
  - name: v1
    schema:
      openAPIV3Schema:
        description: |-
          clientConfig:
            caBundle: not this one
        properties:
          caBundle: {type: string}
  conversion:
    strategy: Webhook
    webhook:
      conversionReviewVersions: [v1]
      clientConfig:
        service: {name: hook, namespace: shop, path: /convert}
---
apiVersion: apiregistration.k8s.io/v1
kind: APIService
metadata:
  name: v1.metrics.example.com
spec:
  group: metrics.example.com
  insecureSkipTLSVerify: true # for now
  service:
    name: metrics
    namespace: kube-system
---
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingWebhookConfiguration
metadata:
  name: shop
webhooks:
  - clientConfig:
      caBundle: Cg==
      url: https://example.com
    name: a.example.com
  -
    name: b.example.com
    clientConfig:
      service:
        name: hook
        namespace: shop
...
# the end
";
    let expected = input
        .replace(
            "        service: {name: hook, namespace: shop, path",
            "        caBundle: @CA@\n        service: {name: hook, namespace: shop, path",
        )
        .replace("  group: metrics", "  caBundle: @CA@\n  group: metrics")
        .replace("Verify: true #", "Verify: false #")
        .replace("Cg==", "@CA@")
        .replace("      service:\n", "      caBundle: @CA@\n      service:\n");
    becomes(input, &expected);
    let result = run(input);
    let line = |text: &str| 1 + input[..input.find(text).unwrap()].matches('\n').count();
    let changes: Vec<_> = result
        .changes
        .iter()
        .map(|change| {
            let webhook = change.webhook.as_deref().unwrap_or("-");
            (
                change.document,
                change.line,
                webhook,
                change.edited,
                change.verify,
            )
        })
        .collect();
    assert_eq!(
        changes,
        [
            (2, line("        service: {name"), "-", Edited::Added, false),
            (3, line("  group: metrics"), "-", Edited::Added, true),
            (
                4,
                line("      caBundle: Cg"),
                "a.example.com",
                Edited::Replaced,
                false
            ),
            (
                4,
                line("      service:\n"),
                "b.example.com",
                Edited::Added,
                false
            ),
        ]
    );
}

#[test]
fn lists_of_any_depth_are_opened() {
    let item = "  - apiVersion: admissionregistration.k8s.io/v1
    kind: ValidatingWebhookConfiguration
    metadata:
      name: x
    webhooks:
    - name: a
      clientConfig:
        url: https://x
  - apiVersion: v1
    kind: ConfigMap
    data:
      clientConfig: |
        caBundle: Cg==
";
    for head in [
        "apiVersion: v1\nkind: List\nitems:\n",
        "kind: ResourceList\nfunctionConfig: {a: b}\nitems:\n",
        "kind: List\nitems:\n- kind: List\n  items:\n",
    ] {
        let input = format!("{head}{item}");
        becomes(
            &input,
            &input.replace("        url", "        caBundle: @CA@\n        url"),
        );
    }
}

#[test]
fn objects_without_anything_to_inject_into_are_noted() {
    let input = format!(
        "{HEAD}---\n{HEAD}webhooks: []\n---\napiVersion: apiextensions.k8s.io/v1\nkind: \
         CustomResourceDefinition\nmetadata: {{name: x}}\nspec:\n  conversion:\n    strategy: None # \
         Webhook\n"
    );
    let result = run(&input);
    let notes: Vec<_> = result
        .notes
        .iter()
        .map(|note| format!("{} {}", note.document, note.nothing))
        .collect();
    assert_eq!(
        notes,
        [
            "1 it has no webhooks",
            "2 it has no webhooks",
            "3 its conversion strategy is None, not Webhook"
        ]
    );
    assert_eq!(result.output, input.as_bytes());
}
