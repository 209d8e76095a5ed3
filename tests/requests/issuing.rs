//! `issue`: idempotent, with its own CA or with another signer.

use serde_json::json;

use crate::{
    World,
    files::{LIMIT, Said},
    support::{self, rule},
    world::{certificate, conditions},
};

const ISSUE: &str = "issue --name @hook --signer %S --service hook.%N --cert-dir serving";

#[test]
fn a_pair_that_is_good_is_left_alone_and_one_that_is_not_is_issued_anew() {
    support::run(async {
        let world = World::new("again").await;
        world.ca();
        world.run("ca init --out-dir otherca").done();
        let with_ca = format!("{ISSUE} --ca-dir ca");
        world.run(&with_ca).done().prints("certificate  issued");
        let mut uid = world.object("hook").await["metadata"]["uid"].clone();
        for (words, expected) in [
            ("--ca-dir ca", "unchanged"),
            // Fewer names are covered, more are not.
            ("--ca-dir ca --host hook.%N.svc", "unchanged"),
            ("--ca-dir ca --host 10.0.0.1", "issued"),
            ("--ca-dir ca", "unchanged"),
            ("--ca-dir otherca", "issued"),
            ("--ca-dir ca --validity 1h", "issued"),
            ("--ca-dir ca --force", "issued"),
        ] {
            let said = world.run(&format!("{ISSUE} {words} -o json")).done().json();
            assert_eq!(said["result"], expected, "{words}");
            let now = world.object("hook").await["metadata"]["uid"].clone();
            assert_eq!(now == uid, expected == "unchanged", "{words}");
            uid = now;
            world.assert_pair("serving/tls.crt", "serving/tls.key");
            assert!(world.verifies(
                "serving/ca.crt",
                "serving/tls.crt",
                &format!("hook.{}.svc", world.namespace)
            ));
        }
        // A pair that no longer matches is no pair.
        std::fs::remove_dir_all(world.path("serving")).unwrap();
        world.run(&with_ca).done().prints("certificate  issued");
    });
}

#[test]
fn a_dry_run_says_what_would_be_issued_and_leaves_nothing() {
    support::run(async {
        let world = World::new("dryissue").await;
        world.ca();
        for mode in ["client", "server"] {
            world
                .run(&format!("{ISSUE} --ca-dir ca --dry-run={mode}"))
                .done()
                .prints("certificate  issued (")
                .prints(&format!("hook.{}.svc", world.namespace));
            assert!(!world.exists("serving"));
            assert_eq!(world.find("hook").await, None);
        }
        world.run(&format!("{ISSUE} --ca-dir ca")).done();
        world
            .run(&format!("{ISSUE} --ca-dir ca --dry-run"))
            .done()
            .prints("unchanged");
    });
}

#[test]
fn another_signer_is_waited_for_and_the_work_goes_on_where_it_was() {
    support::run(async {
        let world = World::new("external").await;
        world.ca();
        world
            .run(&format!("{ISSUE} --no-approve --timeout 1s"))
            .ended(124)
            .explains("it is not approved yet");
        let first = world.object("hook").await;
        assert!(conditions(&first).is_empty());
        let waiting = world.list("serving");
        assert_eq!(waiting.len(), 2, "the key and the request: {waiting:?}");
        for name in waiting {
            let mode = if name.ends_with(".key") { 0o600 } else { 0o644 };
            assert_eq!(world.mode(&format!("serving/{name}")), mode, "{name}");
        }
        world
            .run(&format!("{ISSUE} --timeout 1s"))
            .ended(124)
            .explains("no signer for");
        assert_eq!(conditions(&world.object("hook").await), ["Approved"]);

        let mut issuing = world.start(&format!("{ISSUE} --timeout 50s"));
        issuing.wait_for("waiting until", LIMIT);
        world.run("sign @hook --ca-dir ca").done();
        Said::at_the_end_of(issuing)
            .done()
            .prints("certificate  issued");
        let object = world.object("hook").await;
        assert_eq!(
            object["metadata"]["uid"], first["metadata"]["uid"],
            "one request all along"
        );
        assert_eq!(certificate(&object).unwrap(), world.read("serving/tls.crt"));
        assert!(
            !world.exists("serving/ca.crt"),
            "nobody said which CA to trust"
        );
        world.assert_pair("serving/tls.crt", "serving/tls.key");
        world.run(ISSUE).done().prints("unchanged");
    });
}

