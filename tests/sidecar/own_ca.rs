//! `--ca-secret`: a CA of the replicas' own, and the caBundles that follow it.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    time::{Duration, Instant},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use kube::{
    Api,
    api::{ListParams, PostParams},
};
use serde_json::{Value, json};

use crate::{
    World,
    files::{LIMIT, Said},
    support::{
        self, Process,
        meddler::{Event, Meddler},
        objects,
        webhook::Webhook,
    },
    world::until,
};

const OWN: &str = "--service hook.%N --cert-dir serving --ca-secret %N/hook-ca";

fn secret(world: &World<'_>) -> Value {
    let args = [
        "get",
        "secret",
        "hook-ca",
        "-n",
        &world.namespace,
        "-o",
        "json",
    ];
    serde_json::from_str(&world.cluster.kubectl(&args)).unwrap()
}

fn entry(secret: &Value, key: &str) -> String {
    let encoded = secret["data"][key].as_str().unwrap_or_default();
    String::from_utf8(STANDARD.decode(encoded).unwrap()).unwrap()
}

/// A Service, and a configuration of its webhook, without a caBundle.
async fn webhook_object(world: &World<'_>, address: SocketAddr) {
    let port = address.port();
    let config = objects::by_service(&world.namespace, "hook", port, "/validate", None);
    let client = world.cluster.admin_client().await;
    objects::validating_webhook(&client, &world.namespace, &world.namespace, &config).await;
}

fn bundle(world: &World<'_>) -> String {
    let args = [
        "get",
        "validatingwebhookconfiguration",
        &world.namespace,
        "-o",
        "json",
    ];
    let object: Value = serde_json::from_str(&world.cluster.kubectl(&args)).unwrap();
    let encoded = object["webhooks"][0]["clientConfig"]["caBundle"].as_str();
    String::from_utf8(STANDARD.decode(encoded.unwrap_or_default()).unwrap()).unwrap()
}

#[test]
fn a_webhook_without_anything_gets_a_ca_a_pair_and_its_bundle() {
    support::run(async {
        let options = format!("{OWN} --webhook %N");
        let world = World::new("own", &options).await;
        let client = world.cluster.admin_client().await;
        let mut process = world.start(&options);
        // There is no webhook yet: it waits for that, and has its pair all the same.
        process.wait_for("waiting for webhooks that do not exist yet", LIMIT);
        process.wait_for("wrote a new pair", LIMIT);
        world.assert_pair("serving/tls.crt", "serving/tls.key");
        assert!(world.verifies("serving/ca.crt", "serving/tls.crt", &world.service()));
        let made = secret(&world);
        assert_eq!(entry(&made, "ca.crt"), world.read("serving/ca.crt"));
        assert!(
            !made
                .to_string()
                .contains(&STANDARD.encode(world.read("serving/tls.key")))
        );

        let port = support::service_port();
        let address = objects::service(&client, &world.namespace, "hook", port).await;
        let _server = Webhook::start(address, &world.path("serving"));
        webhook_object(&world, address).await;
        until(|| (bundle(&world) == world.read("serving/ca.crt")).then_some(()));
        let denied = [("deny", "true")];
        let answer = objects::until_config_map(
            &client,
            &world.namespace,
            &denied,
            |answer| matches!(answer, Err(kube::Error::Api(status)) if status.message.contains("denied by the test webhook")),
        );
        answer.await.unwrap_err();
        // A client-side `helm upgrade` takes it away, and it comes back.
        let patch = json!([{ "op": "remove", "path": "/webhooks/0/clientConfig/caBundle" }]);
        let name = &world.namespace;
        let patch = patch.to_string();
        world.cluster.kubectl(&[
            "patch",
            "validatingwebhookconfiguration",
            name,
            "--type=json",
            "-p",
            &patch,
        ]);
        until(|| (bundle(&world) == world.read("serving/ca.crt")).then_some(()));
        process.terminate(LIMIT);
        // As an init container it finds all of that.
        world
            .run(&format!("--once {options}"))
            .done()
            .prints("unchanged");
    });
}

#[test]
fn replicas_that_start_at_once_agree_on_one_ca() {
    support::run(async {
        let world = World::new("agree", OWN).await;
        let start = |replica: usize| {
            let words = OWN.replace("serving", &format!("serving-{replica}"));
            let mut command = world.command(&format!("--once {words}"));
            command.env("POD_NAME", format!("hook-{replica}"));
            Process::spawn(command)
        };
        let replicas: Vec<_> = (0..6).map(start).collect();
        for replica in replicas {
            Said::at_the_end_of(replica).done();
        }
        let ca = entry(&secret(&world), "ca.crt");
        let mut keys = BTreeSet::new();
        for replica in 0..6 {
            let dir = format!("serving-{replica}");
            assert_eq!(world.read(&format!("{dir}/ca.crt")), ca);
            let certificate = format!("{dir}/tls.crt");
            assert!(world.verifies(&format!("{dir}/ca.crt"), &certificate, &world.service()));
            keys.insert(world.read(&format!("{dir}/tls.key")));
        }
        assert_eq!(keys.len(), 6, "each pod has a key of its own");
    });
}

