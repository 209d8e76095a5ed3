//! Leaves and CAs that are replaced, and nothing else that happens.

use std::{
    collections::BTreeSet,
    thread,
    time::{Duration, Instant},
};

use crate::{
    deployment::{Deployment, REPLICAS, alone},
    files::LIMIT,
    issuer::Setup,
    load::{RATE, at_least, rate},
    support,
};

/// The longest that a run may take on a machine that others use.
const LONGEST: Duration = Duration::from_secs(300);
const OTHERS: usize = 100;

/// The CAs that sign, one after another.
pub struct Rotations {
    seen: BTreeSet<String>,
    asks: bool,
}

impl Rotations {
    /// Asks for the first one, unless they come by themselves.
    pub async fn begin(deployment: &Deployment<'_>, setup: Setup) -> Self {
        let asks = setup.rotates_when_asked();
        if asks {
            deployment.rotate();
        }
        Self {
            asks,
            ..Self::watch(deployment).await
        }
    }

    /// Asks for none.
    pub async fn watch(deployment: &Deployment<'_>) -> Self {
        Self {
            seen: deployment.signing_ca().await.into_iter().collect(),
            asks: false,
        }
    }

    /// How many there have been.
    pub fn count(&self) -> usize {
        self.seen.len().saturating_sub(1)
    }

    /// Looks who signs, and asks for the next one if that is another CA.
    pub async fn look(&mut self, deployment: &Deployment<'_>) -> usize {
        let is_new = |ca| self.seen.insert(ca);
        if deployment.signing_ca().await.is_some_and(is_new) && self.asks {
            deployment.rotate();
        }
        self.count()
    }

    /// Waits until there have been more than this.
    pub async fn await_more_than(&mut self, before: usize, deployment: &Deployment<'_>) {
        let deadline = Instant::now() + LIMIT;
        while self.look(deployment).await <= before {
            assert!(Instant::now() < deadline, "{}", deployment.said());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

#[test]
fn a_hundred_renewals_and_three_rotations_of_the_ca_fail_no_request() {
    replaces(Setup::own_ca("20s", "36s"), 101);
}

#[test]
fn a_hundred_other_configurations_on_the_same_ca_delay_no_rotation() {
    // The CA is replaced when it is asked for: each time, 103 objects get the next one first. A step
    // of that may take as long as a leaf lives on a machine that others use, and gives way to it.
    replaces(Setup::own_ca("40s", "1h").with_others(OTHERS), 30);
}

#[test]
fn with_a_signer_and_a_hundred_other_configurations_no_request_fails_either() {
    replaces(Setup::signer().with_others(OTHERS), 101);
}

/// Until so many leaves and three CAs were replaced.
fn replaces(setup: Setup, leaves: u64) {
    let cluster = alone();
    support::run_within(LONGEST * 2, async {
        let mut deployment = Deployment::start(&cluster, setup).await;
        let load = deployment.load();
        let (started, least) = (Instant::now(), at_least(30));
        let before = deployment.balancer.connections();
        let first = deployment.issued();
        let mut rotations = Rotations::begin(&deployment, setup).await;
        loop {
            load.assert_none_failed();
            let rotated = rotations.look(&deployment).await;
            let renewed = deployment.issued() - first;
            let elapsed = started.elapsed();
            // A busy machine takes longer for as many requests.
            let asked = load.admitted() >= rate() * least.as_secs();
            if renewed >= leaves && rotated >= 3 && asked && elapsed >= least {
                break;
            }
            assert!(
                elapsed < LONGEST,
                "{renewed} renewals, {rotated} rotations, {} requests in {elapsed:?}\n{}",
                load.admitted(),
                deployment.said()
            );
            thread::sleep(Duration::from_millis(300));
        }
        let sum = load.stop();
        let handshakes = deployment.balancer.connections() - before;
        println!(
            "{sum}, {handshakes} handshakes, {} renewals, {} rotations of a CA in {} objects",
            deployment.issued() - first,
            rotations.count(),
            setup.others + 3
        );
        sum.assert_all_admitted(handshakes);
        sum.assert_rate(RATE);
        if let Some(controllers) = &mut deployment.controllers {
            controllers.assert_running();
        }
        deployment.assert_no_mismatch();
        deployment.assert_served();
    });
}

#[test]
fn a_rolling_update_during_rotations_agrees_on_one_ca_and_fails_no_request() {
    let cluster = alone();
    support::run_within(LONGEST, async {
        let mut deployment = Deployment::start(&cluster, Setup::own_ca("60s", "10m")).await;
        let load = deployment.load();
        let mut rotations = Rotations::watch(&deployment).await;
        for round in 0..2 {
            deployment.rotate();
            for number in 0..REPLICAS {
                deployment.roll(number, &format!("{number}-{round}"));
                load.assert_none_failed();
                rotations.look(&deployment).await;
            }
        }
        rotations.await_more_than(0, &deployment).await;
        deployment.assert_served();
        // One bundle: what each Pod has is what the Secret says, as soon as it has looked.
        let world = &deployment.world;
        support::eventually(LIMIT, || async {
            let secret = deployment.bundle().await.unwrap_or_default();
            let dirs = deployment.pods.iter().map(|pod| &pod.dir);
            let mut bundles = dirs.map(|dir| world.read(&format!("{dir}/ca.crt")));
            match bundles.all(|bundle| bundle == secret) {
                true => Ok(()),
                false => Err(deployment.said()),
            }
        })
        .await;
        load.assert_none_failed();
        println!(
            "6 Pods replaced, {} rotations, {}",
            rotations.count(),
            load.stop()
        );
        deployment.assert_no_mismatch();
    });
}
