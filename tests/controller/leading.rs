//! Several replicas: one writes, the others are ready.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::{
    faulty::{Fault, Proxy},
    support,
    user::certificate,
    world::{Controller, SOON, Site},
};

const ELECT: &str = "--leader-elect --lease-duration 6s";
/// Within the lease time, and what the election adds to it.
const TAKEN_OVER: Duration = Duration::from_secs(9);

fn lead(controller: &Controller) {
    controller.until_metric("leader", "", SOON, |leader| leader == 1.0);
}

fn is_leader(controller: &Controller) -> bool {
    controller.metric("leader", "") == Some(1.0)
}

#[test]
fn a_follower_is_ready_and_writes_nothing_and_takes_over_when_the_leader_is_killed() {
    support::run(async {
        let site = Site::new("killed-leader").await;
        let first = site.start_with(&site.kubeconfig, ELECT);
        lead(&first);
        let second = site.start_with(&site.kubeconfig, ELECT);
        second.until_ready();
        assert!(!is_leader(&second));
        let pod = site.pod("hook").await;
        site.ask(&pod, "hook", "one");
        site.certified("one", &site.host("hook")).await;
        assert_eq!(
            second.metric("requests_total", ""),
            None,
            "followers write nothing"
        );
        first.process.signal("KILL");
        let died = Instant::now();
        site.ask(&pod, "hook", "two");
        site.certified("two", &site.host("hook")).await;
        assert!(died.elapsed() < TAKEN_OVER, "{:?}", died.elapsed());
        assert!(is_leader(&second));
    });
}

#[test]
fn a_leader_that_ends_gives_the_lease_back_and_finishes_what_it_began() {
    support::run(async {
        let site = Site::new("ending").await;
        let mut first = site.start_with(&site.kubeconfig, ELECT);
        lead(&first);
        let second = site.start_with(&site.kubeconfig, ELECT);
        second.until_ready();
        let status = first.process.terminate(SOON);
        assert!(status.success(), "{status}: {}", first.process.stderr());
        assert!(first.process.stderr().contains("released the Lease"));
        lead(&second);
        let path = format!(
            "/apis/coordination.k8s.io/v1/namespaces/{}/leases/certtool-controller",
            site.namespace
        );
        let lease = site.api("GET", &path, &Value::Null).await.unwrap();
        assert!(lease["spec"]["holderIdentity"].is_string(), "{lease}");
    });
}

#[test]
fn a_leader_that_sleeps_does_not_write_when_it_wakes() {
    support::run(async {
        let site = Site::new("sleeping").await;
        let first = site.start_with(&site.kubeconfig, ELECT);
        lead(&first);
        let second = site.start_with(&site.kubeconfig, ELECT);
        second.until_ready();
        first.process.signal("STOP");
        lead(&second);
        let pod = site.pod("hook").await;
        first.process.signal("CONT");
        site.ask(&pod, "hook", "hook");
        site.certified("hook", &site.host("hook")).await;
        first.until_metric("leader", "", SOON, |leader| leader == 0.0);
        assert_eq!(first.metric("requests_total", ""), None);
        second.until_metric("requests_total", "outcome=\"issued\"", SOON, |n| n == 1.0);
        assert!(is_leader(&second));
    });
}

#[test]
fn a_leader_that_cannot_renew_stops_by_itself_within_the_lease() {
    support::run(async {
        let site = Site::new("cutoff").await;
        let proxy = Proxy::new(&site, &site.kubeconfig);
        let first = site.start_with(&proxy.kubeconfig(), ELECT);
        lead(&first);
        let second = site.start_with(&site.kubeconfig, ELECT);
        second.until_ready();
        // The lease alone hangs: requests could still be written.
        proxy.set(Fault::hang("/leases/"));
        let began = Instant::now();
        first.until_metric("leader", "", Duration::from_secs(7), |leader| leader == 0.0);
        let stopped = Instant::now();
        assert!(first.process.stderr().contains("writing nothing"));
        lead(&second);
        assert!(stopped - began <= Duration::from_secs(7));
        let pod = site.pod("hook").await;
        site.ask(&pod, "hook", "hook");
        site.certified("hook", &site.host("hook")).await;
        assert_eq!(first.metric("requests_total", ""), None);
        // It comes back as a follower, and takes over when it is needed.
        proxy.set(Fault::none());
        drop(second);
        first.until_metric("leader", "", SOON, |leader| leader == 1.0);
        site.ask(&pod, "hook", "again");
        site.certified("again", &site.host("hook")).await;
    });
}

#[test]
fn a_lease_that_is_taken_away_stops_the_writing_at_once() {
    support::run(async {
        let site = Site::new("stolen").await;
        let first = site.start_with(&site.kubeconfig, ELECT);
        lead(&first);
        let path = format!(
            "/apis/coordination.k8s.io/v1/namespaces/{}/leases/certtool-controller",
            site.namespace
        );
        let now = time::OffsetDateTime::now_utc() + time::Duration::hours(1);
        let renewed = now
            .format(&time::macros::format_description!(
                "[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:6]Z"
            ))
            .unwrap();
        let stolen = serde_json::json!({ "spec": {
            "holderIdentity": "somebody", "renewTime": renewed, "leaseDurationSeconds": 3600,
        }});
        site.api("PATCH", &path, &stolen).await.unwrap();
        first.until_metric("leader", "", Duration::from_secs(3), |leader| leader == 0.0);
        let pod = site.pod("hook").await;
        site.ask(&pod, "hook", "hook");
        std::thread::sleep(Duration::from_secs(1));
        assert_eq!(certificate(&site.object("hook").await), None);
        assert_eq!(first.get("/readyz").0, 200, "readiness is no leadership");
    });
}

#[test]
fn a_lease_that_somebody_deleted_is_made_again() {
    support::run(async {
        let site = Site::new("no-lease").await;
        let replicas = [0; 2].map(|_| site.start_with(&site.kubeconfig, ELECT));
        let pod = site.pod("hook").await;
        let lease = format!(
            "/apis/coordination.k8s.io/v1/namespaces/{}/leases/certtool-controller",
            site.namespace
        );
        for round in ["one", "two"] {
            site.ask(&pod, "hook", round);
            site.certified(round, &site.host("hook")).await;
            site.api("DELETE", &lease, &Value::Null).await.unwrap();
            // The leader hears of it and is none any more.
            let limit = Instant::now() + SOON;
            while site.api("GET", &lease, &Value::Null).await.is_err() {
                assert!(Instant::now() < limit, "{}", replicas[0].process.stderr());
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        site.ask(&pod, "hook", "three");
        site.certified("three", &site.host("hook")).await;
        let leaders = replicas.iter().filter(|replica| is_leader(replica)).count();
        assert_eq!(leaders, 1);
    });
}
