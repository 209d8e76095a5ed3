//! What is said about it, for people and for scripts.

use serde_json::json;

use crate::{World, support, world::encoded};

#[test]
fn json_yaml_and_names_are_stable() {
    support::run(async {
        let world = World::new("forms").await;
        world.mutating("m", &["a", "b"]).await;
        world.crd().await;
        let name = world.name("m");
        let said = world
            .inject("--webhook @m --crd widgets.%G -o json")
            .done()
            .json();
        let unchanged = |name: &str| {
            json!({
                "name": name, "change": "unchanged", "skipVerifyCleared": false
            })
        };
        let added = |name: &str| {
            json!({
                "name": name, "change": "added", "skipVerifyCleared": false
            })
        };
        let crd = format!("widgets.{}", world.group());
        assert_eq!(
            said,
            json!({ "objects": [
                { "kind": "CustomResourceDefinition", "name": crd, "webhooks": [added(&crd)] },
                { "kind": "MutatingWebhookConfiguration", "name": name,
                    "webhooks": [added("a.example.com"), added("b.example.com")] },
            ]})
        );
        let said = world.inject("--webhook @m -o yaml").done();
        let said: serde_json::Value = serde_yaml::from_str(&said.stdout).unwrap();
        assert_eq!(
            said["objects"][0]["webhooks"][1],
            unchanged("b.example.com")
        );
        let said = world
            .inject("--webhook @m --crd widgets.%G -o name -q")
            .done();
        assert_eq!(
            said.stdout,
            format!("customresourcedefinition/{crd}\nmutatingwebhookconfiguration/{name}\n")
        );
        assert_eq!(said.stderr, "");
    });
}

#[test]
fn who_will_write_over_it_is_named() {
    support::run(async {
        let world = World::new("others").await;
        let path = world.validating("v", &["a"]).await;
        let injected = json!({ "metadata": { "annotations": {
            "cert-manager.io/inject-ca-from": "shop/serving" } } });
        world.patch(&path, &injected).await;
        world
            .inject("--webhook @v")
            .done()
            .explains("cert-manager's cainjector \"shop/serving\" manages this object")
            .explains("it writes its own caBundle back within seconds");
        // Nothing changes, so nobody can undo it.
        world
            .inject("--webhook @v")
            .done()
            .says_nothing_of("cainjector");

        let path = world.validating("w", &["a"]).await;
        let config = json!({ "service": world.service()["service"], "caBundle": encoded("\n") });
        let webhooks = json!({ "webhooks": [world.webhook("a.example.com", config)] });
        world.patch(&path, &webhooks).await;
        world
            .inject("--webhook @w")
            .done()
            .explains("field manager somebody has written a caBundle")
            .explains("leave it out");
    });
}
