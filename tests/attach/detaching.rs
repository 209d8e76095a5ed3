//! `detach` gives back what was there, and nothing that has become somebody else's.

use serde_json::json;

use crate::{
    ANNOTATION, World,
    support::{self, webhook::Webhook},
    world::{MUTATING, VALIDATING, name},
};

/// All three kinds, attached; their paths, and what they were.
async fn attached(world: &World<'_>) -> (Webhook, [String; 3], Vec<serde_json::Value>) {
    let webhook = world.serve();
    let paths = [
        world
            .configuration(MUTATING, "m", &[("m.example.com", "/mutate")])
            .await,
        world
            .configuration(
                VALIDATING,
                "v",
                &[
                    ("v.example.com", "/validate"),
                    ("w.example.com", "/validate"),
                ],
            )
            .await,
        world.crd().await,
    ];
    let before = world.contents(&paths).await;
    world.attach(webhook.address().port(), &[]).done();
    (webhook, paths, before)
}

#[test]
fn every_object_is_what_it_was() {
    support::run(async {
        let world = World::new("back").await;
        let (_webhook, paths, before) = attached(&world).await;
        let said = world.detach(&[]).done();
        assert_eq!(
            said.stdout.matches(": restored\n").count(),
            4,
            "{}",
            said.stdout
        );
        assert_eq!(world.contents(&paths).await, before);
        world.detach(&[]).done().explains("nothing is attached");
        assert_eq!(world.contents(&paths).await, before);
    });
}

#[test]
fn an_object_without_annotations_has_none_again() {
    support::run(async {
        let world = World::new("bare").await;
        let webhook = world.serve();
        let path = world
            .configuration(VALIDATING, "v", &[("v.example.com", "/validate")])
            .await;
        world
            .patch(&path, &json!({ "metadata": { "annotations": null } }))
            .await;
        let before = world.content(&path).await;
        assert!(before["metadata"].get("annotations").is_none());
        world.attach(webhook.address().port(), &[]).done();
        world.detach(&[]).done();
        assert_eq!(world.content(&path).await, before);
    });
}

#[test]
fn another_machine_can_put_back_what_this_one_attached() {
    support::run(async {
        let world = World::new("elsewhere").await;
        let (_webhook, paths, before) = attached(&world).await;
        let other = world.elsewhere();
        other.detach(&[]).done().prints("restored");
        assert_eq!(world.contents(&paths).await, before);
        // Here it is noticed that nothing is left to do.
        let name = name(&paths[1]);
        world
            .local_dev(&["detach", "--webhook", name])
            .done()
            .prints("already as it was before");
        world
            .local_dev(&["detach", "--webhook", name])
            .ended(1)
            .explains("no attached webhook is named");
    });
}

#[test]
fn the_local_file_does_when_somebody_removed_or_broke_the_annotation() {
    support::run(async {
        let world = World::new("unmarked").await;
        let (_webhook, paths, before) = attached(&world).await;
        for (path, annotation) in paths.iter().zip([json!(null), json!("{"), json!("{}")]) {
            world
                .patch(
                    path,
                    &json!({ "metadata": { "annotations": { ANNOTATION: annotation } } }),
                )
                .await;
        }
        // Another machine knows no more than the annotation.
        world
            .elsewhere()
            .detach(&[])
            .ended(1)
            .explains("not everything was put back")
            .explains(&format!(
                "ValidatingWebhookConfiguration/{}-v: the record in",
                world.namespace
            ));
        // Status knows it, too.
        world
            .local_dev(&["status"])
            .done()
            .prints(&format!("{}-m", world.namespace));
        for path in &paths {
            world
                .local_dev(&["detach", "--webhook", name(path)])
                .done()
                .prints("restored");
        }
        assert_eq!(world.contents(&paths).await, before);
    });
}

#[test]
fn a_url_that_somebody_changed_since_is_left_alone_and_said() {
    support::run(async {
        let world = World::new("changed").await;
        let (_webhook, paths, before) = attached(&world).await;
        let bobs = json!({ "url": "https://bob.example.com/validate" });
        world
            .edit(&paths[1], |object| {
                object["webhooks"][0]["clientConfig"] = bobs.clone();
            })
            .await;
        world
            .detach(&[])
            .done()
            .prints("v.example.com: left alone, since somebody changed it after it was attached: url is https://bob.example.com/validate")
            .prints("w.example.com: restored");
        let mut expected = before;
        expected[1]["webhooks"][0]["clientConfig"] = bobs;
        assert_eq!(world.contents(&paths).await, expected);
        world.detach(&[]).done().explains("nothing is attached");
    });
}

