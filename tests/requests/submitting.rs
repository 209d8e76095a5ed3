//! `genkey` and `submit`.

use serde_json::json;

use crate::{
    Files, World,
    files::Said,
    support,
    world::{REQUESTS, conditions},
};

#[test]
fn a_key_is_never_overwritten_without_force() {
    let files = Files::new();
    files
        .certtool("genkey --service hook.shop --host 10.0.0.1 --name hook --out-dir keys")
        .done()
        .prints("hook-key.pem")
        .prints("DNS:hook.shop.svc, DNS:hook.shop.svc.cluster.local, IP:10.0.0.1");
    files.openssl("req -in keys/hook.csr -noout -verify");
    let key = files.read("keys/hook-key.pem");
    files
        .certtool("genkey --host a.example.com --name hook --out-dir keys")
        .ended(1)
        .prints_nothing()
        .explains("hook-key.pem exists, and is not overwritten without --force");
    assert_eq!(files.read("keys/hook-key.pem"), key);
    files
        .certtool("genkey --host a.example.com --name hook --out-dir keys --force")
        .done();
    assert_ne!(files.read("keys/hook-key.pem"), key);
    assert_eq!(files.mode("keys/hook-key.pem"), 0o600);
    assert_eq!(files.list("keys"), ["hook-key.pem", "hook.csr"]);
}

#[test]
fn a_request_that_exists_alone_keeps_the_key_from_being_made() {
    let files = Files::new();
    files.write("server.csr", "something of mine");
    files
        .certtool("genkey --host a.example.com")
        .ended(1)
        .explains("server.csr exists");
    assert_eq!(files.read("server.csr"), "something of mine");
    assert!(!files.exists("server-key.pem"));
}

#[test]
fn keys_of_every_algorithm_make_requests_that_openssl_verifies() {
    let files = Files::new();
    for algorithm in [
        "ecdsa-p256",
        "ecdsa-p384",
        "ed25519",
        "rsa-2048",
        "rsa-3072",
        "rsa-4096",
    ] {
        files
            .certtool(&format!(
                "genkey --host a.example.com --algorithm {algorithm} --name {algorithm}"
            ))
            .done()
            .prints(algorithm);
        files.openssl(&format!("req -in {algorithm}.csr -noout -verify"));
        assert!(
            files
                .read(&format!("{algorithm}-key.pem"))
                .starts_with("-----BEGIN PRIVATE KEY")
        );
    }
}

#[test]
fn a_common_name_that_is_too_long_is_left_out_where_other_names_carry_the_identity() {
    let files = Files::new();
    let cn = "a".repeat(65);
    files
        .certtool(&format!("genkey --cn {cn} --host a.example.com"))
        .done()
        .explains("it is left out");
    files
        .certtool("describe server.csr")
        .done()
        .prints("Subject:         <none>");
    files
        .certtool(&format!("genkey --cn {cn} --name other"))
        .ended(2)
        .explains("at most 64 are allowed");
    assert!(!files.exists("other-key.pem"));
}

#[test]
fn nothing_to_be_named_is_wrong_usage() {
    let files = Files::new();
    for (words, why) in [
        ("genkey", "for which names?"),
        ("genkey --host 10.0.0.1:443", "--host"),
        ("genkey --host a..b", "--host"),
        ("genkey --service hook", "--service"),
        ("genkey --host a --name a/b", "--name"),
        ("genkey --host a --algorithm dsa", "--algorithm"),
    ] {
        files
            .certtool(words)
            .ended(2)
            .prints_nothing()
            .explains(why);
    }
    assert!(!files.exists("server-key.pem"));
}

#[test]
fn the_same_request_is_used_as_it_is_and_another_one_is_not_replaced_unasked() {
    support::run(async {
        let world = World::new("same").await;
        world.submitted("hook");
        let object = world.object("hook").await;
        world
            .run("submit hook.csr --name @hook --signer %S")
            .done()
            .prints("unchanged");
        // Text around the request makes no difference to it.
        world.write(
            "noted.csr",
            format!("# for the hook\n{}", world.read("hook.csr")),
        );
        world
            .run("submit noted.csr --name @hook --signer %S")
            .done()
            .prints("unchanged");
        assert_eq!(world.object("hook").await["metadata"], object["metadata"]);

        world.csr("other", "DNS:other.shop.svc");
        for (words, how) in [
            (
                "submit other.csr --name @hook --signer %S",
                "it asks for something else",
            ),
            (
                "submit hook.csr --name @hook --signer %S --expiration 1h",
                "it asks for something else",
            ),
            (
                "submit hook.csr --name @hook --signer %S --usage client_auth",
                "",
            ),
            (
                "submit hook.csr --name @hook --signer other.example.com/x",
                "it is for signer",
            ),
        ] {
            let mut command = world.command(words);
            if words.ends_with("client_auth") {
                command = world.command(words.trim_end_matches("client_auth"));
                command.arg("client auth");
            }
            Said::of(command)
                .ended(1)
                .prints_nothing()
                .explains("already, made by admin")
                .explains("or add --replace")
                .explains(how);
        }
        assert_eq!(world.object("hook").await["metadata"], object["metadata"]);
        for mode in ["client", "server"] {
            world
                .run(&format!(
                    "submit other.csr --name @hook --signer %S --replace --dry-run={mode}"
                ))
                .done()
                .prints("replaced")
                .prints("dry run)");
        }
        assert_eq!(world.object("hook").await["metadata"], object["metadata"]);
        world
            .run("submit other.csr --name @hook --signer %S --replace")
            .done()
            .prints("replaced");
        assert_ne!(
            world.object("hook").await["metadata"]["uid"],
            object["metadata"]["uid"]
        );
    });
}

