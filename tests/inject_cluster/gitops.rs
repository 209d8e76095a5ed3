//! Whoever applies the same manifests again, without a caBundle: neither a conflict nor an empty
//! field. The programs are the real ones.

use std::{path::PathBuf, process::Command, sync::OnceLock, time::Duration};

use serde_json::{Value, json};

use crate::{
    World,
    support::{self, pki::Ca},
    world::{APISERVICES, CRDS, MUTATING, VALIDATING, bundle, configs},
};

/// Something that puts manifests into a cluster, again and again.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Client {
    /// `kubectl apply`: three ways, by the annotation with what was applied last.
    KubectlApply,
    /// `kubectl apply --server-side`
    KubectlServerSide,
    /// The same with `--force-conflicts`.
    KubectlForced,
    /// `helm upgrade` of version 3: three ways, by the release's last manifest.
    Helm3,
    /// `helm upgrade` of version 4: server-side apply.
    Helm4,
    /// What Argo CD does with `ServerSideApply=true`, and Flux: forced, by its own field manager.
    ForcedApply(&'static str),
}

const ALL: [Client; 7] = [
    Client::KubectlApply,
    Client::KubectlServerSide,
    Client::KubectlForced,
    Client::Helm3,
    Client::Helm4,
    Client::ForcedApply("argocd-controller"),
    Client::ForcedApply("kustomize-controller"),
];

impl Client {
    async fn applied(self, world: &World<'_>, objects: &[Value]) {
        let applied = self.apply(world, objects).await;
        applied.unwrap_or_else(|why| panic!("{self:?}: {why}"));
    }

    async fn apply(self, world: &World<'_>, objects: &[Value]) -> Result<(), String> {
        let kubectl = |args: &[&str]| {
            let list = json!({ "apiVersion": "v1", "kind": "List", "items": objects });
            let args = [args, &["-f", "-"]].concat();
            judged(&world.cluster.try_kubectl(&args, &list.to_string()))
        };
        match self {
            Self::KubectlApply => kubectl(&["apply"]),
            Self::KubectlServerSide => {
                kubectl(&["apply", "--server-side", "--field-manager=pipeline"])
            }
            Self::KubectlForced => kubectl(&["apply", "--server-side", "--force-conflicts"]),
            Self::Helm3 => helm("helm3", world, objects),
            Self::Helm4 => helm("helm4", world, objects),
            Self::ForcedApply(manager) => {
                for object in objects {
                    let request = http::Request::builder()
                        .method("PATCH")
                        .uri(format!(
                            "{}?fieldManager={manager}&force=true",
                            path(object)
                        ))
                        .header("content-type", "application/apply-patch+yaml")
                        .body(object.to_string().into_bytes())
                        .unwrap();
                    let answer = world.client.request::<Value>(request).await;
                    answer.map_err(|error| error.to_string())?;
                }
                Ok(())
            }
        }
    }
}

fn judged(output: &std::process::Output) -> Result<(), String> {
    match output.status.success() {
        true => Ok(()),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    }
}

/// Upgrades the release `shop` of this test's namespace to a chart of these objects.
fn helm(version: &str, world: &World<'_>, objects: &[Value]) -> Result<(), String> {
    let chart = "apiVersion: v2\nname: shop\nversion: 0.1.0\n";
    world.write("chart/Chart.yaml", chart);
    let documents: Vec<_> = objects.iter().map(ToString::to_string).collect();
    world.write("chart/templates/all.yaml", documents.join("\n---\n"));
    let mut command = Command::new(helms().join(version));
    command
        .env_clear()
        .env("HOME", world.home())
        .args(["upgrade", "--install", "shop", "chart", "--namespace"])
        .arg(&world.namespace)
        .arg("--kubeconfig")
        .arg(world.cluster.kubeconfig())
        .current_dir(world.home());
    judged(&support::output(command, Duration::from_secs(60)))
}

fn helms() -> &'static PathBuf {
    static DIRECTORY: OnceLock<PathBuf> = OnceLock::new();
    DIRECTORY.get_or_init(|| {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/helm");
        let output = Command::new(script).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "no Helm: {stderr}");
        PathBuf::from(String::from_utf8(output.stdout).unwrap().trim())
    })
}

