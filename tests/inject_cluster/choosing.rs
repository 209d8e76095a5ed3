//! Which client configs are meant, and that no other one is touched.

use serde_json::json;

use crate::{
    World, support,
    world::{APISERVICES, CRDS, MUTATING, VALIDATING},
};

#[test]
fn one_webhook_by_its_own_name_leaves_its_neighbours_alone() {
    support::run(async {
        let world = World::new("own").await;
        let own = format!("b-{}", world.namespace);
        let path = world.validating("v", &["a", &own, "c"]).await;
        world
            .inject(&format!("--webhook {own}.example.com"))
            .done()
            .prints(&format!("{own}.example.com: caBundle added"))
            .says_nothing_of("a.example.com")
            .explains("1 caBundle in 1 object changed, 0 unchanged");
        assert_eq!(world.bundles(&path).await, ["", &world.ca, ""]);
    });
}

#[test]
fn a_service_means_every_client_config_that_calls_it_in_all_kinds() {
    support::run(async {
        let world = World::new("service").await;
        let ours = world.service();
        let theirs = world.service_named("other");
        let url = json!({ "url": format!("https://hook.{}.svc:8443/x", world.namespace) });
        let far = json!({ "url": "https://hook.example.com/x" });
        let webhooks = [
            world.webhook("a.example.com", ours),
            world.webhook("b.example.com", theirs.clone()),
            world.webhook("c.example.com", url),
            world.webhook("d.example.com", far),
        ];
        let object = world.configuration("MutatingWebhookConfiguration", "m", &webhooks);
        let mutating = world.create(MUTATING, &object).await;
        let object = world.configuration(
            "ValidatingWebhookConfiguration",
            "theirs",
            &[world.webhook("e.example.com", theirs)],
        );
        let other = world.create(VALIDATING, &object).await;
        let crd = world.crd().await;
        let service = world.api_service().await;
        world
            .inject("--service hook.%N")
            .done()
            .prints("a.example.com: caBundle added")
            .explains("4 caBundles in 3 objects changed, 0 unchanged")
            .says_nothing_of("b.example.com");
        let ca = world.ca.as_str();
        assert_eq!(world.bundles(&mutating).await, [ca, "", ca, ""]);
        assert_eq!(world.bundles(&other).await, [""]);
        assert_eq!(world.bundles(&crd).await, [ca]);
        assert_eq!(world.bundles(&service).await, [ca]);
        world.delete(&service).await;
    });
}

#[test]
fn labels_choose_and_narrow() {
    support::run(async {
        let world = World::new("labels").await;
        let one = world.validating("one", &["a"]).await;
        let two = world.validating("two", &["b"]).await;
        let label = json!({ "metadata": { "labels": { "part": "two" } } });
        world.patch(&two, &label).await;
        world
            .inject("-l %L,part=two")
            .done()
            .says_nothing_of("a.example.com");
        assert_eq!(world.bundles(&one).await, [""]);
        assert_eq!(world.bundles(&two).await, [world.ca.as_str()]);
        world
            .inject("--webhook @one -l part=two")
            .ended(1)
            .explains("with labels part=two")
            .explains("nothing was changed");
        world.inject("--webhook @one -l %L").done();
        assert_eq!(world.bundles(&one).await, [world.ca.as_str()]);
        world
            .inject("-l part=nobody,%L")
            .done()
            .prints_nothing()
            .explains("0 caBundles in 0 objects changed, 0 unchanged");
    });
}

#[test]
fn a_name_that_is_not_there_changes_nothing_at_all() {
    support::run(async {
        let world = World::new("typo").await;
        let path = world.validating("v", &["a"]).await;
        for (words, what) in [
            (
                "--webhook @typo",
                "there is no webhook or webhook configuration",
            ),
            (
                "--crd typo.example.com",
                "there is no CustomResourceDefinition \"typo.example.com\"",
            ),
            ("--apiservice v1.typo.example.com", "there is no APIService"),
        ] {
            world
                .inject(&format!("--webhook @v {words}"))
                .ended(1)
                .explains(what)
                .explains("nothing was changed")
                .prints_nothing();
        }
        assert_eq!(world.bundles(&path).await, [""]);
        world
            .inject("--service nobody.%N")
            .ended(1)
            .explains("there is no client config that calls Service nobody.");
    });
}

#[test]
fn the_whole_cluster_is_never_meant_by_accident() {
    support::run(async {
        let world = World::new("all").await;
        world
            .inject("")
            .ended(2)
            .explains("which objects of the cluster?")
            .prints_nothing();
    });
}

#[test]
fn an_object_without_a_client_config_is_an_error_when_it_is_named() {
    support::run(async {
        let world = World::new("without").await;
        let mut object = world.crd_object(&world.service());
        object["spec"]["conversion"] = json!({ "strategy": "None" });
        let crd = world.create(CRDS, &object).await;
        let before = world.content(&crd).await;
        world
            .inject("--crd widgets.%G")
            .ended(1)
            .explains("has no caBundle: its conversion strategy is None, not Webhook");
        world.inject("-l %L").done().prints_nothing();
        assert_eq!(world.content(&crd).await, before);
        let empty = world.validating("empty", &[]).await;
        world
            .inject("--webhook @empty")
            .ended(1)
            .explains("has no caBundle: it has no webhooks");
        world
            .inject("--apiservice v1.apps")
            .ended(1)
            .explains("has no caBundle: it is served by the API server itself");
        assert!(empty.starts_with(VALIDATING) && !crd.starts_with(APISERVICES));
    });
}
