//! Manifests that people really have: refused with the place and what to do, nothing written.

use crate::{Home, hook};

const HEAD: &str = "apiVersion: admissionregistration.k8s.io/v1\n\
                    kind: ValidatingWebhookConfiguration\n\
                    metadata:\n  name: shop\n";

#[test]
fn each_mistake_is_told_with_file_line_and_remedy() {
    let home = Home::new();
    let webhook = |lines: &str| format!("kind: Other\n---\n{HEAD}webhooks:\n- name: a\n{lines}");
    for (manifest, words) in [
        (
            webhook("  clientConfig: [\n"),
            &["m.yaml, line 9 (document 2)", "not valid YAML"][..],
        ),
        (
            webhook("  clientConfig:\n\t  url: https://x\n"),
            &["m.yaml, line 10", "a tab is used as indentation"],
        ),
        (
            webhook("  clientConfig:\n    url: https://x\n    url: https://y\n"),
            &["m.yaml, line 11", "the key \"url\" is there twice"],
        ),
        (
            webhook("  clientConfig:\n    caBundle: {{ .Values.ca }}\n    url: https://x\n"),
            &["m.yaml, line 10", "a Go template", "helm template"],
        ),
        (
            webhook("{{- if .Values.on }}\n  clientConfig:\n    url: https://x\n{{- end }}\n"),
            &["m.yaml, line 9", "a Go template", "helm template"],
        ),
        (
            webhook("  sideEffects: None\n"),
            &["webhook \"a\": clientConfig is missing; add one"],
        ),
        (
            webhook("  clientConfig: {}\n"),
            &["webhook \"a\": clientConfig has neither service nor url"],
        ),
        (
            webhook("  clientConfig:\n    url: https://x\n    service: {name: a, namespace: b}\n"),
            &["webhook \"a\": clientConfig has both service and url"],
        ),
        (
            webhook("  clientConfig: 5\n"),
            &["webhook \"a\": clientConfig is malformed"],
        ),
        (
            format!("{HEAD}webhooks: none\n"),
            &["m.yaml, line 1", "webhooks"],
        ),
        (
            hook("    url: https://x\n").replace("/v1", "/v1beta1"),
            &["v1beta1", "not served since Kubernetes 1.22"],
        ),
        (
            "a: b: c\n".to_owned(),
            &["m.yaml, line 1", "not valid YAML"],
        ),
        ("{\"a\": 1".to_owned(), &["m.yaml, line 1", "not valid"]),
    ] {
        home.write("m.yaml", &manifest);
        home.certtool("inject -f m.yaml --ca ca.crt")
            .refused(1, words)
            .explains(&["nothing was written"]);
        home.certtool("inject -i -f m.yaml --ca ca.crt")
            .refused(1, words);
        assert_eq!(home.read("m.yaml"), manifest);
    }
}

#[test]
fn what_is_no_text_is_told() {
    let home = Home::new();
    home.piped([0xFF, 0xFE, b'a', 0], "inject --ca ca.crt")
        .refused(1, &["stdin, line 1", "UTF-16"]);
    let mut binary = hook("    url: https://x\n").into_bytes();
    binary.extend([0, 0xC3, 0x28]);
    home.piped(binary, "inject --ca ca.crt")
        .refused(1, &["not UTF-8 text"]);
    for empty in ["", " \n"] {
        home.piped(empty, "inject --ca ca.crt")
            .refused(1, &["stdin is empty"]);
    }
}

#[test]
fn objects_with_nothing_to_inject_into_pass_with_a_word() {
    let home = Home::new();
    let crd = "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: x}\n";
    for (manifest, word) in [
        (format!("{HEAD}webhooks: []\n"), "it has no webhooks"),
        (HEAD.to_owned(), "it has no webhooks"),
        (
            format!("{crd}spec:\n  conversion:\n    strategy: None # not Webhook\n"),
            "its conversion strategy is None, not Webhook",
        ),
        (crd.to_owned(), "no webhook configuration, CRD"),
        ("kind: Other\n".to_owned(), "no webhook configuration, CRD"),
    ] {
        let said = home
            .piped(&manifest, "inject --ca ca.crt")
            .done()
            .explains(&["warning: nothing to inject into", word]);
        assert_eq!(said.stdout, manifest);
    }
}

#[test]
fn a_shared_anchor_that_would_need_two_bundles_is_refused() {
    let home = Home::new();
    let manifest = format!(
        "{HEAD}webhooks:\n- name: a\n  clientConfig: &c\n    url: https://x\n- name: b\n  clientConfig: *c\n"
    );
    let after = home.injected(&manifest);
    assert_eq!(after.matches("caBundle").count(), 1);
    home.piped(&manifest, "inject --ca ca.crt --webhook a")
        .refused(1, &["share one anchor"]);
}
