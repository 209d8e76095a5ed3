//! `fetch`: what it checks, and how its waits end.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::json;

use crate::{
    World,
    files::{LIMIT, Said},
    support::{self, pki::Ca},
    world::{REQUESTS, certificate},
};

#[test]
fn a_certificate_is_written_only_with_the_key_it_belongs_to_and_the_ca_it_verifies_with() {
    support::run(async {
        let world = World::new("fetch").await;
        world.ca();
        world.approved("hook");
        world.run("sign @hook --ca-dir ca").done();
        world.csr("other", "DNS:other.shop.svc");
        world.run("ca init --out-dir otherca").done();
        for (words, code, why) in [
            ("--out-dir serving", 2, "--key"),
            (
                "--key other.key --out-dir serving",
                1,
                "does not belong to the key",
            ),
            ("--key other.key", 1, "does not belong to the key"),
            (
                "--key hook.csr --out-dir serving",
                1,
                "could not read the key hook.csr",
            ),
            (
                "--key hook.key --ca otherca/ca.crt --out-dir serving",
                1,
                "does not verify with --ca",
            ),
            (
                "--key hook.key --ca hook.csr --out-dir serving",
                1,
                "could not read the CA hook.csr",
            ),
            ("--ca otherca/ca.crt", 1, "does not verify with --ca"),
        ] {
            world
                .run(&format!("fetch @hook {words}"))
                .ended(code)
                .prints_nothing()
                .explains(why);
            assert!(!world.exists("serving"), "{words}");
        }
        let pem = world.run("fetch @hook").done().stdout;
        assert_eq!(certificate(&world.object("hook").await).unwrap(), pem);
        world
            .run("fetch @hook --key hook.key --out-dir serving")
            .done()
            .prints("serving/tls.crt, tls.key written");
        assert!(!world.exists("serving/ca.crt"));
        let fetch = "fetch @hook --key hook.key --ca ca/ca.crt --out-dir serving";
        world.run(fetch).done().prints("written");
        world.run(fetch).done().prints("unchanged");
        assert_eq!(world.read("serving/tls.crt"), pem);
        assert_eq!(world.mode("serving/tls.key"), 0o600);
        world.assert_pair("serving/tls.crt", "serving/tls.key");
        assert!(world.verifies("serving/ca.crt", "serving/tls.crt", "hook.shop.svc"));
        assert_eq!(
            world.run(&format!("{fetch} -o json")).done().json()["result"],
            "unchanged"
        );
    });
}

#[test]
fn a_pair_that_something_else_wrote_is_replaced_only_by_force() {
    support::run(async {
        let world = World::new("foreign").await;
        world.ca();
        world.approved("hook");
        world.run("sign @hook --ca-dir ca").done();
        world.write("serving/tls.crt", "mine");
        world.write("serving/tls.key", "mine too");
        let fetch = "fetch @hook --key hook.key --out-dir serving";
        world
            .run(fetch)
            .ended(1)
            .explains("add --force to replace it");
        assert_eq!(world.read("serving/tls.crt"), "mine");
        assert_eq!(world.read("serving/tls.key"), "mine too");
        world.run(&format!("{fetch} --force")).done();
        world.assert_pair("serving/tls.crt", "serving/tls.key");
    });
}

#[test]
fn a_certificate_that_a_signer_made_wrong_is_not_used() {
    support::run(async {
        let world = World::new("wrong").await;
        let ca = Ca::new("A careless signer");
        // Certificates of somebody else's making: the key, or the names, are not those asked for.
        ca.write_pair(&world.path("stranger"), &["hook.shop.svc"]);
        world.write("ca.pem", &ca.pem);
        world.write("ca.key", &ca.key_pem);
        world.csr("hook", "DNS:hook.shop.svc,DNS:hook.web.svc");
        world.openssl("x509 -req -in hook.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 1 -out nonames.crt");
        world.write("ext", "subjectAltName=DNS:hook.shop.svc,DNS:hook.web.svc\n");
        world.openssl(
            "x509 -req -in hook.csr -CA ca.pem -CAkey ca.key -days 1 -extfile ext -out good.crt",
        );
        let names = ["hook.shop.svc"];
        ca.write_pair_for(&world.path("old"), &names, time::Duration::hours(-1));
        world.openssl("req -new -key old/tls.key -subj / -addext subjectAltName=DNS:hook.shop.svc -out old.csr");
        let impostor = Ca::new("A careless signer");
        let good = world.read("good.crt");
        for (index, (chain, why)) in [
            (world.read("stranger/tls.crt"), "does not belong to the key"),
            (world.read("nonames.crt"), "left DNS:hook.shop.svc out"),
            (world.read("old/tls.crt"), "and not now"),
            (
                format!("{good}{}", world.read("stranger/tls.crt")),
                "out of order",
            ),
            (format!("{good}{}", impostor.pem), "is broken"),
        ]
        .into_iter()
        .enumerate()
        {
            let name = format!("r{index}");
            let (csr, key) = match index {
                2 => ("old.csr", "old/tls.key"),
                _ => ("hook.csr", "hook.key"),
            };
            world
                .run(&format!("submit {csr} --name @{name} --signer %S"))
                .done();
            world.run(&format!("approve @{name}")).done();
            issue(&world, &name, &chain).await;
            if index == 0 {
                world
                    .run(&format!("fetch @{name}"))
                    .ended(1)
                    .prints_nothing()
                    .explains("for another key than");
            }
            world
                .run(&format!("fetch @{name} --key {key} --out-dir serving"))
                .ended(1)
                .explains(why);
            assert!(!world.exists("serving"), "{why}");
        }
        world.run("submit hook.csr --name @good --signer %S").done();
        world.run("approve @good").done();
        issue(&world, "good", &format!("{good}{}", ca.pem)).await;
        world
            .run("fetch @good --key hook.key --ca ca.pem --out-dir serving")
            .done();
    });
}

