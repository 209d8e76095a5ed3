//! What somebody else does between certtool's look at an object and its write.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use crate::{
    World,
    support::{
        self,
        meddler::{Deed, Event, Meddler},
    },
    world::{REQUESTS, certificate, conditions},
};

const PUT: (&str, &str) = ("PUT", "/certificatesigningrequests/");

/// Runs a command as the same user whose requests come just too late.
#[track_caller]
fn run_after(
    world: &World<'static>,
    before: (&'static str, &'static str),
    deeds: Vec<Deed>,
    words: &str,
) -> (crate::files::Said, usize) {
    let meddler = Meddler::on(
        world.cluster,
        world.home(),
        before.0,
        before.1,
        Event::Deeds(deeds),
    );
    let command = words.replace("FILES", world.home().to_str().unwrap());
    let said = world.as_user(meddler.kubeconfig()).run(&command);
    (said, meddler.seen())
}

fn path(world: &World<'_>, name: &str) -> String {
    format!("{REQUESTS}/{}", world.name(name))
}

/// The object with one more condition, as an approver or a signer writes it.
fn with_condition(mut object: Value, kind: &str) -> Value {
    let condition =
        json!({ "type": kind, "status": "True", "reason": "Meddler", "message": "just in time" });
    match object["status"]["conditions"].as_array_mut() {
        Some(conditions) => conditions.push(condition),
        None => object["status"]["conditions"] = json!([condition]),
    }
    object
}

#[test]
fn an_update_in_between_is_kept_and_the_decision_made_anew() {
    support::run(async {
        let world = World::new("between").await;
        for (name, words, kind) in [("a", "approve @a", "Approved"), ("d", "deny @d", "Denied")] {
            world.submitted(name);
            let label = json!({ "metadata": { "labels": { "meddled": "yes" } } });
            let deeds = vec![("PATCH", path(&world, name), label)];
            let (said, writes) = run_after(&world, PUT, deeds, words);
            said.done();
            assert_eq!(writes, 2, "one conflict");
            let object = world.object(name).await;
            assert_eq!(conditions(&object), [kind]);
            assert_eq!(object["metadata"]["labels"]["meddled"], "yes");
        }
    });
}

#[test]
fn a_decision_in_between_stands() {
    support::run(async {
        let world = World::new("decision").await;
        for (name, theirs, words, says) in [
            ("a", "Denied", "approve @a", "it is denied already"),
            ("d", "Approved", "deny @d", "it is approved already"),
        ] {
            world.submitted(name);
            let object = with_condition(world.object(name).await, theirs);
            let deeds = vec![("PUT", format!("{}/approval", path(&world, name)), object)];
            let (said, _) = run_after(&world, PUT, deeds, words);
            said.ended(1).explains(says);
            assert_eq!(conditions(&world.object(name).await), [theirs]);
        }
        // The same decision: there is nothing left to do.
        world.submitted("s");
        let object = with_condition(world.object("s").await, "Approved");
        let deeds = vec![("PUT", format!("{}/approval", path(&world, "s")), object)];
        run_after(&world, PUT, deeds, "approve @s").0.done();
        let held = world.object("s").await;
        assert_eq!(held["status"]["conditions"][0]["reason"], "Meddler");
        assert_eq!(conditions(&held), ["Approved"]);
    });
}

#[test]
fn a_request_that_is_replaced_in_between_is_not_the_one_that_was_looked_at() {
    support::run(async {
        let world = World::new("replaced").await;
        world.ca();
        for (name, words) in [
            ("a", "approve @a"),
            ("d", "deny @d"),
            ("s", "sign @s --ca-dir FILES/ca"),
        ] {
            world.submitted(name);
            if name == "s" {
                world.run("approve @s").done();
            }
            world.csr("thief", "DNS:thief.shop.svc");
            let thief = json!({
                "apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest",
                "metadata": { "name": world.name(name) },
                "spec": {
                    "request": STANDARD.encode(world.read("thief.csr")),
                    "signerName": world.signer(), "usages": ["server auth"],
                },
            });
            let deeds = vec![
                ("DELETE", path(&world, name), Value::Null),
                ("POST", REQUESTS.to_owned(), thief),
            ];
            run_after(&world, PUT, deeds, words)
                .0
                .ended(1)
                .prints_nothing();
            let object = world.object(name).await;
            assert!(conditions(&object).is_empty(), "{words}: {object}");
            assert_eq!(certificate(&object), None);
        }
    });
}

#[test]
fn a_signature_a_failure_or_a_deletion_in_between_is_left_as_it_is() {
    support::run(async {
        let world = World::new("signature").await;
        world.ca();
        for name in ["signed", "failed", "deleted"] {
            world.approved(name);
        }
        world
            .run("sign --csr signed.csr --ca-dir ca --out theirs.crt")
            .done();
        let theirs = world.read("theirs.crt");
        let mut signed = world.object("signed").await;
        signed["status"]["certificate"] = json!(STANDARD.encode(&theirs));
        let failed = with_condition(world.object("failed").await, "Failed");
        let status = |name: &str| format!("{}/status", path(&world, name));
        for (name, deed, says) in [
            (
                "signed",
                ("PUT", status("signed"), signed),
                "it has its certificate already",
            ),
            (
                "failed",
                ("PUT", status("failed"), failed),
                "it is not signed: Failed (Meddler: just in time)",
            ),
            (
                "deleted",
                ("DELETE", path(&world, "deleted"), Value::Null),
                "it does not exist",
            ),
        ] {
            let words = format!("sign @{name} --ca-dir FILES/ca");
            run_after(&world, PUT, vec![deed], &words)
                .0
                .ended(1)
                .prints_nothing()
                .explains(says);
        }
        assert_eq!(certificate(&world.object("signed").await).unwrap(), theirs);
        assert_eq!(certificate(&world.object("failed").await), None);
        assert_eq!(world.find("deleted").await, None);
    });
}

#[test]
fn a_request_of_the_name_that_is_made_in_between_is_used_only_if_it_is_the_same() {
    support::run(async {
        let world = World::new("made").await;
        world.csr("hook", "DNS:hook.shop.svc");
        world.csr("other", "DNS:other.shop.svc");
        for (name, csr, code) in [("same", "hook", 0), ("differs", "other", 1)] {
            let object = json!({
                "apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest",
                "metadata": { "name": world.name(name) },
                "spec": {
                    "request": STANDARD.encode(world.read(&format!("{csr}.csr"))),
                    "signerName": world.signer(),
                    "usages": ["digital signature", "key encipherment", "server auth"],
                },
            });
            let deeds = vec![("POST", REQUESTS.to_owned(), object)];
            let before = ("POST", "/certificatesigningrequests");
            let words = format!("submit FILES/hook.csr --name @{name} --signer %S");
            let (said, _) = run_after(&world, before, deeds, &words);
            let said = said.ended(code);
            if code == 1 {
                said.explains("made by somebody else at the same time");
            }
            let object = world.object(name).await;
            assert_eq!(
                object["spec"]["request"],
                STANDARD.encode(world.read(&format!("{csr}.csr")))
            );
        }
    });
}
