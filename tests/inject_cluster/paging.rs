//! More objects than fit on a page.

use serde_json::json;

use crate::{
    World,
    support::{self, meddler::Event},
    world::CRDS,
};

#[test]
fn a_list_of_many_pages_is_injected_to_the_last() {
    support::run(async {
        let world = World::new("many").await;
        let mut paths = Vec::new();
        for number in 0..35 {
            paths.push(world.validating(&format!("v{number}"), &["a"]).await);
        }
        world
            .inject("--service hook.%N")
            .done()
            .explains("35 caBundles in 35 objects changed, 0 unchanged");
        for path in &paths {
            assert_eq!(world.bundles(path).await, [world.ca.as_str()], "{path}");
        }
        world
            .inject("-l %L")
            .done()
            .explains("0 caBundles in 0 objects changed, 35 unchanged");
        for path in &paths {
            world.delete(path).await;
        }
    });
}

#[test]
fn a_list_that_expires_half_way_begins_anew_and_reports_each_object_once() {
    support::run(async {
        let world = World::new("expired").await;
        for number in 0..25 {
            world.validating(&format!("v{number}"), &["a"]).await;
        }
        let meddler = world.meddler("GET", "continue=", Event::Answers(1, 410));
        world
            .as_user(meddler.kubeconfig())
            .inject("-l %L")
            .done()
            .explains("25 caBundles in 25 objects changed, 0 unchanged");
        // By then the size of the objects is known, and one page is enough.
        assert_eq!(meddler.seen(), 1);
    });
}

#[test]
fn a_crd_with_a_large_schema_keeps_every_byte_of_it() {
    support::run(async {
        let world = World::new("large").await;
        let mut object = world.crd_object(&world.service());
        let properties: serde_json::Map<_, _> = (0..1500)
            .map(|number| {
                let text = "a field of some length, ".repeat(4);
                (
                    format!("field{number}"),
                    json!({ "type": "string", "description": text }),
                )
            })
            .collect();
        for version in object["spec"]["versions"].as_array_mut().unwrap() {
            version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"] =
                json!(properties);
        }
        let path = world.create(CRDS, &object).await;
        world.established(&path).await;
        let before = world.content(&path).await;
        assert!(before.to_string().len() > 200_000);
        world.inject("--crd widgets.%G").done();
        let after = world.content(&path).await;
        assert_eq!(world.bundles(&path).await, [world.ca.as_str()]);
        assert_eq!(crate::world::without_bundles(after), before);
        world.delete(&path).await;
    });
}
