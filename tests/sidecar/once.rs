//! `--once`: as an init container.

use std::time::{Duration, Instant};

use crate::{World, support, world::until};

const ONCE: &str = "--once --service hook.%N --cert-dir serving --signer %S";

#[test]
fn an_init_container_gets_one_pair_and_ends() {
    support::run(async {
        let world = World::new("once", ONCE).await;
        let _signer = world.signs("--validity 1h");
        let said = world.run(&format!("{ONCE} --ca ca/ca.crt")).done();
        assert!(said.stdout.contains("certificate  issued"), "{said:?}");
        world.assert_good();
        assert_eq!(world.read("serving/ca.crt"), world.read("ca/ca.crt"));
        // A restart of the container finds it.
        let serial = world.serial();
        let again = world
            .run(&format!("{ONCE} --ca ca/ca.crt -o json"))
            .done()
            .json();
        assert_eq!(again["result"], "unchanged");
        assert_eq!(world.serial(), serial);
        assert_eq!(world.requests().len(), 1);
    });
}

#[test]
fn the_request_says_which_pod_asks_and_for_what() {
    support::run(async {
        let world = World::new("asks", ONCE).await;
        let _signer = world.signs("--validity 1h");
        world.run(&format!("{ONCE} --validity 2h")).done();
        let name = world.first_request();
        assert!(name.starts_with("hook-0-"), "{name}");
        let request: serde_json::Value =
            serde_json::from_str(&world.cluster.kubectl(&["get", "csr", &name, "-o", "json"]))
                .unwrap();
        let spec = &request["spec"];
        assert_eq!(spec["expirationSeconds"], 7200);
        let usages = ["digital signature", "key encipherment", "server auth"];
        assert_eq!(spec["usages"], serde_json::json!(usages));
        let account = format!("system:serviceaccount:{}:hook", world.namespace);
        assert_eq!(spec["username"], account);
        assert!(!world.exists("serving/ca.crt"), "nobody said whom to trust");
    });
}

#[test]
fn a_pair_that_is_only_due_is_good_enough_when_nobody_signs() {
    support::run(async {
        let world = World::new("due", ONCE).await;
        let signer = world.signs("--validity 1h");
        world.run(ONCE).done();
        drop(signer);
        let serial = world.serial();
        tokio::time::sleep(Duration::from_secs(1)).await;
        let due = format!("{ONCE} --renew-at 0.0001 --timeout 2s");
        let said = world.run(&due).done();
        assert!(said.stdout.contains("certificate  unchanged"), "{said:?}");
        let why = "the old pair is kept, and valid until";
        assert!(said.stderr.contains(why), "{said:?}");
        assert!(said.stderr.contains("nobody has approved it"), "{said:?}");
        assert_eq!(world.serial(), serial);
        world.assert_good();
        // One that lacks a name is not.
        world
            .run(&format!("{due} --host other.example.com"))
            .ended(124)
            .prints_nothing()
            .explains("nobody has approved it");
    });
}

#[test]
fn a_signer_that_never_answers_ends_in_124_with_who_is_missing() {
    support::run(async {
        let world = World::new("silent", ONCE).await;
        let started = Instant::now();
        world
            .run(&format!("{ONCE} --timeout 2s"))
            .ended(124)
            .prints_nothing()
            .explains("nobody has approved it")
            .explains("certtool approve hook-0-");
        assert!(started.elapsed() < Duration::from_secs(20));
        assert_eq!(world.requests().len(), 1);
        assert!(!world.exists("serving/tls.crt"));
        // Approved and not signed is somebody else's omission.
        let process = world.start(&format!("{ONCE} --timeout 6s"));
        let name = until(|| world.requests().get(1).cloned());
        let names: Vec<_> = world.requests().iter().map(|r| r["name"].clone()).collect();
        for name in names {
            world
                .admin(&format!("approve {}", name.as_str().unwrap()))
                .done();
        }
        assert!(name.is_object());
        crate::files::Said::at_the_end_of(process)
            .ended(124)
            .explains("nobody has signed it");
    });
}

#[test]
fn a_denial_ends_it_with_the_reason() {
    support::run(async {
        let world = World::new("denied", ONCE).await;
        let process = world.start(ONCE);
        let name = world.first_request();
        world
            .admin(&format!("deny {name} --reason Unknown --message who"))
            .done();
        crate::files::Said::at_the_end_of(process)
            .ended(1)
            .explains("will get no certificate: Denied (Unknown: who)");
        assert!(!world.exists("serving/tls.crt"));
    });
}
