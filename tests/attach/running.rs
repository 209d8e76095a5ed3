//! `run -- COMMAND`: the command as if it ran alone, the webhooks with it while it lives.

use std::{os::unix::process::ExitStatusExt, path::PathBuf, time::Duration};

use serde_json::Value;

use crate::{
    World,
    support::{self, Process, webhook::Webhook},
    world::{LIMIT, Said, VALIDATING},
};

/// A webhook in the cluster and a server on this machine that the command is to be.
struct Stage<'a> {
    world: World<'a>,
    webhook: Webhook,
    path: String,
    before: Value,
}

impl Stage<'static> {
    async fn new(name: &str) -> Self {
        let world = World::new(name).await;
        let path = world
            .configuration(VALIDATING, "v", &[("v.example.com", "/validate")])
            .await;
        let before = world.content(&path).await;
        Self {
            webhook: world.serve(),
            world,
            path,
            before,
        }
    }
}

impl Stage<'_> {
    fn args<'b>(&self, label: &'b str, port: &'b str, command: &'b [&'b str]) -> Vec<&'b str> {
        [
            &["run", "-l", label, "--port", port, "--timeout", "30s", "--"],
            command,
        ]
        .concat()
    }

    fn port(&self) -> String {
        self.webhook.address().port().to_string()
    }

    fn start(&self, script: &str) -> Process {
        let (label, port) = (self.world.label(), self.port());
        self.world
            .start(&self.args(&label, &port, &["sh", "-c", script]))
    }

    fn run(&self, script: &str) -> Said {
        let (label, port) = (self.world.label(), self.port());
        self.world
            .local_dev(&self.args(&label, &port, &["sh", "-c", script]))
    }

    /// A script that waits until the test lets it go on.
    fn waiting(&self, then: &str) -> String {
        let file = self.gate();
        format!(
            "while ! test -e {}; do sleep 0.02; done; {then}",
            file.display()
        )
    }

    fn gate(&self) -> PathBuf {
        self.world.home.path().join("go-on")
    }

    fn open(&self) {
        std::fs::write(self.gate(), "").unwrap();
    }

    async fn is_attached(&self) -> bool {
        !self.world.urls(&self.path).await[0].is_empty()
    }

    async fn assert_put_back(&self) {
        assert_eq!(self.world.content(&self.path).await, self.before);
    }
}

#[test]
fn the_commands_output_and_exit_code_are_its_own() {
    support::run(async {
        let stage = Stage::new("output").await;
        for code in [0, 3] {
            let _ = std::fs::remove_file(stage.gate());
            let script = stage.waiting(&format!("echo out; echo err >&2; exit {code}"));
            let mut run = stage.start(&script);
            run.wait_for(
                "1 webhook is attached: the API server calls 127.0.0.1",
                LIMIT,
            );
            assert!(stage.is_attached().await);
            stage.open();
            assert_eq!(run.wait(LIMIT).code(), Some(code), "{}", run.stderr());
            support::eventually(LIMIT, || async {
                match run.stderr().contains("put back: ") {
                    true => Ok(()),
                    false => Err(run.stderr()),
                }
            })
            .await;
            assert_eq!(run.stdout(), "out\n");
            let theirs: Vec<_> = run
                .stderr()
                .lines()
                .filter(|line| !line.starts_with("certtool: "))
                .map(str::to_owned)
                .collect();
            assert_eq!(theirs, ["err"]);
            stage.assert_put_back().await;
        }
    });
}

#[test]
fn a_command_that_a_signal_killed_counts_128_more() {
    support::run(async {
        let stage = Stage::new("killed").await;
        stage.run("kill -KILL $$").ended(128 + 9);
        stage.run("kill -TERM $$").ended(128 + 15);
        stage.assert_put_back().await;
    });
}

