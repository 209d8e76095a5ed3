//! A certificate directory that cannot be written to for a while.

use std::{
    fs::{File, OpenOptions},
    io::Write,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use crate::{
    deployment::{Deployment, alone},
    faults::{LONGEST, OWN},
    files::LIMIT,
    issuer::Setup,
    support::{self, ControlPlane},
    world::{World, address, get, metric, until},
};

const FAILURES: &str = "certtool_sidecar_failures_in_a_row";

#[test]
fn a_disk_that_is_full_for_a_while_keeps_the_old_pair_and_fails_no_request() {
    breaks_for_a_while(OWN, Fault::Full);
}

#[test]
fn with_a_signer_a_disk_that_is_full_keeps_the_old_pair_and_asks_for_no_other() {
    breaks_for_a_while(Setup::signer(), Fault::Full);
}

#[test]
fn a_directory_that_turns_read_only_keeps_the_old_pair_and_fails_no_request() {
    breaks_for_a_while(OWN, Fault::ReadOnly);
}

#[test]
fn with_a_signer_a_directory_that_turns_read_only_keeps_the_old_pair_and_asks_for_no_other() {
    breaks_for_a_while(Setup::signer(), Fault::ReadOnly);
}

#[derive(Clone, Copy, PartialEq)]
enum Fault {
    Full,
    ReadOnly,
}

/// A fault that is over when this is dropped.
trait Struck {}

impl Struck for Filler {}

impl Struck for ReadOnly<'_> {}

impl Fault {
    /// What a sidecar says of it.
    fn words(self) -> &'static [&'static str] {
        match self {
            Self::Full => &[
                "no space is left",
                "The old pair is kept",
                "Free some space",
            ],
            Self::ReadOnly => &["the file system is read-only", "The old pair is kept"],
        }
    }

    fn strike(self, disk: &SmallDisk) -> Box<dyn Struck + '_> {
        match self {
            Self::Full => Box::new(Filler::start(&disk.path)),
            Self::ReadOnly => Box::new(ReadOnly::begin(disk)),
        }
    }
}

fn breaks_for_a_while(setup: Setup, fault: Fault) {
    let cluster = alone();
    support::run_within(LONGEST, async {
        let (mut deployment, disk) = with_small_disk(&cluster, setup).await;
        let load = deployment.load();
        let pod = &mut deployment.pods[0];
        let health = address(&mut pod.sidecar);
        pod.await_renewal();
        let struck = fault.strike(&disk);
        until(|| metric(&health, FAILURES).filter(|failures| *failures >= 3.0));
        let pod = &mut deployment.pods[0];
        let before = pod.issued();
        let (serial, asked) = (served_serial(&deployment), requests(&deployment));
        thread::sleep(Duration::from_secs(3));
        let pod = &mut deployment.pods[0];
        let said = pod.sidecar.stderr();
        assert_eq!(pod.issued(), before, "{said}");
        for words in fault.words() {
            assert!(said.contains(words), "{words:?}:\n{said}");
        }
        // What could not be written is not asked for either.
        assert_eq!(requests(&deployment), asked, "{said}");
        // The pair that serves is whole, and ready as long as it is valid.
        assert_eq!(get(&health, "/readyz").0, 200);
        assert_eq!(served_serial(&deployment), serial);
        let (certificate, key) = ("serving-0/tls.crt", "serving-0/tls.key");
        deployment.world.assert_pair(certificate, key);
        if fault == Fault::ReadOnly {
            // One that starts now says so, and ends.
            deployment.kill_sidecar(0);
            let pod = &mut deployment.pods[0];
            assert_eq!(pod.sidecar.wait(LIMIT).code(), Some(1));
            let said = pod.sidecar.stderr();
            assert!(said.contains(fault.words()[0]), "{said}");
        }
        drop(struck);
        if fault == Fault::ReadOnly {
            // As the kubelet does.
            deployment.restart_sidecar(0);
        }
        let pod = &mut deployment.pods[0];
        until(|| (pod.issued() > before).then_some(()));
        let health = address(&mut pod.sidecar);
        until(|| metric(&health, FAILURES).filter(|failures| *failures == 0.0));
        deployment.assert_served();
        load.assert_none_failed();
        println!("{}", load.stop());
        deployment.assert_no_mismatch();
    });
}

fn served_serial(deployment: &Deployment<'_>) -> String {
    deployment.world.x509("serving-0/tls.crt", "-serial")
}

/// How many requests the first Pod has made of a signer; none with a CA of its own.
fn requests(deployment: &Deployment<'_>) -> usize {
    let requests = deployment.world.requests();
    let name = |request: &serde_json::Value| request["name"].as_str().map(ToOwned::to_owned);
    let names = requests.iter().filter_map(name);
    names.filter(|name| name.starts_with("operator-0-")).count()
}

/// A deployment whose first Pod has a file system of 192 KiB for its certificates.
async fn with_small_disk(cluster: &ControlPlane, setup: Setup) -> (Deployment<'_>, SmallDisk) {
    let mut small = None;
    let deployment = Deployment::prepared(cluster, setup, async |world: &World<'_>| {
        small = Some(SmallDisk::mount(&world.path("serving-0")));
    })
    .await;
    (deployment, small.unwrap())
}

/// A tmpfs; it goes when this is dropped.
struct SmallDisk {
    path: PathBuf,
}

impl SmallDisk {
    fn mount(path: &Path) -> Self {
        std::fs::create_dir_all(path).unwrap();
        let owner = std::fs::metadata(path).unwrap();
        let options = format!(
            "size=192k,mode=0755,uid={},gid={}",
            owner.uid(),
            owner.gid()
        );
        as_root(
            &["mount", "-t", "tmpfs", "-o", &options, "certtool-test"],
            path,
        );
        Self {
            path: path.to_owned(),
        }
    }

    /// `ro` or `rw`.
    fn remount(&self, mode: &str) {
        as_root(&["mount", "-o", &format!("remount,{mode}")], &self.path);
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: the manager may still watch it.
        as_root(&["umount", "-l"], &self.path);
    }
}

/// Mounting takes root, or a sudo that does not ask.
fn as_root(words: &[&str], path: &Path) {
    let is_root = rustix::process::geteuid().is_root();
    let words: Vec<&str> = match is_root {
        true => words.to_vec(),
        false => ["sudo", "-n"]
            .into_iter()
            .chain(words.iter().copied())
            .collect(),
    };
    let output = Command::new(words[0]).args(&words[1..]).arg(path).output();
    let output = output.unwrap_or_else(|error| panic!("{words:?}: {error}"));
    assert!(
        output.status.success(),
        "{words:?} {}: {}; run this test as root, or with a sudo that asks for no password",
        path.display(),
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Nothing can be written until it is dropped.
struct ReadOnly<'a>(&'a SmallDisk);

impl<'a> ReadOnly<'a> {
    fn begin(disk: &'a SmallDisk) -> Self {
        disk.remount("ro");
        Self(disk)
    }
}

impl Drop for ReadOnly<'_> {
    fn drop(&mut self) {
        self.0.remount("rw");
    }
}

/// Takes every byte of a file system as soon as it is free, until it is dropped.
struct Filler {
    path: PathBuf,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Filler {
    fn start(dir: &Path) -> Self {
        let path = dir.join("filler");
        let mut file: File = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&path)
            .unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                if file.write(&[0; 4096]).is_err() {
                    thread::sleep(Duration::from_millis(1));
                }
            }
        });
        Self {
            path,
            stop,
            thread: Some(thread),
        }
    }
}

impl Drop for Filler {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        let _ = std::fs::remove_file(&self.path);
    }
}
