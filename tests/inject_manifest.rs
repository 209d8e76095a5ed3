//! caBundle injection into manifests, seen from outside: which bytes change, and which do not.

use certtool::injectable::{CaBundle, ClientConfig, Decision, ObjectId, encode};
use certtool::manifest::{Edited, Injected, Reason, documents, inject, to_value};
use serde_json::Value;

const CA: &str = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
const OLD: &str = "-----BEGIN CERTIFICATE-----\nBBBB\n-----END CERTIFICATE-----\n";

fn ca() -> String {
    encode(CA.as_bytes())
}

fn always(_: &ClientConfig, _: &ObjectId) -> Decision {
    Decision::Set(CA.into())
}

fn run(input: &str) -> Injected<'_> {
    inject("m.yaml", input.as_bytes(), always)
}

/// Injects, checks that a second run changes nothing, and gives the text.
#[track_caller]
fn injected(input: &str) -> String {
    let result = run(input);
    assert_eq!(result.errors, [], "{input}");
    let output = String::from_utf8_lossy(&result.output).into_owned();
    let again = inject("m.yaml", output.as_bytes(), always);
    assert_eq!(again.changes, [], "a second run changes\n{output}");
    assert_eq!(again.errors, []);
    output
}

/// `expected` has `@CA@` where the bundle belongs.
#[track_caller]
fn becomes(input: &str, expected: &str) {
    assert_eq!(
        injected(input),
        expected.replace("@CA@", &ca()),
        "\n{input}"
    );
}

#[track_caller]
fn error(input: &str) -> String {
    let result = run(input);
    assert_eq!(result.changes, []);
    assert_eq!(result.output, input.as_bytes());
    assert_eq!(result.errors.len(), 1, "{:#?}", result.errors);
    result.errors[0].to_string()
}

const HEAD: &str = "apiVersion: admissionregistration.k8s.io/v1\n\
                    kind: ValidatingWebhookConfiguration\n\
                    metadata:\n  name: shop\n";

/// A configuration with one webhook that has this `clientConfig`.
fn hook(client_config: &str) -> String {
    format!("{HEAD}webhooks:\n- name: a.example.com\n  {client_config}\n  sideEffects: None\n")
}

#[track_caller]
fn hook_becomes(client_config: &str, expected: &str) {
    becomes(&hook(client_config), &hook(expected));
}

const SERVICE: &str = "service: {name: hook, namespace: shop}";

#[test]
fn an_absent_bundle_is_added_before_its_siblings() {
    hook_becomes(
        "clientConfig:\n    service:\n      name: hook\n      namespace: shop",
        "clientConfig:\n    caBundle: @CA@\n    service:\n      name: hook\n      namespace: shop",
    );
}

#[test]
fn a_comment_above_the_first_key_stays_with_that_key() {
    hook_becomes(
        &format!("clientConfig: # whom to call\n\n    # our own\n    # service\n    {SERVICE}"),
        &format!(
            "clientConfig: # whom to call\n\n    caBundle: @CA@\n    # our own\n    # service\n    \
             {SERVICE}"
        ),
    );
}

#[test]
fn an_existing_bundle_is_replaced_in_its_own_style() {
    let old = encode(OLD.as_bytes());
    let (first, second) = old.split_at(40);
    for (before, after) in [
        (format!("caBundle: {old}"), "caBundle: @CA@"),
        (
            format!("caBundle:    {old}   # ours"),
            "caBundle:    @CA@   # ours",
        ),
        (format!("caBundle: '{old}'"), "caBundle: '@CA@'"),
        (format!("caBundle: \"{old}\" # c"), "caBundle: \"@CA@\" # c"),
        (format!("\"caBundle\": \"{old}\""), "\"caBundle\": \"@CA@\""),
        (format!("caBundle: !!str {old}"), "caBundle: !!str @CA@"),
        (format!("caBundle: &ca {old}"), "caBundle: &ca @CA@"),
        (
            format!("caBundle: >- # c\n      {old}\n"),
            "caBundle: >- # c\n      @CA@\n",
        ),
        (
            format!("caBundle: |\n      {old}\n\n"),
            "caBundle: |\n      @CA@\n\n",
        ),
        (
            format!("caBundle: >\n        {first}\n        {second}"),
            "caBundle: >\n        @CA@",
        ),
        (
            format!("caBundle: \"{first}\\\n      {second}\""),
            "caBundle: \"@CA@\"",
        ),
        (
            format!("caBundle: {first}\n      {second}"),
            "caBundle: @CA@",
        ),
        (format!("caBundle:\n      {old}"), "caBundle:\n      @CA@"),
        (
            format!("caBundle: |2-\n      {old}"),
            "caBundle: |2-\n      @CA@",
        ),
    ] {
        hook_becomes(
            &format!("clientConfig:\n    {before}\n    {SERVICE}"),
            &format!("clientConfig:\n    {after}\n    {SERVICE}"),
        );
        hook_becomes(
            &format!("clientConfig:\n    {SERVICE}\n    {before}"),
            &format!("clientConfig:\n    {SERVICE}\n    {after}"),
        );
    }
}

