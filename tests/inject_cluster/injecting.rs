//! What becomes of the objects: the caBundle, and nothing else.

use std::time::Duration;

use serde_json::json;

use crate::{
    World,
    support::{self, pki::Ca},
    world::{APISERVICES, CRDS, VALIDATING, encoded, last, version, without_bundles},
};

#[test]
fn all_four_kinds_get_the_bundle_and_a_second_run_writes_nothing() {
    support::run(async {
        let world = World::new("four").await;
        let paths = [
            world.mutating("m", &["one", "two"]).await,
            world.validating("v", &["three"]).await,
            world.crd().await,
            world.api_service().await,
        ];
        let mut before = Vec::new();
        for path in &paths {
            before.push(world.content(path).await);
        }
        let words = "--webhook @m --webhook @v --crd widgets.%G --apiservice v9.%G";
        world
            .inject(words)
            .done()
            .prints("one.example.com: caBundle added")
            .prints(&format!(
                "CustomResourceDefinition/{}: caBundle added",
                last(&paths[2])
            ))
            .prints("caBundle added, insecureSkipTLSVerify cleared")
            .explains("5 caBundles in 4 objects changed, 0 unchanged");
        let mut versions = Vec::new();
        for (path, before) in paths.iter().zip(before) {
            let bundles = world.bundles(path).await;
            assert!(
                bundles.iter().all(|pem| *pem == world.ca),
                "{path}: {bundles:?}"
            );
            let mut expected = without_bundles(before);
            if path.starts_with(APISERVICES) {
                // The field is left out when it is false.
                expected["spec"]
                    .as_object_mut()
                    .unwrap()
                    .shift_remove("insecureSkipTLSVerify");
            }
            assert_eq!(without_bundles(world.content(path).await), expected);
            let object = world.get(path).await;
            let managed = object["metadata"]["managedFields"].as_array().unwrap();
            let ours: Vec<_> = managed
                .iter()
                .filter(|entry| entry["manager"] == "certtool")
                .collect();
            assert_eq!(ours.len(), 1);
            let owned = ours[0]["fieldsV1"].to_string();
            assert!(
                owned.contains("f:caBundle") && !owned.contains("f:service"),
                "{owned}"
            );
            versions.push(version(&object).to_owned());
        }
        world
            .inject(words)
            .done()
            .prints("one.example.com: unchanged")
            .explains("0 caBundles in 0 objects changed, 5 unchanged");
        for (path, before) in paths.iter().zip(&versions) {
            let object = world.get(path).await;
            // The CRD's and the APIService's status is written by others.
            if !path.starts_with(CRDS) && !path.starts_with(APISERVICES) {
                assert_eq!(version(&object), before);
            }
        }
        world.delete(&paths[3]).await;
    });
}

#[test]
fn nothing_to_do_sends_no_write_at_all() {
    let options = support::Options {
        audit_log: true,
        ..Default::default()
    };
    let cluster = support::ControlPlane::dedicated_with(&options);
    support::run(async {
        let world = World::on(&cluster, "silent").await;
        world.validating("v", &["a", "b"]).await;
        world.crd().await;
        world
            .inject("-l %L")
            .done()
            .explains("3 caBundles in 2 objects changed");
        let writes = || {
            let writes = |event: &serde_json::Value| {
                event["stage"] == "ResponseComplete"
                    && event["verb"] == "patch"
                    && event["userAgent"]
                        .as_str()
                        .is_none_or(|agent| !agent.starts_with("kube-apiserver"))
            };
            cluster.audit_events().into_iter().filter(writes).count()
        };
        // The log is written a moment after the answer.
        support::eventually(Duration::from_secs(10), || async {
            match writes() {
                2 => Ok(()),
                other => Err(format!("{other} patches")),
            }
        })
        .await;
        world
            .inject("-l %L")
            .done()
            .explains("0 caBundles in 0 objects changed, 3 unchanged");
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(writes(), 2);
    });
}

#[test]
fn the_same_certificates_in_another_order_or_spelling_are_left_alone() {
    support::run(async {
        let world = World::new("same").await;
        let other = Ca::new("other").pem;
        let path = world.validating("v", &["a"]).await;
        let spelled = format!("# a comment\n{}\n{}", other, world.ca);
        let bundle =
            json!({ "service": world.service()["service"], "caBundle": encoded(&spelled) });
        let webhooks = json!({ "webhooks": [world.webhook("a.example.com", bundle)] });
        world.patch(&path, &webhooks).await;
        let before = world.get(&path).await;
        world.inject("--webhook @v").done().prints("unchanged");
        assert_eq!(world.get(&path).await, before);
    });
}

