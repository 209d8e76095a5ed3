//! `list` and `describe`.

use std::{process::Command, time::Duration};

use serde_json::json;

use crate::{
    Files, World,
    files::Said,
    support::{self, rule},
};

#[test]
fn requests_are_listed_the_oldest_first_and_by_state_signer_and_label() {
    support::run(async {
        let world = World::new("list").await;
        world
            .run("list --signer %S")
            .done()
            .prints_nothing()
            .explains("no certificate signing requests");
        for name in ["second", "first"] {
            world.csr(name, &format!("DNS:{name}.shop.svc,IP:10.0.0.1"));
        }
        world
            .run("submit second.csr --name @z-older --signer %S")
            .done();
        // Ages are counted in whole seconds.
        tokio::time::sleep(Duration::from_millis(1100)).await;
        world
            .run("submit first.csr --name @a-newer --signer %S --expiration 1h")
            .done();
        world.label("a-newer", "team", "shop").await;

        let said = world.run("list --signer %S").done();
        let lines: Vec<_> = said.stdout.lines().collect();
        assert_eq!(lines.len(), 3, "{lines:?}");
        assert!(lines[0].starts_with("NAME"), "{lines:?}");
        assert!(lines[1].contains("z-older"), "{lines:?}");
        assert!(lines[2].contains("first.shop.svc,10.0.0.1"), "{lines:?}");

        world.run("approve @z-older").done();
        let names = |words: &str| world.run(&format!("list {words} -o name")).done().stdout;
        let newer = format!("certificatesigningrequest/{}\n", world.name("a-newer"));
        assert_eq!(names("--signer %S --pending"), newer);
        assert_eq!(names("--signer %S -l team=shop"), newer);
        assert!(names("-l team=shop").contains(&newer));
        assert_eq!(names("--signer other.example.com/x -l team=shop"), "");

        let items = world.run("list --signer %S -o json").done().json();
        let item = &items["items"][1];
        assert_eq!(item["name"], world.name("a-newer").as_str());
        assert_eq!(item["state"], "Pending");
        assert_eq!(item["expirationSeconds"], 3600);
        assert_eq!(item["names"], json!(["first.shop.svc", "10.0.0.1"]));
        assert_eq!(items["items"][0]["state"], "Approved");
        world
            .run("list --signer %S -o wide")
            .done()
            .prints("DURATION")
            .prints("digital signature,key encipherment,server auth");
        world
            .run("list --signer %S -o yaml")
            .done()
            .prints("state: Pending");
    });
}

#[test]
fn one_request_that_does_not_read_does_not_stop_the_others() {
    support::run(async {
        let world = World::new("malformed").await;
        world.submitted("good");
        // The API server reads the first block and takes the object.
        let twice = world.read("good.csr").repeat(2);
        world
            .create("twice", twice.as_bytes(), &["server auth"])
            .await
            .unwrap();
        world
            .run("list --signer %S")
            .done()
            .prints("good.shop.svc")
            .prints("(2 PEM blocks found where one CERTIFICATE REQUEST is expected)");
        let items = world.run("list --signer %S -o json").done().json();
        assert_eq!(items["items"].as_array().unwrap().len(), 2);
        world
            .run("describe @twice")
            .done()
            .prints("does not read: 2 PEM blocks");
    });
}

#[test]
fn a_terminal_gets_lines_that_fit_and_the_pending_in_colour() {
    support::run(async {
        let world = World::new("terminal").await;
        world.csr(
            "long",
            "DNS:a-rather-long-name-of-a-service.and-of-its-namespace.svc.cluster.local",
        );
        let user = service_account(&world, "requester-with-a-long-name").await;
        user.write("long.csr", world.read("long.csr"));
        user.run("submit long.csr --name @long --signer %S").done();
        let program = support::certtool(world.home());
        let program = program.get_program().to_str().unwrap();
        let list = |columns: u32| {
            let shell = format!(
                "stty cols {columns} rows 24; {program} --kubeconfig {} list --signer {}",
                world.cluster.kubeconfig().display(),
                world.signer()
            );
            let mut command = Command::new("script");
            command
                .args(["-qec", &shell, "/dev/null"])
                .env_remove("NO_COLOR");
            Said::of(command).done().stdout.replace('\r', "")
        };
        for line in list(80).lines() {
            let visible = line.replace("\x1b[33m", "").replace("\x1b[0m", "");
            assert!(visible.chars().count() <= 80, "{line:?}");
        }
        // What is cut off is not the condition.
        assert!(list(80).contains("\x1b[33mPending\x1b[0m"), "{}", list(80));
        assert!(list(80).contains('…'));
        assert!(list(400).contains("svc.cluster.local\n"));
    });
}

/// The test as a service account that may make requests and look at them.
async fn service_account<'a>(world: &World<'a>, name: &str) -> World<'a> {
    let group = &["certificates.k8s.io"];
    let requests = rule(group, &["certificatesigningrequests"], &["create", "get"]);
    let kubeconfig = world
        .cluster
        .service_account(&world.namespace, name, &[], &[requests])
        .await;
    world.as_user(kubeconfig)
}

