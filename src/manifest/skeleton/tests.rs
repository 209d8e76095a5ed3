//! That a skeleton reads as its document does.

use std::ops::Range;

use proptest::prelude::*;

use super::super::read::load_text;
use super::super::tree::{Content, NodeId, Tree};
use super::*;

/// Every node that is kept, with its path, place and text.
fn outline(tree: &Tree<'_>) -> Vec<(String, Range<usize>, Option<String>)> {
    fn walk(
        tree: &Tree<'_>,
        id: NodeId,
        path: &str,
        out: &mut Vec<(String, Range<usize>, Option<String>)>,
    ) {
        let node = tree.node(id);
        let text = tree.text(id).map(str::to_owned);
        // Nothing is ever done at the beginning of a sequence.
        let place = match node.content {
            Content::Sequence(_) => 0..0,
            _ => node.span.clone(),
        };
        out.push((path.to_owned(), place, text));
        match &node.content {
            Content::Mapping { entries, .. } => {
                for (key, value) in entries {
                    let name = tree.text(*key).unwrap_or("?");
                    walk(tree, *key, &format!("{path}/{name}#"), out);
                    walk(tree, *value, &format!("{path}/{name}"), out);
                }
            }
            Content::Sequence(items) => {
                for (index, item) in items.iter().enumerate() {
                    walk(tree, *item, &format!("{path}/{index}"), out);
                }
            }
            Content::Scalar { .. } | Content::Alias(_) | Content::Elided => {}
        }
    }
    let mut out = Vec::new();
    walk(tree, tree.root, "", &mut out);
    out
}

/// What the outline, the skeleton and the whole document read as is the same, place by place.
/// Whether there was anything but the whole document.
#[track_caller]
fn agrees(text: &str) -> bool {
    let nothing = Sketch::default();
    let whole = load_text(text, false, None, &nothing);
    let mut sketch = Sketch::of(text);
    let fast = sketch.tree.take();
    sketch.skeleton = skeleton(text);
    let Some(skeleton) = &sketch.skeleton else {
        assert!(fast.is_none());
        return false;
    };
    // Whatever the parser would say of the skeleton, the outline says the same.
    if let Some(fast) = fast {
        let parsed = load_text(&skeleton.text, false, None, &nothing);
        assert!(matches!(parsed, Ok(Some(_))), "\n{text}\n{parsed:?}");
        let part = load_text(text, false, None, &sketch).unwrap().unwrap();
        assert_eq!(outline(&fast), outline(&part), "\n{text}");
    }
    let Ok(Some(whole)) = whole else {
        return true;
    };
    let part = load_text(text, false, None, &sketch).unwrap().unwrap();
    assert_eq!(
        outline(&part),
        outline(&whole),
        "\n{text}\n--\n{}",
        skeleton.text
    );
    true
}

/// The skeleton, also where there is an outline.
fn skeleton(text: &str) -> Option<Skeleton> {
    Sketch::read_as(text, None).and_then(|sketch| sketch.skeleton)
}