#[test]
fn placeholders_are_repaired_others_are_kept_and_the_modes_do_as_they_say() {
    support::run(async {
        let world = World::new("modes").await;
        let other = Ca::new("other").pem;
        let path = world.validating("v", &["a"]).await;
        let set = async |bundle: &str| {
            let config = json!({ "service": world.service()["service"], "caBundle": bundle });
            let webhooks = json!({ "webhooks": [world.webhook("a.example.com", config)] });
            world.patch(&path, &webhooks).await;
        };
        for placeholder in ["Cg==", "IA==", ""] {
            set(placeholder).await;
            world
                .inject("--webhook @v")
                .done()
                .prints("a.example.com: caBundle");
            assert_eq!(
                world.bundles(&path).await,
                [world.ca.as_str()],
                "{placeholder:?}"
            );
        }
        set(&encoded(&other)).await;
        world
            .inject("--webhook @v")
            .done()
            .prints("caBundle replaced");
        let both = &world.bundles(&path).await[0];
        assert!(
            both.contains(other.trim()) && both.contains(world.ca.trim()),
            "{both}"
        );
        world
            .inject("--webhook @v --mode prune")
            .done()
            .prints("unchanged");
        world
            .inject("--webhook @v --mode replace")
            .done()
            .prints("caBundle replaced")
            .explains("no longer trusted: CN=other");
        assert_eq!(world.bundles(&path).await, [world.ca.as_str()]);
    });
}

#[test]
fn what_is_no_ca_is_refused_before_the_cluster_is_touched() {
    support::run(async {
        let world = World::new("refused").await;
        let path = world.validating("v", &["a"]).await;
        let ca = Ca::new("signer");
        ca.write_pair(&world.path("pair"), &["hook.svc"]);
        let key = world.read("pair/tls.key");
        world.write("both.pem", format!("{}{key}", world.ca));
        world.write("garbage.pem", "hello");
        for (file, reason) in [
            ("pair/tls.crt", "is no CA"),
            ("both.pem", "private key"),
            ("garbage.pem", "garbage.pem is not injected"),
        ] {
            let words = format!("inject --cluster --ca {file} --webhook @v");
            world.run(&words).ended(1).explains(reason).prints_nothing();
        }
        assert_eq!(world.bundles(&path).await, [""]);
    });
}

#[test]
fn the_ca_may_come_out_of_a_secret() {
    support::run(async {
        let world = World::new("secret").await;
        let path = world.validating("v", &["a"]).await;
        world.run("ca init --secret %N/ca").done();
        world
            .run("inject --cluster --ca-secret %N/ca --webhook @v")
            .done();
        let bundles = world.bundles(&path).await;
        assert!(
            bundles[0].starts_with("-----BEGIN CERTIFICATE-----"),
            "{bundles:?}"
        );
        assert!(!bundles[0].contains("KEY"), "{bundles:?}");
        world
            .run("inject --cluster --ca-secret %N/none --webhook @v")
            .ended(1)
            .explains("there is no Secret");
    });
}

#[test]
fn a_dry_run_says_what_would_change_and_changes_nothing() {
    support::run(async {
        let world = World::new("dry").await;
        let path = world.validating("v", &["a"]).await;
        let before = world.get(&path).await;
        world
            .inject("--webhook @v --dry-run=client")
            .done()
            .prints("a.example.com: caBundle added (dry run)")
            .explains("1 caBundle in 1 object would be changed");
        world
            .inject("--webhook @v --dry-run=server")
            .done()
            .prints("a.example.com: caBundle added (server dry run)");
        world
            .inject("--webhook @v --check")
            .ended(3)
            .prints("caBundle added (dry run)");
        assert_eq!(world.get(&path).await, before);
        world.inject("--webhook @v").done();
        world
            .inject("--webhook @v --check")
            .done()
            .prints("unchanged");
    });
}

#[test]
fn an_object_that_the_api_server_refuses_does_not_keep_the_others_from_theirs() {
    support::run(async {
        let world = World::new("half").await;
        let good = world.validating("good", &["a"]).await;
        // Two webhooks of one name: only a list that the API server never checked can have them.
        let attached = world.validating("bad", &["b"]).await;
        let record = json!({
            "version": 1, "at": "2026-11-21T12:00:00Z", "by": "ann@laptop", "host": "laptop",
            "webhooks": { "b.example.com": {
                "original": world.service(),
                "attached": { "url": "https://192.0.2.1:9443/x", "caBundleSha256": "00" },
            }}
        });
        let url = json!({ "url": "https://192.0.2.1:9443/x" });
        let patch = json!({
            "metadata": { "annotations": {
                "certtool.dev/local-dev-attached": record.to_string() } },
            "webhooks": [world.webhook("b.example.com", url)],
        });
        world.patch(&attached, &patch).await;
        world
            .inject("-l %L")
            .ended(1)
            .prints("a.example.com: caBundle added")
            .explains("is attached to https://192.0.2.1:9443/x by ann@laptop since 2026-11-21")
            .explains("detach first");
        assert_eq!(world.bundles(&good).await, [world.ca.as_str()]);
        assert_eq!(world.bundles(&attached).await, [""]);
        assert!(attached.starts_with(VALIDATING));
    });
}
