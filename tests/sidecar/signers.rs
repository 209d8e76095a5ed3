//! Signers that do not answer, refuse, or go away; and API servers that do.

use std::time::{Duration, Instant};

use crate::{
    World,
    files::LIMIT,
    support::{self, Clock, ControlPlane, Process},
    world::{address, get, metric, until},
};

const KEEP: &str = "--service hook.%N --cert-dir serving --signer %S";

#[test]
fn a_signer_that_does_not_answer_gets_one_request_and_may_answer_late() {
    support::run(async {
        let world = World::new("late", KEEP).await;
        let mut process = world.start(&format!("{KEEP} --timeout 1s --listen 127.0.0.1:0"));
        let address = address(&mut process);
        process.wait_for("(failures in a row: 3)", LIMIT);
        assert_eq!(world.requests().len(), 1, "one request for all attempts");
        let (status, why) = get(&address, "/readyz");
        assert_eq!(status, 503);
        assert!(why.contains("nobody has approved it"), "{why}");
        assert_eq!(get(&address, "/startupz").0, 503);
        assert_eq!(get(&address, "/healthz").0, 200, "it is alive, if not well");
        assert!(metric(&address, "certtool_sidecar_failures_in_a_row").unwrap() >= 3.0);
        let events = until(|| {
            let events = world
                .cluster
                .kubectl(&["get", "events", "-n", &world.namespace]);
            events.contains("CertificateFailed").then_some(events)
        });
        assert!(events.contains("pod/hook-0"), "{events}");
        let _signer = world.signs("--validity 1h");
        world.next_serial("");
        world.assert_good();
        until(|| (get(&address, "/readyz").0 == 200).then_some(()));
        assert_eq!(get(&address, "/startupz").0, 200);
        assert!(metric(&address, "certtool_sidecar_failures_in_a_row").unwrap() < 1.0);
    });
}

#[test]
fn a_denied_request_is_replaced_and_the_old_pair_stays() {
    support::run(async {
        let world = World::new("denies", KEEP).await;
        let signer = world.signs("--validity 1h");
        let mut process = world.start(KEEP);
        let first = world.next_serial("");
        drop(signer);
        process.signal("USR1");
        let name = until(|| {
            let pending = world.requests();
            let pending = pending.iter().find(|r| r["state"] == "Pending")?;
            Some(pending["name"].as_str().unwrap().to_owned())
        });
        world
            .admin(&format!("deny {name} --reason Policy --message no"))
            .done();
        process.wait_for("will get no certificate: Denied (Policy: no)", LIMIT);
        process.wait_for("The old pair is kept", LIMIT);
        assert_eq!(world.serial(), first);
        // It is deleted while it is waited for.
        let name = until(|| {
            let pending = world.requests();
            let pending = pending.iter().find(|r| r["state"] == "Pending")?;
            Some(pending["name"].as_str().unwrap().to_owned())
        });
        world.cluster.kubectl(&["delete", "csr", &name]);
        process.wait_for("is gone before it was issued", LIMIT);
        let _signer = world.signs("--validity 1h");
        world.next_serial(&first);
        world.assert_good();
    });
}

#[test]
fn an_api_server_that_goes_away_and_comes_back_delays_a_renewal() {
    support::run(async {
        let cluster = ControlPlane::dedicated();
        let world = World::on(&cluster, "away", KEEP).await;
        let signer = world.signs("--validity 1h");
        let mut process = world.start(KEEP);
        let first = world.next_serial("");
        drop(signer);
        cluster.kill_api_server();
        process.signal("USR1");
        process.wait_for("cannot reach the API server", LIMIT);
        process.wait_for("The old pair is kept", LIMIT);
        assert_eq!(world.serial(), first);
        cluster.start_api_server();
        let _signer = world.signs("--validity 1h");
        world.next_serial(&first);
        world.assert_good();
        assert!(process.is_running());
    });
}

#[test]
fn a_clock_ahead_by_nearly_a_certificates_life_asks_no_more_than_twice_a_second() {
    support::run(async {
        let world = World::new("ahead", KEEP).await;
        let _signer = world.signs("--validity 20s");
        let clock = Clock::new();
        // Whatever comes ends in less than two seconds by this clock.
        clock.set(18_500);
        let mut command = world.command(KEEP);
        clock.rule(&mut command);
        let mut process = Process::spawn(command);
        process.wait_for("wrote a new pair", LIMIT);
        let issued = |process: &Process| process.stderr().matches("wrote a new pair").count();
        let (before, started) = (issued(&process), Instant::now());
        tokio::time::sleep(Duration::from_secs(10)).await;
        let (more, seconds) = (issued(&process) - before, started.elapsed().as_secs_f64());
        assert!(
            more >= 1 && more as f64 <= 2.0 * seconds,
            "{more} in {seconds} s"
        );
        println!("{more} in {seconds:.1} s");
        clock.set(0);
        let serial = world.serial();
        world.next_serial(&serial);
        world.assert_good();
        process.terminate(LIMIT);
    });
}

#[test]
fn killed_at_any_instant_it_leaves_a_pair_that_works() {
    support::run(async {
        let world = World::new("killed", KEEP).await;
        let _signer = world.signs("--validity 3s");
        let mut process = world.start(KEEP);
        world.next_serial("");
        for round in 0_u64..20 {
            tokio::time::sleep(Duration::from_millis(37 * (round % 7) + 11)).await;
            process.signal("KILL");
            process.wait(LIMIT);
            world.assert_pair("serving/tls.crt", "serving/tls.key");
            process = world.start(KEEP);
        }
        let serial = world.serial();
        world.next_serial(&serial);
        world.assert_good();
        let left = world.list("serving");
        let generations = left.iter().filter(|name| name.starts_with("..certtool-"));
        assert!(generations.count() <= 3, "{left:?}");
    });
}
