//! A bundle is written as its place and the one before it are: quotes, blocks, flow, comments.

use certtool::injectable::encode;

use crate::{OLD, SERVICE, becomes, ca, error, hook, hook_becomes};

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
