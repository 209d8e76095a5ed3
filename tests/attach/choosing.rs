//! Which webhooks are meant by which options.

use std::collections::BTreeSet;

use serde_json::json;

use crate::{
    World, support,
    world::{MUTATING, Said, VALIDATING, name},
};

/// `KIND/OBJECT WEBHOOK` of everything that was chosen, without this test's namespace.
fn chosen(world: &World<'_>, said: &Said) -> Vec<String> {
    let data = said.json();
    let mut all = BTreeSet::new();
    for object in data["objects"].as_array().unwrap() {
        for webhook in object["webhooks"].as_array().unwrap() {
            let text = format!("{} {}", object["kind"], webhook["name"]);
            all.insert(text.replace('"', "").replace(&world.namespace, "NS"));
        }
    }
    all.into_iter().collect()
}

#[test]
fn webhooks_are_chosen_by_name_label_namespace_and_service() {
    support::run(async {
        let world = World::new("choice").await;
        let ns = &world.namespace;
        let [one, two, other] = ["one", "two", "other"].map(|name| format!("{name}.{ns}.io"));
        let both = world
            .configuration(VALIDATING, "both", &[(&one, "/1"), (&two, "/2")])
            .await;
        let mutating = world
            .configuration(MUTATING, "mutating", &[(&other, "/3")])
            .await;
        let crd = world.crd().await;
        // The second webhook calls another Service in another namespace.
        let away = format!("{ns}-away");
        world
            .edit(&both, |object| {
                object["webhooks"][1]["clientConfig"]["service"]["namespace"] = json!(away);
                object["webhooks"][1]["clientConfig"]["service"]["name"] = json!("gate");
            })
            .await;
        world
            .patch(
                &crd,
                &json!({ "metadata": { "labels": { "more": "yes" } } }),
            )
            .await;

        let [validating_1, validating_2, mutating_3, conversion] = [
            "ValidatingWebhookConfiguration one.NS.io",
            "ValidatingWebhookConfiguration two.NS.io",
            "MutatingWebhookConfiguration other.NS.io",
            "CustomResourceDefinition widgets.NS.example.com",
        ];
        let label = world.label();
        let crd_name = name(&crd);
        let qualified = [
            format!("vwc/{}", name(&both)),
            format!("mutatingwebhookconfiguration/{}", name(&mutating)),
            format!("crd/{crd_name}"),
            format!("mwc/{}", name(&both)),
        ];
        let [hook, gate] = [format!("hook.{ns}"), format!("gate.{away}")];
        let cases: [(&[&str], &[&str]); 13] = [
            (&["--webhook", name(&both)], &[validating_1, validating_2]),
            (&["--webhook", &one], &[validating_1]),
            (
                &["--webhook", &one, "--webhook", &other],
                &[mutating_3, validating_1],
            ),
            (&["--webhook", crd_name], &[conversion]),
            (&["--webhook", &qualified[0]], &[validating_1, validating_2]),
            (&["--webhook", &qualified[1]], &[mutating_3]),
            (&["--webhook", &qualified[2]], &[conversion]),
            (
                &["-l", &label],
                &[conversion, mutating_3, validating_1, validating_2],
            ),
            (&["-l", &format!("{label},more=yes")], &[conversion]),
            (
                &["--all-in-namespace", ns],
                &[conversion, mutating_3, validating_1],
            ),
            (&["--all-in-namespace", &away], &[validating_2]),
            (
                &["--service", &hook],
                &[conversion, mutating_3, validating_1],
            ),
            (&["--service", &gate, "-l", &label], &[validating_2]),
        ];
        for (args, expected) in cases {
            let plan = ["attach", "--dry-run=client", "-o", "json"];
            let said = world.local_dev(&[&plan, args].concat()).done();
            assert_eq!(chosen(&world, &said), expected, "{args:?}");
        }
        world
            .local_dev(&["attach", "--webhook", &qualified[3]])
            .ended(1)
            .explains("no webhook named mwc/");
    });
}

