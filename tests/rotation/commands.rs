//! `certtool ca init`, `show` and `rotate` with a Secret.

use certtool::authority::Settings;
use serde_json::json;
use time::{Duration, OffsetDateTime};

use crate::files::Said;
use crate::support::{self, Process};
use crate::world::World;

fn settings() -> Settings {
    Settings::new(Duration::days(30), Duration::days(1)).unwrap()
}

#[test]
fn show_tells_the_phase_each_ca_and_what_is_next() {
    support::run(async {
        let world = World::new("show").await;
        world.run("ca init --secret %S").done();
        let said = world.run("ca show --secret %S -o json").done().json();
        assert_eq!(said["authority"]["phase"], "Unmanaged");
        assert_eq!(said["certificates"][0]["subject"], "CN=certtool CA");
        let mut replica = world.replica(&settings()).await;
        let now = OffsetDateTime::now_utc();
        replica.settle(now).await;
        let said = world.run("ca show --secret %S -o json").done().json();
        assert_eq!(said["authority"]["phase"], "Steady");
        assert_eq!(
            said["authority"]["prospects"][0]["what"],
            "the next CA is made"
        );
        world
            .run("ca rotate --secret %S")
            .done()
            .prints("asked for\n")
            .prints("the next CA is made, since one was asked for\n")
            .says_nothing_of(": the next CA is made")
            .says_nothing_of("nobody keeps");
    });
}

#[test]
fn rotate_asks_once_and_the_keeper_does_it() {
    support::run(async {
        let world = World::new("ask").await;
        let mut replica = world.replica(&settings()).await;
        let now = OffsetDateTime::now_utc();
        replica.settle(now).await;
        let version = async || world.stored().await["metadata"]["resourceVersion"].clone();
        let before = version().await;
        for mode in ["client", "server"] {
            let words = format!("ca rotate --secret %S --dry-run={mode}");
            world.run(&words).done().prints("dry run");
            assert_eq!(version().await, before, "{mode}");
        }
        let said = world.run("ca rotate --secret %S -o json").done().json();
        assert_eq!(said["already"], false);
        assert_eq!(said["request"], "requested");
        let before = version().await;
        world
            .run("ca rotate --secret %S")
            .done()
            .prints("asked for already");
        assert_eq!(version().await, before);
        // More urgent: written over the other.
        world.run("ca rotate --secret %S --now").done();
        let annotations = &world.stored().await["metadata"]["annotations"];
        assert_eq!(annotations["certtool.dev/rotate"], "now");
        // Less urgent: not.
        world
            .run("ca rotate --secret %S")
            .done()
            .prints("asked for already");
        replica.settle(now).await;
        world
            .run("ca show --secret %S")
            .done()
            .prints("Phase:           Settling")
            .prints("Next CA:         O=certtool.dev")
            .prints("(Forced)")
            .prints("the next CA signs, if every object still holds it");
        let later = now + Duration::minutes(2);
        replica.settle(later).await;
        world
            .run("ca show --secret %S")
            .done()
            .prints("Phase:           Draining")
            .prints("Retired CA:      O=certtool.dev")
            .prints("leaves the trust bundle");
        let said = world.run("ca show --secret %S -o json").done().json();
        let retired = &said["authority"]["retired"][0];
        assert_eq!(retired["reason"], "Forced");
        assert_ne!(
            retired["fingerprint"],
            said["authority"]["current"]["fingerprint"]
        );
    });
}

#[test]
fn rotate_waits_until_the_new_ca_signs_or_says_what_was_missing() {
    support::run(async {
        let world = World::new("wait").await;
        let settings = crate::killed::settings_of_seconds(600);
        let mut replica = world.replica(&settings).await;
        replica.settle(OffsetDateTime::now_utc()).await;
        world
            .run("ca rotate --secret %S --wait --timeout 1s")
            .ended(124)
            .explains("the next CA is made, since one was asked for");
        let process = Process::spawn(world.command("ca rotate --secret %S --wait --timeout 40s"));
        let old = world
            .state()
            .await
            .current
            .authority
            .certificate()
            .fingerprint();
        let limit = std::time::Instant::now() + std::time::Duration::from_secs(30);
        while world
            .state()
            .await
            .current
            .authority
            .certificate()
            .fingerprint()
            == old
        {
            replica.tick(OffsetDateTime::now_utc()).await.unwrap();
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
            assert!(std::time::Instant::now() < limit);
        }
        Said::at_the_end_of(process)
            .done()
            .prints("rotated, the new CA signs")
            .explains("Settling");
    });
}

#[test]
fn what_cannot_be_rotated_is_told_with_the_reason() {
    support::run(async {
        let world = World::new("cannot").await;
        world
            .run("ca rotate")
            .ended(2)
            .explains("--secret NAMESPACE/NAME");
        world
            .run("ca rotate --secret %S")
            .ended(1)
            .explains("certtool ca init --secret");
        world.run("ca init --secret %S").done();
        world
            .run("ca rotate --secret %S")
            .done()
            .explains("nobody keeps this CA yet");
        world
            .change(json!({ "metadata": { "annotations": { "cert-manager.io/certificate-name": "web" } } }))
            .await;
        world
            .run("ca rotate --secret %S")
            .ended(1)
            .explains("cert-manager keeps it, for the Certificate web");
        world
            .run("ca init --secret %S --replace")
            .ended(1)
            .explains("repair it there");
        world.run("ca init --replace").ended(2);
        world
            .run("ca init --secret %S --ca x")
            .ended(2)
            .explains("--ca-key");
    });
}

#[test]
fn sign_uses_the_ca_of_the_phase_and_keeps_to_the_life_of_its_leaves() {
    support::run(async {
        let world = World::new("sign").await;
        let mut replica = world.replica(&settings()).await;
        let now = OffsetDateTime::now_utc();
        replica.settle(now).await;
        world.files.csr("x", "DNS:x.y.svc");
        let sign = "sign --csr x.csr --ca-secret %S --force --out x.crt";
        world
            .run(&format!("{sign} --validity 30d"))
            .done()
            .explains("valid for 24 hours at most");
        let left = world.files.not_after("x.crt") - now.unix_timestamp();
        assert!((86_000..=86_410).contains(&left), "{left}");
        world
            .run(&format!("{sign} --validity 1h"))
            .done()
            .says_nothing_of("at most");
        let old = world.files.x509("x.crt", "-issuer");
        world.run("ca rotate --secret %S --now").done();
        replica.settle(now).await;
        world.run(sign).done();
        assert_eq!(world.files.x509("x.crt", "-issuer"), old);
        replica.settle(now + Duration::minutes(2)).await;
        world.run(sign).done();
        assert_ne!(world.files.x509("x.crt", "-issuer"), old);
        // Both are trusted by the one bundle.
        let bundle = world.state().await.trust().bundle.to_pem();
        world.files.write("bundle.crt", bundle);
        assert!(world.files.verifies("bundle.crt", "x.crt", "x.y.svc"));
    });
}

#[test]
fn a_dry_run_of_a_repair_changes_nothing() {
    support::run(async {
        let world = World::new("dryfix").await;
        world.run("ca init --secret %S").done();
        let before = world.stored().await;
        for mode in ["client", "server"] {
            let words = format!("ca init --secret %S --replace --dry-run={mode}");
            world.run(&words).done().prints("dry run");
        }
        assert_eq!(world.stored().await, before);
    });
}