#[test]
fn a_literal_block_keeps_its_line_width() {
    let old = encode(OLD.as_bytes());
    let block = |text: &str| {
        let lines: Vec<_> = text
            .as_bytes()
            .chunks(32)
            .map(|line| format!("      {}", str::from_utf8(line).unwrap()))
            .collect();
        format!(
            "clientConfig:\n    caBundle: |-\n{}\n    {SERVICE}",
            lines.join("\n")
        )
    };
    becomes(&hook(&block(&old)), &hook(&block(&ca())));
}

#[test]
fn placeholders_and_empty_values_are_filled() {
    for (before, after) in [
        ("caBundle:", "caBundle: @CA@"),
        ("caBundle: ", "caBundle: @CA@ "),
        ("caBundle:   # fill in", "caBundle: @CA@   # fill in"),
        ("caBundle: ~", "caBundle: @CA@"),
        ("caBundle: null # none", "caBundle: @CA@ # none"),
        ("caBundle: ''", "caBundle: '@CA@'"),
        ("caBundle: \"\"", "caBundle: \"@CA@\""),
        ("caBundle: Cg==", "caBundle: @CA@"),
        ("caBundle: \"  \\n\"", "caBundle: \"@CA@\""),
        ("caBundle: ${CA_BUNDLE}", "caBundle: @CA@"),
        ("caBundle: <base64 of the CA>", "caBundle: @CA@"),
        ("caBundle: 1234", "caBundle: @CA@"),
        ("caBundle: |", "caBundle: |\n      @CA@"),
        ("caBundle: |  # x\n", "caBundle: |  # x\n      @CA@\n"),
    ] {
        hook_becomes(
            &format!("clientConfig:\n    {before}\n    {SERVICE}"),
            &format!("clientConfig:\n    {after}\n    {SERVICE}"),
        );
    }
}

#[test]
fn flow_style_stays_flow_style() {
    for (before, after) in [
        (
            "clientConfig: {service: {name: hook, namespace: shop}}",
            "clientConfig: {caBundle: @CA@, service: {name: hook, namespace: shop}}",
        ),
        (
            "clientConfig: { service: {name: hook, namespace: shop} } # c",
            "clientConfig: { caBundle: @CA@, service: {name: hook, namespace: shop} } # c",
        ),
        (
            "clientConfig: {\"service\":{\"name\":\"hook\",\"namespace\":\"shop\"}}",
            "clientConfig: {\"caBundle\":\"@CA@\",\"service\":{\"name\":\"hook\",\"namespace\":\"shop\"}}",
        ),
        (
            "clientConfig: {caBundle: , service: {name: hook, namespace: shop}}",
            "clientConfig: {caBundle: @CA@ , service: {name: hook, namespace: shop}}",
        ),
        (
            "clientConfig: {url: https://x, caBundle: Cg==}",
            "clientConfig: {url: https://x, caBundle: @CA@}",
        ),
        (
            "clientConfig: { # c\n      url: https://x,\n    }",
            "clientConfig: { # c\n      caBundle: @CA@,\n      url: https://x,\n    }",
        ),
    ] {
        hook_becomes(before, after);
    }
    let alone = hook("clientConfig: {url: https://x, caBundle}");
    assert!(error(&alone).contains("a key without a colon"));
}

