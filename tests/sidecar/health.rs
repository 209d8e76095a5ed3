//! What is served about the server beside it: shown, not shown, told to reload.

use std::{fs, os::unix::fs::PermissionsExt, time::Duration};

use crate::{
    World,
    files::LIMIT,
    support::{self, webhook::Webhook},
    world::{address, get, metric, until},
};

const KEEP: &str = "--service hook.%N --cert-dir serving --signer %S";

#[test]
fn a_server_that_reloads_is_seen_to_and_timed() {
    support::run(async {
        let world = World::new("served", KEEP).await;
        let _signer = world.signs("--validity 1h");
        // Reads its files anew at each connection.
        let webhook = Webhook::start(([127, 0, 0, 1], 0), &world.path("serving"));
        let mut process = world.start(&format!(
            "{KEEP} --ca ca/ca.crt --listen 127.0.0.1:0 --require-served --probe {}",
            webhook.address()
        ));
        let address = address(&mut process);
        world.next_serial("");
        process.wait_for("the server shows the new certificate", LIMIT);
        until(|| (get(&address, "/readyz").0 == 200).then_some(()));
        assert_eq!(
            metric(&address, "certtool_sidecar_certificate_served"),
            Some(1.0)
        );
        let count = "certtool_sidecar_served_after_seconds_count";
        assert_eq!(metric(&address, count), Some(1.0));
        process.signal("USR1");
        until(|| (metric(&address, count) == Some(2.0)).then_some(()));
        drop(webhook);
    });
}

#[test]
fn a_server_that_does_not_reload_is_reported_and_fails_readiness_if_asked() {
    support::run(async {
        let world = World::new("stale", KEEP).await;
        let _signer = world.signs("--validity 1h");
        world.run(&format!("--once {KEEP}")).done();
        fs::create_dir(world.path("stale")).unwrap();
        for file in ["tls.crt", "tls.key"] {
            fs::copy(
                world.path(&format!("serving/{file}")),
                world.path(&format!("stale/{file}")),
            )
            .unwrap();
        }
        let webhook = Webhook::start(([127, 0, 0, 1], 0), &world.path("stale"));
        let mut process = world.start(&format!(
            "{KEEP} --ca ca/ca.crt --listen 127.0.0.1:0 --require-served --probe {}",
            webhook.address()
        ));
        let address = address(&mut process);
        until(|| (get(&address, "/readyz").0 == 200).then_some(()));
        let serial = world.serial();
        process.signal("USR1");
        world.next_serial(&serial);
        until(|| (get(&address, "/readyz").0 == 503).then_some(()));
        assert_eq!(get(&address, "/startupz").0, 200, "the pair is on disk");
        process.wait_for("the server does not show the certificate on disk", LIMIT);
        let (_, why) = get(&address, "/readyz");
        assert!(why.contains("it shows another certificate"), "{why}");
        assert_eq!(
            metric(&address, "certtool_sidecar_certificate_served"),
            Some(0.0)
        );
        // Better late than never.
        for file in ["tls.crt", "tls.key"] {
            fs::copy(
                world.path(&format!("serving/{file}")),
                world.path(&format!("stale/{file}")),
            )
            .unwrap();
        }
        until(|| (get(&address, "/readyz").0 == 200).then_some(()));
    });
}

#[test]
fn a_server_is_told_by_a_signal_or_a_command() {
    support::run(async {
        let world = World::new("told", KEEP).await;
        let _signer = world.signs("--validity 1h");
        world.write(
            "server",
            "#!/bin/sh\ntrap 'echo reloaded >> told' HUP\necho $$ > pid\nwhile :; do sleep 0.05; done\n",
        );
        fs::set_permissions(world.path("server"), fs::Permissions::from_mode(0o755)).unwrap();
        let words = format!("{KEEP} --reload-signal HUP --reload-pid-file pid");
        let mut process = world.start(&words);
        // Before there is a server, there is nobody to tell.
        process.wait_for("not needed, pid does not exist yet", LIMIT);
        // A shell cannot trap a signal that it was started without, as under nohup.
        let mut command = std::process::Command::new("env");
        command
            .arg("--default-signal=HUP")
            .arg(world.path("server"));
        command.current_dir(world.home());
        let server = support::Process::spawn(command);
        until(|| {
            world
                .exists("pid")
                .then(|| world.read("pid").trim().parse::<u32>().ok())
                .flatten()
        });
        process.signal("USR1");
        until(|| world.exists("told").then_some(()));
        drop(server);
        process.signal("USR1");
        process.wait_for("could not tell the server to reload: no signal HUP", LIMIT);
        process.terminate(LIMIT);

        world.write(
            "reload",
            "#!/bin/sh\ntest -f may || { echo not yet >&2; exit 7; }\ntouch \"$1\"\n",
        );
        fs::set_permissions(world.path("reload"), fs::Permissions::from_mode(0o755)).unwrap();
        let program = world.path("reload");
        let mut command = world.command(KEEP);
        command
            .arg("--reload-exec")
            .arg(format!("{} done;x", program.display()));
        let mut process = support::Process::spawn(command);
        process.wait_for("the pair on disk is good", LIMIT);
        process.signal("USR1");
        process.wait_for("exit status: 7: not yet", LIMIT);
        world.write("may", "");
        // It is tried again, and no shell took the semicolon.
        until(|| world.exists("done;x").then_some(()));
    });
}