#[test]
fn a_denial_stands_until_somebody_forces_a_new_request() {
    support::run(async {
        let world = World::new("issuedenied").await;
        world.ca();
        let mut issuing = world.start(&format!("{ISSUE} --no-approve --timeout 50s"));
        issuing.wait_for("waiting until", LIMIT);
        world
            .run("deny @hook --reason Unknown --message who")
            .done();
        Said::at_the_end_of(issuing)
            .ended(1)
            .explains("will get no certificate: Denied (Unknown: who)");
        let denied = world.object("hook").await;
        world
            .run(&format!("{ISSUE} --ca-dir ca"))
            .ended(1)
            .explains("Denied (Unknown: who)")
            .explains("--force submits a new one");
        assert_eq!(world.object("hook").await, denied);
        world.run(&format!("{ISSUE} --ca-dir ca --force")).done();
        assert_ne!(
            world.object("hook").await["metadata"]["uid"],
            denied["metadata"]["uid"]
        );
    });
}

#[test]
fn somebody_elses_request_of_the_name_and_files_are_left_alone() {
    support::run(async {
        let world = World::new("theirs").await;
        world.ca();
        world.csr("theirs", "DNS:theirs.shop.svc");
        world
            .create(
                "hook",
                world.read("theirs.csr").as_bytes(),
                &["server auth"],
            )
            .await
            .unwrap();
        let theirs = world.object("hook").await;
        let issue = format!("{ISSUE} --ca-dir ca");
        world
            .run(&issue)
            .ended(1)
            .explains("already, made by admin")
            .explains("or add --force");
        world
            .run(&format!("{issue} --dry-run"))
            .ended(1)
            .explains("or add --force");
        assert_eq!(world.object("hook").await, theirs);
        world.run(&format!("{issue} --force")).done();

        for file in ["tls.crt", "tls.key"] {
            world.write(&format!("mounted/{file}"), "mine");
        }
        world
            .run("issue --name @other --signer %S --service hook.%N --cert-dir mounted --ca-dir ca")
            .ended(1)
            .explains("mounted/tls.")
            .explains("--force");
        assert_eq!(world.read("mounted/tls.crt"), "mine");
        assert_eq!(world.read("mounted/tls.key"), "mine");
    });
}

#[test]
fn what_cannot_end_well_is_said_before_a_request_is_made() {
    support::run(async {
        let world = World::new("early").await;
        world.ca();
        world.ca_between("old", -20, -10);
        for (words, code, why) in [
            ("--ca-dir nothing", 1, "certtool ca init --out-dir nothing"),
            ("--ca old.crt --ca-key old.key", 1, "is not valid at"),
            ("--ca-dir ca --expiration 5m", 2, "10 minutes"),
            ("--ca-dir ca --config nothing.json", 1, "nothing.json"),
            ("--ca-dir ca --ca-secret a/b", 2, "cannot be used with"),
        ] {
            world
                .run(&format!("{ISSUE} {words}"))
                .ended(code)
                .prints_nothing()
                .explains(why);
            assert_eq!(world.find("hook").await, None, "{words}");
            assert!(!world.exists("serving"), "{words}");
        }
        world
            .run("issue --name a/b --signer %S --service hook.%N --cert-dir serving")
            .ended(2)
            .explains("not a name");
        world
            .run("issue --name @hook --signer %S --cert-dir serving")
            .ended(2)
            .explains("for which names?");
        world
            .run("issue --name @hook --signer serving --service hook.%N --cert-dir serving")
            .ended(2);
        assert!(!world.exists("serving"));
    });
}

#[test]
fn one_who_may_only_ask_is_told_who_else_it_takes() {
    support::run(async {
        let world = World::new("asker").await;
        world.ca();
        let group = &["certificates.k8s.io"];
        let requests = rule(group, &["certificatesigningrequests"], &["create", "get"]);
        let kubeconfig = world
            .cluster
            .service_account(&world.namespace, "asker", &[], &[requests])
            .await;
        let user = world.as_user(kubeconfig);
        user.run(ISSUE)
            .ended(1)
            .explains("verbs: [\"update\"]")
            .explains("certificatesigningrequests/approval");
        // The administrator does the rest, and the key never leaves its owner.
        let mut issuing = user.start(&format!("{ISSUE} --no-approve --timeout 50s"));
        issuing.wait_for("waiting until", LIMIT);
        world
            .run("approve @hook")
            .done()
            .prints(&format!("system:serviceaccount:{}:asker", world.namespace));
        world.run("sign @hook --ca-dir ca").done();
        Said::at_the_end_of(issuing).done();
        user.assert_pair("serving/tls.crt", "serving/tls.key");
        assert_eq!(
            world.object("hook").await["metadata"]["labels"],
            json!({ "app.kubernetes.io/managed-by": "certtool" })
        );
    });
}