#[test]
fn the_webhooks_of_manifests_are_chosen_by_object_and_by_service() {
    support::run(async {
        let world = World::new("manifests").await;
        let ns = &world.namespace;
        let path = world
            .configuration(VALIDATING, "v", &[("v.example.com", "/1")])
            .await;
        world
            .configuration(MUTATING, "m", &[("m.example.com", "/2")])
            .await;
        world
            .configuration(MUTATING, "x", &[("x.example.com", "/2")])
            .await;
        let manifests = world.home.path().join("manifests.yaml");
        let text = format!(
            "apiVersion: admissionregistration.k8s.io/v1\nkind: MutatingWebhookConfiguration\n\
             metadata: {{name: {ns}-m}}\nwebhooks:\n- name: m.example.com\n  clientConfig:\n    \
             service: {{name: gone, namespace: {ns}}}\n---\napiVersion: v1\nkind: Service\n\
             metadata: {{name: hook, namespace: {ns}}}\n"
        );
        std::fs::write(&manifests, text).unwrap();
        let file = manifests.to_str().unwrap();
        let plan = ["attach", "--dry-run=client", "-o", "json", "-f", file];
        let said = world.local_dev(&plan).done();
        assert_eq!(
            chosen(&world, &said),
            ["MutatingWebhookConfiguration m.example.com"]
        );
        let service = format!("hook.{ns}");
        let said = world
            .local_dev(&[&plan[..], &["--service", &service]].concat())
            .done();
        assert_eq!(chosen(&world, &said).len(), 3);
        assert_eq!(world.urls(&path).await, [""]);
    });
}

#[test]
fn only_the_chosen_webhooks_of_a_configuration_change_and_more_can_be_added() {
    support::run(async {
        let world = World::new("some").await;
        let webhook = world.serve();
        let port = webhook.address().port().to_string();
        let ns = &world.namespace;
        let [one, two] = ["one", "two"].map(|name| format!("{name}.{ns}.io"));
        let path = world
            .configuration(VALIDATING, "v", &[(&one, "/validate"), (&two, "/validate")])
            .await;
        let original = world.content(&path).await;
        let attach = |name: &str| world.local_dev(&["attach", "--port", &port, "--webhook", name]);

        attach(&two).done().explains("1 webhook is attached");
        let urls = world.urls(&path).await;
        assert_eq!(urls[0], "");
        assert!(urls[1].starts_with("https://"), "{urls:?}");
        attach(&one).done();
        assert!(!world.urls(&path).await.contains(&String::new()));

        // One can be put back alone, too.
        world
            .local_dev(&["detach", "--webhook", &two])
            .done()
            .prints(&format!("{two}: restored"))
            .without(&one);
        let urls = world.urls(&path).await;
        assert!(
            urls[0].starts_with("https://") && urls[1].is_empty(),
            "{urls:?}"
        );
        world.detach(&[]).done().prints(&format!("{one}: restored"));
        assert_eq!(world.content(&path).await, original);
    });
}

#[test]
fn nothing_chosen_is_wrong_usage_and_a_name_that_means_nothing_an_error() {
    support::run(async {
        let world = World::new("nothing").await;
        for command in [&["attach"][..], &["run", "--", "true"]] {
            world
                .local_dev(command)
                .ended(2)
                .explains("which webhooks? Name them with --webhook NAME");
        }
        let server = world.cluster.server();
        world
            .local_dev(&["attach", "--webhook", "nobody.example.com"])
            .ended(1)
            .explains(&format!("no webhook named nobody.example.com in {server}"))
            .explains("kubectl get validatingwebhookconfigurations");
        world
            .attach(9443, &[])
            .ended(1)
            .explains(&format!("no webhook with labels test={}", world.namespace));
        let name = format!("v.{}.io", world.namespace);
        let path = world.configuration(VALIDATING, "v", &[(&name, "/1")]).await;
        world
            .local_dev(&["attach", "--webhook", &name, "--webhook", "mistyped"])
            .ended(1)
            .explains("no webhook is named \"mistyped\"");
        world
            .local_dev(&["detach", "--webhook", &name])
            .ended(1)
            .explains(&format!("no attached webhook is named {name:?}"));
        assert_eq!(world.urls(&path).await, [""]);
        world
            .local_dev(&["attach", "--webhook", &name, "--url-host", "https://laptop"])
            .ended(2);
    });
}
