//! What `status` and the machine-readable outputs show.

use serde_json::Value;

use crate::{
    World,
    support::{self},
    world::{MUTATING, VALIDATING, alone},
};

#[test]
fn nothing_attached_is_an_empty_result_and_a_hint() {
    let cluster = alone();
    support::run(async {
        let world = World::on(&cluster, "empty").await;
        for command in ["status", "detach"] {
            let said = world
                .local_dev(&[command])
                .done()
                .explains("nothing is attached");
            assert_eq!(said.stdout, "", "{command}");
        }
        let said = world.local_dev(&["status", "-o", "json"]).done();
        assert_eq!(said.json(), serde_json::json!({ "items": [] }));
        let said = world.local_dev(&["detach", "-o", "json"]).done();
        assert_eq!(said.json(), serde_json::json!({ "objects": [] }));
    });
}

#[test]
fn status_tells_what_is_attached_where_to_since_when_and_by_whom() {
    support::run(async {
        let world = World::new("status").await;
        let webhook = world.serve();
        let ns = &world.namespace;
        world
            .configuration(
                VALIDATING,
                "v",
                &[
                    ("v.example.com", "/validate"),
                    ("w.example.com", "/validate"),
                ],
            )
            .await;
        world
            .configuration(MUTATING, "m", &[("m.example.com", "/mutate")])
            .await;
        let port = webhook.address().port();
        world.attach(port, &[]).done();

        // From any machine.
        let label = world.label();
        let status = |args: &[&str]| {
            let other = world.elsewhere();
            other
                .local_dev(&[&["status", "-l", &label], args].concat())
                .done()
        };
        let rows = |text: &str| -> Vec<Vec<String>> {
            let words = |line: &str| line.split_whitespace().map(str::to_owned).collect();
            text.lines().map(words).collect()
        };
        let table = rows(&status(&[]).stdout);
        assert_eq!(table[0], ["KIND", "NAME", "WEBHOOK", "URL", "SINCE", "BY"]);
        assert_eq!(table.len(), 4, "{table:?}");
        let expected = [
            "MutatingWebhookConfiguration",
            &format!("{ns}-m"),
            "m.example.com",
            &format!("https://127.0.0.1:{port}/mutate"),
        ];
        assert_eq!(table[1][..4], expected);
        assert!(
            table[1][4].ends_with('Z') && table[1][5].starts_with("ann@"),
            "{table:?}"
        );

        let wide = rows(&status(&["-o", "wide"]).stdout);
        assert_eq!(wide[0][6..], ["SERVICE", "HOST"]);
        assert_eq!(wide[1][6], format!("hook.{ns}"));

        let data = status(&["-o", "json"]).json();
        let items = data["items"].as_array().unwrap();
        assert_eq!(items.len(), 3);
        assert_eq!(items[0]["kind"], "MutatingWebhookConfiguration");
        assert_eq!(items[0]["webhook"], "m.example.com");
        assert_eq!(items[0]["url"], expected[3]);
        assert_eq!(items[0]["service"], format!("hook.{ns}"));
        let yaml: Value = serde_yaml::from_str(&status(&["-o", "yaml"]).stdout).unwrap();
        assert_eq!(yaml, data);
        assert_eq!(
            status(&["-o", "name"]).stdout,
            format!("mutatingwebhookconfiguration/{ns}-m\nvalidatingwebhookconfiguration/{ns}-v\n")
        );

        world.detach(&[]).done();
        status(&[]).explains("nothing is attached");
    });
}

#[test]
fn attach_and_detach_tell_scripts_what_they_did() {
    support::run(async {
        let world = World::new("scripts").await;
        let webhook = world.serve();
        let ns = &world.namespace;
        world
            .configuration(VALIDATING, "v", &[("v.example.com", "/validate")])
            .await;
        let port = webhook.address().port();
        let url = format!("https://127.0.0.1:{port}/validate");
        let said = world.attach(port, &["-o", "json", "-q"]).done();
        assert_eq!(said.stderr, "");
        assert_eq!(
            said.json(),
            serde_json::json!({
                "urlHost": "127.0.0.1",
                "port": port,
                "proven": true,
                "objects": [{
                    "kind": "ValidatingWebhookConfiguration",
                    "name": format!("{ns}-v"),
                    "webhooks": [{
                        "name": "v.example.com",
                        "attached": true,
                        "changed": true,
                        "result": format!("attached to {url}"),
                    }],
                }],
            })
        );
        let said = world.attach(port, &["-o", "name", "-q"]).done();
        let named = format!("validatingwebhookconfiguration/{ns}-v\n");
        assert_eq!(said.stdout, named);
        let said = world.detach(&["-o", "json", "-q"]).done();
        assert_eq!(
            said.json(),
            serde_json::json!({
                "objects": [{
                    "kind": "ValidatingWebhookConfiguration",
                    "name": format!("{ns}-v"),
                    "webhooks": [{
                        "name": "v.example.com", "restored": true, "result": "restored",
                    }],
                }],
            })
        );
        world.attach(port, &["-q"]).done();
        assert_eq!(world.detach(&["-o", "name", "-q"]).done().stdout, named);
    });
}
