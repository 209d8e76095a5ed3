//! What the caller is asked, and what becomes of the answers.

use certtool::injectable::{CaBundle, Decision, encode};
use certtool::manifest::inject;

use crate::{HEAD, OLD, SERVICE, ca, hook, only};

#[test]
fn only_the_webhooks_that_are_chosen_change() {
    let input = format!(
        "{HEAD}webhooks:\n- name: a\n  clientConfig:\n    {SERVICE}\n- name: b\n  clientConfig:\n    \
         {SERVICE}\n"
    );
    let mut only_b = only("b");
    let result = inject("m", input.as_bytes(), |config, id| {
        assert_eq!(id.to_string(), "ValidatingWebhookConfiguration/shop");
        only_b(config, id)
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