#[test]
fn signals_are_passed_on_and_the_webhooks_are_back_before_the_command_is_down() {
    support::run(async {
        for signal in ["INT", "TERM"] {
            let stage = Stage::new("signals").await;
            let script = format!(
                "trap 'echo got it; {}' {signal}; while :; do sleep 0.02; done",
                stage.waiting("exit 7")
            );
            let mut run = stage.start(&script);
            run.wait_for("is attached", LIMIT);
            run.signal(signal);
            run.wait_for("got it", LIMIT);
            run.wait_for(&format!("certtool: SIG{signal}: detaching"), LIMIT);
            run.wait_for("certtool: put back: ", LIMIT);
            assert!(run.is_running());
            stage.assert_put_back().await;
            stage.open();
            assert_eq!(run.wait(LIMIT).code(), Some(7), "{}", run.stderr());
        }
        // One that has nothing to do with ending is just passed on.
        let stage = Stage::new("signals").await;
        let script = "trap 'echo got it' USR1; while :; do sleep 0.02; done";
        let mut run = stage.start(script);
        run.wait_for("is attached", LIMIT);
        run.signal("USR1");
        run.wait_for("got it", LIMIT);
        assert!(stage.is_attached().await);
        run.signal("TERM");
        assert_eq!(run.wait(LIMIT).code(), Some(128 + 15));
        stage.assert_put_back().await;
    });
}

#[test]
fn a_command_that_ends_before_it_serves_leaves_nothing_behind() {
    support::run(async {
        let stage = Stage::new("early").await;
        let label = stage.world.label();
        let port = support::free_port().to_string();
        for script in ["exit 5", "sleep 0.7; exit 5"] {
            stage
                .world
                .local_dev(&stage.args(&label, &port, &["sh", "-c", script]))
                .ended(5)
                .without("error");
            stage.assert_put_back().await;
        }
        // It ends at any moment while webhooks are being attached.
        for pause in 0..12 {
            let script = format!("sleep 0.{:02}; exit 4", pause * 5);
            stage.run(&script).ended(4);
            stage.assert_put_back().await;
        }
        let state = stage.world.home.path().join(".local/state/certtool");
        let left: Vec<_> = std::fs::read_dir(state)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|ending| ending == "lock"))
            .collect();
        assert!(left.is_empty(), "{left:?}");
    });
}

#[test]
fn a_command_that_never_serves_is_ended_with_exit_code_124() {
    support::run(async {
        let stage = Stage::new("never").await;
        let label = stage.world.label();
        let port = support::free_port().to_string();
        let args = [
            "run",
            "-l",
            &label,
            "--port",
            &port,
            "--timeout",
            "1s",
            "--",
        ];
        let script = "trap 'echo asked to end; exit 0' TERM; while :; do sleep 0.02; done";
        stage
            .world
            .local_dev(&[&args, &["sh", "-c", script][..]].concat())
            .ended(124)
            .prints("asked to end")
            .explains("certtool: error: timed out: nothing listens on 127.0.0.1")
            .explains("certtool: nothing was changed");
        stage.assert_put_back().await;
    });
}

#[test]
fn a_command_that_cannot_be_started_or_has_nothing_to_attach_changes_nothing() {
    support::run(async {
        let stage = Stage::new("unstarted").await;
        let (label, port) = (stage.world.label(), stage.port());
        stage
            .world
            .local_dev(&stage.args(&label, &port, &["no-such-command"]))
            .ended(1)
            .explains("could not start no-such-command");
        stage
            .world
            .local_dev(&stage.args("test=nothing", &port, &["sh", "-c", "echo started"]))
            .ended(1)
            .explains("no webhook with labels test=nothing")
            .without("started");
        stage.assert_put_back().await;
    });
}

#[test]
fn what_a_killed_run_left_is_put_back_by_detach_or_by_the_next_run() {
    support::run(async {
        let stage = Stage::new("abandoned").await;
        let kill = async || {
            let mut run = stage.start("echo $$; while :; do sleep 0.02; done");
            run.wait_for("is attached", LIMIT);
            run.signal("KILL");
            assert_eq!(run.wait(LIMIT).signal(), Some(9));
            // The command lives on, as an orphan: it is not ours to kill any more.
            let orphan = run.stdout().trim().parse().unwrap();
            support::send_signal(orphan, "KILL");
            assert!(stage.is_attached().await);
        };
        kill().await;
        stage.world.detach(&[]).done().prints("restored");
        stage.assert_put_back().await;

        kill().await;
        let port = support::free_port().to_string();
        let label = stage.world.label();
        stage
            .world
            .local_dev(&stage.args(&label, &port, &["true"]))
            .done()
            .explains("certtool: left by an earlier run: ValidatingWebhookConfiguration/");
        stage.assert_put_back().await;

        // Also without the annotation.
        kill().await;
        let unmarked =
            serde_json::json!({ "metadata": { "annotations": { crate::ANNOTATION: null } } });
        stage.world.patch(&stage.path, &unmarked).await;
        stage.run("true").done();
        stage.assert_put_back().await;
    });
}

