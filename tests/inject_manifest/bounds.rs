//! Input that would expand or nest without bound.

use crate::{HEAD, error, hook, run};

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
