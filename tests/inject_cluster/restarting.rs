//! An API server that goes away in the middle.

use std::time::{Duration, Instant};

use crate::{
    World,
    files::Said,
    support::{self, ControlPlane, rule},
};

/// Enough objects that the work is not over when the server stops.
const OBJECTS: usize = 60;

async fn objects(world: &World<'_>) -> Vec<String> {
    let mut paths = Vec::new();
    for number in 0..OBJECTS {
        paths.push(world.validating(&format!("v{number}"), &["a"]).await);
    }
    paths
}

#[test]
fn an_api_server_that_restarts_in_the_middle_is_waited_for_and_all_is_done() {
    let cluster = ControlPlane::dedicated();
    support::run(async {
        let world = World::on(&cluster, "restart").await;
        let paths = objects(&world).await;
        // A service account: an API server that has just started does not know its rights yet.
        let rights: Vec<_> = [
            (
                "admissionregistration.k8s.io",
                "validatingwebhookconfigurations",
            ),
            (
                "admissionregistration.k8s.io",
                "mutatingwebhookconfigurations",
            ),
            ("apiextensions.k8s.io", "customresourcedefinitions"),
            ("apiregistration.k8s.io", "apiservices"),
        ]
        .iter()
        .map(|(group, resource)| rule(&[group], &[resource], &["get", "list", "patch"]))
        .collect();
        let account = cluster
            .service_account(&world.namespace, "ci", &[], &rights)
            .await;
        let user = world.as_user(account);
        let mut process = user.start("--service hook.%N");
        // At least one is written, and not all of them.
        support::eventually(Duration::from_secs(20), || async {
            match world.bundles(&paths[0]).await[0].is_empty() {
                false => Ok(()),
                true => Err(String::new()),
            }
        })
        .await;
        cluster.kill_api_server();
        process.wait_for("waiting up to", Duration::from_secs(20));
        cluster.start_api_server();
        Said::at_the_end_of(process)
            .done()
            .explains("cannot reach the API server")
            .explains("the API server answers again")
            .explains(&format!(
                "{OBJECTS} caBundles in {OBJECTS} objects changed, 0 unchanged"
            ));
        for path in &paths {
            assert_eq!(world.bundles(path).await, [world.ca.as_str()], "{path}");
        }
    });
}

#[test]
fn one_that_does_not_come_back_ends_the_wait_and_what_was_done_is_told() {
    let cluster = ControlPlane::dedicated();
    support::run(async {
        let world = World::on(&cluster, "gone").await;
        world.validating("v", &["a"]).await;
        cluster.stop_api_server();
        let started = Instant::now();
        world
            .inject("--webhook @v --timeout 2s")
            .ended(124)
            .explains("waiting up to")
            .explains("gave up after")
            .explains("cannot reach the API server");
        assert!(started.elapsed() < Duration::from_secs(10));

        cluster.start_api_server();
        cluster.pause_api_server();
        let started = Instant::now();
        world
            .inject("--webhook @v --timeout 2s")
            .ended(124)
            .explains("no answer within 2 s");
        assert!(started.elapsed() < Duration::from_secs(10));
        cluster.resume_api_server();
        world.inject("--webhook @v").done();
    });
}
