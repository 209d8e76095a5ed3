//! Rotations over the API server, `now` passed in.

use base64::{Engine, engine::general_purpose::STANDARD};
use certtool::authority::{
    NotNow, Phase, ROTATE_ANNOTATION, ReadBack, Reason, Settings, Step, Waiting,
};
use certtool::pki::TrustBundle;
use certtool::rotation::Done;
use serde_json::json;
use time::{Duration, OffsetDateTime};

use crate::support;
use crate::world::{World, is_trusted, leaf};

fn settings() -> Settings {
    Settings::new(Duration::days(30), Duration::days(1)).unwrap()
}

#[test]
fn two_rotations_pass_and_every_certificate_is_trusted_for_as_long_as_it_is_valid() {
    support::run(async {
        let world = World::new("rotate").await;
        let settings = settings();
        let mut replicas = [
            world.replica(&settings).await,
            world.replica(&settings).await,
            world.replica(&settings).await,
        ];
        let start = OffsetDateTime::now_utc();
        let mut leaves = Vec::new();
        let mut phases = Vec::new();
        let mut now = start;
        let mut turn = 0;
        while now < start + Duration::days(45) {
            // Replicas take turns, each with what it has read itself.
            turn += 1;
            let tick = replicas[turn % 3].tick(now).await.unwrap();
            let phase = tick.standing.phase.name();
            if phases.last() != Some(&phase) {
                phases.push(phase);
            }
            if tick.standing.signing(now).is_ok() {
                leaves.push(leaf(&tick, now, Duration::days(2)));
            }
            leaves.retain(|leaf| leaf.validity.not_after >= now);
            let bundle = world.bundle().await;
            for leaf in &leaves {
                assert!(is_trusted(leaf, &bundle, now), "at {now} in {phases:?}");
            }
            if tick.did.is_none() {
                now += match tick.standing.phase {
                    Phase::Settling { .. } => Duration::seconds(25),
                    _ => Duration::hours(7),
                };
            }
        }
        let round = ["Publishing", "Settling", "Draining", "Steady"];
        let expected: Vec<_> = ["Introducing", "Steady"]
            .into_iter()
            .chain(round)
            .chain(round)
            .collect();
        let seen: Vec<_> = phases
            .into_iter()
            .filter(|phase| expected.contains(phase))
            .collect();
        assert_eq!(seen, expected[usize::from(seen[0] == "Steady")..]);
        let state = world.state().await;
        assert_eq!(world.bundle().await, state.trust().bundle);
        assert_eq!(
            state.former.len(),
            2 - usize::from(now > start + Duration::days(30))
        );
    });
}

#[test]
fn nothing_is_signed_before_the_webhook_trusts_it_and_what_others_put_there_stays() {
    support::run(async {
        let world = World::new("first").await;
        let settings = settings();
        // A certificate of another CA is being served.
        world
            .files
            .certtool("ca init --cn Other --out-dir other")
            .done();
        let other = world.files.read("other/ca.crt");
        world.reset_bundle(Some(&other)).await;
        let mut replica = world.replica(&settings).await;
        let now = OffsetDateTime::now_utc();
        let tick = replica.tick(now).await.unwrap();
        assert_eq!(tick.did, Some(Done::Created));
        assert_eq!(tick.published.changed.len(), 1);
        let certificate = leaf(&tick, now, Duration::HOUR);
        assert!(is_trusted(&certificate, &world.bundle().await, now));
        let signing = tick.standing.signing(now).unwrap();
        assert!(signing.settled_at >= now + settings.settle);
        let other = TrustBundle::from_pem(other.as_bytes()).unwrap();
        assert!(world.bundle().await.contains_all(&other));
        assert_eq!(world.bundle().await.certificates().len(), 2);
        // Nothing differs: nothing is written.
        let before = world.stored().await;
        for _ in 0..3 {
            let tick = replica.tick(now).await.unwrap();
            assert_eq!(tick.did, None);
            assert!(tick.published.changed.is_empty());
        }
        assert_eq!(world.stored().await, before);
    });
}

