//! The certificate directory: foreign files, no rights, another file system, a disk that is full.

use std::{
    fs,
    io::Write,
    os::unix::fs::{PermissionsExt, symlink},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use crate::{
    World,
    files::LIMIT,
    support::{
        self,
        meddler::{Event, Meddler},
    },
    world::{address, metric, until},
};

const KEEP: &str = "--service hook.%N --cert-dir serving --signer %S";

#[test]
fn foreign_files_stay_and_nothing_is_asked_for_in_vain() {
    support::run(async {
        let world = World::new("foreign", KEEP).await;
        world.write("serving/tls.crt", "mine");
        world.write("serving/other", "mine too");
        for words in [KEEP.to_owned(), format!("--once {KEEP}")] {
            world
                .run(&words)
                .ended(1)
                .prints_nothing()
                .explains("which certtool did not write")
                .explains("--force");
        }
        assert_eq!(world.read("serving/tls.crt"), "mine");
        assert!(
            world.requests().is_empty(),
            "no certificate is asked for in vain"
        );
        let _signer = world.signs("--validity 1h");
        world.run(&format!("--once {KEEP} --force")).done();
        world.assert_good();
        assert_eq!(world.read("serving/other"), "mine too");
    });
}

#[test]
fn a_file_that_takes_the_place_of_ours_while_it_runs_is_reported_and_stays() {
    support::run(async {
        let world = World::new("usurped", KEEP).await;
        let _signer = world.signs("--validity 1h");
        let mut process = world.start(KEEP);
        process.wait_for("wrote a new pair", LIMIT);
        world.write("theirs", "theirs");
        fs::rename(world.path("theirs"), world.path("serving/tls.crt")).unwrap();
        process.wait_for("which certtool did not write", LIMIT);
        assert_eq!(world.read("serving/tls.crt"), "theirs");
        assert!(process.is_running());
        fs::remove_file(world.path("serving/tls.crt")).unwrap();
        process.wait_for("the pair was put back", LIMIT);
        world.assert_good();
    });
}

#[test]
fn a_directory_that_cannot_be_written_to_is_said_before_anything_is_asked_for() {
    support::run(async {
        let world = World::new("readonly", KEEP).await;
        // /proc takes no directory, whoever asks.
        let words = KEEP.replace("serving", "/proc/certtool");
        world
            .run(&words)
            .ended(1)
            .explains("/proc/certtool")
            .explains("--cert-dir");
        let words = KEEP.replace("serving", "/proc/self");
        world.run(&words).ended(1).explains("--cert-dir");
        world.write("file", "");
        let words = KEEP.replace("serving", "file/serving");
        world
            .run(&words)
            .ended(1)
            .explains("where a directory is needed");
        assert!(world.requests().is_empty());
    });
}

#[test]
fn a_directory_on_another_file_system_is_as_good() {
    support::run(async {
        let world = World::new("tmpfs", KEEP).await;
        let _signer = world.signs("--validity 1h");
        let memory = tempfile::tempdir_in("/dev/shm").unwrap();
        symlink(memory.path(), world.path("serving")).unwrap();
        world.run(&format!("--once {KEEP}")).done();
        world.assert_good();
        let serial = world.serial();
        let mut process = world.start(KEEP);
        process.wait_for("the pair on disk is good", LIMIT);
        process.signal("USR1");
        world.next_serial(&serial);
        world.assert_good();
    });
}

#[test]
fn a_pair_that_could_be_written_only_later_is_a_new_pair_and_the_server_is_told() {
    support::run(async {
        let world = World::new("later", KEEP).await;
        let _signer = world.signs("--validity 1h");
        world.run(&format!("--once {KEEP}")).done();
        let serial = world.serial();
        let words = format!("{KEEP} --listen 127.0.0.1:0 --reload-exec");
        let mut command = world.command(&words);
        command.arg(format!("touch {}", world.path("told").display()));
        let mut process = support::Process::spawn(ignoring_file_sizes(&command));
        let address = address(&mut process);
        process.wait_for("the pair on disk is good", LIMIT);
        limit_file_sizes(&process, "0");
        process.signal("USR1");
        process.wait_for("The old pair is kept", LIMIT);
        limit_file_sizes(&process, "unlimited");
        world.next_serial(&serial);
        until(|| world.exists("told").then_some(()));
        let issued = "certtool_sidecar_certificates_issued_total";
        assert_eq!(metric(&address, issued), Some(1.0));
        process.wait_for("wrote a new pair", LIMIT);
        let said = process.stderr();
        assert!(!said.contains("another hand"), "{said}");
        assert_eq!(world.requests().len(), 2);
    });
}

#[test]
fn a_file_beside_the_pair_that_is_written_to_all_the_time_delays_no_certificate() {
    support::run(async {
        let mut world = World::new("busy", KEEP).await;
        world.write("serving/log", "");
        let log = world.path("serving/log");
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let writer = thread::spawn(move || {
            let mut log = fs::OpenOptions::new().append(true).open(log).unwrap();
            while !stopped.load(Ordering::Relaxed) {
                log.write_all(b"x").unwrap();
                thread::sleep(Duration::from_micros(100));
            }
        });
        let path = "certificatesigningrequests/";
        let delays = Event::Delays(Duration::from_millis(100));
        let meddler = Meddler::on(world.cluster, world.home(), "GET", path, delays);
        world.kubeconfig = meddler.kubeconfig();
        let _process = world.start(KEEP);
        let _signer = world.signs("--validity 1h");
        let started = Instant::now();
        world.next_serial("");
        assert!(started.elapsed() < Duration::from_secs(20));
        stop.store(true, Ordering::Relaxed);
        writer.join().unwrap();
    });
}

#[test]
fn a_key_that_was_opened_to_others_or_closed_to_its_owner_is_put_right_and_replaced() {
    support::run(async {
        let world = World::new("opened", KEEP).await;
        let _signer = world.signs("--validity 1h");
        let mut process = world.start(KEEP);
        let mut serial = world.next_serial("");
        let key = world.path("serving/tls.key");
        let open = |mode| fs::set_permissions(&key, fs::Permissions::from_mode(mode)).unwrap();
        for mode in [0o644, 0o000] {
            open(mode);
            serial = world.next_serial(&serial);
            until(|| (world.mode("serving/tls.key") == 0o600).then_some(()));
            world.assert_good();
            process.wait_for("the pair was put back", LIMIT);
            // Certificates are not issued for each of many changes.
            thread::sleep(Duration::from_secs(10));
        }
        // What a volume with an fsGroup does to its files is nobody's meddling.
        open(0o660);
        thread::sleep(Duration::from_secs(3));
        assert_eq!(world.mode("serving/tls.key"), 0o660);
        assert_eq!(world.serial(), serial);
    });
}

#[test]
fn two_sidecars_with_one_directory_say_so_and_not_without_end() {
    support::run(async {
        let own = "--service hook.%N --cert-dir serving --ca-secret %N/ca";
        let world = World::new("both", own).await;
        let mut both = [world.start(own), world.start(own)];
        for process in &mut both {
            process.wait_for("write to the same directory", LIMIT);
        }
        thread::sleep(Duration::from_secs(5));
        for process in &both {
            let lines = process.stderr().lines().count();
            assert!(lines < 30, "{}", process.stderr());
        }
    });
}

/// The same command, for which a file that grows too large is an error and no signal.
fn ignoring_file_sizes(command: &Command) -> Command {
    let mut ignoring = Command::new("env");
    ignoring
        .arg("--ignore-signal=XFSZ")
        .arg(command.get_program())
        .args(command.get_args());
    if let Some(dir) = command.get_current_dir() {
        ignoring.current_dir(dir);
    }
    for (key, value) in command.get_envs() {
        match value {
            Some(value) => ignoring.env(key, value),
            None => ignoring.env_remove(key),
        };
    }
    ignoring
}

/// What a full disk does, to one process alone.
fn limit_file_sizes(process: &support::Process, limit: &str) {
    let status = Command::new("prlimit")
        .arg(format!("--pid={}", process.id()))
        .arg(format!("--fsize={limit}:unlimited"))
        .status();
    assert!(status.unwrap().success());
}