/// Writes `status.certificate` as another signer would.
async fn issue(world: &World<'_>, name: &str, chain: &str) {
    let mut object = world.object(name).await;
    object["status"]["certificate"] = json!(STANDARD.encode(chain));
    let path = format!("{REQUESTS}/{}/status", world.name(name));
    world.api("PUT", &path, &object).await.unwrap();
}

#[test]
fn what_is_not_issued_is_waited_for_until_the_time_is_over() {
    support::run(async {
        let world = World::new("fetchwait").await;
        world.ca();
        world.submitted("hook");
        world
            .run("fetch @hook")
            .ended(1)
            .explains("is Pending and not issued yet: use --wait");
        world
            .run("fetch @hook --wait --timeout 1s")
            .ended(124)
            .explains("it is not approved yet");
        let mut waiting =
            world.start("fetch @hook --wait --timeout 50s --key hook.key --out-dir serving");
        waiting.wait_for("waiting until", LIMIT);
        world.run("approve @hook").done();
        world
            .run("fetch @hook")
            .ended(1)
            .explains("is Approved and not issued yet");
        world
            .run("fetch @hook --wait --timeout 1s")
            .ended(124)
            .explains("no signer for");
        world.run("sign @hook --ca-dir ca").done();
        Said::at_the_end_of(waiting).done().prints("written");
        world.assert_pair("serving/tls.crt", "serving/tls.key");
    });
}

#[test]
fn a_wait_ends_with_the_denial_or_the_failure() {
    support::run(async {
        let world = World::new("fetchdenied").await;
        world.ca();
        world.submitted("denied");
        world.csr("failed", "DNS:10.0.0.1");
        world
            .run("submit failed.csr --name @failed --signer %S")
            .done();
        world.run("approve @failed").done();
        let waiting = ["denied", "failed"].map(|name| {
            let mut process = world.start(&format!("fetch @{name} --wait --timeout 50s"));
            process.wait_for("waiting until", LIMIT);
            process
        });
        world
            .run("deny @denied --reason Unknown --message who")
            .done();
        world.run("sign @failed --ca-dir ca").ended(1);
        let [denied, failed] = waiting.map(Said::at_the_end_of);
        denied
            .ended(1)
            .prints_nothing()
            .explains("will get no certificate: Denied (Unknown: who)");
        failed
            .ended(1)
            .explains("will get no certificate: Failed (SignerValidationFailure: ");
        world
            .run("fetch @denied --wait")
            .ended(1)
            .explains("Denied (Unknown: who)");
        world.run("fetch @failed").ended(1).explains("Failed");
    });
}

#[test]
fn a_request_that_goes_away_is_not_waited_for() {
    support::run(async {
        let world = World::new("fetchgone").await;
        world.ca();
        for name in ["deleted", "replaced"] {
            world.submitted(name);
        }
        let waiting = ["deleted", "replaced"].map(|name| {
            let mut process = world.start(&format!("fetch @{name} --wait --timeout 50s"));
            process.wait_for("waiting until", LIMIT);
            process
        });
        world.delete("deleted").await;
        // Another one of its name is issued at once: it is not the one that was waited for.
        world.csr("thief", "DNS:thief.shop.svc");
        world
            .run("submit thief.csr --name @replaced --signer %S --replace")
            .done();
        world.run("approve @replaced").done();
        world.run("sign @replaced --ca-dir ca").done();
        let [deleted, replaced] = waiting.map(Said::at_the_end_of);
        for said in [deleted, replaced] {
            said.ended(1)
                .prints_nothing()
                .explains("it was deleted while certtool waited");
        }
    });
}
