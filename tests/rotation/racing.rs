//! Many start at once: one CA.

use std::collections::BTreeSet;
use std::process::Stdio;

use certtool::authority::Settings;
use futures::future::join_all;
use time::{Duration, OffsetDateTime};

use crate::killed::{child, settings_of_seconds};
use crate::support::{self, Process};
use crate::world::World;

#[test]
fn replicas_that_start_at_once_agree_on_one_ca() {
    support::run(async {
        let world = World::new("race").await;
        let settings = Settings::new(Duration::days(30), Duration::days(1)).unwrap();
        let mut replicas = Vec::new();
        for _ in 0..8 {
            replicas.push(world.replica(&settings).await);
        }
        let now = OffsetDateTime::now_utc();
        let ticks = replicas.iter_mut().map(|replica| replica.settle(now));
        let ticks = join_all(ticks).await;
        let cas: BTreeSet<_> = ticks
            .iter()
            .map(|tick| tick.standing.authority().certificate().fingerprint())
            .collect();
        assert_eq!(cas.len(), 1, "{cas:?}");
        assert_eq!(world.bundle().await, world.state().await.trust().bundle);
        assert_eq!(world.bundle().await.certificates().len(), 1);
    });
}

#[test]
fn processes_that_start_at_once_agree_on_one_ca() {
    support::run(async {
        let world = World::new("procs").await;
        let settings = settings_of_seconds(600);
        let log = world.files.path("leaves");
        let mut processes: Vec<_> = (0..5)
            .map(|_| {
                let mut command = child(&world, &settings, &log);
                command.stdin(Stdio::null());
                Process::spawn(command)
            })
            .collect();
        let limit = std::time::Duration::from_secs(30);
        for process in &mut processes {
            process.wait_for("signed ", limit);
        }
        let ca = world
            .state()
            .await
            .current
            .authority
            .certificate()
            .fingerprint();
        for process in &processes {
            let said = process.stdout();
            let by: Vec<_> = said
                .lines()
                .filter(|line| line.starts_with("signed by"))
                .collect();
            assert!(by.iter().all(|line| line.ends_with(&ca)), "{ca}: {by:?}");
        }
        assert_eq!(world.bundle().await.certificates().len(), 1);
    });
}
