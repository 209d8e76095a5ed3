//! Line ends stay what they are, and so does a missing one.

use crate::{HEAD, SERVICE, becomes, hook};

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