#[test]
fn a_request_that_was_denied_is_submitted_again_only_when_that_is_asked_for() {
    support::run(async {
        let world = World::new("again").await;
        world.submitted("hook");
        world.run("deny @hook --message no_such_service").done();
        world
            .run("submit hook.csr --name @hook --signer %S")
            .ended(1)
            .explains("it was denied (CerttoolDeny: no_such_service)");
        world
            .run("submit hook.csr --name @hook --signer %S --replace")
            .done();
        assert!(conditions(&world.object("hook").await).is_empty());
    });
}

#[test]
fn what_is_asked_for_is_in_the_object_and_a_dry_run_makes_none() {
    support::run(async {
        let world = World::new("spec").await;
        world.csr("hook", "DNS:hook.shop.svc");
        for mode in ["client", "server"] {
            world
                .run(&format!(
                    "submit hook.csr --name @hook --signer %S --dry-run={mode}"
                ))
                .done()
                .prints("created")
                .prints("dry run)");
            assert_eq!(world.find("hook").await, None);
        }
        let mut command =
            world.command("submit hook.csr --name @hook --signer %S --expiration 36h -o json");
        command.args(["--usage", "client auth", "--usage", "digital signature"]);
        let said = Said::of(command).done().json();
        assert_eq!(
            said,
            json!({ "kind": "certificatesigningrequest", "name": world.name("hook"), "result": "created" })
        );
        let spec = &world.object("hook").await["spec"];
        assert_eq!(spec["expirationSeconds"], 129_600);
        assert_eq!(spec["usages"], json!(["client auth", "digital signature"]));
        assert_eq!(spec["signerName"], world.signer().as_str());
        world
            .certtool_reading_as_user("hook.csr", "submit - --name @piped --signer %S -o name")
            .done()
            .prints(&format!(
                "certificatesigningrequest/{}\n",
                world.name("piped")
            ));
    });
}

impl World<'_> {
    /// certtool with a file as stdin.
    fn certtool_reading_as_user(&self, stdin: &str, words: &str) -> Said {
        let mut command = self.command(words);
        command.stdin(std::fs::File::open(self.path(stdin)).unwrap());
        Said::of(command)
    }
}

#[test]
fn what_the_api_server_would_refuse_is_wrong_usage() {
    support::run(async {
        let world = World::new("usage").await;
        world.csr("hook", "DNS:hook.shop.svc");
        for (words, why) in [
            ("--name @x --signer serving", "DOMAIN/NAME"),
            (
                "--name @x --signer kubernetes.io/legacy-unknown",
                "legacy-unknown",
            ),
            ("--name @x --signer %S --expiration 9m", "10 minutes"),
            ("--name @x --signer %S --expiration 100y", "68 years"),
            ("--name a/b --signer %S", "not a name"),
            ("--name .. --signer %S", "not a name"),
            ("--name @x --signer %S --usage sign", "unknown usage"),
            ("--signer %S", "--name"),
        ] {
            world
                .run(&format!("submit hook.csr {words}"))
                .ended(2)
                .explains(why);
        }
        // An empty name would be the list of all requests.
        let mut command = world.command("submit hook.csr --signer %S");
        command.args(["--name", ""]);
        Said::of(command).ended(2);
        assert_eq!(world.find("x").await, None);
    });
}

#[test]
fn waiting_ends_with_the_certificate_the_denial_or_the_time() {
    support::run(async {
        let world = World::new("wait").await;
        world.ca();
        world.csr("hook", "DNS:hook.shop.svc");
        let submit = "submit hook.csr --name @hook --signer %S --wait --timeout";
        world
            .run(&format!("{submit} 1s"))
            .ended(124)
            .explains("it is not approved yet: certtool approve");
        world.run("approve @hook").done();
        world
            .run(&format!("{submit} 1s"))
            .ended(124)
            .explains("no signer for")
            .explains("has signed it");
        let mut waiting = world.start(&format!("{submit} 50s"));
        waiting.wait_for("waiting until", crate::files::LIMIT);
        world.run("sign @hook --ca-dir ca").done();
        Said::at_the_end_of(waiting).done().prints("unchanged");

        world.csr("bad", "DNS:bad.shop.svc");
        let mut waiting =
            world.start("submit bad.csr --name @bad --signer %S --wait --timeout 50s");
        waiting.wait_for("waiting until", crate::files::LIMIT);
        world
            .run("deny @bad --reason Policy --message unknown")
            .done();
        Said::at_the_end_of(waiting)
            .ended(1)
            .explains("will get no certificate: Denied (Policy: unknown)");
    });
}

#[test]
fn a_request_of_any_name_that_the_api_server_takes_is_found() {
    support::run(async {
        let world = World::new("names").await;
        world.csr("hook", "DNS:hook.shop.svc");
        // Neither the query nor the fragment of a path.
        let odd = "odd ?x=1#y é:Z";
        let name = world.name(odd);
        let with_name = |words: &str| {
            let mut command = world.command(words);
            command.arg(&name);
            Said::of(command)
        };
        with_name("submit hook.csr --signer %S --name")
            .done()
            .prints("created");
        with_name("submit hook.csr --signer %S --name")
            .done()
            .prints("unchanged");
        with_name("approve").done().prints("approved");
        with_name("describe").done().prints(&name);
        let list = world
            .api("GET", REQUESTS, &serde_json::Value::Null)
            .await
            .unwrap();
        let named = |object: &&serde_json::Value| object["metadata"]["name"] == name.as_str();
        let object = list["items"]
            .as_array()
            .unwrap()
            .iter()
            .find(named)
            .unwrap();
        assert_eq!(conditions(object), ["Approved"]);
    });
}