#[test]
fn a_reload_command_that_hangs_delays_no_renewal_and_leaves_nothing_behind() {
    support::run(async {
        let world = World::new("hangs", KEEP).await;
        let _signer = world.signs("--validity 4s");
        script(&world, "hang", "sleep 1000 & echo $! > left\nsleep 1000");
        let mut process = told_by(&world, "hang");
        let mut serial = world.next_serial("");
        for _ in 0..3 {
            serial = world.next_serial(&serial);
            world.assert_good();
        }
        let left = until(|| world.read("left").trim().parse::<u32>().ok());
        assert!(runs(left));
        assert!(!process.stderr().contains("took longer"), "too slow a test");
        process.terminate(LIMIT);
        until(|| (!runs(left)).then_some(()));
    });
}

#[test]
fn a_reload_command_that_says_a_lot_or_leaves_a_process_costs_neither_memory_nor_time() {
    support::run(async {
        let world = World::new("loud", KEEP).await;
        let _signer = world.signs("--validity 1h");
        script(&world, "loud", "touch loud-is-here; yes >&2 & exec yes");
        let mut process = told_by(&world, "loud");
        until(|| world.exists("loud-is-here").then_some(()));
        tokio::time::sleep(Duration::from_secs(2)).await;
        let status = fs::read_to_string(format!("/proc/{}/status", process.id())).unwrap();
        let resident = status.lines().find(|line| line.starts_with("VmHWM"));
        let resident = resident.and_then(|line| line.split_whitespace().nth(1));
        let resident: u64 = resident.unwrap().parse().unwrap();
        assert!(resident < 100_000, "{resident} KiB");
        process.terminate(LIMIT);

        script(&world, "fork", "sleep 60 & echo $! > left");
        let mut process = told_by(&world, "fork");
        process.wait_for("the pair on disk is good", LIMIT);
        process.signal("USR1");
        // Not when what it started has closed its stderr.
        process.wait_for("told the server to reload", Duration::from_secs(20));
        let left: u32 = world.read("left").trim().parse().unwrap();
        assert!(runs(left), "a daemon that it started is not ours to end");
        support::send_signal(left, "KILL");
    });
}

#[test]
fn a_pid_file_that_is_a_pipe_or_endless_is_refused() {
    support::run(async {
        let world = World::new("pipe", KEEP).await;
        let _signer = world.signs("--validity 1h");
        let made = std::process::Command::new("mkfifo")
            .arg(world.path("pipe"))
            .status();
        assert!(made.unwrap().success());
        for file in ["pipe", "/dev/zero"] {
            let words = format!("{KEEP} --reload-signal HUP --reload-pid-file {file}");
            world.run(&format!("--once {KEEP}")).done();
            let mut process = world.start(&words);
            process.wait_for("the pair on disk is good", LIMIT);
            process.signal("USR1");
            process.wait_for("where a file is needed", LIMIT);
            process.terminate(LIMIT);
        }
    });
}

fn script(world: &World<'_>, name: &str, lines: &str) {
    world.write(name, format!("#!/bin/sh\n{lines}\n"));
    fs::set_permissions(world.path(name), fs::Permissions::from_mode(0o755)).unwrap();
}

fn told_by(world: &World<'_>, name: &str) -> support::Process {
    let mut command = world.command(KEEP);
    command.arg("--reload-exec").arg(world.path(name));
    support::Process::spawn(command)
}

/// Whether there is such a process, and it has not ended.
fn runs(process: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    let state = stat
        .rsplit(") ")
        .next()
        .and_then(|rest| rest.chars().next());
    state.is_some_and(|state| state != 'Z')
}