#[test]
fn a_webhook_that_may_not_be_patched_keeps_the_ca_from_signing_and_the_rule_is_said() {
    support::run(async {
        let world = World::new("norbac").await;
        let secrets = [support::rule(
            &[""],
            &["secrets"],
            &["get", "create", "patch"],
        )];
        let webhooks = [support::rule(
            &["admissionregistration.k8s.io"],
            &["validatingwebhookconfigurations"],
            &["get"],
        )];
        let kubeconfig = world
            .control_plane
            .service_account(&world.namespace, "reader", &secrets, &webhooks)
            .await;
        let cluster = crate::world::connect(&kubeconfig).await;
        let mut replica =
            crate::world::Replica::new(cluster, &world.secret, &world.webhook, &settings());
        let now = OffsetDateTime::now_utc();
        let tick = replica.tick(now).await.unwrap();
        assert_eq!(tick.standing.phase, Phase::Introducing);
        assert_eq!(tick.standing.signing(now).unwrap_err(), NotNow::Unproven);
        let Some(Waiting::Objects(lacking)) = tick.waiting else {
            panic!("{:?}", tick.waiting);
        };
        assert!(lacking[0].contains(r#"verbs: ["patch"]"#), "{lacking:?}");
        // Another replica that may: then this one signs too.
        world.replica(&settings()).await.settle(now).await;
        let tick = replica.tick(now).await.unwrap();
        assert!(tick.standing.signing(now).is_ok());
    });
}

#[test]
fn a_webhook_that_does_not_exist_holds_nothing_up_and_gets_the_bundle_when_it_appears() {
    support::run(async {
        let world = World::new("later").await;
        world.delete_webhook().await;
        let mut replica = world.replica(&settings()).await;
        let now = OffsetDateTime::now_utc();
        let tick = replica.settle(now).await;
        assert_eq!(tick.published.missing.len(), 1);
        assert!(tick.standing.signing(now).is_ok());
        let config = support::objects::by_service(&world.namespace, "hook", 443, "/", None);
        support::objects::validating_webhook(
            &world.client,
            &world.webhook,
            &world.namespace,
            &config,
        )
        .await;
        let tick = replica.tick(now).await.unwrap();
        assert_eq!(tick.published.changed.len(), 1);
        assert_eq!(world.bundle().await, tick.standing.trust.bundle);
    });
}

#[test]
fn a_bundle_that_is_reset_before_the_switch_is_restored_and_read_back_before_it() {
    support::run(async {
        let world = World::new("reset").await;
        let settings = settings();
        let mut replica = world.replica(&settings).await;
        let now = OffsetDateTime::now_utc();
        replica.settle(now).await;
        let a = world.bundle().await.to_pem();
        let request = json!({ "metadata": { "annotations": { ROTATE_ANNOTATION: "requested" } } });
        world.change(request).await;
        let tick = replica.settle(now).await;
        assert!(matches!(tick.standing.phase, Phase::Settling { .. }));
        let due = now + settings.settle + Duration::SECOND;
        // Helm puts its own back.
        world.reset_bundle(Some(&a)).await;
        let tick = replica.tick(due).await.unwrap();
        // It was put right first, and read back: then, and not before, the new CA signs.
        assert_eq!(tick.published.changed.len(), 1);
        assert_eq!(tick.published.read_back, ReadBack::Holds);
        assert_eq!(tick.did, Some(Done::Took(Step::Switch)));
        let certificate = leaf(&tick, due, Duration::HOUR);
        assert!(is_trusted(&certificate, &world.bundle().await, due));
        // A certificate of the CA before is due, but trusted.
        assert_eq!(world.bundle().await.certificates().len(), 2);
    });
}

#[test]
fn a_forced_rotation_drops_what_was_prepared() {
    support::run(async {
        let world = World::new("forced").await;
        let settings = settings();
        let mut replica = world.replica(&settings).await;
        let now = OffsetDateTime::now_utc();
        replica.settle(now).await;
        let ask = |how: &str| json!({ "metadata": { "annotations": { ROTATE_ANNOTATION: how } } });
        world.change(ask("requested")).await;
        replica.settle(now).await;
        let prepared = world.state().await.next.unwrap();
        world.change(ask("now")).await;
        let tick = replica.tick(now).await.unwrap();
        assert_eq!(tick.did, Some(Done::Took(Step::Start(Reason::Forced))));
        replica.settle(now).await;
        let state = world.state().await;
        let fresh = state.next.unwrap();
        assert_eq!(fresh.reason, Reason::Forced);
        assert_ne!(
            fresh.authority.certificate(),
            prepared.authority.certificate()
        );
        let bundle = world.bundle().await;
        assert!(
            !bundle
                .certificates()
                .contains(prepared.authority.certificate())
        );
        assert!(
            bundle
                .certificates()
                .contains(fresh.authority.certificate())
        );
        assert!(state.request.is_none());
    });
}

#[test]
fn lives_of_seconds_work() {
    support::run(async {
        let world = World::new("seconds").await;
        let settings = Settings::new(Duration::seconds(16), Duration::seconds(4)).unwrap();
        let mut replica = world.replica(&settings).await;
        let start = std::time::Instant::now();
        let mut leaves = Vec::new();
        let mut switches = 0;
        while start.elapsed() < std::time::Duration::from_secs(40) && switches < 2 {
            let now = OffsetDateTime::now_utc();
            let tick = replica.tick(now).await.unwrap();
            switches += usize::from(tick.did == Some(Done::Took(Step::Switch)));
            let now = OffsetDateTime::now_utc();
            leaves.push(leaf(&tick, now, Duration::seconds(4)));
            let bundle = world.bundle().await;
            let now = OffsetDateTime::now_utc();
            leaves.retain(|leaf| leaf.validity.not_after >= now);
            assert!(leaves.iter().all(|leaf| is_trusted(leaf, &bundle, now)));
            let pause = tick.next.min(std::time::Duration::from_millis(300));
            tokio::time::sleep(pause).await;
        }
        assert_eq!(switches, 2);
    });
}

#[test]
fn a_ca_that_somebody_else_maintains_is_followed_and_never_written() {
    support::run(async {
        let world = World::new("external").await;
        let settings = Settings::external();
        let mut replica = world.replica(&settings).await;
        let now = OffsetDateTime::now_utc();
        let missing = replica.tick(now).await.unwrap_err().to_string();
        assert!(missing.contains("whoever maintains this CA"), "{missing}");
        let entries = |name: &str| {
            let words = format!("ca init --cn {name} --out-dir {name}");
            let _ = std::fs::remove_dir_all(world.files.path(name));
            world.files.certtool(&words).done();
            let read = |file: &str| STANDARD.encode(world.files.read(&format!("{name}/{file}")));
            json!({ "tls.crt": read("ca.crt"), "tls.key": read("ca.key"), "ca.crt": read("ca.crt") })
        };
        world
            .create_secret(json!({
                "metadata": { "name": world.secret.name },
                "type": "kubernetes.io/tls",
                "data": entries("one"),
            }))
            .await;
        let mut leaves = Vec::new();
        for name in ["one", "two"] {
            world.change(json!({ "data": entries(name) })).await;
            let before = world.stored().await;
            let tick = replica.settle(now).await;
            assert_eq!(tick.standing.phase, Phase::External);
            leaves.push(leaf(&tick, now, Duration::HOUR));
            let issuer = leaves.last().unwrap().issuer.to_string();
            assert_eq!(issuer, format!("CN={name}"));
            let bundle = world.bundle().await;
            assert!(leaves.iter().all(|leaf| is_trusted(leaf, &bundle, now)));
            assert_eq!(world.stored().await, before);
        }
    });
}
