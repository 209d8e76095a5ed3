//! Others are at work at the same time: the right webhook is patched, or none, with a reason.

use serde_json::{Value, json};

use crate::{
    World,
    files::Said,
    support::{self, meddler::Event},
    world::{bundle, configs, last},
};

/// Injects `b.example.com` of `@v` (a, b, c) while the list of webhooks becomes another one
/// between the look and the patch; what was said, and the bundles by name afterwards.
async fn meanwhile(name: &str, words: &str, webhooks: &[&str]) -> (Said, Vec<(String, bool)>) {
    let world = World::new(name).await;
    let path = world.validating("v", &["a", "b", "c"]).await;
    let list: Vec<_> = webhooks
        .iter()
        .map(|name| world.webhook(&format!("{name}.example.com"), world.service()))
        .collect();
    let deed = ("PATCH", path.clone(), json!({ "webhooks": list }));
    let meddler = world.meddler("PATCH", "validating", Event::Deeds(vec![deed]));
    let said = world.as_user(meddler.kubeconfig()).inject(words);
    let object = world.get(&path).await;
    let names = object["webhooks"].as_array().unwrap().iter();
    let names = names.map(|webhook| webhook["name"].as_str().unwrap().to_owned());
    let bundles = configs(&object)
        .into_iter()
        .map(|config| !bundle(config).is_empty());
    assert!(meddler.seen() > 0);
    (said, names.zip(bundles).collect())
}

fn only(name: &str, webhooks: &[&str]) -> Vec<(String, bool)> {
    let webhooks = webhooks.iter();
    webhooks
        .map(|other| (format!("{other}.example.com"), *other == name))
        .collect()
}

/// The one webhook `b` of the configuration `@v`, and not of another test's.
const B: &str = "--webhook b.example.com -l %L";

#[test]
fn a_webhook_that_was_added_or_moved_in_between_does_not_get_the_others_bundle() {
    support::run(async {
        for (number, webhooks) in [
            ["x", "a", "b", "c"].as_slice(),
            &["c", "b", "a"],
            &["b", "a", "c"],
            &["c", "b"],
        ]
        .into_iter()
        .enumerate()
        {
            let (said, bundles) = meanwhile(&format!("moved{number}"), B, webhooks).await;
            said.done().prints("b.example.com: caBundle added");
            assert_eq!(bundles, only("b", webhooks));
        }
    });
}

#[test]
fn a_webhook_that_was_removed_or_renamed_in_between_is_an_error_and_no_other_is_touched() {
    support::run(async {
        for (name, webhooks) in [
            ("removed", ["a", "c"].as_slice()),
            ("renamed", &["a", "z", "c"]),
        ] {
            let (said, bundles) = meanwhile(name, B, webhooks).await;
            said.ended(1)
                .explains(
                    "there is no webhook or webhook configuration \"b.example.com\" (any more)",
                )
                .prints_nothing();
            assert_eq!(bundles, only("", webhooks));
        }
    });
}

#[test]
fn a_configuration_that_is_named_gets_what_was_added_in_between_too() {
    support::run(async {
        let (said, bundles) = meanwhile("whole", "--webhook @v", &["x", "a", "b", "c"]).await;
        said.done().prints("x.example.com: caBundle added");
        assert!(bundles.iter().all(|(_, set)| *set), "{bundles:?}");
    });
}

#[test]
fn an_object_that_is_deleted_in_between_is_reported() {
    support::run(async {
        let world = World::new("deleted").await;
        let path = world.validating("v", &["a"]).await;
        let other = world.validating("w", &["b"]).await;
        let deed = ("DELETE", path.clone(), Value::Null);
        let part: &'static str = Box::leak(last(&path).to_owned().into_boxed_str());
        let meddler = world.meddler("PATCH", part, Event::Deeds(vec![deed]));
        let user = world.as_user(meddler.kubeconfig());
        user.inject("--webhook @v --webhook @w")
            .ended(1)
            .explains(&format!("{} was deleted in the meantime", last(&path)))
            .prints("b.example.com: caBundle added");
        assert_eq!(world.bundles(&other).await, [world.ca.as_str()]);
    });
}

#[test]
fn what_somebody_else_changes_in_between_is_kept() {
    support::run(async {
        let world = World::new("kept").await;
        let path = world.validating("v", &["a"]).await;
        let change = json!({ "metadata": { "annotations": { "theirs": "yes" } } });
        let deed = ("PATCH", path.clone(), change);
        let meddler = world.meddler("PATCH", "validating", Event::Deeds(vec![deed]));
        world
            .as_user(meddler.kubeconfig())
            .inject("--webhook @v")
            .done();
        let object = world.get(&path).await;
        assert_eq!(object["metadata"]["annotations"]["theirs"], "yes");
        assert_eq!(world.bundles(&path).await, [world.ca.as_str()]);
        assert_eq!(meddler.seen(), 2);
    });
}

#[test]
fn a_conversion_that_is_given_up_in_between_is_not_brought_back() {
    support::run(async {
        let world = World::new("none").await;
        let path = world.crd().await;
        let change = json!({ "spec": { "conversion": { "strategy": "None", "webhook": null } } });
        let deed = ("PATCH", path.clone(), change);
        let meddler = world.meddler("PATCH", "customresource", Event::Deeds(vec![deed]));
        world
            .as_user(meddler.kubeconfig())
            .inject("--crd widgets.%G")
            .ended(1)
            .explains("(any more)");
        let object = world.get(&path).await;
        assert_eq!(object["spec"]["conversion"], json!({ "strategy": "None" }));
    });
}

#[test]
fn an_overloaded_api_server_is_asked_again() {
    support::run(async {
        for (verb, status) in [("PATCH", 429), ("GET", 503), ("PATCH", 500), ("GET", 504)] {
            let world = World::new("busy").await;
            let path = world.validating("v", &["a"]).await;
            let meddler = world.meddler(verb, "validating", Event::Answers(3, status));
            world
                .as_user(meddler.kubeconfig())
                .inject("--webhook @v")
                .done()
                .explains("waiting up to")
                .explains("the API server answers again");
            assert_eq!(world.bundles(&path).await, [world.ca.as_str()]);
            assert!(meddler.seen() > 3);
        }
    });
}

#[test]
fn one_that_stays_overloaded_is_a_time_out() {
    support::run(async {
        let world = World::new("flooded").await;
        world.validating("v", &["a"]).await;
        for verb in ["GET", "PATCH"] {
            let meddler = world.meddler(verb, "validating", Event::Answers(usize::MAX, 429));
            world
                .as_user(meddler.kubeconfig())
                .inject("--webhook @v --timeout 2s")
                .ended(124)
                .explains("gave up after")
                .explains("not now");
        }
    });
}

#[test]
fn a_write_whose_answer_is_lost_is_reported_as_done() {
    support::run(async {
        let world = World::new("lost").await;
        let path = world.validating("v", &["a"]).await;
        let meddler = world.meddler("PATCH", "validating", Event::Loses(1));
        world
            .as_user(meddler.kubeconfig())
            .inject("--webhook @v")
            .done()
            .prints("a.example.com: caBundle added")
            .explains("1 caBundle in 1 object changed");
        assert_eq!(world.bundles(&path).await, [world.ca.as_str()]);
        assert_eq!(meddler.seen(), 1);
    });
}