#[test]
fn objects_that_take_longer_to_read_than_a_certificate_lives_delay_none() {
    support::run(async {
        let options = format!("{OWN} --webhook %N --validity 6s");
        let mut world = World::new("slow", &options).await;
        let client = world.cluster.admin_client().await;
        let port = support::service_port();
        let address = objects::service(&client, &world.namespace, "hook", port).await;
        webhook_object(&world, address).await;
        // Nor is what was read of the CA before that fresh enough to sign by after it.
        let path = "validatingwebhookconfigurations";
        let delays = Event::Delays(Duration::from_secs(8));
        let meddler = Meddler::on(world.cluster, world.home(), "GET", path, delays);
        world.kubeconfig = meddler.kubeconfig();
        let mut process = world.start(&options);
        let issued = |process: &Process| process.stderr().matches("wrote a new pair").count();
        until(|| (issued(&process) >= 4).then_some(()));
        let said = process.stderr();
        for words in ["expired", "The old pair is kept"] {
            assert!(!said.contains(words), "{words:?}:\n{said}");
        }
        assert!(meddler.seen() >= 3);
        process.terminate(LIMIT);
    });
}

#[test]
fn through_a_rotation_of_the_ca_no_request_fails() {
    support::run(async {
        let options = format!("{OWN} --webhook %N --validity 9s --ca-validity 27s");
        let world = World::new("rotates", &options).await;
        let client = world.cluster.admin_client().await;
        let port = support::service_port();
        let address = objects::service(&client, &world.namespace, "hook", port).await;
        webhook_object(&world, address).await;
        let mut process = world.start(&options);
        process.wait_for("wrote a new pair", LIMIT);
        // A new handshake for each request.
        let server = Webhook::start(address, &world.path("serving"));
        let denied = [("deny", "true")];
        let asked = |answer: &kube::Result<_>| matches!(answer, Err(kube::Error::Api(status)) if status.message.contains("denied by the test webhook"));
        let _ = objects::until_config_map(&client, &world.namespace, &denied, asked).await;
        let api: Api<k8s_openapi::api::core::v1::ConfigMap> =
            Api::namespaced(client, &world.namespace);
        let mut object = objects::config_map("", &denied);
        object.metadata.name = None;
        object.metadata.generate_name = Some("load-".to_owned());
        let first = entry(&secret(&world), "tls.crt");
        let started = Instant::now();
        let (mut requests, mut cas) = (0, BTreeSet::from([first]));
        while cas.len() < 4 {
            assert!(
                started.elapsed() < Duration::from_secs(120),
                "{} CAs",
                cas.len()
            );
            for _ in 0..20 {
                let answer = api.create(&PostParams::default(), &object).await;
                assert!(
                    asked(&answer),
                    "request {requests}: {answer:?}\n{}",
                    process.stderr()
                );
                requests += 1;
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            cas.insert(entry(&secret(&world), "tls.crt"));
        }
        let leaves: BTreeSet<_> = server
            .calls()
            .iter()
            .map(|call| call.leaf.to_vec())
            .collect();
        assert!(leaves.len() >= 4, "{} leaves", leaves.len());
        assert!(process.is_running());
        assert_eq!(
            api.list(&ListParams::default()).await.unwrap().items.len(),
            0
        );
        println!("{requests} requests, {} leaves, 3 rotations", leaves.len());
    });
}

#[test]
fn a_secret_that_is_no_ca_of_ours_stays_as_it_is() {
    support::run(async {
        let world = World::new("notours", OWN).await;
        let n = &world.namespace;
        world.admin("ca init --out-dir ca").done();
        world.csr("leaf", "DNS:hook.shop.svc");
        world
            .admin("sign --csr leaf.csr --out leaf.crt --ca-dir ca")
            .done();
        let leaf = ["--cert=leaf.crt", "--key=leaf.key"].map(|word| {
            let (option, file) = word.split_once('=').unwrap();
            format!("{option}={}", world.path(file).display())
        });
        let create = [
            "create", "secret", "tls", "hook-ca", "-n", n, &leaf[0], &leaf[1],
        ];
        world.cluster.kubectl(&create);
        let before = secret(&world);
        world
            .run(&format!("--once {OWN}"))
            .ended(1)
            .prints_nothing()
            .explains(&format!("{n}/hook-ca"))
            .explains("CA");
        assert_eq!(secret(&world), before);
        world
            .cluster
            .kubectl(&["delete", "secret", "hook-ca", "-n", n]);
        let create = [
            "create",
            "secret",
            "generic",
            "hook-ca",
            "-n",
            n,
            "--from-literal=password=x",
        ];
        world.cluster.kubectl(&create);
        let before = secret(&world);
        let mut process = world.start(OWN);
        process.wait_for("There is no pair yet", LIMIT);
        assert!(process.stderr().contains("hook-ca"), "{}", process.stderr());
        assert_eq!(secret(&world), before);
        assert!(!world.exists("serving/tls.crt"));
        // It goes on as soon as the Secret is out of the way.
        world
            .cluster
            .kubectl(&["delete", "secret", "hook-ca", "-n", n]);
        until(|| world.exists("serving/tls.crt").then_some(()));
    });
}

#[test]
fn missing_rights_are_named_one_by_one() {
    support::run(async {
        let options = format!("{OWN} --webhook validatingwebhookconfiguration/%N");
        let world = World::without_rights(support::control_plane(), "norights").await;
        let once = format!("--once {options}");
        world
            .run(&once)
            .ended(1)
            .explains("resources: [\"secrets\"], verbs: [\"get\"]");
        world.grant(OWN).await;
        let client = world.cluster.admin_client().await;
        let port = support::service_port();
        let address = objects::service(&client, &world.namespace, "hook", port).await;
        webhook_object(&world, address).await;
        world
            .run(&format!("{once} --timeout 5s"))
            .explains("validatingwebhookconfigurations")
            .explains("verbs: [\"get\"]");
        world.grant(&options).await;
        world.run(&once).done();
        assert_eq!(bundle(&world), world.read("serving/ca.crt"));
    });
}

#[test]
fn what_is_wrong_with_the_ca_is_said_once_and_not_at_every_look() {
    support::run(async {
        let options = format!("{OWN} --validity 1h --ca-validity 9h");
        let world = World::new("once-said", &options).await;
        let mut process = world.start(&options);
        process.wait_for("wrote a new pair", LIMIT);
        let (namespace, patch) = (&world.namespace, r#"{"data":{"ca.crt":"Z2FyYmFnZQ=="}}"#);
        let args = ["patch", "secret", "hook-ca", "-n", namespace, "-p", patch];
        world.cluster.kubectl(&args);
        let wrong = "ca.crt does not read";
        process.wait_for(wrong, LIMIT);
        tokio::time::sleep(Duration::from_secs(17)).await;
        let said = process.stderr();
        assert_eq!(said.matches(wrong).count(), 1, "{said}");
        assert!(!said.contains("trust bundle"), "{said}");
        // Another problem is other news.
        let patch = r#"{"data":{"authority.json":"Z2FyYmFnZQ=="}}"#;
        let args = ["patch", "secret", "hook-ca", "-n", namespace, "-p", patch];
        world.cluster.kubectl(&args);
        process.wait_for("authority.json does not read", LIMIT);
        process.terminate(LIMIT);

        // A CA that somebody else maintains, and that has ended.
        world.admin("ca init --out-dir ended --validity 2s").done();
        for (file, entry) in [("ca.crt", "tls.crt"), ("ca.key", "tls.key")] {
            let (from, to) = (format!("ended/{file}"), format!("ended/{entry}"));
            std::fs::copy(world.path(&from), world.path(&to)).unwrap();
        }
        let cert = world.path("ended/tls.crt");
        let key = world.path("ended/tls.key");
        let args = ["create", "secret", "tls", "ended", "-n", namespace];
        let files = [
            format!("--cert={}", cert.display()),
            format!("--key={}", key.display()),
        ];
        let args: Vec<&str> = args
            .into_iter()
            .chain(files.iter().map(String::as_str))
            .collect();
        world.cluster.kubectl(&args);
        let annotate = [
            "annotate",
            "secret",
            "ended",
            "-n",
            namespace,
            "cert-manager.io/certificate-name=x",
        ];
        world.cluster.kubectl(&annotate);
        let mut process = {
            let words = "sidecar --service hook.%N --cert-dir other --ca-secret %N/ended --validity 1h --ca-validity 9h";
            Process::spawn(world.admin_command(words))
        };
        process.wait_for("the CA ended at 2", LIMIT);
        tokio::time::sleep(Duration::from_secs(12)).await;
        let said = process.stderr();
        let ended = said.matches("nothing that it signed is valid").count();
        assert_eq!(ended, 1, "{said}");
    });
}

#[test]
fn a_configuration_that_calls_another_service_only_is_said_and_left_alone() {
    support::run(async {
        let options = format!("{OWN} --webhook %N --webhook validatingwebhookconfiguration/%N");
        let world = World::new("not-ours", &options).await;
        let client = world.cluster.admin_client().await;
        let namespace = &world.namespace;
        let config = objects::by_service(namespace, "other", 443, "/validate", None);
        objects::validating_webhook(&client, namespace, namespace, &config).await;
        let mut process = world.start(&options);
        process.wait_for("wrote a new pair", LIMIT);
        let service = format!("no webhook of it calls the Service hook.{namespace}");
        process.wait_for(&service, LIMIT);
        assert_eq!(bundle(&world), "");
        let patch =
            r#"[{"op":"replace","path":"/webhooks/0/clientConfig/service/name","value":"hook"}]"#;
        let kind = "validatingwebhookconfiguration";
        world
            .cluster
            .kubectl(&["patch", kind, namespace, "--type=json", "-p", patch]);
        until(|| (!bundle(&world).is_empty()).then_some(()));
        process.wait_for("wrote the caBundle", LIMIT);
        let said = process.stderr();
        assert_eq!(said.matches("wrote the caBundle").count(), 1, "{said}");
        assert_eq!(said.matches(&service).count(), 1, "{said}");
    });
}
