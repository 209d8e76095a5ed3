//! Others write the same objects at the same time.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    thread,
};

use serde_json::json;

use crate::{
    World, support,
    world::{LIMIT, VALIDATING},
};

#[test]
fn an_object_that_changes_all_the_time_is_attached_and_no_change_is_lost() {
    support::run(async {
        let world = World::new("race").await;
        let webhook = world.serve();
        let path = world
            .configuration(VALIDATING, "v", &[("v.example.com", "/validate")])
            .await;
        let before = world.content(&path).await;
        let stop = Arc::new(AtomicBool::new(false));
        let count = Arc::new(AtomicU32::new(0));
        let writer = {
            let (stop, count) = (Arc::clone(&stop), Arc::clone(&count));
            let path = path.clone();
            thread::spawn(move || {
                support::run(async {
                    let world = World::new("racer").await;
                    while !stop.load(Ordering::Relaxed) {
                        let next = count.load(Ordering::Relaxed) + 1;
                        let counted =
                            json!({ "metadata": { "annotations": { "count": next.to_string() } } });
                        world.patch(&path, &counted).await;
                        count.store(next, Ordering::Relaxed);
                    }
                });
            })
        };
        while count.load(Ordering::Relaxed) == 0 {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        let started = count.load(Ordering::Relaxed);
        let attached = world.attach(webhook.address().port(), &[]);
        let urls = world.urls(&path).await;
        let detached = world.detach(&[]);
        stop.store(true, Ordering::Relaxed);
        writer.join().unwrap();
        attached.done();
        assert!(!urls[0].is_empty());
        detached.done().prints("v.example.com: restored\n");

        let last = count.load(Ordering::Relaxed);
        assert!(
            last > started + 10,
            "there was no race: {started} to {last}"
        );
        let mut expected = before;
        expected["metadata"]["annotations"]["count"] = json!(last.to_string());
        assert_eq!(world.content(&path).await, expected);
    });
}

#[test]
fn two_machines_can_attach_webhooks_of_one_configuration_at_the_same_time() {
    support::run(async {
        let world = World::new("two").await;
        let ns = &world.namespace;
        let names = ["a", "b"].map(|name| format!("{name}.{ns}.io"));
        let path = world
            .configuration(
                VALIDATING,
                "v",
                &[(&names[0], "/validate"), (&names[1], "/validate")],
            )
            .await;
        let before = world.content(&path).await;
        let machines = [world.elsewhere(), world.elsewhere()];
        let webhooks = [machines[0].serve(), machines[1].serve()];
        let ports = [0, 1].map(|at: usize| webhooks[at].address().port().to_string());
        let mut started = [0, 1].map(|at: usize| {
            machines[at].start(&["attach", "--webhook", &names[at], "--port", &ports[at]])
        });
        for attach in &mut started {
            let status = attach.wait(LIMIT);
            assert!(status.success(), "{}", attach.stderr());
        }
        let expected = [0, 1].map(|at: usize| format!("https://127.0.0.1:{}/validate", ports[at]));
        assert_eq!(world.urls(&path).await, expected);
        world.detach(&[]).done();
        assert_eq!(world.content(&path).await, before);
    });
}

#[test]
fn taking_over_from_somebody_else_is_said() {
    support::run(async {
        let world = World::new("taken").await;
        let path = world
            .configuration(VALIDATING, "v", &[("v.example.com", "/validate")])
            .await;
        let before = world.content(&path).await;
        let webhook = world.serve();
        world.attach(webhook.address().port(), &[]).done();
        let url = world.urls(&path).await.remove(0);

        let other = world.elsewhere();
        let others = other.serve();
        let mut command = other.command(&["attach", "-l", &world.label(), "--port"]);
        command
            .arg(others.address().port().to_string())
            .env("USER", "bob");
        crate::Said::of(command)
            .done()
            .explains(&format!("was attached to {url} by ann@"))
            .prints("attached anew to");
        // Whoever detaches, it is the very first original that comes back.
        world.detach(&[]).done();
        assert_eq!(world.content(&path).await, before);
    });
}

#[test]
fn a_webhook_that_is_deleted_in_between_is_said_and_the_others_are_attached() {
    support::run(async {
        let world = World::new("deleted").await;
        let [stays, goes] = [
            world
                .configuration(VALIDATING, "stays", &[("v.example.com", "/validate")])
                .await,
            world
                .configuration(VALIDATING, "goes", &[("w.example.com", "/validate")])
                .await,
        ];
        let port = support::free_port();
        let (label, number) = (world.label(), port.to_string());
        let mut attach = world.start(&["attach", "-l", &label, "--port", &number, "--wait"]);
        attach.wait_for("waiting: nothing listens", LIMIT);
        world.delete(&goes).await;
        let _webhook = support::webhook::Webhook::start(([127, 0, 0, 1], port), &world.cert_dir());
        assert!(attach.wait(LIMIT).success(), "{}", attach.stderr());
        assert!(
            attach
                .stderr()
                .contains("-goes was deleted in the meantime"),
            "{}",
            attach.stderr()
        );
        assert!(!world.urls(&stays).await[0].is_empty());
    });
}

#[test]
fn twenty_webhooks_take_no_longer_than_a_moment() {
    support::run(async {
        let world = World::new("twenty").await;
        let webhook = world.serve();
        for configuration in 0..10 {
            let paths = ["/validate", "/mutate"];
            world
                .configuration(
                    VALIDATING,
                    &configuration.to_string(),
                    &[("v.example.com", paths[0]), ("w.example.com", paths[1])],
                )
                .await;
        }
        let started = std::time::Instant::now();
        world
            .attach(webhook.address().port(), &[])
            .done()
            .explains("20 webhooks are attached");
        let attached = started.elapsed();
        world.detach(&[]).done();
        eprintln!(
            "attach {attached:?}, detach {:?}",
            started.elapsed() - attached
        );
        // The benchmark measures; this only notices a wait that does not belong there.
        assert!(
            attached < std::time::Duration::from_secs(15),
            "{attached:?}"
        );
    });
}
