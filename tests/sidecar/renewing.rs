//! The loop: in time, on demand, and when somebody meddles.

use std::time::Duration;

use crate::{
    World,
    files::LIMIT,
    support,
    world::{address, get, metric, until},
};

const KEEP: &str = "--service hook.%N --cert-dir serving --signer %S";

#[test]
fn a_pair_is_renewed_within_its_life_again_and_again() {
    support::run(async {
        let world = World::new("renews", KEEP).await;
        let _signer = world.signs("--validity 8s");
        let mut process = world.start(&format!("{KEEP} --ca ca/ca.crt"));
        let mut serial = world.next_serial("");
        let mut key = world.read("serving/tls.key");
        for _ in 0..3 {
            serial = world.next_serial(&serial);
            world.assert_good();
            let now = world.read("serving/tls.key");
            assert_ne!(now, key, "each certificate has a key of its own");
            key = now;
        }
        assert!(process.terminate(LIMIT).success());
        assert!(
            !process.stderr().contains("warning"),
            "{}",
            process.stderr()
        );
        world.assert_good();
    });
}

#[test]
fn a_signal_renews_at_once_and_a_restart_does_not() {
    support::run(async {
        let world = World::new("demand", KEEP).await;
        let _signer = world.signs("--validity 1h");
        let mut process = world.start(KEEP);
        let first = world.next_serial("");
        process.wait_for("wrote a new pair", LIMIT);
        process.signal("USR1");
        let second = world.next_serial(&first);
        process.wait_for("since it was asked for", LIMIT);
        process.terminate(LIMIT);
        let mut process = world.start(KEEP);
        process.wait_for("the pair on disk is good until", LIMIT);
        assert_eq!(world.serial(), second);
        process.terminate(LIMIT);
        // Another signer is another issuer.
        let other = KEEP.replace("%S", "%N.example.com/other");
        let mut process = world.start(&other);
        process.wait_for("since the pair was issued by", LIMIT);
    });
}

#[test]
fn files_that_were_removed_or_changed_are_put_back_and_replaced() {
    support::run(async {
        let world = World::new("meddled", KEEP).await;
        let signer = world.signs("--validity 1h");
        let mut process = world.start(&format!("{KEEP} --listen 127.0.0.1:0"));
        let address = address(&mut process);
        let first = world.next_serial("");
        until(|| (get(&address, "/readyz").0 == 200).then_some(()));
        std::fs::remove_file(world.path("serving/tls.key")).unwrap();
        let second = world.next_serial(&first);
        world.assert_good();
        // Without a signer the pair that was there comes back, and at once.
        drop(signer);
        tokio::time::sleep(Duration::from_secs(1)).await;
        world.write("serving/tls.crt", "not a certificate");
        until(|| {
            let text = world.read("serving/tls.crt");
            text.contains("BEGIN CERTIFICATE").then_some(())
        });
        assert_eq!(world.serial(), second);
        world.assert_good();
        // Away in one step: it is put back too quickly to remove it file by file.
        std::fs::rename(world.path("serving"), world.path("gone")).unwrap();
        until(|| world.exists("serving/tls.key").then_some(()));
        assert_eq!(world.serial(), second);
        process.wait_for("changed by another hand, and the pair was put back", LIMIT);
        assert_eq!(get(&address, "/readyz").0, 200);
        assert!(metric(&address, "certtool_sidecar_certificates_issued_total").is_some());
    });
}

#[test]
fn a_trust_bundle_that_changes_is_written_and_one_without_the_ca_asks_for_a_new_leaf() {
    support::run(async {
        let options = format!("{KEEP} --trust-bundle %N/trust");
        let world = World::new("trust", &options).await;
        let _signer = world.signs("--validity 1h");
        let mut process = world.start(&options);
        // Without a bundle nothing is accepted.
        process.wait_for("ConfigMap", LIMIT);
        process.wait_for("does not exist", LIMIT);
        assert!(!world.exists("serving/tls.crt"));
        let config_map = |ca: &str| {
            let indented: String = ca.lines().map(|line| format!("    {line}\n")).collect();
            format!(
                "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: trust, namespace: {}}}\ndata:\n  ca.crt: |\n{indented}",
                world.namespace
            )
        };
        let ca = world.read("ca/ca.crt");
        world.cluster.apply(&config_map(&ca));
        let first = world.next_serial("");
        world.assert_good();
        assert_eq!(world.read("serving/ca.crt"), ca);
        // Another CA beside it: the bundle alone changes.
        world.ca_between("next", -1, 20);
        let both = format!("{ca}{}", world.read("next.crt"));
        world.cluster.apply(&config_map(&both));
        until(|| (world.read("serving/ca.crt").matches("BEGIN").count() == 2).then_some(()));
        assert_eq!(world.serial(), first);
        // The first one leaves, and the signer still uses it: refused, and the old pair stays.
        world.cluster.apply(&config_map(&world.read("next.crt")));
        process.wait_for("clients that trust the bundle would not trust it", LIMIT);
        assert_eq!(world.serial(), first);
    });
}

#[test]
fn an_annotation_renews_every_replica_once_also_those_that_start_later() {
    support::run(async {
        const OWN: &str = "--service hook.%N --cert-dir serving --ca-secret %N/hook-ca";
        let world = World::new("annotated", OWN).await;
        let annotate = |value: &str| {
            let value = format!("certtool.dev/renew={value}");
            let namespace = &world.namespace;
            world.cluster.kubectl(&[
                "annotate",
                "secret",
                "hook-ca",
                "-n",
                namespace,
                "--overwrite",
                &value,
            ]);
        };
        let other = OWN.replace("serving", "other");
        world.run(&format!("--once {OWN}")).done();
        world.run(&format!("--once {other}")).done();
        let (first, others) = (world.serial(), world.x509("other/tls.crt", "-serial"));
        let mut process = world.start(OWN);
        process.wait_for("the pair on disk is good", LIMIT);
        annotate("tomorrow");
        process.wait_for("is no instant in RFC 3339", LIMIT);
        // The note beside a pair counts whole seconds.
        tokio::time::sleep(Duration::from_secs(1)).await;
        let now = String::from_utf8(
            std::process::Command::new("date")
                .args(["-u", "+%FT%TZ"])
                .output()
                .unwrap()
                .stdout,
        );
        annotate(now.unwrap().trim());
        let second = world.next_serial(&first);
        process.wait_for("since it was asked for", LIMIT);
        process.terminate(LIMIT);
        // A replica that was not up renews when it is, and nobody does so twice.
        world.run(&format!("--once {other}")).done();
        let renewed = world.x509("other/tls.crt", "-serial");
        assert_ne!(renewed, others);
        for words in [OWN, &other] {
            world
                .run(&format!("--once {words}"))
                .done()
                .prints("unchanged");
        }
        assert_eq!(world.serial(), second);
        assert_eq!(world.x509("other/tls.crt", "-serial"), renewed);
    });
}
