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
        out.push((path.to_owned(), node.span.clone(), text));
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

/// The skeleton's tree is the one of the whole document, place by place.
#[track_caller]
fn agrees(text: &str) -> bool {
    let Some(skeleton) = Skeleton::of(text) else {
        return false;
    };
    let Ok(Some(whole)) = load_text(text, false, None) else {
        return true;
    };
    let part = load_text(text, false, Some(&skeleton)).unwrap().unwrap();
    assert_eq!(
        outline(&part),
        outline(&whole),
        "\n{text}\n--\n{}",
        skeleton.text
    );
    true
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
        Skeleton::of(text).unwrap().text,
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
            assert!(Skeleton::of(&text).unwrap().text.len() < 40);
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
    ] {
        assert!(Skeleton::of(text).is_none(), "{text:?}");
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
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn the_skeleton_reads_as_the_document_does(text in document()) {
        agrees(&text);
    }

    #[test]
    fn no_text_is_a_panic(text in "[a-c:\\-#'\"|>{}\\[\\]&*!? \t\r\n]{0,40}") {
        agrees(&text);
    }
}
