//! A CA that is lost or damaged is reported and left alone.

use base64::{Engine, engine::general_purpose::STANDARD};
use certtool::authority::Settings;
use certtool::rotation::Error;
use serde_json::{Value, json};
use time::{Duration, OffsetDateTime};

use crate::support;
use crate::world::World;

fn settings() -> Settings {
    Settings::new(Duration::days(30), Duration::days(1)).unwrap()
}

/// What a replica says, which has read the Secret before or has just started.
async fn said(world: &World, restarted: bool, damage: impl AsyncFnOnce(&World)) -> String {
    let now = OffsetDateTime::now_utc();
    let mut replica = world.replica(&settings()).await;
    replica.settle(now).await;
    if restarted {
        replica = world.replica(&settings()).await;
    }
    damage(world).await;
    let before = world.bundle().await;
    let mut text = String::new();
    for _ in 0..3 {
        let error = replica.tick(now).await.unwrap_err();
        assert!(matches!(error, Error::Broken(_)), "{error}");
        assert!(!error.is_transient());
        text = error.to_string();
    }
    assert_eq!(world.bundle().await, before);
    assert!(text.contains(&world.secret.to_string()), "{text}");
    assert!(text.contains("certtool ca init --secret"), "{text}");
    text
}

async fn is_gone(world: &World) -> bool {
    let cluster = world.cluster().await;
    cluster.get_secret(&world.secret).await.unwrap().is_none()
}

#[test]
fn a_deleted_ca_is_not_made_anew_neither_by_who_knew_it_nor_by_who_sees_its_trace() {
    support::run(async {
        for restarted in [false, true] {
            let world = World::new("deleted").await;
            let text = said(&world, restarted, async |world: &World| {
                world.delete_secret().await;
            })
            .await;
            assert!(text.contains("but there was one"), "{text}");
            assert!(is_gone(&world).await);
        }
    });
}

#[test]
fn a_damaged_secret_is_left_as_it_is() {
    support::run(async {
        let text = |text: &str| Value::from(STANDARD.encode(text));
        for (entry, value, expected) in [
            ("tls.key", text(""), "could not read the CA key tls.key"),
            (
                "tls.crt",
                text("garbage"),
                "could not read the CA certificate tls.crt",
            ),
            ("ca.crt", Value::Null, "it has no ca.crt"),
            ("authority.json", text("{"), "authority.json does not read"),
        ] {
            let world = World::new("damaged").await;
            let damage = json!({ "data": { entry: value } });
            let said = said(&world, true, async |world: &World| {
                world.change(damage).await;
            })
            .await;
            assert!(said.contains(expected), "{said}");
            let version = world.stored().await["metadata"]["resourceVersion"].clone();
            world.run("ca show --secret %S").ended(1).explains(expected);
            world
                .run("ca rotate --secret %S")
                .ended(1)
                .explains(expected);
            assert_eq!(world.stored().await["metadata"]["resourceVersion"], version);
        }
    });
}

/// The entries of another CA.
fn other(world: &World) -> Value {
    world
        .files
        .certtool("ca init --cn Other --out-dir other")
        .done();
    let [cert, key] =
        ["other/ca.crt", "other/ca.key"].map(|file| STANDARD.encode(world.files.read(file)));
    json!({ "tls.crt": cert, "tls.key": key, "ca.crt": cert })
}

#[test]
fn another_ca_in_the_secret_is_refused_with_and_without_what_was_there_before() {
    support::run(async {
        // Its entries in the place of ours.
        let world = World::new("filled").await;
        let entries = other(&world);
        let text = said(&world, true, async |world: &World| {
            world.change(json!({ "data": entries })).await;
        })
        .await;
        assert!(text.contains("somebody put another CA there"), "{text}");
        // The Secret made anew by hand.
        let world = World::new("swapped").await;
        let entries = other(&world);
        let name = world.secret.name.clone();
        let text = said(&world, false, async |world: &World| {
            world.delete_secret().await;
            world
                .create_secret(json!({
                    "metadata": { "name": name },
                    "type": "kubernetes.io/tls",
                    "data": entries,
                }))
                .await;
        })
        .await;
        assert!(
            text.contains("nothing in the Secret says that this is wanted"),
            "{text}"
        );
        let stored = world.stored().await;
        assert!(stored["data"].get("authority.json").is_none());
    });
}

#[test]
fn a_leaf_in_the_secret_is_no_ca() {
    support::run(async {
        let world = World::new("leaf").await;
        world.files.certtool("ca init --out-dir ca").done();
        world.files.csr("x", "DNS:x.y");
        world
            .files
            .certtool("sign --csr x.csr --ca-dir ca --out x.crt")
            .done();
        let [cert, key] = ["x.crt", "x.key"].map(|file| STANDARD.encode(world.files.read(file)));
        world
            .create_secret(json!({
                "metadata": { "name": world.secret.name },
                "type": "kubernetes.io/tls",
                "data": { "tls.crt": cert, "tls.key": key },
            }))
            .await;
        let now = OffsetDateTime::now_utc();
        let error = world
            .replica(&settings())
            .await
            .tick(now)
            .await
            .unwrap_err();
        assert!(error.to_string().contains("is not a CA"), "{error}");
        assert_eq!(world.bundle().await.certificates().len(), 0);
    });
}

#[test]
fn a_repaired_ca_is_published_before_it_signs_and_the_old_one_stays_trusted() {
    support::run(async {
        // The key is lost, the certificate is not.
        let world = World::new("repaired").await;
        let now = OffsetDateTime::now_utc();
        let mut replica = world.replica(&settings()).await;
        let tick = replica.settle(now).await;
        let old = crate::world::leaf(&tick, now, Duration::HOUR);
        world
            .change(json!({ "data": { "tls.key": STANDARD.encode("gone") } }))
            .await;
        replica.tick(now).await.unwrap_err();
        world
            .run("ca init --secret %S")
            .ended(1)
            .explains("--replace repairs");
        world
            .run("ca init --secret %S --replace --cn Repaired")
            .done()
            .prints("CA created")
            .explains("stays trusted until it ends");
        let tick = replica.settle(now).await;
        let new = crate::world::leaf(&tick, now, Duration::HOUR);
        assert_eq!(new.issuer.to_string(), "CN=Repaired");
        let bundle = world.bundle().await;
        for leaf in [&old, &new] {
            assert!(crate::world::is_trusted(leaf, &bundle, now));
        }
        // Restored from a backup.
        let files = &world.files;
        files
            .certtool("ca init --cn Backup --out-dir backup")
            .done();
        world
            .run("ca init --secret %S --replace --ca backup/ca.crt --ca-key backup/ca.key")
            .done();
        let tick = replica.settle(now).await;
        let subject = &tick.standing.authority().certificate().subject;
        assert_eq!(subject.to_string(), "CN=Backup");
        // Deleted, and made anew on purpose.
        world.delete_secret().await;
        replica.tick(now).await.unwrap_err();
        world.run("ca init --secret %S --cn Anew").done();
        let tick = replica.settle(now).await;
        assert!(tick.standing.signing(now).is_ok());
        assert!(crate::world::is_trusted(&old, &world.bundle().await, now));
    });
}
