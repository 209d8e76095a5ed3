//! What `attach` changes, and what it does not.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::json;

use crate::{
    ANNOTATION, World,
    support::{self, objects},
    world::{CRDS, MUTATING, VALIDATING, unmarked},
};

#[test]
fn all_three_kinds_call_this_machine_and_nothing_but_their_client_config_changes() {
    support::run(async {
        let world = World::new("kinds").await;
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
        let port = webhook.address().port();
        let said = world.attach(port, &[]).done();

        let ca = std::fs::read(world.cert_dir().join("ca.crt")).unwrap();
        let after = world.contents(&paths).await;
        for ((path, before), after) in paths.iter().zip(before).zip(after) {
            let mut expected = before;
            let configs = if path.contains(CRDS) {
                vec![&mut expected["spec"]["conversion"]["webhook"]["clientConfig"]]
            } else {
                let webhooks = expected["webhooks"].as_array_mut().unwrap();
                webhooks
                    .iter_mut()
                    .map(|w| &mut w["clientConfig"])
                    .collect()
            };
            for config in configs {
                let path = config["service"]["path"].as_str().unwrap();
                *config = json!({
                    "url": format!("https://127.0.0.1:{port}{path}"),
                    "caBundle": STANDARD.encode(&ca),
                });
            }
            assert!(after["metadata"]["annotations"][ANNOTATION].is_string());
            assert_eq!(unmarked(after), expected);
        }
        said.prints(&format!(
            "ValidatingWebhookConfiguration/{}-v w.example.com: attached to https://127.0.0.1:{port}/validate\n",
            world.namespace
        ))
        .explains("4 webhooks are attached: the API server calls 127.0.0.1 port")
        .explains("proven by a request through it")
        .without("warning");

        // The cluster really calls us.
        let denied = objects::until_config_map(
            &world.client,
            &world.namespace,
            &[("deny", "true")],
            Result::is_err,
        )
        .await;
        let denied = denied.unwrap_err().to_string();
        assert!(denied.contains("denied by the test webhook"), "{denied}");
        assert!(webhook.count("/mutate") > 0);
    });
}

#[test]
fn attaching_twice_writes_nothing_the_second_time() {
    support::run(async {
        let world = World::new("twice").await;
        let webhook = world.serve();
        let path = world
            .configuration(VALIDATING, "v", &[("v.example.com", "/validate")])
            .await;
        let port = webhook.address().port();
        world.attach(port, &[]).done();
        let first = world.get(&path).await;
        world
            .attach(port, &[])
            .done()
            .prints("v.example.com: unchanged\n")
            .explains("1 webhook is attached");
        assert_eq!(world.get(&path).await, first);
    });
}

#[test]
fn the_original_is_kept_in_a_private_local_file_too() {
    use std::os::unix::fs::PermissionsExt;
    support::run(async {
        let world = World::new("file").await;
        let webhook = world.serve();
        let path = world
            .configuration(VALIDATING, "v", &[("v.example.com", "/validate")])
            .await;
        world.attach(webhook.address().port(), &[]).done();

        let state = world.home.path().join(".local/state/certtool");
        let files: Vec<_> = std::fs::read_dir(state).unwrap().collect();
        let [Ok(file)] = &files[..] else {
            panic!("{files:?}")
        };
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        let text = std::fs::read_to_string(file.path()).unwrap();
        let kept: serde_json::Value = serde_json::from_str(&text).unwrap();
        let annotation = world.get(&path).await["metadata"]["annotations"][ANNOTATION].clone();
        let annotation: serde_json::Value =
            serde_json::from_str(annotation.as_str().unwrap()).unwrap();
        assert_eq!(kept["server"], format!("{}/", world.cluster.server()));
        assert_eq!(kept["objects"][0]["record"], annotation);
        assert_eq!(
            annotation["webhooks"]["v.example.com"]["original"],
            world
                .service("/validate")
                .as_object()
                .map_or(json!(null), |service| {
                    let mut service = json!(service);
                    service["service"]["port"] = json!(443);
                    service
                })
        );
        assert!(annotation["by"].as_str().unwrap().starts_with("ann@"));
    });
}