#[test]
fn windows_line_ends_stay() {
    let crlf = |text: &str| text.replace('\n', "\r\n");
    for (before, after) in [
        ("", "    caBundle: @CA@\n"),
        ("    caBundle: Cg==\n", "    caBundle: @CA@\n"),
        ("    caBundle:\n", "    caBundle: @CA@\n"),
        (
            "    caBundle: |\n      Cg==\n",
            "    caBundle: |\n      @CA@\n",
        ),
        ("    caBundle: |\n", "    caBundle: |\n      @CA@\n"),
    ] {
        becomes(
            &crlf(&hook(&format!("clientConfig:\n{before}    {SERVICE}"))),
            &crlf(&hook(&format!("clientConfig:\n{after}    {SERVICE}"))),
        );
    }
}

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
fn only_the_webhooks_that_are_chosen_change() {
    let input = format!(
        "{HEAD}webhooks:\n- name: a\n  clientConfig:\n    {SERVICE}\n- name: b\n  clientConfig:\n    \
         {SERVICE}\n"
    );
    let result = inject("m", input.as_bytes(), |config, id| {
        assert_eq!(id.to_string(), "ValidatingWebhookConfiguration/shop");
        match config.webhook.as_deref() {
            Some("b") => Decision::Set(CA.into()),
            _ => Decision::Keep,
        }
    });
    let expected = input.replace(
        "- name: b\n  clientConfig:\n",
        &format!("- name: b\n  clientConfig:\n    caBundle: {}\n", ca()),
    );
    assert_eq!(String::from_utf8_lossy(&result.output), expected);
}

#[test]
fn the_caller_sees_what_is_there() {
    let old = encode(OLD.as_bytes());
    let mut seen = Vec::new();
    for text in [format!("'{old}'"), old, "Cg==".to_owned(), String::new()] {
        let input = hook(&format!(
            "clientConfig:\n    caBundle: {text}\n    {SERVICE}"
        ));
        let _ = inject("m", input.as_bytes(), |config, _| {
            seen.push(config.ca_bundle.clone());
            Decision::Keep
        });
    }
    let present = CaBundle::Pem(OLD.into());
    assert_eq!(seen[..2], [present.clone(), present]);
    assert!(seen[2].is_invalid());
    assert_eq!(seen[3], CaBundle::Absent);
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
fn json_stays_json() {
    let pretty = "{
    \"apiVersion\": \"v1\",
    \"kind\": \"List\",
\t\"items\": [{
        \"apiVersion\": \"admissionregistration.k8s.io/v1\",
        \"kind\": \"ValidatingWebhookConfiguration\",
        \"metadata\": {\"name\": \"\\u0073hop\\/\"},
        \"webhooks\": [
            {
                \"name\": \"a\",
                \"clientConfig\": {
                    \"service\": {\"name\": \"hook\", \"namespace\": \"shop\"}
                }
            },
            {\"name\": \"b\", \"clientConfig\": {\"url\": \"https://x\", \"caBundle\": null}},
            {\"name\": \"c\", \"clientConfig\": {\"caBundle\":\"Cg==\", \"url\": \"https://x\"}}
        ]
    }]
}
";
    becomes(
        pretty,
        &pretty
            .replace(
                "                    \"service\"",
                "                    \"caBundle\": \"@CA@\",\n                    \"service\"",
            )
            .replace("null", "\"@CA@\"")
            .replace("Cg==", "@CA@"),
    );
    let compact = "{\"apiVersion\":\"admissionregistration.k8s.io/v1\",\"kind\":\
        \"MutatingWebhookConfiguration\",\"webhooks\":[{\"name\":\"a\",\"clientConfig\":\
        {\"url\":\"https://x\"}}]}";
    let twice = format!("{compact}\n{compact}");
    becomes(
        &twice,
        &twice.replace("{\"url\"", "{\"caBundle\":\"@CA@\",\"url\""),
    );
    for text in [pretty, compact] {
        assert!(serde_json::from_str::<Value>(&injected(text)).is_ok());
    }
    let aggregated = "{\"kind\":\"APIService\",\"apiVersion\":\"apiregistration.k8s.io/v1\",\
        \"metadata\":{\"name\":\"x\"},\"spec\":{\"group\":\"x\",\"service\":{\"name\":\"a\",\
        \"namespace\":\"b\"},\"insecureSkipTLSVerify\":true}}";
    becomes(
        aggregated,
        &aggregated
            .replace("{\"group\"", "{\"caBundle\":\"@CA@\",\"group\"")
            .replace("true", "false"),
    );
    let crlf = pretty.replace('\n', "\r\n");
    assert_eq!(injected(&crlf), injected(pretty).replace('\n', "\r\n"));
}

