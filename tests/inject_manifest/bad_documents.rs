//! A document with an error stays as it is, and the error says where and why.

use crate::{error, hook, injected, run};

#[test]
fn a_bad_document_is_named_and_the_others_are_injected() {
    let good = hook("clientConfig:\n    url: https://x");
    let kind = "kind: ValidatingWebhookConfiguration\n";
    for (bad, reason) in [
        ("a: b: c\n", "not valid YAML"),
        ("webhooks:\n\t- a\n", "a tab is used"),
        ("name: {{ .Release.Name }}-x\n", "Go template"),
        ("{{- if .Values.x }}\nx: y\n{{- end }}\n", "Go template"),
        ("failurePolicy: {{ .Values.x }}\n", "Go template"),
        ("name: {{ .Values.x }}\n", "Go template"),
        ("kind: x\n", "the key \"kind\" is there twice"),
        ("other: 1\nother: 2\n", "the key \"other\" is there twice"),
        ("x: \u{1}\n", "not UTF-8 text"),
        ("x: *y\n", "not valid YAML"),
        ("[a]: y\n", "a key here is not a string"),
        (
            "apiVersion: admissionregistration.k8s.io/v1beta1\n",
            "convert the object to admissionregistration.k8s.io/v1",
        ),
        (
            "apiVersion: admissionregistration.k8s.io/v1\nwebhooks: {a: b}\n",
            "webhooks is a mapping, not a list",
        ),
    ] {
        let bad = format!("{kind}{bad}");
        let input = format!("{good}---\n{bad}---\n{good}");
        let result = run(&input);
        assert_eq!(result.changes.len(), 2, "{bad}: {:?}", result.errors);
        assert_eq!(result.errors.len(), 1, "{bad}");
        let error = &result.errors[0];
        assert!(error.to_string().contains(reason), "{bad}: {error}");
        assert_eq!(error.document, 2);
        let first = good.lines().count() + 2;
        let last = first + bad.lines().count();
        assert!((first..last).contains(&error.line), "{bad}: {error}");
        let one = injected(&good);
        assert_eq!(
            String::from_utf8_lossy(&result.output),
            format!("{one}---\n{bad}---\n{one}")
        );
    }
}

#[test]
fn a_document_with_one_bad_webhook_stays_as_it_is() {
    for (client_config, reason) in [
        ("x: y", "clientConfig is missing"),
        ("clientConfig:", "clientConfig is missing"),
        ("clientConfig: {}", "neither service nor url"),
        (
            "clientConfig:\n    url: https://x\n    service: {name: hook, namespace: shop}",
            "both service and url",
        ),
        (
            "clientConfig: {service: {name: hook}}",
            "service has no namespace",
        ),
        (
            "clientConfig:\n    url: https://x\n    caBundle: [a]",
            "it is a list or a mapping",
        ),
        (
            "clientConfig:\n    url: https://x\n    caBundle: !!binary Cg==",
            "YAML tag",
        ),
    ] {
        let input = format!(
            "{}- name: good\n  clientConfig:\n    url: https://x\n",
            hook(client_config)
        );
        let message = error(&input);
        assert!(message.contains(reason), "{message}");
        assert!(message.contains("webhook \"a.example.com\""), "{message}");
        assert!(message.contains("m.yaml, line "), "{message}");
    }
}
