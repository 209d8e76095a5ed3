//! What is served about the server beside it: shown, not shown, told to reload.

use std::{fs, os::unix::fs::PermissionsExt};

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