#[test]
fn a_client_config_shared_by_an_alias_is_changed_at_its_anchor() {
    let input = format!(
        "{HEAD}webhooks:\n- name: a\n  clientConfig: &cc\n    {SERVICE}\n- name: b\n  clientConfig: \
         *cc\n"
    );
    becomes(&input, &input.replace("&cc\n", "&cc\n    caBundle: @CA@\n"));
    let result = inject("m", input.as_bytes(), |config, _| {
        match config.webhook.as_deref() {
            Some("b") => Decision::Set(CA.into()),
            _ => Decision::Keep,
        }
    });
    assert_eq!(result.output, input.as_bytes());
    let message = result.errors[0].to_string();
    assert!(message.contains("a, b share one anchor"), "{message}");
}

#[test]
fn a_bundle_shared_by_an_alias_is_changed_once_when_all_get_the_same() {
    let input = format!(
        "{HEAD}webhooks:\n- name: a\n  clientConfig:\n    caBundle: &ca Cg==\n    {SERVICE}\n\
         - name: b\n  clientConfig:\n    caBundle: *ca\n    {SERVICE}\n"
    );
    becomes(&input, &input.replace("Cg==", "@CA@"));
    let only = |name: &'static str| {
        inject("m", input.as_bytes(), move |config, _| {
            if config.webhook.as_deref() == Some(name) {
                Decision::Set(CA.into())
            } else {
                Decision::Keep
            }
        })
    };
    // The alias can be written out; the anchor cannot change for one of the two.
    assert_eq!(
        String::from_utf8_lossy(&only("b").output),
        input.replace("*ca", &ca())
    );
    assert!(matches!(
        *only("a").errors[0].reason,
        Reason::SharedAnchor { .. }
    ));
    // Something else uses it as well.
    let elsewhere = format!("{input}x: *ca\n");
    assert!(error(&elsewhere).contains("share one anchor"));
}

