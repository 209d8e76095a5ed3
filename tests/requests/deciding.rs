//! `approve` and `deny`.

use crate::{
    World,
    files::{EC, Said},
    support,
    world::conditions,
};

#[test]
fn an_approval_shows_what_was_approved_and_by_which_words() {
    support::run(async {
        let world = World::new("approve").await;
        world.openssl(
            "req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout hook.key -out hook.csr \
             -subj /O=system:masters/CN=hook -addext subjectAltName=DNS:hook.shop.svc,IP:10.0.0.1",
        );
        world
            .run("submit hook.csr --name @hook --signer %S --expiration 24h")
            .done();
        for (mode, suffix) in [("client", "(dry run)"), ("server", "(server dry run)")] {
            world
                .run(&format!("approve @hook --dry-run={mode}"))
                .done()
                .prints(suffix);
            assert!(conditions(&world.object("hook").await).is_empty());
        }
        world
            .run("approve @hook --reason Known --message by_the_test")
            .done()
            .prints(&format!(
                "certificatesigningrequest/{} approved\n",
                world.name("hook")
            ))
            .prints(&format!("signer     {}\n", world.signer()))
            .prints("requester  admin\n")
            .prints("subject    O=system:masters, CN=hook\n")
            .prints("names      DNS:hook.shop.svc, IP:10.0.0.1\n")
            .prints("usages     digital signature, key encipherment, server auth\n")
            .prints("life       24 hours\n");
        let object = world.object("hook").await;
        let condition = &object["status"]["conditions"][0];
        assert_eq!(condition["type"], "Approved");
        assert_eq!(condition["status"], "True");
        assert_eq!(condition["reason"], "Known");
        assert_eq!(condition["message"], "by_the_test");
        assert!(condition["lastUpdateTime"].is_string());

        // Again: nothing to do, nothing written.
        world.run("approve @hook").done().prints("already approved");
        assert_eq!(world.object("hook").await, object);
        let data = world.run("approve @hook -o json").done().json();
        assert_eq!(data["items"][0]["subject"], "O=system:masters, CN=hook");
        assert_eq!(data["items"][0]["result"], "already approved");
    });
}

#[test]
fn a_decision_cannot_be_turned_round() {
    support::run(async {
        let world = World::new("decided").await;
        for name in ["yes", "no"] {
            world.submitted(name);
        }
        world.run("approve @yes").done();
        world
            .run("deny @no --message unknown")
            .done()
            .prints("denied");
        world
            .run("deny @yes")
            .ended(1)
            .explains("it is approved already, and an approval cannot be taken back");
        world
            .run("approve @no")
            .ended(1)
            .explains("it is denied already, and a denial cannot be taken back");
        world.run("deny @no").done().prints("already denied");
        assert_eq!(conditions(&world.object("yes").await), ["Approved"]);
        assert_eq!(conditions(&world.object("no").await), ["Denied"]);
    });
}

#[test]
fn a_request_whose_signature_does_not_verify_is_never_approved() {
    support::run(async {
        let world = World::new("unproven").await;
        // The API server refuses a forged signature itself; these two it takes.
        world.openssl(&format!(
            "req -new {EC} -sha1 -keyout k -out sha1.csr -subj /CN=x"
        ));
        world.openssl("req -new -newkey rsa:1024 -nodes -keyout k -out short.csr -subj /CN=x");
        for (name, why) in [
            ("sha1", "it is signed with ECDSA-SHA1"),
            ("short", "the key is RSA with 1024 bits"),
        ] {
            let request = world.read(&format!("{name}.csr"));
            world
                .create(name, request.as_bytes(), &["server auth"])
                .await
                .unwrap();
            world
                .run(&format!("approve @{name}"))
                .ended(1)
                .prints_nothing()
                .explains("it is not approved, since its signature proves nothing")
                .explains(why);
            world.run("approve --all-pending --signer %S").ended(1);
            assert!(conditions(&world.object(name).await).is_empty());
            world
                .run(&format!("describe @{name}"))
                .done()
                .prints("NOT VALID");
            world.run(&format!("deny @{name}")).done();
        }

        world.csr("hook", "DNS:hook.shop.svc");
        let twice = world.read("hook.csr").repeat(2);
        world
            .create("twice", twice.as_bytes(), &["server auth"])
            .await
            .unwrap();
        world
            .run("approve @twice")
            .ended(1)
            .explains("its request does not read");
        world.run("deny @twice").done().prints("names      <none>");
    });
}

