//! Replicas as processes, killed with SIGKILL at any moment, with lives of seconds.

use std::collections::BTreeSet;
use std::env;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use certtool::authority::{Phase, Settings};
use certtool::cluster::SecretName;
use certtool::pki::Certificate;
use time::{Duration, OffsetDateTime};

use crate::support::{self, Process, Random};
use crate::world::{Replica, World, connect, is_trusted, leaf};

const SCENARIO: &str = "CERTTOOL_TEST_KEEPER";
const KILLS: usize = 100;

pub fn settings_of_seconds(ca_life: i64) -> Settings {
    let mut settings = Settings::new(Duration::seconds(ca_life), Duration::seconds(2)).unwrap();
    // One machine, one clock.
    settings.skew = Duration::milliseconds(500);
    settings.settle = Duration::milliseconds(500);
    settings
}

/// This program as a replica that ticks and signs until it is killed. Each certificate is
/// appended to `log` before it counts as given out.
pub fn child(world: &World, settings: &Settings, log: &Path) -> Command {
    let mut command = Command::new(env::current_exe().unwrap());
    command
        .args(["--exact", "killed::keeper", "--ignored", "--nocapture"])
        .env(SCENARIO, settings.ca_life.whole_seconds().to_string())
        .env("KEEPER_KUBECONFIG", &world.kubeconfig)
        .env("KEEPER_SECRET", world.secret.to_string())
        .env("KEEPER_WEBHOOK", &world.webhook)
        .env("KEEPER_LOG", log)
        .stdin(Stdio::null());
    command
}

#[test]
#[ignore = "run by the other tests, in a process of its own"]
fn keeper() {
    let Ok(life) = env::var(SCENARIO) else {
        return;
    };
    let settings = settings_of_seconds(life.parse().unwrap());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let cluster = connect(env::var("KEEPER_KUBECONFIG").unwrap().as_ref()).await;
        let secret: SecretName = env::var("KEEPER_SECRET").unwrap().parse().unwrap();
        let webhook = env::var("KEEPER_WEBHOOK").unwrap();
        let mut replica = Replica::new(cluster, &secret, &webhook, &settings);
        let mut log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(env::var("KEEPER_LOG").unwrap())
            .unwrap();
        loop {
            let tick = match replica.tick(OffsetDateTime::now_utc()).await {
                Ok(tick) => tick,
                Err(error) if error.is_transient() => continue,
                Err(error) => panic!("{error}"),
            };
            let now = OffsetDateTime::now_utc();
            if tick.standing.signing(now).is_ok() {
                let leaf = leaf(&tick, now, Duration::seconds(2));
                log.write_all(leaf.to_pem().as_bytes()).unwrap();
                let by = tick.standing.authority().certificate().fingerprint();
                println!("signed by {by}");
            }
            let pause = tick.next.min(std::time::Duration::from_millis(100));
            tokio::time::sleep(pause).await;
        }
    });
}

/// The certificates in a log; the last may be half written.
fn leaves(log: &Path) -> Vec<Certificate> {
    let text = fs::read(log).unwrap_or_default();
    certtool::pki::TrustBundle::usable(&text)
        .0
        .certificates()
        .to_vec()
}

#[test]
fn a_hundred_kills_during_rotations_leave_every_certificate_trusted() {
    support::run(async {
        let world = World::new("kill").await;
        let settings = settings_of_seconds(10);
        let logs: Vec<_> = (0..3)
            .map(|n| world.files.path(&format!("log{n}")))
            .collect();
        let start = |index: usize| Process::spawn(child(&world, &settings, &logs[index]));
        let mut processes: Vec<_> = (0..3).map(start).collect();
        let mut cas = BTreeSet::new();
        let mut checked = 0;
        let mut random = Random::new();
        let began = Instant::now();
        for kill in 0..KILLS {
            let pause = std::time::Duration::from_millis(40 + random.below(600));
            let until = Instant::now() + pause;
            while Instant::now() < until {
                // First the certificates, then what is trusted: what was given out before has to
                // be trusted after.
                let given: Vec<_> = logs.iter().flat_map(|log| leaves(log)).collect();
                let bundle = world.bundle().await;
                let now = OffsetDateTime::now_utc();
                for leaf in given.iter().filter(|leaf| leaf.validity.not_after >= now) {
                    checked += 1;
                    assert!(
                        is_trusted(leaf, &bundle, now),
                        "after {kill} kills: {} is not trusted",
                        leaf.issuer
                    );
                }
                cas.extend(given.iter().map(|leaf| leaf.issuer.to_string()));
                for log in logs.iter().filter(|log| given.len() > 300 && log.exists()) {
                    fs::remove_file(log).unwrap();
                }
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
            let index = kill % 3;
            assert!(
                processes[index].is_running(),
                "a replica ended by itself: {}{}",
                processes[index].stdout(),
                processes[index].stderr()
            );
            processes[index].signal("KILL");
            processes[index] = start(index);
        }
        println!(
            "{KILLS} kills in {:?}: {} CAs signed, {checked} checks of valid certificates",
            began.elapsed(),
            cas.len()
        );
        assert!(cas.len() >= 4, "{cas:?}");
        assert!(checked > 500, "{checked}");
        drop(processes);
        // Whoever comes next finds a state that goes on.
        let mut replica = world.replica(&settings).await;
        let limit = Instant::now() + std::time::Duration::from_secs(30);
        loop {
            let tick = replica.tick(OffsetDateTime::now_utc()).await.unwrap();
            if matches!(tick.standing.phase, Phase::Steady { .. }) && tick.did.is_none() {
                break;
            }
            assert!(Instant::now() < limit, "{:?}", tick.standing.phase);
            tokio::time::sleep(tick.next.min(std::time::Duration::from_millis(100))).await;
        }
        assert_eq!(world.bundle().await, world.state().await.trust().bundle);
    });
}