#[test]
fn values_of_no_interest_are_cut_and_their_keys_stay() {
    let text = "\
# a comment
kind: X
metadata:
  name: x
  labels:
    a: |
      # text
     # no text
    b: 'it''s
      {{ long }}'
webhooks:
- rules:
  - apiGroups: ['*']
    operations: [\"CREATE\", 'UPDATE'] # c
    x: plain
      text

      on
  name: a
  clientConfig: {url: x}
-   timeoutSeconds: 5

    name: b
    failurePolicy: Fail
";
    assert!(agrees(text));
    assert_eq!(
        skeleton(text).unwrap().text,
        "# a comment\nkind: X\nmetadata:\n  name: x\n  labels:\nwebhooks:\n- rules:\n  name: a\n  \
         clientConfig: {url: x}\n-   timeoutSeconds:\n    name: b\n    failurePolicy:"
    );
}

#[test]
fn long_base64_is_cut_down_in_every_quoting() {
    let base64 = "LS0tLS1C".repeat(20);
    for value in [
        base64.clone(),
        format!("'{base64}'"),
        format!("\"{base64}\" # c"),
    ] {
        for end in ["", "\n", "\r\n", "\nurl: x\n"] {
            let text = format!("caBundle:  {value}{end}");
            assert!(agrees(&text));
            assert!(skeleton(&text).unwrap().text.len() < 40);
        }
    }
}

#[test]
fn what_cannot_be_followed_is_left_to_the_parser() {
    for text in [
        "a: &x b\n",
        "a: *x\n",
        "a: !!str b\n",
        "a:\n\tb: c\n",
        "a: {b:\n  c}\n",
        "a: [b,\n  c]\n",
        "{{- if }}\na: b\n",
        "a: {{ b }}\n",
        "? a\n: b\n",
        "a: b: c\n",
        "a: b:\n",
        "a b: c\n",
        "<<: *x\n",
        "just text\n",
        "a: 'b\n",
        "a: \"b\" c\n",
        "a: [b] c\n",
        "%YAML 1.2\n---\na: b\n",
        "--- {a: b}\n",
        "a:\tb\n",
        "- a: b\n  - c\n d: e: f\n",
        // Other line breaks of YAML's.
        "#\r{\na:",
        "a: b # c\rd: e\n",
        "#\u{85}{\na:",
        "# \u{2028}{\na:",
        "a: b\n#\u{2029}c: d\n",
    ] {
        agrees(text);
        assert!(skeleton(text).is_none(), "{text:?}");
    }
}

#[test]
fn what_tools_write_needs_no_parser() {
    for text in [
        include_str!("../../../tests/operator/config/webhook/manifests.yaml"),
        include_str!("../../../tests/operator/config/crd/patches/webhook_in_widgets.yaml"),
        "items:\n- kind: X\n  webhooks:\n  - name: 'a'\n    clientConfig:\n      caBundle: \"Cg==\"\n",
    ] {
        for document in text.split("---\n").filter(|text| !text.trim().is_empty()) {
            assert!(agrees(document));
            assert!(Sketch::of(document).tree.is_some(), "{document}");
        }
    }
}

#[test]
fn what_has_to_be_interpreted_needs_the_parser() {
    for text in [
        "name: a\n  b\n",
        "name: 'a\n  b'\n",
        "name: 'it''s'\n",
        "name: \"a\\n\"\n",
        "name: ~\n",
        "name:\nkind: X\n",
        "- name:\n",
        "-\n",
        "caBundle: |\n  x\n",
        "service: {name: x}\n",
        "name: a\nname: b\n",
        "name: a\n  kind: b\n",
        "name: a\n kind: b\n",
        "  name: a\nkind: b\n",
        "webhooks:\n- a\nb\n",
        "webhooks:\n  - name: a\n - name: b\n",
        "- a\nname: b\n",
    ] {
        agrees(text);
        assert!(Sketch::of(text).tree.is_none(), "{text:?}");
    }
}

/// Lines of manifests and of trouble, at any indentation.
fn document() -> impl Strategy<Value = String> {
    let content = prop::sample::select(vec![
        "kind: X",
        "webhooks:",
        "rules:",
        "- rules:",
        "- name: a",
        "-  caBundle: Cg==",
        "clientConfig:",
        "clientConfig: {url: x}",
        "caBundle: |",
        "caBundle:",
        "other: |-",
        "other: >",
        "- |",
        "- - a",
        "-",
        "other:",
        "other: text # c",
        "other: more text",
        "text",
        "'quoted",
        "quoted'",
        "name: \"a",
        "b\"",
        "other: 'it''s'",
        "'name': x",
        "\"url\": \"y\"",
        "# comment",
        "#",
        "",
        "- # c",
        "- 'x': y",
        "list: [a, 'b', \"]\"]",
        "list: []",
        "path: /x # y",
        "spec: é",
        "url: https://x/y?z#a",
        "items:",
        "- items:",
        "port: 1",
    ]);
    let line = (0_usize..5, content)
        .prop_map(|(indent, content)| format!("{}{content}", " ".repeat(indent)));
    let lines = prop::collection::vec(line, 0..14);
    (lines, prop::sample::select(vec!["\n", "\r\n"]))
        .prop_map(|(lines, end)| lines.into_iter().map(|line| line + end).collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6000))]

    #[test]
    fn the_skeleton_reads_as_the_document_does(text in document()) {
        agrees(&text);
    }

    #[test]
    fn no_text_is_a_panic(text in "[a-c:\\-#'\"|>{}\\[\\]&*!? \t\r\n\u{85}\u{2028}]{0,40}") {
        agrees(&text);
    }
}