#[test]
fn labels_and_signers_select_what_waits_and_nothing_else() {
    support::run(async {
        let world = World::new("select").await;
        for name in ["a", "b", "c", "denied"] {
            world.submitted(name);
        }
        world.run("deny @denied").done();
        for name in ["a", "b", "denied"] {
            world.label(name, "team", &world.namespace).await;
        }
        world
            .run("approve -l team=%N")
            .done()
            .prints("-a approved")
            .prints("-b approved")
            .says_nothing_of("denied");
        assert_eq!(conditions(&world.object("c").await).len(), 0);
        world
            .run("approve -l team=%N")
            .done()
            .prints_nothing()
            .explains("no request was selected");
        world
            .run("deny --all-pending --signer %S")
            .done()
            .prints("-c denied")
            .says_nothing_of("-a ");

        for words in [
            "approve",
            "approve --signer %S",
            "deny",
            "approve --all-pending",
            "approve @a -l x=y",
            "approve @a --all-pending --signer %S",
        ] {
            world.run(words).ended(2).prints_nothing();
        }
        world.submitted("d");
        world
            .run("approve @d --signer other.example.com/x")
            .ended(4)
            .explains("not other.example.com/x");
        // One that is missing does not stop the others; the one that is there is done.
        world
            .run("approve @missing @d @d")
            .ended(1)
            .prints("-d approved")
            .explains("there is no certificatesigningrequest");
        assert_eq!(conditions(&world.object("d").await), ["Approved"]);
    });
}

#[test]
fn an_update_in_between_is_kept_and_the_approval_made_anew() {
    support::run(async {
        let world = World::new("conflict").await;
        let names: Vec<_> = (0..12).map(|n| format!("r{n}")).collect();
        for name in &names {
            world.submitted(name);
        }
        let mut approving = world.start("approve --all-pending --signer %S");
        // Somebody else writes labels all the time.
        let mut round = 0;
        while approving.is_running() {
            round += 1;
            for name in &names {
                world.label(name, "round", &round.to_string()).await;
            }
        }
        Said::at_the_end_of(approving).done();
        for name in &names {
            let object = world.object(name).await;
            assert_eq!(conditions(&object), ["Approved"], "{name}");
            assert!(object["metadata"]["labels"]["round"].is_string());
        }
    });
}

#[test]
fn of_an_approval_and_a_denial_at_the_same_time_one_holds() {
    support::run(async {
        let world = World::new("both").await;
        for name in ["a", "b", "c", "d", "e"] {
            world.submitted(name);
        }
        let approving = world.start("approve @a @b @c @d @e");
        let denying = world.start("deny @e @d @c @b @a");
        let both = [Said::at_the_end_of(approving), Said::at_the_end_of(denying)];
        for name in ["a", "b", "c", "d", "e"] {
            let object = world.object(name).await;
            let held = conditions(&object);
            assert_eq!(held.len(), 1, "{held:?}");
            let done = both
                .iter()
                .filter(|said| said.stdout.contains(&format!("{} ", world.name(name))))
                .count();
            assert_eq!(done, 1, "{name}: {both:?}");
        }
    });
}

#[test]
fn a_request_that_is_gone_is_said_to_be() {
    support::run(async {
        let world = World::new("gone").await;
        world.submitted("hook");
        world.delete("hook").await;
        world
            .run("approve @hook")
            .ended(1)
            .explains("it may be gone");
    });
}
