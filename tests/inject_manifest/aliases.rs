//! What several webhooks share through anchors, aliases and merge keys.

use certtool::manifest::{Reason, inject};

use crate::{HEAD, SERVICE, becomes, ca, error, only};

#[test]
fn a_client_config_shared_by_an_alias_is_changed_at_its_anchor() {
    let input = format!(
        "{HEAD}webhooks:\n- name: a\n  clientConfig: &cc\n    {SERVICE}\n- name: b\n  clientConfig: \
         *cc\n"
    );
    becomes(&input, &input.replace("&cc\n", "&cc\n    caBundle: @CA@\n"));
    let result = inject("m", input.as_bytes(), only("b"));
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
    let only = |webhook| inject("m", input.as_bytes(), only(webhook));
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
