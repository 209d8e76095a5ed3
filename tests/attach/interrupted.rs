//! Signals and kills at any moment: no half of an attachment, and no probe left behind.

use std::{
    net::{Ipv4Addr, TcpListener},
    os::unix::process::ExitStatusExt,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{
    World, support,
    world::{LIMIT, VALIDATING, alone},
};

#[test]
fn a_probe_touches_nobody_elses_requests_and_is_removed_in_any_case() {
    let cluster = alone();
    support::run(async {
        let world = World::on(&cluster, "probe").await;
        world
            .configuration(VALIDATING, "v", &[("v.example.com", "/validate")])
            .await;
        // It accepts connections and says nothing: each call takes its whole 5 s.
        let mute = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = mute.local_addr().unwrap().port().to_string();
        let label = world.label();
        let args = [
            "attach",
            "-l",
            &label,
            "--port",
            &port,
            "--url-host",
            "127.0.0.1",
        ];

        for (signal, code) in [("INT", 130), ("TERM", 143), ("HUP", 129)] {
            let mut attach = world.start(&args);
            support::eventually(LIMIT, || async {
                match world.probes().await.len() {
                    1 => Ok(()),
                    probes => Err(format!("{probes} probes; {}", attach.stderr())),
                }
            })
            .await;
            let started = Instant::now();
            let object = support::objects::config_map("mine", &[]);
            let object = serde_json::to_value(object).unwrap();
            let created = world
                .create("/api/v1/namespaces/default/configmaps", object)
                .await;
            assert!(started.elapsed() < Duration::from_secs(4));
            world.delete(&created).await;

            attach.signal(signal);
            assert_eq!(attach.wait(LIMIT).code(), Some(code), "{}", attach.stderr());
            assert!(attach.stderr().contains("interrupted: nothing was changed"));
            assert_eq!(world.probes().await, [""; 0], "after {signal}");
        }

        let said = world.local_dev(&args).ended(1);
        assert_eq!(world.probes().await, [""; 0], "{}", said.stderr);

        // What a kill -9 leaves matches nobody, and goes when it is old.
        let mut attach = world.start(&args);
        support::eventually(LIMIT, || async {
            match world.probes().await.len() {
                1 => Ok(()),
                probes => Err(format!("{probes} probes")),
            }
        })
        .await;
        attach.signal("KILL");
        attach.wait(LIMIT);
        let left = world.probes().await;
        world.local_dev(&args).ended(1);
        assert_eq!(world.probes().await, left);
        for name in left {
            let path = format!("/apis/admissionregistration.k8s.io/v1/{VALIDATING}/{name}");
            world.delete(&path).await;
        }
    });
}

/// Five configurations; their paths, and what they are.
async fn several(world: &World<'_>) -> (Vec<String>, Vec<Value>) {
    let mut paths = Vec::new();
    for number in 0..5 {
        let webhooks = [("v.example.com", "/validate"), ("w.example.com", "/mutate")];
        let path = world
            .configuration(VALIDATING, &number.to_string(), &webhooks)
            .await;
        paths.push(path);
    }
    let before = world.contents(&paths).await;
    (paths, before)
}

#[test]
fn an_interrupted_attach_has_attached_everything_or_nothing() {
    support::run(async {
        let world = World::new("interrupted").await;
        let (paths, before) = several(&world).await;
        let webhook = world.serve();
        let (label, port) = (world.label(), webhook.address().port().to_string());
        let mut outcomes = [0, 0];
        for step in 0..16 {
            let mut attach = world.start(&["attach", "-l", &label, "--port", &port]);
            // The handlers have to be there; before, a signal ends any process.
            tokio::time::sleep(Duration::from_millis(30 + 15 * step)).await;
            if attach.is_running() {
                attach.signal("INT");
            }
            let code = attach.wait(LIMIT).code();
            let mut urls = Vec::new();
            for path in &paths {
                urls.extend(world.urls(path).await);
            }
            let attached = urls.iter().filter(|url| !url.is_empty()).count();
            match code {
                Some(0) => assert_eq!(attached, 10, "{}", attach.stderr()),
                Some(130) | None => assert_eq!(attached, 0, "{}", attach.stderr()),
                _ => panic!("{code:?} {}", attach.stderr()),
            }
            outcomes[usize::from(attached > 0)] += 1;
            world.detach(&[]).done();
            assert_eq!(world.contents(&paths).await, before);
        }
        eprintln!("interrupted {}, done {}", outcomes[0], outcomes[1]);
    });
}

#[test]
fn an_attach_that_is_killed_at_any_moment_can_be_undone() {
    support::run(async {
        let world = World::new("kill").await;
        let (paths, before) = several(&world).await;
        let webhook = world.serve();
        let (label, port) = (world.label(), webhook.address().port().to_string());
        for step in 0..16 {
            let mut attach = world.start(&["attach", "-l", &label, "--port", &port]);
            tokio::time::sleep(Duration::from_millis(10 + 15 * step)).await;
            if attach.is_running() {
                attach.signal("KILL");
            }
            let status = attach.wait(LIMIT);
            assert!(status.success() || status.signal() == Some(9), "{status}");
            // From here or from elsewhere: the annotation comes with the change.
            let world = if step % 2 == 0 {
                &world
            } else {
                &world.elsewhere()
            };
            world.detach(&[]).done();
            assert_eq!(world.contents(&paths).await, before);
        }
    });
}

#[test]
fn a_run_that_is_told_to_end_while_it_waits_ends_and_attaches_nothing() {
    support::run(async {
        let world = World::new("waiting").await;
        let (paths, before) = several(&world).await;
        let (label, port) = (world.label(), support::free_port().to_string());
        let script = "trap 'exit 9' TERM; while :; do sleep 0.02; done";
        let run = [
            "run", "-l", &label, "--port", &port, "--", "sh", "-c", script,
        ];
        let mut run = world.start(&run);
        run.wait_for("certtool: waiting: nothing listens", LIMIT);
        run.signal("TERM");
        assert_eq!(run.wait(LIMIT).code(), Some(9), "{}", run.stderr());
        assert!(!run.stderr().contains("error"), "{}", run.stderr());
        assert_eq!(world.contents(&paths).await, before);
    });
}

#[test]
fn an_api_server_that_does_not_answer_keeps_nobody_from_ending() {
    let _watchdog = support::watchdog(LIMIT);
    // Connections to it are made by the kernel, and nobody reads them.
    let mute = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let kubeconfig = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "mute",
        "clusters": [{ "name": "mute", "cluster": {
            "server": format!("https://{}", mute.local_addr().unwrap()),
        }}],
        "contexts": [{ "name": "mute", "context": { "cluster": "mute", "user": "me" } }],
        "users": [{ "name": "me", "user": {} }],
    });
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("kubeconfig");
    std::fs::write(&file, kubeconfig.to_string()).unwrap();
    for args in [
        &["status"][..],
        &["detach"],
        &["attach", "--webhook", "x"],
        &["run", "--webhook", "x", "--", "echo", "started"],
    ] {
        let mut command = support::certtool(home.path());
        command.arg("local-dev").args(args).env("KUBECONFIG", &file);
        let mut process = support::Process::spawn(command);
        std::thread::sleep(Duration::from_millis(300));
        process.signal("INT");
        let started = Instant::now();
        assert_eq!(process.wait(LIMIT).code(), Some(130), "{args:?}");
        assert!(started.elapsed() < Duration::from_secs(6), "{args:?}");
        assert_eq!(process.stdout(), "");
    }
}