#[test]
fn a_webhook_that_calls_a_url_already_is_left_alone_and_said() {
    support::run(async {
        let world = World::new("url").await;
        let webhook = world.serve();
        let path = world
            .configuration(
                VALIDATING,
                "v",
                &[
                    ("v.example.com", "/validate"),
                    ("u.example.com", "/validate"),
                ],
            )
            .await;
        let elsewhere = json!({ "url": "https://elsewhere.example.com/x" });
        world
            .edit(&path, |object| {
                object["webhooks"][1]["clientConfig"] = elsewhere.clone();
            })
            .await;
        world
            .attach(webhook.address().port(), &[])
            .done()
            .prints("u.example.com: left alone: it calls https://elsewhere.example.com/x rather than a Service\n")
            .explains("1 webhook is attached");
        assert_eq!(world.client_configs(&path).await[1], elsewhere);

        // Nothing but such webhooks is an error.
        let name = "u.example.com";
        world
            .edit(&path, |object| {
                object["webhooks"].as_array_mut().unwrap().remove(0);
            })
            .await;
        world
            .local_dev(&["attach", "--webhook", name])
            .ended(1)
            .explains("there is nothing to attach: none of the webhooks named u.example.com calls a Service")
            .explains("u.example.com: it calls https://elsewhere.example.com/x");
    });
}

#[test]
fn whoever_else_manages_an_object_is_named_with_what_they_may_do() {
    support::run(async {
        let world = World::new("managers").await;
        let webhook = world.serve();
        let path = world
            .configuration(VALIDATING, "v", &[("v.example.com", "/validate")])
            .await;
        let (annotation, label) = ("annotations", "labels");
        for (place, key, value) in [
            (
                annotation,
                "cert-manager.io/inject-ca-from",
                "shop/serving-cert",
            ),
            (annotation, "argocd.argoproj.io/tracking-id", "shop:x/y:z/w"),
            (label, "kustomize.toolkit.fluxcd.io/name", "apps"),
            (label, "app.kubernetes.io/managed-by", "Helm"),
        ] {
            world
                .patch(&path, &json!({ "metadata": { place: { key: value } } }))
                .await;
        }
        let said = world.attach(webhook.address().port(), &[]).done();
        for manager in [
            "cert-manager's cainjector \"shop/serving-cert\" manages this object",
            "Argo CD",
            "Flux",
            "Helm",
        ] {
            assert!(said.stderr.contains(manager), "{manager}: {}", said.stderr);
        }
        assert_eq!(
            said.stderr
                .matches("warning: ValidatingWebhookConfiguration/")
                .count(),
            4,
            "{}",
            said.stderr
        );
    });
}

#[test]
fn a_dry_run_changes_nothing_in_the_cluster_or_on_this_machine() {
    support::run(async {
        let world = World::new("dry").await;
        let paths = [
            world
                .configuration(VALIDATING, "v", &[("v.example.com", "/validate")])
                .await,
            world.crd().await,
        ];
        let before = [world.get(&paths[0]).await, world.get(&paths[1]).await];
        // Nothing listens: a plan needs no server.
        for (mode, suffix) in [
            ("--dry-run", "(dry run)"),
            ("--dry-run=client", "(dry run)"),
            ("--dry-run=server", "(server dry run)"),
        ] {
            world
                .attach(9443, &[mode])
                .done()
                .prints(&format!(
                    "v.example.com: attached to https://127.0.0.1:9443/validate {suffix}\n"
                ))
                .without("are attached");
        }
        let after = [world.get(&paths[0]).await, world.get(&paths[1]).await];
        assert_eq!(after, before);
        let written: Vec<_> = walk(world.home.path());
        assert!(written.is_empty(), "{written:?}");

        let webhook = world.serve();
        world.attach(webhook.address().port(), &[]).done();
        let attached = world.get(&paths[0]).await;
        for mode in ["--dry-run=client", "--dry-run=server"] {
            world.detach(&[mode]).done().prints("restored (");
        }
        assert_eq!(world.get(&paths[0]).await, attached);
        world.detach(&[]).done().prints("v.example.com: restored\n");
    });
}

/// The files below a directory.
fn walk(directory: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = walkdir::WalkDir::new(directory).into_iter();
    entries
        .map(|entry| entry.unwrap())
        .filter(|entry| !entry.file_type().is_dir())
        .map(walkdir::DirEntry::into_path)
        .collect()
}