#[test]
fn merge_keys_are_understood() {
    let input = format!(
        "{HEAD}x: &base\n  service: {{name: hook, namespace: shop}}\nwebhooks:\n- name: a\n  \
         clientConfig:\n    <<: *base\n- name: b\n  clientConfig:\n    <<: [*base]\n    caBundle: Cg==\n"
    );
    becomes(
        &input,
        &input
            .replace("    <<: *base", "    caBundle: @CA@\n    <<: *base")
            .replace("Cg==", "@CA@"),
    );
}

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
fn bad_json_is_named_too() {
    let kind = "\"kind\": \"ValidatingWebhookConfiguration\"";
    assert!(error(&format!("{{{kind},\n\"a\":\n1,\n\"a\": 2}}\n")).contains("line 4"));
    assert!(error(&format!("{{{kind},\n\"a\":}}]\n")).contains("not valid"));
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

#[test]
fn what_the_caller_refuses_is_an_error_at_the_bundle() {
    let input = hook("clientConfig:\n    url: https://x\n    caBundle: Cg==");
    let result = inject("m", input.as_bytes(), |_, _| {
        Decision::Refuse("not this".into())
    });
    assert_eq!(
        result.errors[0].to_string(),
        "m, line 9 (document 1), ValidatingWebhookConfiguration/shop: webhook \"a.example.com\": not \
         this"
    );
}

#[test]
fn a_manifest_without_a_final_line_break_stays_without() {
    for (before, after) in [
        (
            "    url: https://x",
            "    caBundle: @CA@\n    url: https://x",
        ),
        (
            "    url: https://x\n    caBundle:",
            "    url: https://x\n    caBundle: @CA@",
        ),
        (
            "    url: https://x\n    caBundle: Cg==",
            "    url: https://x\n    caBundle: @CA@",
        ),
        (
            "    url: https://x\n    caBundle: |",
            "    url: https://x\n    caBundle: |\n      @CA@",
        ),
        (
            "    url: https://x\n    caBundle: |\n      Cg==",
            "    url: https://x\n    caBundle: |\n      @CA@",
        ),
    ] {
        let head = format!("{HEAD}webhooks:\n- name: a\n  clientConfig:\n");
        becomes(&format!("{head}{before}"), &format!("{head}{after}"));
    }
}

#[test]
fn aliases_that_expand_without_bound_are_an_error() {
    let mut input = format!("{HEAD}a0: &a0 [x, x]\n");
    for level in 1..40 {
        let below = level - 1;
        input += &format!("a{level}: &a{level} [*a{below}, *a{below}]\n");
    }
    input.push_str("webhooks: *a39\n");
    assert!(error(&input).contains("expand to too much"));
}

#[test]
fn an_alias_to_what_it_is_in_is_an_error() {
    let itself = format!("{HEAD}webhooks: &a\n- clientConfig: *a\n");
    assert!(error(&itself).contains("expand to too much"));
}

#[test]
fn nesting_without_bound_is_an_error() {
    let deep = format!("{HEAD}webhooks: {}\n", "[".repeat(100_000));
    assert!(error(&deep).contains("not valid YAML"));
    let block = format!("{HEAD}webhooks: \n{}\n", "- ".repeat(100_000));
    assert!(error(&block).contains("not valid YAML"));
    let deep = format!(
        "{{\"kind\":\"ValidatingWebhookConfiguration\",\"webhooks\":{}{}}}",
        "[".repeat(100_000),
        "]".repeat(100_000)
    );
    assert!(error(&deep).contains("nested too deeply"));
}

#[test]
fn the_reader_agrees_with_an_independent_one() {
    let text = format!(
        "{}x:\n  a: 0x1F\n  b: [1, 2.5, -3, true, null, 'q', \"d\\n\"]\n  c: |\n    l1\n     l2\n\n  d: \
         >\n    f1\n    f2\n\n    f3\n  e: !!str 5\n  f: &f {{k: v}}\n  g: *f\n  plain: a\n    b\n",
        hook("clientConfig:\n    url: https://x")
    );
    let document = documents("m", text.as_bytes()).next().unwrap();
    let theirs: Value = serde_yaml::from_str(&text).unwrap();
    assert_eq!(to_value(&document).unwrap(), theirs);
}

#[test]
fn as_deep_as_is_allowed_is_read_on_a_small_stack() {
    let mut deep = String::new();
    for level in 0..110 {
        deep += &format!("{}spec:\n", "  ".repeat(level));
    }
    let input = format!(
        "{}{deep}x: &x 1\ny: *x\n",
        hook("clientConfig:\n    url: https://x")
    );
    let check = move || assert_eq!(run(&input).errors, []);
    std::thread::Builder::new()
        .stack_size(1 << 20)
        .spawn(check)
        .unwrap()
        .join()
        .unwrap();
}

mod generated {
    use proptest::prelude::*;

    use super::*;

    /// The lines of a `clientConfig`'s mapping, at no indentation.
    fn client_config() -> impl Strategy<Value = Vec<String>> {
        let bundle = prop::sample::select(vec![
            None,
            Some(vec!["caBundle:"]),
            Some(vec!["caBundle: Cg== # placeholder"]),
            Some(vec!["caBundle: ''"]),
            Some(vec!["# the bundle", "caBundle: \"\""]),
            Some(vec!["caBundle: |", "  Cg=="]),
            Some(vec!["caBundle: >- # folded", "    Cg==", "", "# after"]),
            Some(vec!["caBundle: 'Cg=", "", "  ='"]),
            Some(vec!["'caBundle' : null"]),
            Some(vec![
                "caBundle: LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCkJCQkIKLS0tLS1FTkQgQ0VSVElGSUNBVEUtLS0tLQo=",
            ]),
        ]);
        let target = prop::sample::select(vec![
            vec!["url: https://example.com/#a"],
            vec![
                "service:",
                "  name: hook",
                "  namespace: shop",
                "  path: /x",
            ],
            vec!["# whom", "service: {name: hook, namespace: shop} # inline"],
            vec![
                "service:",
                "",
                "    namespace: 'shop'",
                "    # why",
                "    name: \"hook\"",
            ],
        ]);
        (bundle, target, any::<bool>()).prop_map(|(bundle, target, first)| {
            let bundle = bundle.unwrap_or_default();
            let lines = if first {
                [bundle, target].concat()
            } else {
                [target, bundle].concat()
            };
            lines.into_iter().map(str::to_owned).collect()
        })
    }

    fn webhook(index: usize) -> impl Strategy<Value = Vec<String>> {
        let other = prop::sample::select(vec![
            vec![],
            vec!["failurePolicy: Fail # c"],
            vec![
                "rules:",
                "- apiGroups: ['*', \"\"]",
                "  operations:",
                "  - CREATE",
            ],
            vec!["x: |", "  clientConfig:", "    caBundle: no", "", "# odd"],
            vec!["y: 'clientConfig:", "  caBundle: no'"],
            vec!["z: {a: [b,", "  c]}"],
            vec!["matchConditions:", "- name: x", "  expression: 'a: b'"],
        ]);
        (client_config(), other.clone(), other, 1_usize..4).prop_map(
            move |(config, before, after, indent)| {
                let mut lines = vec![format!("name: w{index}")];
                lines.extend(before.iter().map(|line| (*line).to_owned()));
                lines.push("clientConfig: # here".to_owned());
                let indent = " ".repeat(indent);
                lines.extend(config.iter().map(|line| {
                    if line.is_empty() {
                        String::new()
                    } else {
                        format!("{indent}{line}")
                    }
                }));
                if before != after {
                    lines.extend(after.iter().map(|line| (*line).to_owned()));
                }
                lines
            },
        )
    }

    fn document() -> impl Strategy<Value = String> {
        let hooks = prop::collection::vec(Just(()), 1..4)
            .prop_flat_map(|hooks| (0..hooks.len()).map(webhook).collect::<Vec<_>>());
        (hooks, 0_usize..3, 0_usize..3, any::<bool>(), any::<bool>()).prop_map(
            |(hooks, indent, gap, crlf, last)| {
                let mut text = HEAD.to_owned() + "webhooks:\n";
                for lines in hooks {
                    let mut dash = true;
                    for line in lines {
                        if line.is_empty() {
                            text.push('\n');
                            continue;
                        }
                        let lead = if dash { "-" } else { " " };
                        dash = false;
                        text += &" ".repeat(indent);
                        text += lead;
                        text += &" ".repeat(gap + 1);
                        text += &line;
                        text.push('\n');
                    }
                }
                if last {
                    text.truncate(text.trim_end().len());
                }
                if crlf {
                    text.replace('\n', "\r\n")
                } else {
                    text
                }
            },
        )
    }

    /// What an independent parser reads, without the caBundles.
    fn without_bundles(text: &str) -> (Value, Vec<Value>) {
        let mut value: Value = serde_yaml::from_str(text).unwrap_or_default();
        let mut bundles = Vec::new();
        for hook in value["webhooks"].as_array_mut().into_iter().flatten() {
            let config = hook["clientConfig"].as_object_mut();
            bundles.extend(config.and_then(|config| config.remove("caBundle")));
        }
        (value, bundles)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]

        #[test]
        fn only_the_bundles_change_as_another_parser_sees_it(text in document()) {
            let result = run(&text);
            prop_assert_eq!(&result.errors, &[]);
            let output = String::from_utf8_lossy(&result.output).into_owned();
            let (before, _) = without_bundles(&text);
            let (after, bundles) = without_bundles(&output);
            prop_assert!(before["webhooks"].is_array());
            prop_assert_eq!(&before, &after);
            for bundle in &bundles {
                prop_assert_eq!(CaBundle::of_value(Some(bundle)), CaBundle::Pem(CA.into()));
            }
            prop_assert_eq!(bundles.len(), before["webhooks"].as_array().map_or(0, Vec::len));

            // Every line that is left is one of the input's, in order.
            let mut lines = text.split_inclusive('\n');
            for line in output.split_inclusive('\n') {
                if !line.contains("LS0t") && line.contains(|c: char| !c.is_whitespace()) {
                    prop_assert!(lines.any(|known| known == line), "{}", line);
                }
            }
            let again = inject("m", output.as_bytes(), always);
            prop_assert_eq!(again.changes, []);
        }

        #[test]
        fn no_input_is_a_panic_and_an_error_leaves_it_as_it_is(
            text in document(),
            cuts in prop::collection::vec((any::<prop::sample::Index>(), "[-\\[\\]{}:#&*!|>'\"%@?, \t\r\na-c.]{0,3}"), 0..4),
        ) {
            let mut bytes = text.into_bytes();
            for (at, insertion) in cuts {
                let at = at.index(bytes.len() + 1);
                bytes.splice(at..at, insertion.bytes());
            }
            let result = inject("m", &bytes, always);
            if result.changes.is_empty() {
                prop_assert_eq!(&*result.output, &bytes[..]);
            } else if let (Ok(before), Ok(after)) =
                (str::from_utf8(&bytes), str::from_utf8(&result.output))
                && serde_yaml::from_str::<Value>(before).is_ok()
            {
                prop_assert_eq!(without_bundles(before).0, without_bundles(after).0);
            }
        }
    }
}