#[test]
fn what_was_attached_before_a_run_is_put_back_after_it() {
    support::run(async {
        let stage = Stage::new("before").await;
        stage
            .world
            .attach(stage.webhook.address().port(), &[])
            .done();
        let script = stage.waiting("exit 0");
        let mut run = stage.start(&script);
        run.wait_for("is attached", LIMIT);
        stage.open();
        assert!(run.wait(LIMIT).success());
        stage.assert_put_back().await;
    });
}

#[test]
fn two_runs_on_one_machine_leave_each_others_webhooks_alone() {
    support::run(async {
        let stage = Stage::new("both").await;
        let other = stage
            .world
            .configuration(VALIDATING, "o", &[("o.example.com", "/validate")])
            .await;
        let before = stage.world.content(&other).await;
        let port = stage.port();
        let start = |name: &str, script: &str| {
            let name = format!("{}-{name}", stage.world.namespace);
            let args = ["run", "--webhook", &name, "--port", &port, "--"];
            stage
                .world
                .start(&[&args, &["sh", "-c", script][..]].concat())
        };
        let mut one = start("v", &stage.waiting("exit 0"));
        one.wait_for("is attached", LIMIT);
        let mut two = start("o", "while :; do sleep 0.02; done");
        two.wait_for("is attached", LIMIT);
        assert!(stage.is_attached().await);
        assert!(!two.stderr().contains("left by an earlier run"));
        two.signal("TERM");
        two.wait(LIMIT);
        assert_eq!(stage.world.content(&other).await, before);
        assert!(stage.is_attached().await);
        stage.open();
        assert!(one.wait(LIMIT).success());
        stage.assert_put_back().await;
    });
}

#[test]
fn what_somebody_took_over_meanwhile_stays_theirs() {
    support::run(async {
        let stage = Stage::new("overtaken").await;
        let mut run = stage.start(&stage.waiting("exit 0"));
        run.wait_for("is attached", LIMIT);
        let other = stage.world.elsewhere();
        let others = other.serve();
        other.attach(others.address().port(), &[]).done();
        let theirs = stage.world.content(&stage.path).await;
        stage.open();
        assert!(run.wait(LIMIT).success(), "{}", run.stderr());
        assert_eq!(stage.world.content(&stage.path).await, theirs);
        other.detach(&[]).done();
        stage.assert_put_back().await;
    });
}

#[test]
fn an_api_server_that_restarts_is_waited_for_before_it_is_given_up() {
    // It is broken on purpose: a control plane of its own.
    let cluster = support::ControlPlane::dedicated();
    support::run(async {
        let world = World::on(&cluster, "restart").await;
        let path = world
            .configuration(VALIDATING, "v", &[("v.example.com", "/validate")])
            .await;
        let before = world.content(&path).await;
        let stage = Stage {
            webhook: world.serve(),
            world,
            path,
            before,
        };
        let mut run = stage.start(&stage.waiting("exit 0"));
        run.wait_for("is attached", LIMIT);
        cluster.stop_api_server();
        stage.open();
        tokio::time::sleep(Duration::from_secs(1)).await;
        cluster.start_api_server();
        assert!(run.wait(LIMIT).success(), "{}", run.stderr());
        stage.assert_put_back().await;

        std::fs::remove_file(stage.gate()).unwrap();
        let mut run = stage.start(&stage.waiting("exit 6"));
        run.wait_for("is attached", LIMIT);
        cluster.stop_api_server();
        stage.open();
        assert_eq!(run.wait(LIMIT).code(), Some(6));
        let said = run.stderr();
        assert!(said.contains("`certtool local-dev detach`"), "{said}");
        cluster.start_api_server();
        stage.world.detach(&[]).done().prints("restored");
        stage.assert_put_back().await;
    });
}