#[test]
fn a_request_is_described_with_its_requester_its_names_and_what_became_of_it() {
    support::run(async {
        let world = World::new("describe").await;
        world.ca();
        let user = service_account(&world, "pod").await;
        user.openssl(
            "req -new -newkey rsa:2048 -nodes -keyout hook.key -out hook.csr -subj /O=Shop/CN=hook \
             -addext subjectAltName=DNS:hook.shop.svc,IP:10.0.0.1,IP:fd00::1,email:a@b.c,URI:spiffe://a/b",
        );
        user.run("submit hook.csr --name @hook --signer %S --expiration 36h")
            .done();
        let account = format!("system:serviceaccount:{}:pod", world.namespace);
        let pending = world.run("describe @hook").done();
        for text in [
            "State:           Pending",
            &format!("Signer:          {}", world.signer()),
            &format!("Requester:       {account}"),
            "system:serviceaccounts, ",
            "Usages:          digital signature, key encipherment, server auth",
            "Life asked for:  36 hours",
            "Subject:         O=Shop, CN=hook",
            "DNS names:       hook.shop.svc",
            "IP names:        10.0.0.1, fd00::1",
            "email names:     a@b.c",
            "URI names:       spiffe://a/b",
            "Key:             RSA 2048",
            "Signature:       RSA-SHA256 (valid)",
        ] {
            assert!(
                pending.stdout.contains(text),
                "{text} in {}",
                pending.stdout
            );
        }
        let mut approve = world.command("approve @hook --reason Known --message");
        approve.arg("asked\nfor\u{1b}[31m by the shop");
        Said::of(approve).done();
        world.run("sign @hook --ca-dir ca").done();
        world
            .run("describe @hook")
            .done()
            .prints("State:           Approved,Issued")
            // What somebody wrote does not steer the terminal.
            .prints(": Known: asked for [31m by the shop")
            .says_nothing_of("\u{1b}")
            .prints("Certificate:\n  Subject:         O=Shop, CN=hook\n  Issuer:          CN=certtool CA")
            .prints("Serial:");
        let data = world.run("describe @hook -o json").done().json();
        assert_eq!(data["requester"]["username"], account.as_str());
        assert_eq!(data["conditions"][0]["reason"], "Known");
        assert_eq!(
            data["request"]["names"][1],
            json!({ "type": "IP", "value": "10.0.0.1" })
        );
        assert_eq!(data["certificates"][0]["ca"], false);
    });
}

#[test]
fn the_pod_behind_a_bound_token_is_shown() {
    support::run(async {
        let world = World::new("pod").await;
        let namespace = &world.namespace;
        service_account(&world, "bound").await;
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "hook-0" },
            "spec": { "serviceAccountName": "bound", "containers": [{ "name": "c", "image": "x" }] },
        });
        let pods = format!("/api/v1/namespaces/{namespace}/pods");
        let uid = world.api("POST", &pods, &pod).await.unwrap()["metadata"]["uid"].clone();
        let review = json!({ "spec": { "audiences": [], "boundObjectRef": {
            "apiVersion": "v1", "kind": "Pod", "name": "hook-0", "uid": uid,
        }}});
        let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts/bound/token");
        let token = world.api("POST", &path, &review).await.unwrap();
        let admin = std::fs::read_to_string(world.cluster.kubeconfig()).unwrap();
        let mut kubeconfig: serde_json::Value = serde_yaml::from_str(&admin).unwrap();
        kubeconfig["users"][0]["user"] = json!({ "token": token["status"]["token"] });
        world.write("bound", kubeconfig.to_string());
        let user = world.as_user(world.path("bound"));
        user.submitted("hook");
        world
            .run("describe @hook")
            .done()
            .prints("Pod:             hook-0");
        world
            .run("list --signer %S -o wide")
            .done()
            .prints("hook-0");
    });
}

#[test]
fn a_file_is_described_without_a_cluster() {
    let files = Files::new();
    files.csr("hook", "DNS:hook.shop.svc,IP:10.0.0.1");
    let from_file = files
        .certtool("describe hook.csr")
        .done()
        .prints("(valid)")
        .stdout;
    let from_stdin = files
        .certtool_reading("hook.csr", "describe -")
        .done()
        .stdout;
    assert_eq!(from_file, from_stdin);
    let data = files.certtool("describe hook.csr -o json").done().json();
    assert_eq!(data["names"][0]["value"], "hook.shop.svc");
    assert_eq!(data["signatureValid"], true);
    files
        .certtool("describe ./nothing.csr")
        .ended(1)
        .explains("could not open ./nothing.csr");
    files
        .certtool("describe nothing.csr")
        .ended(1)
        .explains("\"nothing.csr\" is no file, and no cluster can be asked");
}

#[test]
fn what_does_not_exist_is_said_with_what_to_look_for() {
    support::run(async {
        let world = World::new("missing").await;
        for words in ["describe @x", "approve @x", "deny @x", "fetch @x"] {
            world
                .run(words)
                .ended(1)
                .prints_nothing()
                .explains("there is no certificatesigningrequest");
        }
    });
}
