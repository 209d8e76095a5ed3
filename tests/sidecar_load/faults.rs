//! Things that break under load.

use std::{
    rc::Rc,
    thread,
    time::{Duration, Instant},
};

use crate::{
    deployment::{Deployment, Pod, REPLICAS, alone},
    issuer::Setup,
    load::{RATE, at_least},
    rotating::Rotations,
    support::{self, Clock, Random},
    world::until,
};

pub const LONGEST: Duration = Duration::from_secs(420);
/// The CA is replaced about every ten seconds.
pub const OWN: Setup = Setup::own_ca("20s", "36s");

#[test]
fn sidecars_that_are_killed_a_hundred_times_fail_no_request() {
    kills(OWN);
}

#[test]
fn with_a_signer_a_hundred_kills_of_sidecars_and_of_controllers_fail_no_request() {
    kills(Setup::signer());
}

fn kills(setup: Setup) {
    let cluster = alone();
    support::run_within(LONGEST, async {
        let mut deployment = Deployment::start(&cluster, setup).await;
        let first = deployment.issued();
        let load = deployment.load();
        let (started, least) = (Instant::now(), at_least(0));
        let mut rotations = Rotations::begin(&deployment, setup).await;
        let (mut kills, mut of_controllers) = (0, 0);
        let mut random = Random::new();
        loop {
            thread::sleep(Duration::from_millis(random.below(700)));
            let number = random.below(REPLICAS as u64) as usize;
            let sidecar = &mut deployment.pods[number].sidecar;
            assert!(sidecar.is_running(), "{}", sidecar.stderr());
            deployment.kill_sidecar(number);
            kills += 1;
            // Until the lease of a leader that was killed ends, nothing is signed: as long as it
            // takes to kill fifteen sidecars.
            if kills % 33 == 0
                && let Some(controllers) = &mut deployment.controllers
            {
                controllers.kill(&deployment.world, random.below(2) as usize);
                of_controllers += 1;
            }
            load.assert_none_failed();
            let renewed = deployment.issued() - first;
            let rotated = rotations.look(&deployment).await;
            let elapsed = started.elapsed();
            if kills >= 100 && renewed > 100 && rotated >= 3 && elapsed >= least {
                break;
            }
            assert!(
                elapsed < LONGEST - Duration::from_secs(60),
                "{kills} kills, {renewed} renewals, {rotated} rotations\n{}",
                deployment.said()
            );
        }
        let renewed = deployment.issued() - first;
        // All is well again by itself.
        deployment.assert_served();
        load.assert_none_failed();
        let sum = load.stop();
        println!(
            "{kills} kills of sidecars, {of_controllers} of controllers, {renewed} renewals, \
             {} rotations, {sum}",
            rotations.count()
        );
        sum.assert_rate(RATE);
        deployment.assert_no_mismatch();
    });
}

#[test]
fn an_api_server_that_restarts_fails_no_request_that_it_takes() {
    restarts_of_the_api_server(OWN);
}

#[test]
fn with_a_signer_an_api_server_that_restarts_fails_no_request_that_it_takes() {
    restarts_of_the_api_server(Setup::signer());
}

fn restarts_of_the_api_server(setup: Setup) {
    let cluster = alone();
    support::run_within(LONGEST, async {
        let mut deployment = Deployment::start(&cluster, setup).await;
        let first = deployment.issued();
        let load = deployment.load();
        let mut rotations = Rotations::begin(&deployment, setup).await;
        for round in 0..2 {
            thread::sleep(Duration::from_secs(3));
            match round % 2 {
                0 => cluster.stop_api_server(),
                _ => cluster.kill_api_server(),
            }
            // Longer than the time between two renewals.
            thread::sleep(Duration::from_secs(4));
            cluster.start_api_server();
            for pod in &mut deployment.pods {
                pod.await_renewal();
            }
            // A rotation that was under way goes on.
            rotations.await_more_than(round, &deployment).await;
            load.assert_none_failed();
        }
        let renewed = deployment.issued() - first;
        deployment.assert_served();
        load.assert_none_failed();
        if let Some(controllers) = &mut deployment.controllers {
            controllers.assert_running();
        }
        let sum = load.stop();
        println!(
            "2 restarts, {renewed} renewals, {} rotations, {} requests in {:.0} s, and {} while it \
             was away",
            rotations.count(),
            sum.admitted,
            sum.seconds,
            sum.unreachable.len()
        );
        assert!(!sum.unreachable.is_empty(), "it was never away");
        deployment.assert_no_mismatch();
    });
}

/// A clock that is set ahead, and back.
struct Jump {
    milliseconds: i64,
    /// What each sidecar says then.
    says: &'static str,
    /// Whether it gets pairs meanwhile.
    renews: bool,
}

#[test]
fn a_clock_that_jumps_past_renewal_and_back_signs_nothing_meanwhile_and_fails_no_request() {
    // Far past the renewal, almost to the end.
    clocks_jump(
        Setup::own_ca("40s", "2m"),
        &[Jump {
            milliseconds: 30_000,
            says: "this machine's clock and the API server's are",
            renews: false,
        }],
    );
}

#[test]
fn with_a_signer_a_clock_that_jumps_past_renewal_or_the_end_and_back_fails_no_request() {
    clocks_jump(
        Setup::signer(),
        &[
            // The sidecar asks early. Whoever signs has a clock that is right.
            Jump {
                milliseconds: 300_000,
                says: "wrote a new pair",
                renews: true,
            },
            // What it gets has ended by its clock, as has the pair on disk, which it keeps.
            Jump {
                milliseconds: 3_600_000,
                says: "and not now (",
                renews: false,
            },
        ],
    );
}

fn clocks_jump(setup: Setup, jumps: &[Jump]) {
    let cluster = alone();
    support::run_within(LONGEST, async {
        let mut deployment = Deployment::start(&cluster, setup).await;
        let clocks: Vec<_> = (0..REPLICAS).map(|_| Rc::new(Clock::new())).collect();
        for (number, clock) in clocks.iter().enumerate() {
            deployment.pods[number].clock = Some(Rc::clone(clock));
            deployment.kill_sidecar(number);
        }
        deployment.assert_served();
        let load = deployment.load();
        let first = deployment.issued();
        // One alone, then all of them.
        for (jump, count) in jumps.iter().flat_map(|jump| [(jump, 1), (jump, REPLICAS)]) {
            let said = |pod: &mut Pod| pod.sidecar.stderr().matches(jump.says).count();
            let pods = &mut deployment.pods[..count];
            let before: Vec<_> = pods.iter_mut().map(said).collect();
            for clock in &clocks[..count] {
                clock.set(jump.milliseconds);
            }
            for (pod, before) in pods.iter_mut().zip(before) {
                until(|| (said(pod) > before).then_some(()));
            }
            let held: Vec<_> = pods.iter_mut().map(Pod::issued).collect();
            thread::sleep(Duration::from_secs(3));
            for (pod, held) in pods.iter_mut().zip(held) {
                match jump.renews {
                    true => pod.await_more_than(held),
                    false => assert_eq!(pod.issued(), held, "renewed by a wrong clock"),
                }
            }
            load.assert_none_failed();
            for clock in &clocks[..count] {
                clock.set(0);
            }
            for pod in pods {
                pod.await_renewal();
                pod.await_renewal();
            }
            load.assert_none_failed();
        }
        let renewed = deployment.issued() - first;
        deployment.assert_served();
        load.assert_none_failed();
        let sum = load.stop();
        println!("{renewed} renewals, {sum}");
        sum.assert_rate(RATE);
        deployment.assert_no_mismatch();
    });
}
