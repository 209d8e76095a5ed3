//! The pair serves: the API server calls a webhook with it, by address and by Service.

use std::{fs, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use crate::{
    World,
    operator::{self, Manifests, Operator},
    support::{self, ControlPlane, objects, webhook::Webhook},
};

#[test]
fn a_pair_made_step_by_step_serves_a_webhook_on_an_address() {
    support::run(async {
        let world = World::new("byaddress").await;
        world.write(
            "server.json",
            r#"{ "hosts": ["hook.shop.svc", "127.0.0.1"], "CN": "hook.shop.svc" }"#,
        );
        world.ca();
        for step in [
            "genkey --from server.json",
            "submit server.csr --name @hook --signer %S --expiration 24h",
            "approve @hook",
            "sign @hook --ca-dir ca",
            "fetch @hook --key server-key.pem --ca ca/ca.crt --out-dir serving",
        ] {
            world.run(step).done();
        }
        let webhook = Webhook::start(([127, 0, 0, 1], 0), &world.path("serving"));
        let ca = world.read("serving/ca.crt");
        let config = objects::by_url(webhook.address(), "/validate", Some(&ca));
        objects::validating_webhook(&world.client, &world.name("v"), &world.namespace, &config)
            .await;
        assert_is_called(&world, &webhook).await;
    });
}

#[test]
fn a_pair_from_issue_serves_a_webhook_behind_a_service() {
    support::run(async {
        let world = World::new("byservice").await;
        world.ca();
        world
            .run("issue --name @hook --signer %S --service hook.%N --cert-dir serving --ca-dir ca")
            .done();
        let port = support::service_port();
        let address = objects::service(&world.client, &world.namespace, "hook", port).await;
        let webhook = Webhook::start(address, &world.path("serving"));
        let ca = world.read("serving/ca.crt");
        let config = objects::by_service(&world.namespace, "hook", port, "/validate", Some(&ca));
        objects::validating_webhook(&world.client, &world.name("v"), &world.namespace, &config)
            .await;
        assert_is_called(&world, &webhook).await;
    });
}

async fn assert_is_called(world: &World<'_>, webhook: &Webhook) {
    let denied = objects::until_config_map(
        &world.client,
        &world.namespace,
        &[("deny", "true")],
        Result::is_err,
    )
    .await;
    let denied = denied.unwrap_err().to_string();
    assert!(denied.contains("denied by the test webhook"), "{denied}");
    assert!(webhook.count("/validate") > 0);
}

#[test]
fn the_go_operator_serves_with_the_pair_by_service_and_by_address() {
    let limit = Duration::from_secs(600);
    let _watchdog = support::watchdog(limit);
    Operator::build();
    support::run_within(limit, async {
        let cluster = ControlPlane::dedicated();
        let world = World::on(&cluster, "operator").await;
        let address = support::next_cluster_ip();
        let port = support::service_port();
        let service = format!("{}.{}", operator::SERVICE, operator::NAMESPACE);
        let hosts = json!([format!("{service}.svc"), address.to_string()]);
        let csr = json!({ "CN": format!("{service}.svc"), "hosts": hosts, "key": { "algo": "ecdsa", "size": 256 } });
        world.write("server.json", csr.to_string());
        world.write(
            "ca.json",
            r#"{ "CN": "My Example Signer", "key": { "algo": "rsa", "size": 2048 } }"#,
        );
        world.run("ca init --from ca.json --out-dir ca").done();
        world
            .run("issue --from server.json --name @hook --signer %S --cert-dir serving --ca-dir ca --validity 876000h")
            .done();

        let manifests = operator::manifests(&Manifests {
            cluster_ip: Some(address),
            port,
            ..Manifests::default()
        });
        cluster.apply(&manifests);
        let operator = Operator::start(&operator::Options {
            kubeconfig: Some(cluster.kubeconfig()),
            cert_dir: Some(world.path("serving")),
            host: address.into(),
            port,
            ..operator::Options::default()
        });
        let ca = STANDARD.encode(fs::read(world.path("serving/ca.crt")).unwrap());
        configure(&cluster, &|config| config["caBundle"] = json!(ca));
        assert_answers(&cluster).await;

        configure(&cluster, &|config| {
            let path = config["service"]["path"].as_str().unwrap();
            let url = format!("https://{address}:{port}{path}");
            *config = json!({ "url": url, "caBundle": ca });
        });
        cluster.kubectl(&["delete", "widgets.example.certtool.dev", "--all"]);
        assert_answers(&cluster).await;
        drop(operator);
    });
}

/// Changes every clientConfig of the operator's webhooks and of its CRD.
fn configure(cluster: &ControlPlane, change: &dyn Fn(&mut Value)) {
    for (kind, name) in [
        ("mutatingwebhookconfiguration", operator::MUTATING),
        ("validatingwebhookconfiguration", operator::VALIDATING),
        ("customresourcedefinition", operator::CRD),
    ] {
        let object = cluster.kubectl(&["get", kind, name, "-o", "json"]);
        let mut object: Value = serde_json::from_str(&object).unwrap();
        match object.pointer_mut("/spec/conversion/webhook/clientConfig") {
            Some(config) => change(config),
            None => {
                for webhook in object["webhooks"].as_array_mut().unwrap() {
                    change(&mut webhook["clientConfig"]);
                }
            }
        }
        let replaced = cluster.try_kubectl(&["replace", "-f", "-"], &object.to_string());
        let stderr = String::from_utf8_lossy(&replaced.stderr);
        assert!(replaced.status.success(), "{stderr}");
    }
}

/// Mutation and conversion work, and validation refuses in the webhook's own words.
async fn assert_answers(cluster: &ControlPlane) {
    support::eventually(Duration::from_secs(30), || async {
        let widget = cluster.try_kubectl(&["apply", "-f", "-"], operator::WIDGET_V1BETA1);
        match widget.status.success() {
            true => Ok(()),
            false => Err(String::from_utf8_lossy(&widget.stderr).into_owned()),
        }
    })
    .await;
    support::eventually(Duration::from_secs(30), || async {
        let widget = cluster.try_kubectl(&["apply", "-f", "-"], operator::WIDGET_TOO_WIDE);
        let stderr = String::from_utf8_lossy(&widget.stderr).into_owned();
        match stderr.contains(operator::TOO_WIDE_MESSAGE) {
            true => Ok(()),
            false => Err(stderr),
        }
    })
    .await;
}
