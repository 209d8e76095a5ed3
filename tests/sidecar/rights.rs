//! Missing rights are named, and what `--rbac-for` prints is enough and no more.

use serde_json::{Value, json};

use crate::{World, files::LIMIT, support};

const KEEP: &str = "--service hook.%N --cert-dir serving --signer %S";

#[test]
fn a_missing_right_is_said_as_a_rule_and_helps_once_it_is_there() {
    support::run(async {
        let world = World::without_rights(support::control_plane(), "norights").await;
        let said = world
            .run(&format!("--once {KEEP}"))
            .ended(1)
            .prints_nothing();
        let start = said
            .stderr
            .find("{apiGroups")
            .unwrap_or_else(|| panic!("{said:?}"));
        let end = start + said.stderr[start..].find('}').unwrap();
        let rule: Value = serde_yaml::from_str(&said.stderr[start..=end]).unwrap();
        assert_eq!(rule["verbs"], json!(["create"]));
        assert_eq!(rule["resources"], json!(["certificatesigningrequests"]));
        // The loop waits for it.
        let mut process = world.start(KEEP);
        process.wait_for("verbs: [\"create\"]", LIMIT);
        process.wait_for("There is no pair yet", LIMIT);
        world.grant(KEEP).await;
        let _signer = world.signs("--validity 1h");
        world.next_serial("");
        world.assert_good();
    });
}

#[test]
fn what_is_printed_is_no_more_than_is_used() {
    support::run(async {
        let world = World::without_rights(support::control_plane(), "printed").await;
        let options = format!("{KEEP} --trust-bundle other/trust --rbac-for shop/hook");
        let said = world.run(&options).done();
        let objects: Vec<Value> = said
            .stdout
            .split("---\n")
            .map(|text| serde_yaml::from_str(text).unwrap())
            .collect();
        let rules = |kind: &str, namespace: Value| {
            let found = objects.iter().find(|object| {
                object["kind"] == kind && object["metadata"]["namespace"] == namespace
            });
            found.unwrap()["rules"].clone()
        };
        assert_eq!(
            rules("ClusterRole", Value::Null),
            json!([{ "apiGroups": ["certificates.k8s.io"], "resources": ["certificatesigningrequests"], "verbs": ["create", "get"] }])
        );
        assert_eq!(
            rules("Role", json!("other")),
            json!([{ "apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"], "resourceNames": ["trust"] }])
        );
        assert_eq!(
            rules("Role", json!("shop")),
            json!([{ "apiGroups": ["events.k8s.io"], "resources": ["events"], "verbs": ["create"] }])
        );
    });
}