/// An operator's manifests, all four kinds. `timeout` is what a new version of them changes;
/// `placeholder` is a caBundle that they come with.
fn manifests(world: &World<'_>, timeout: u32, placeholder: Option<&str>) -> Vec<Value> {
    let mut config = world.service();
    if let Some(placeholder) = placeholder {
        config["caBundle"] = json!(placeholder);
    }
    let webhook = |name: &str| {
        let mut webhook = world.webhook(name, config.clone());
        webhook["timeoutSeconds"] = json!(timeout);
        webhook
    };
    let mut service = world.api_service_object();
    // Nobody's manifest can have it beside a caBundle.
    service["spec"]
        .as_object_mut()
        .unwrap()
        .shift_remove("insecureSkipTLSVerify");
    service["spec"]["versionPriority"] = json!(timeout);
    let mut crd = world.crd_object(&config);
    crd["spec"]["names"]["shortNames"] = json!([format!("w{timeout}")]);
    let mut all = vec![
        world.configuration(
            "MutatingWebhookConfiguration",
            "m",
            &[webhook("a.example.com"), webhook("b.example.com")],
        ),
        world.configuration(
            "ValidatingWebhookConfiguration",
            "v",
            &[webhook("c.example.com")],
        ),
        crd,
    ];
    if placeholder.is_none() {
        all.push(service);
    }
    all
}

/// Where an object is in the API.
fn path(object: &Value) -> String {
    let collection = match object["kind"].as_str().unwrap() {
        "MutatingWebhookConfiguration" => MUTATING,
        "ValidatingWebhookConfiguration" => VALIDATING,
        "CustomResourceDefinition" => CRDS,
        _ => APISERVICES,
    };
    format!(
        "{collection}/{}",
        object["metadata"]["name"].as_str().unwrap()
    )
}

/// Every caBundle of these objects, as they are stored.
async fn bundles(world: &World<'_>, objects: &[Value]) -> Vec<String> {
    let mut all = Vec::new();
    for object in objects {
        let stored = world.get(&path(object)).await;
        all.extend(configs(&stored).into_iter().map(bundle));
    }
    all
}

/// What a new version of the manifests has changed.
async fn timeouts(world: &World<'_>, objects: &[Value]) -> Vec<String> {
    let mut all = Vec::new();
    for object in objects {
        let stored = world.get(&path(object)).await;
        let value = match stored["kind"].as_str().unwrap() {
            "CustomResourceDefinition" => &stored["spec"]["names"]["shortNames"][0],
            "APIService" => &stored["spec"]["versionPriority"],
            _ => &stored["webhooks"][0]["timeoutSeconds"],
        };
        all.push(value.to_string().replace(['"', 'w'], ""));
    }
    all
}

async fn clean(world: &World<'_>, objects: &[Value]) {
    for object in objects {
        world.delete(&path(object)).await;
    }
}

#[test]
fn no_client_empties_the_field_when_it_applies_its_manifests_again() {
    support::run(async {
        for (number, client) in ALL.into_iter().enumerate() {
            let world = World::new(&format!("gitops{number}")).await;
            let objects = manifests(&world, 7, None);
            client.applied(&world, &objects).await;
            assert!(bundles(&world, &objects).await.iter().all(String::is_empty));
            world
                .inject("-l %L")
                .done()
                .explains("5 caBundles in 4 objects changed");
            let ours = vec![world.ca.clone(); 5];
            assert_eq!(bundles(&world, &objects).await, ours, "{client:?}");

            // The same again, and once more.
            for _ in 0..2 {
                client.applied(&world, &objects).await;
                assert_eq!(bundles(&world, &objects).await, ours, "{client:?}");
            }
            // A new version, in which something else has changed.
            let objects = manifests(&world, 8, None);
            client.applied(&world, &objects).await;
            assert_eq!(timeouts(&world, &objects).await, ["8"; 4], "{client:?}");
            assert_eq!(bundles(&world, &objects).await, ours, "{client:?}");

            // Another CA, and the same again.
            let other = Ca::new("other").pem;
            world.write("ca.crt", &other);
            world.inject("-l %L --mode replace").done();
            client.applied(&world, &objects).await;
            assert_eq!(
                bundles(&world, &objects).await,
                vec![other; 5],
                "{client:?}"
            );
            clean(&world, &objects).await;
        }
    });
}

