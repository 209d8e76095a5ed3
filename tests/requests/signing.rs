//! `sign` by name: whom it signs, how long, and what it says of those it does not sign.

use serde_json::json;

use crate::{
    World,
    files::{EC, Said},
    support::{self, rule},
    world::{certificate, conditions},
};

#[test]
fn only_an_approved_request_without_a_certificate_is_signed() {
    support::run(async {
        let world = World::new("signable").await;
        world.ca();
        for name in ["pending", "denied", "issued"] {
            world.submitted(name);
        }
        world
            .run("deny @denied --reason Unknown --message who_is_it")
            .done();
        world.run("approve @issued").done();
        world
            .run("sign @issued --ca-dir ca")
            .done()
            .prints("-issued signed, valid until");
        let issued = world.object("issued").await;
        for (name, why) in [
            ("pending", "it is not approved: certtool approve"),
            ("denied", "it is not signed: Denied (Unknown: who_is_it)"),
            ("issued", "it has its certificate already: certtool fetch"),
            ("missing", "there is no certificatesigningrequest"),
        ] {
            world
                .run(&format!("sign @{name} --ca-dir ca"))
                .ended(1)
                .prints_nothing()
                .explains(why);
        }
        assert_eq!(certificate(&world.object("pending").await), None);
        assert_eq!(conditions(&world.object("denied").await), ["Denied"]);
        assert_eq!(world.object("issued").await, issued);

        world.approved("mine");
        world
            .run("sign @mine --ca-dir ca --signer other.example.com/x")
            .ended(4)
            .explains("not other.example.com/x");
        assert_eq!(certificate(&world.object("mine").await), None);
        world.run("sign @mine --ca-dir ca --signer %S").done();
    });
}

#[test]
fn several_are_signed_together_and_a_bad_one_does_not_stop_the_others() {
    support::run(async {
        let world = World::new("several").await;
        world.ca();
        for name in ["a", "b", "c", "d"] {
            world.approved(name);
        }
        world.submitted("pending");
        world
            .run("sign @a @pending @missing @b @a --ca-dir ca")
            .ended(1)
            .prints("-a signed")
            .prints("-b signed")
            .explains("-pending: it is not approved")
            .explains("there is no certificatesigningrequest")
            .explains("signed 2, not signed 2");
        for name in ["c", "pending"] {
            world.label(name, "batch", &world.namespace).await;
        }
        let data = world
            .run("sign -l batch=%N --ca-dir ca -o json")
            .done()
            .json();
        assert_eq!(data["items"].as_array().unwrap().len(), 1);
        assert_eq!(data["items"][0]["name"], world.name("c").as_str());
        assert_eq!(data["items"][0]["signed"], true);
        world
            .run("sign --all-approved --signer %S --ca-dir ca -o name")
            .done()
            .prints("-d\n")
            .says_nothing_of("pending");
        world
            .run("sign --all-approved --signer %S --ca-dir ca")
            .done()
            .prints_nothing()
            .explains("no approved request was selected");
        for words in [
            "sign --ca-dir ca",
            "sign --all-approved --ca-dir ca",
            "sign @a",
            "sign @a --ca-dir ca --usage digital_signature",
            "sign @a -l x=y --ca-dir ca",
            "sign @a --csr a.csr --ca-dir ca",
            "sign @a --out x.crt --ca-dir ca",
            "sign @a --ca ca/ca.crt",
        ] {
            world.run(words).ended(2).prints_nothing();
        }
    });
}

#[test]
fn a_dry_run_signs_nothing() {
    support::run(async {
        let world = World::new("drysign").await;
        world.ca();
        world.approved("hook");
        for (mode, suffix) in [("client", "(dry run)"), ("server", "(server dry run)")] {
            world
                .run(&format!("sign @hook --ca-dir ca --dry-run={mode}"))
                .done()
                .prints(&format!("signed {suffix}, valid until"));
            assert_eq!(certificate(&world.object("hook").await), None);
        }
    });
}

#[test]
fn a_request_that_nobody_can_sign_fails_with_the_reason() {
    support::run(async {
        let world = World::new("failed").await;
        world.ca();
        world.openssl(&format!("req -new {EC} -keyout k -out empty.csr -subj /"));
        world.csr("address", "DNS:10.0.0.1");
        for (name, why) in [
            ("empty", "it asks for no name"),
            ("address", "it is an IP address"),
        ] {
            world
                .run(&format!("submit {name}.csr --name @{name} --signer %S"))
                .done();
            world.run(&format!("approve @{name}")).done();
            for mode in ["client", "server"] {
                world
                    .run(&format!("sign @{name} --ca-dir ca --dry-run={mode}"))
                    .ended(1)
                    .explains("would get the condition Failed");
            }
            assert_eq!(conditions(&world.object(name).await), ["Approved"]);
            world
                .run(&format!("sign @{name} --ca-dir ca"))
                .ended(1)
                .prints_nothing()
                .explains("it can never be signed, and has the condition Failed now")
                .explains(why);
            let object = world.object(name).await;
            assert_eq!(conditions(&object), ["Approved", "Failed"]);
            let failed = &object["status"]["conditions"][1];
            assert_eq!(failed["reason"], "SignerValidationFailure");
            assert!(
                failed["message"].as_str().unwrap().contains(why),
                "{failed}"
            );
            world
                .run(&format!("sign @{name} --ca-dir ca"))
                .ended(1)
                .explains("it is not signed: Failed (SignerValidationFailure");
            world.run("list --signer %S").done().prints("Failed");
        }
        // Two requests in one object: whom it is for is anybody's guess.
        let twice = world.read("address.csr").repeat(2);
        world
            .create("twice", twice.as_bytes(), &["server auth"])
            .await
            .unwrap();
        world
            .cluster
            .kubectl(&["certificate", "approve", &world.name("twice")]);
        world
            .run("sign @twice --ca-dir ca")
            .ended(1)
            .explains("2 PEM blocks found");
        assert_eq!(
            conditions(&world.object("twice").await),
            ["Approved", "Failed"]
        );
    });
}

