//! What another parser makes of manifests, of generated ones too, and of what became of them.

use certtool::injectable::CaBundle;
use certtool::manifest::{documents, inject, to_value};
use proptest::prelude::*;
use serde_json::Value;

use crate::{CA, HEAD, always, hook, run};

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
