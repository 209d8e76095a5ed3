//! Leaves and CAs that are replaced, and nothing else that happens.

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    thread,
    time::{Duration, Instant},
};

use crate::{
    deployment::{Deployment, REPLICAS, alone, own_ca},
    load::{at_least, rate},
    operator, support,
    world::until,
};

/// The longest that a run may take on a machine that others use.
const LONGEST: Duration = Duration::from_secs(300);

/// Waits until so many leaves and CAs were replaced, and time has passed; panics at the first
/// failure. The number of both.
fn await_changes(
    deployment: &mut Deployment<'_>,
    load: &crate::load::Load,
    (leaves, cas): (u64, usize),
    least: Duration,
) -> (u64, usize) {
    let started = Instant::now();
    let first = deployment.issued();
    let mut seen: BTreeSet<String> = deployment.signing_ca().into_iter().collect();
    loop {
        seen.extend(deployment.signing_ca());
        let renewed = deployment.issued() - first;
        let rotated = seen.len() - 1;
        let elapsed = started.elapsed();
        // A busy machine takes longer for as many requests.
        let asked = load.admitted() >= rate() * least.as_secs();
        if renewed >= leaves && rotated >= cas && asked && elapsed >= least {
            return (renewed, rotated);
        }
        assert!(
            elapsed < LONGEST,
            "{renewed} renewals, {rotated} rotations, {} requests in {elapsed:?}\n{}",
            load.admitted(),
            deployment.said()
        );
        load.assert_none_failed();
        thread::sleep(Duration::from_millis(500));
    }
}

#[test]
fn a_hundred_renewals_and_three_rotations_of_the_ca_fail_no_request() {
    let cluster = alone();
    support::run_within(LONGEST * 2, async {
        let mut deployment = Deployment::start(&cluster, &own_ca("20s", "36s")).await;
        let load = deployment.load();
        let before = deployment.balancer.connections();
        let (renewed, rotated) = await_changes(&mut deployment, &load, (101, 3), at_least(30));
        let handshakes = deployment.balancer.connections() - before;
        let sum = load.stop();
        println!(
            "{sum}, {handshakes} handshakes ({:.0} a second), {renewed} renewals, {rotated} rotations",
            handshakes as f64 / sum.seconds
        );
        sum.assert_all_admitted(handshakes);
        deployment.assert_no_mismatch();
        deployment.assert_served();
    });
}

#[test]
fn a_rolling_update_during_rotations_agrees_on_one_ca_and_fails_no_request() {
    let cluster = alone();
    support::run_within(LONGEST, async {
        let mut deployment = Deployment::start(&cluster, &own_ca("60s", "10m")).await;
        let load = deployment.load();
        let mut seen: BTreeSet<String> = deployment.signing_ca().into_iter().collect();
        for round in 0..2 {
            let world = &deployment.world;
            world.admin("ca rotate --secret %N/webhook-ca --now").done();
            for number in 0..REPLICAS {
                deployment.roll(number, &format!("{number}-{round}"));
                load.assert_none_failed();
                seen.extend(deployment.signing_ca());
            }
        }
        until(|| {
            seen.extend(deployment.signing_ca());
            (seen.len() >= 2).then_some(())
        });
        deployment.assert_served();
        // One bundle: what each Pod has is what the Secret says, as soon as it has looked.
        let world = &deployment.world;
        until(|| {
            let secret = deployment.bundle()?;
            let mut dirs = deployment
                .pods
                .iter()
                .map(|pod| format!("{}/ca.crt", pod.dir));
            dirs.all(|ca| world.read(&ca) == secret).then_some(())
        });
        load.assert_none_failed();
        println!(
            "6 Pods replaced, {} CAs, {} requests",
            seen.len(),
            load.stop().admitted
        );
        deployment.assert_no_mismatch();
    });
}

#[test]
fn a_hundred_other_configurations_on_the_same_ca_delay_no_rotation() {
    const OTHERS: usize = 100;
    let cluster = alone();
    support::run_within(LONGEST * 2, async {
        // The CA is replaced when it is asked for: each time, 103 objects get the next one first. A
        // state that was read a tenth of a leaf's life ago is too old to sign by, and reading so many
        // objects takes its time on a busy machine.
        let mut words = own_ca("40s", "1h");
        for number in 0..OTHERS {
            let _ = write!(
                words,
                " --webhook validatingwebhookconfiguration/%N-{number}"
            );
        }
        let mut deployment = Deployment::prepared(&cluster, &words, async |world| {
            let namespace = &world.namespace;
            cluster.apply(&operator::others(namespace, OTHERS, namespace, "{}"));
        })
        .await;
        let load = deployment.load();
        let (started, first) = (Instant::now(), deployment.issued());
        for _ in 0..3 {
            let before = deployment.signing_ca();
            let world = &deployment.world;
            world.admin("ca rotate --secret %N/webhook-ca --now").done();
            let rotating = Instant::now();
            while deployment.signing_ca() == before {
                assert!(rotating.elapsed() < LONGEST / 3, "{}", deployment.said());
                load.assert_none_failed();
                thread::sleep(Duration::from_millis(300));
            }
            for pod in &mut deployment.pods {
                pod.await_renewal();
            }
            println!("a rotation took {:.1} s", rotating.elapsed().as_secs_f64());
        }
        while started.elapsed() < at_least(0) {
            thread::sleep(Duration::from_secs(1));
            load.assert_none_failed();
        }
        let renewed = deployment.issued() - first;
        let sum = load.stop();
        println!(
            "{sum}, {renewed} renewals, 3 rotations of a CA in {} objects",
            OTHERS + 3
        );
        assert!(sum.failures.is_empty(), "{}", sum.failures.join("\n"));
        deployment.assert_no_mismatch();
        deployment.assert_served();
        let left = format!("--selector=other={}", deployment.world.namespace);
        cluster.kubectl(&["delete", "validatingwebhookconfigurations", &left]);
    });
}