#[test]
fn one_client_after_the_other_does_not_empty_it_either() {
    support::run(async {
        let world = World::new("mixed").await;
        let objects = manifests(&world, 7, None);
        Client::KubectlApply.applied(&world, &objects).await;
        world.inject("-l %L").done();
        for client in [
            Client::ForcedApply("argocd-controller"),
            Client::KubectlForced,
        ] {
            client.applied(&world, &objects).await;
            assert_eq!(
                bundles(&world, &objects).await,
                vec![world.ca.clone(); 5],
                "{client:?}"
            );
        }
        clean(&world, &objects).await;
    });
}

/// Three-way merges take away what was in the last manifest and is not in this one. On the server,
/// who wrote the field last owns it, and that is certtool.
#[test]
fn a_placeholder_that_leaves_the_manifests_takes_the_bundle_along_in_three_way_merges_alone() {
    support::run(async {
        for (number, client) in ALL.into_iter().enumerate() {
            let world = World::new(&format!("leaves{number}")).await;
            let placeholders = manifests(&world, 7, Some("Cg=="));
            client.applied(&world, &placeholders).await;
            world
                .inject("-l %L")
                .done()
                .explains("has written a caBundle: if its manifest has the field, leave it out");
            let objects = manifests(&world, 7, None)[..3].to_vec();
            client.applied(&world, &objects).await;
            let left = match client {
                Client::KubectlApply | Client::Helm3 => "",
                _ => &world.ca,
            };
            assert_eq!(bundles(&world, &objects).await, [left; 4], "{client:?}");
            // From then on it stays.
            world.inject("-l %L").done();
            client.applied(&world, &objects).await;
            assert_eq!(
                bundles(&world, &objects).await,
                [world.ca.as_str(); 4],
                "{client:?}"
            );
            clean(&world, &objects).await;
        }
    });
}

/// A limit, and what it looks like: a manifest that has a caBundle of its own.
#[test]
fn a_manifest_with_a_placeholder_in_it_conflicts_or_puts_it_back() {
    support::run(async {
        for (number, client) in ALL.into_iter().enumerate() {
            let world = World::new(&format!("fights{number}")).await;
            let objects = manifests(&world, 7, Some("Cg=="));
            client.applied(&world, &objects).await;
            world.inject("-l %L").done();
            let why = client.apply(&world, &objects).await.unwrap_err();
            let ours = world.ca.as_str();
            let left = match client {
                Client::KubectlServerSide | Client::Helm4 => {
                    assert!(
                        why.contains("certtool") && why.contains("caBundle"),
                        "{why}"
                    );
                    [ours; 4]
                }
                // The API server refuses to spoil a CRD.
                _ => {
                    assert!(why.contains("unable to load root certificates"), "{why}");
                    ["\n", "\n", "\n", ours]
                }
            };
            assert_eq!(bundles(&world, &objects).await, left, "{client:?}");
            world.inject("-l %L").done();
            assert_eq!(bundles(&world, &objects).await, [ours; 4], "{client:?}");
            clean(&world, &objects).await;
        }
    });
}

/// A limit: whoever writes the whole object writes it without a caBundle.
#[test]
fn an_update_of_the_whole_object_empties_the_field_until_the_next_injection() {
    support::run(async {
        let world = World::new("replaced").await;
        let objects = manifests(&world, 7, None);
        Client::KubectlApply.applied(&world, &objects).await;
        world.inject("-l %L").done();
        let list = json!({ "apiVersion": "v1", "kind": "List", "items": objects });
        let replace = ["replace", "-f", "-"];
        judged(&world.cluster.try_kubectl(&replace, &list.to_string())).unwrap();
        assert_eq!(bundles(&world, &objects).await, [""; 5]);
        world
            .inject("-l %L")
            .done()
            .explains("5 caBundles in 4 objects changed");
        assert_eq!(bundles(&world, &objects).await, [world.ca.as_str(); 5]);
        clean(&world, &objects).await;
    });
}
