//! caBundle injection into manifests, seen from outside: which bytes change, and which do not.

mod aliases;
mod bad_documents;
mod bounds;
mod deciding;
mod in_style;
mod json;
mod kinds;
mod line_ends;
mod other_parser;

use certtool::injectable::{ClientConfig, Decision, ObjectId, encode};
use certtool::manifest::{Injected, inject};

const CA: &str = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
const OLD: &str = "-----BEGIN CERTIFICATE-----\nBBBB\n-----END CERTIFICATE-----\n";

const HEAD: &str = "apiVersion: admissionregistration.k8s.io/v1\n\
                    kind: ValidatingWebhookConfiguration\n\
                    metadata:\n  name: shop\n";

const SERVICE: &str = "service: {name: hook, namespace: shop}";

fn ca() -> String {
    encode(CA.as_bytes())
}

fn always(_: &ClientConfig, _: &ObjectId) -> Decision {
    Decision::Set(CA.into())
}

/// That of one webhook and no other.
fn only(webhook: &str) -> impl FnMut(&ClientConfig, &ObjectId) -> Decision {
    move |config, id| {
        if config.webhook.as_deref() == Some(webhook) {
            always(config, id)
        } else {
            Decision::Keep
        }
    }
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

/// A configuration with one webhook that has this `clientConfig`.
fn hook(client_config: &str) -> String {
    format!("{HEAD}webhooks:\n- name: a.example.com\n  {client_config}\n  sideEffects: None\n")
}

#[track_caller]
fn hook_becomes(client_config: &str, expected: &str) {
    becomes(&hook(client_config), &hook(expected));
}