#[test]
fn a_bundle_that_somebody_else_wrote_is_replaced_by_the_original_and_said() {
    support::run(async {
        let world = World::new("cainjector").await;
        let (_webhook, paths, before) = attached(&world).await;
        let other = support::pki::Ca::new("other").pem;
        world
            .edit(&paths[1], |object| {
                use base64::{Engine, engine::general_purpose::STANDARD};
                object["webhooks"][0]["clientConfig"]["caBundle"] = json!(STANDARD.encode(&other));
            })
            .await;
        world
            .detach(&[])
            .done()
            .prints("restored, although it had changed since: caBundle is another one");
        assert_eq!(world.contents(&paths).await, before);
    });
}

#[test]
fn a_service_that_somebody_put_back_stays_as_they_put_it() {
    support::run(async {
        let world = World::new("reapplied").await;
        let (_webhook, paths, before) = attached(&world).await;
        // As it was, and another one.
        let mut other = world.service("/v2");
        other["service"]["port"] = json!(8443);
        let original = before[1]["webhooks"][0]["clientConfig"].clone();
        world
            .edit(&paths[1], |object| {
                object["webhooks"][0]["clientConfig"] = original.clone();
                object["webhooks"][1]["clientConfig"] = other.clone();
            })
            .await;
        world
            .detach(&[])
            .done()
            .prints("v.example.com: already as it was before")
            .prints("w.example.com: left alone, since somebody changed it");
        let mut expected = before;
        expected[1]["webhooks"][1]["clientConfig"] = other;
        assert_eq!(world.contents(&paths).await, expected);
    });
}

#[test]
fn manifests_that_are_applied_while_attached_do_not_prevent_detaching() {
    support::run(async {
        let world = World::new("applied").await;
        let webhook = world.serve();
        let ns = &world.namespace;
        let manifest = json!({
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "ValidatingWebhookConfiguration",
            "metadata": { "name": format!("{ns}-v"), "labels": { "test": ns } },
            "webhooks": [world.webhook("v.example.com", &world.service("/validate"))],
        })
        .to_string();
        world.cluster.apply(&manifest);
        let path = format!("/apis/admissionregistration.k8s.io/v1/{VALIDATING}/{ns}-v");
        let before = world.content(&path).await;
        world
            .attach(webhook.address().port(), &[])
            .done()
            .without("field manager");
        // kubectl merges: service beside url, which the API server refuses.
        let applied = world.cluster.try_kubectl(&["apply", "-f", "-"], &manifest);
        let refusal = String::from_utf8_lossy(&applied.stderr).into_owned();
        assert!(!applied.status.success(), "{refusal}");
        assert!(
            refusal.contains("exactly one of url or service"),
            "{refusal}"
        );
        world.detach(&[]).done().prints("restored");
        assert_eq!(world.content(&path).await, before);
        world.cluster.apply(&manifest);
        assert_eq!(world.content(&path).await, before);
    });
}

#[test]
fn webhooks_that_came_or_went_in_between_are_left_as_they_are() {
    support::run(async {
        let world = World::new("between").await;
        let (_webhook, paths, before) = attached(&world).await;
        let new = world.webhook(
            "new.example.com",
            &json!({ "url": "https://127.0.0.1:1/x" }),
        );
        world
            .edit(&paths[1], |object| {
                let webhooks = object["webhooks"].as_array_mut().unwrap();
                webhooks.remove(0);
                webhooks.insert(0, new.clone());
            })
            .await;
        let edited = world.content(&paths[1]).await;
        world
            .detach(&[])
            .done()
            .prints("v.example.com: no longer exists")
            .prints("w.example.com: restored")
            .without("new.example.com");
        let after = world.content(&paths[1]).await;
        assert_eq!(after["webhooks"][0], edited["webhooks"][0]);
        assert_eq!(after["webhooks"][1], before[1]["webhooks"][1]);
        assert_eq!(after["metadata"], before[1]["metadata"]);
    });
}

#[test]
fn objects_that_were_deleted_or_made_anew_since_are_forgotten() {
    support::run(async {
        let world = World::new("anew").await;
        let (_webhook, paths, _) = attached(&world).await;
        let [deleted, recreated, _] = &paths;
        world.delete(deleted).await;
        world.delete(recreated).await;
        world
            .configuration(VALIDATING, "v", &[("v.example.com", "/new")])
            .await;
        let anew = world.get(recreated).await;

        world
            .local_dev(&["detach", "--webhook", name(deleted)])
            .done()
            .explains("no longer exists");
        world
            .local_dev(&["detach", "--webhook", name(recreated)])
            .done()
            .explains("nothing is attached");
        assert_eq!(world.get(recreated).await, anew);
        for path in [deleted, recreated] {
            world
                .local_dev(&["detach", "--webhook", name(path)])
                .ended(1)
                .explains("no attached webhook is named");
        }
    });
}
