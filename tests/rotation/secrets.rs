//! The Secret itself: created once, updated by compare-and-swap, nothing of others lost.

use std::collections::BTreeMap;

use certtool::authority::{CaState, Changes, Settings};
use certtool::cluster::{Error, Written};
use certtool::pki::{Authority, PrivateKey};
use serde_json::json;
use time::{Duration, OffsetDateTime};

use crate::files::assert_no_key;
use crate::support;
use crate::world::{World, connect, data};

fn settings() -> Settings {
    Settings::new(Duration::days(30), Duration::days(1)).unwrap()
}

fn first(world: &World) -> CaState {
    let now = OffsetDateTime::now_utc();
    let serial = certtool::random_serial().unwrap();
    let order = settings().order(&world.secret.to_string(), &serial, now);
    let key = PrivateKey::generate(order.algorithm).unwrap();
    let authority = Authority::self_signed(&order.spec, key, serial).unwrap();
    CaState::first(authority.into(), &settings(), now)
}

fn changes(state: &CaState) -> Changes {
    Changes::to(state, None, &BTreeMap::new(), &BTreeMap::new()).unwrap()
}

#[test]
fn a_secret_is_created_once_and_then_changed_only_as_it_was_read() {
    support::run(async {
        let world = World::new("cas").await;
        let cluster = world.cluster().await;
        let state = first(&world);
        let created = cluster
            .create_ca_secret(&world.secret, &changes(&state), false)
            .await
            .unwrap();
        let Written::Done(created) = created else {
            panic!("{created:?}");
        };
        assert_eq!(created.kind, "kubernetes.io/tls");
        assert!(created.is_ours);
        let again = cluster
            .create_ca_secret(&world.secret, &changes(&first(&world)), false)
            .await
            .unwrap();
        assert!(matches!(again, Written::Outrun), "{again:?}");
        // Somebody adds things of their own.
        world
            .change(json!({
                "metadata": { "labels": { "team": "shop" }, "annotations": { "note": "x" } },
                "data": { "extra": "aGVsbG8=" },
            }))
            .await;
        let proven = state.proven(OffsetDateTime::now_utc());
        let update = |read| {
            let change =
                Changes::to(&proven, Some(&state), &created.data, &created.annotations).unwrap();
            let (cluster, secret) = (cluster.clone(), world.secret.clone());
            async move {
                cluster
                    .update_ca_secret(&secret, &read, &change, false)
                    .await
            }
        };
        let stale = update(created.clone()).await.unwrap();
        assert!(matches!(stale, Written::Outrun), "{stale:?}");
        let fresh = data(&cluster, &world.secret).await;
        let Written::Done(written) = update(fresh.clone()).await.unwrap() else {
            panic!("the newest version is refused");
        };
        assert_eq!(written.data["extra"], b"hello");
        assert_eq!(written.annotations["note"], "x");
        let stored = world.stored().await;
        assert_eq!(stored["metadata"]["labels"]["team"], "shop");
        assert!(world.state().await.current.published.is_some());
        // Deleted and made anew by somebody: another object, whatever its version.
        world.delete_secret().await;
        let gone = update(written.clone()).await.unwrap();
        assert!(matches!(gone, Written::Outrun), "{gone:?}");
        for text in [format!("{written:?}"), format!("{gone:?}{stale:?}")] {
            assert_no_key(&text);
            assert!(!text.contains("45, 45, 45, 45, 45"), "{text}");
        }
    });
}

#[test]
fn a_dry_run_stores_nothing() {
    support::run(async {
        let world = World::new("dry").await;
        let cluster = world.cluster().await;
        let state = first(&world);
        let written = cluster
            .create_ca_secret(&world.secret, &changes(&state), true)
            .await
            .unwrap();
        assert!(matches!(written, Written::Done(_)));
        assert!(cluster.get_secret(&world.secret).await.unwrap().is_none());
    });
}

#[test]
fn a_missing_permission_is_an_error_that_names_the_rule() {
    support::run(async {
        let world = World::new("rbac").await;
        let nobody = world
            .control_plane
            .service_account(&world.namespace, "nobody", &[], &[])
            .await;
        let cluster = connect(&nobody).await;
        let refused = cluster
            .create_ca_secret(&world.secret, &changes(&first(&world)), false)
            .await
            .unwrap_err();
        assert!(matches!(refused, Error::Forbidden { .. }), "{refused}");
        let text = format!("{refused} {refused:?}");
        assert!(
            text.contains(r#"resources: ["secrets"], verbs: ["create"]"#),
            "{text}"
        );
        assert_no_key(&text);
    });
}