#[test]
fn what_another_profile_or_ca_may_grant_does_not_fail() {
    support::run(async {
        let world = World::new("refused").await;
        world.ca();
        world.approved("hook");
        let config =
            |profile: serde_json::Value| json!({ "signing": { "default": profile } }).to_string();
        world.write(
            "client.json",
            config(json!({ "usages": ["digital signature", "key encipherment", "client auth"], "expiry": "24h" })),
        );
        world.write(
            "whitelist.json",
            config(json!({ "usages": ["digital signature", "key encipherment", "server auth"], "expiry": "24h",
                           "name_whitelist": "^[a-z]+\\.other\\.svc$" })),
        );
        world
            .run("ca init --out-dir narrow --permitted-dns other.svc")
            .done();
        for (words, why) in [
            (
                "--ca-dir ca --config client.json",
                "the usage server auth, which the profile does not grant",
            ),
            (
                "--ca-dir ca --config whitelist.json",
                "does not match the profile's name_whitelist",
            ),
            (
                "--ca-dir ca --config whitelist.json --profile web",
                "no profile \"web\"",
            ),
            ("--ca-dir narrow", "RFC 5280, section 4.2.1.10"),
        ] {
            world
                .run(&format!("sign @hook {words}"))
                .ended(1)
                .prints_nothing()
                .explains(why);
            assert_eq!(conditions(&world.object("hook").await), ["Approved"]);
        }
        world.run("sign @hook --ca-dir ca").done();
    });
}

#[test]
fn the_ca_may_be_in_a_secret() {
    support::run(async {
        let world = World::new("secretca").await;
        world
            .run("ca init --secret %N/signer")
            .done()
            .prints("Secret");
        world.approved("hook");
        world.run("sign @hook --ca-secret %N/signer").done();
        let secret = world
            .api(
                "GET",
                &format!("/api/v1/namespaces/{}/secrets/signer", world.namespace),
                &json!(null),
            )
            .await
            .unwrap();
        assert_eq!(secret["type"], "kubernetes.io/tls");
        let data = secret["data"].as_object().unwrap();
        assert_eq!(data["tls.crt"], data["ca.crt"]);
        world
            .run("sign @hook --ca-secret %N/nothing")
            .ended(1)
            .explains("there is no Secret")
            .explains("certtool ca init --secret");
        // Signing files takes the same CA.
        world
            .run("sign --csr hook.csr --ca-secret %N/signer --out hook.crt")
            .done();
        world
            .run("ca show --secret %N/signer")
            .done()
            .prints("May sign");
        world
            .run("sign @hook --ca-secret signer")
            .ended(2)
            .explains("NAMESPACE/NAME");

        // Somebody who may sign but not read that Secret is told which rule is missing.
        let requests = rule(
            &["certificates.k8s.io"],
            &["certificatesigningrequests"],
            &["get"],
        );
        let kubeconfig = world
            .cluster
            .service_account(&world.namespace, "nosecret", &[], &[requests])
            .await;
        world
            .as_user(kubeconfig)
            .run("sign @hook --ca-secret %N/signer")
            .ended(1)
            .explains("Role rule: {apiGroups: [\"\"], resources: [\"secrets\"], verbs: [\"get\"], resourceNames: [\"signer\"]}");
    });
}

#[test]
fn two_signers_at_the_same_time_write_one_certificate() {
    support::run(async {
        let world = World::new("race").await;
        world.ca();
        let names: Vec<_> = (0..6).map(|n| format!("r{n}")).collect();
        for name in &names {
            world.approved(name);
        }
        let sign = "sign --all-approved --signer %S --ca-dir ca";
        let processes = [world.start(sign), world.start(sign)];
        let said = processes.map(Said::at_the_end_of);
        for name in &names {
            let line = format!("{} signed", world.name(name));
            let signed = said
                .iter()
                .filter(|said| said.stdout.contains(&line))
                .count();
            assert_eq!(signed, 1, "{said:?}");
            assert!(certificate(&world.object(name).await).is_some());
        }
    });
}
