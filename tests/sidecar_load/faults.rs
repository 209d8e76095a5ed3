//! Things that break under load.

use std::{
    fs::{File, OpenOptions},
    io::Write,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::Command,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use crate::{
    deployment::{Deployment, Pod, REPLICAS, alone, own_ca},
    files::LIMIT,
    load::at_least,
    support::{self, Clock, ControlPlane},
    world::{World, address, metric, until},
};

const LONGEST: Duration = Duration::from_secs(420);

fn settings() -> String {
    own_ca("20s", "36s")
}

#[test]
fn sidecars_that_are_killed_a_hundred_times_fail_no_request() {
    let cluster = alone();
    support::run_within(LONGEST, async {
        let mut deployment = Deployment::start(&cluster, &settings()).await;
        let first = deployment.issued();
        let load = deployment.load();
        let (started, least) = (Instant::now(), at_least(0));
        let mut kills = 0;
        let mut random = std::process::id();
        while kills < 100 || started.elapsed() < least {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            thread::sleep(Duration::from_millis(u64::from(random >> 16) % 400));
            deployment.kill_sidecar(random as usize % REPLICAS);
            load.assert_none_failed();
            kills += 1;
        }
        let renewed = deployment.issued() - first;
        // All is well again by itself.
        deployment.assert_served();
        load.assert_none_failed();
        let sum = load.stop();
        println!(
            "{kills} kills, {renewed} renewals, {} requests in {:.0} s",
            sum.admitted, sum.seconds
        );
        assert!(renewed >= 10, "{renewed}\n{}", deployment.said());
        deployment.assert_no_mismatch();
    });
}

#[test]
fn an_api_server_that_restarts_fails_no_request_that_it_takes() {
    let cluster = alone();
    support::run_within(LONGEST, async {
        let mut deployment = Deployment::start(&cluster, &settings()).await;
        let first = deployment.issued();
        let load = deployment.load();
        for round in 0..2 {
            thread::sleep(Duration::from_secs(3));
            match round % 2 {
                0 => cluster.stop_api_server(),
                _ => cluster.kill_api_server(),
            }
            // Longer than the time between two renewals.
            thread::sleep(Duration::from_secs(4));
            cluster.start_api_server();
            for pod in &mut deployment.pods {
                pod.await_renewal();
            }
            load.assert_none_failed();
        }
        let renewed = deployment.issued() - first;
        deployment.assert_served();
        load.assert_none_failed();
        let sum = load.stop();
        println!(
            "2 restarts, {renewed} renewals, {} requests in {:.0} s, and {} while it was away",
            sum.admitted,
            sum.seconds,
            sum.unreachable.len()
        );
        assert!(!sum.unreachable.is_empty(), "it was never away");
        deployment.assert_no_mismatch();
    });
}

#[test]
fn a_clock_that_jumps_past_renewal_and_back_signs_nothing_meanwhile_and_fails_no_request() {
    let cluster = alone();
    support::run_within(LONGEST, async {
        let mut deployment = Deployment::start(&cluster, &own_ca("40s", "2m")).await;
        let clocks: Vec<_> = (0..REPLICAS).map(|_| Rc::new(Clock::new())).collect();
        for (number, clock) in clocks.iter().enumerate() {
            deployment.pods[number].clock = Some(Rc::clone(clock));
            deployment.kill_sidecar(number);
        }
        deployment.assert_served();
        let load = deployment.load();
        let first = deployment.issued();
        // One alone, then all of them; each time far past the renewal, almost to the end.
        for count in [1, REPLICAS] {
            let apart = "this machine's clock and the API server's are";
            let said = |pod: &mut Pod| pod.sidecar.stderr().matches(apart).count();
            let pods = &mut deployment.pods[..count];
            let before: Vec<_> = pods.iter_mut().map(said).collect();
            clocks
                .iter()
                .take(count)
                .for_each(|clock| clock.set(30_000));
            for (pod, before) in pods.iter_mut().zip(before) {
                until(|| (said(pod) > before).then_some(()));
            }
            let held: Vec<_> = pods.iter_mut().map(Pod::issued).collect();
            thread::sleep(Duration::from_secs(3));
            let now: Vec<_> = pods.iter_mut().map(Pod::issued).collect();
            assert_eq!(now, held, "signed by a wrong clock");
            load.assert_none_failed();
            clocks.iter().take(count).for_each(|clock| clock.set(0));
            for pod in pods {
                pod.await_renewal();
                pod.await_renewal();
            }
            load.assert_none_failed();
        }
        let renewed = deployment.issued() - first;
        deployment.assert_served();
        load.assert_none_failed();
        println!("{renewed} renewals, {} requests", load.stop().admitted);
        deployment.assert_no_mismatch();
    });
}

#[test]
fn a_disk_that_is_full_for_a_while_keeps_the_old_pair_and_fails_no_request() {
    let cluster = alone();
    support::run_within(LONGEST, async {
        let (mut deployment, small) = with_small_disk(&cluster).await;
        let load = deployment.load();
        let pod = &mut deployment.pods[0];
        let health = address(&mut pod.sidecar);
        pod.await_renewal();
        let filler = Filler::start(&small.path);
        let failures = "certtool_sidecar_failures_in_a_row";
        until(|| metric(&health, failures).filter(|failures| *failures >= 3.0));
        let (before, serial) = (pod.issued(), served_serial(&deployment, 0));
        thread::sleep(Duration::from_secs(3));
        let pod = &mut deployment.pods[0];
        assert_eq!(pod.issued(), before, "{}", pod.sidecar.stderr());
        let said = pod.sidecar.stderr();
        for words in [
            "no space is left",
            "The old pair is kept",
            "Free some space",
        ] {
            assert!(said.contains(words), "{words:?}:\n{said}");
        }
        // The pair that serves is whole, and ready as long as it is valid.
        assert_eq!(crate::world::get(&health, "/readyz").0, 200);
        assert_eq!(served_serial(&deployment, 0), serial);
        deployment
            .world
            .assert_pair("serving-0/tls.crt", "serving-0/tls.key");
        drop(filler);
        let pod = &mut deployment.pods[0];
        until(|| (pod.issued() > before).then_some(()));
        until(|| metric(&health, failures).filter(|failures| *failures == 0.0));
        deployment.assert_served();
        load.assert_none_failed();
        println!("{} requests", load.stop().admitted);
        deployment.assert_no_mismatch();
    });
}

#[test]
fn a_directory_that_turns_read_only_keeps_the_old_pair_and_fails_no_request() {
    let cluster = alone();
    support::run_within(LONGEST, async {
        let (mut deployment, small) = with_small_disk(&cluster).await;
        let load = deployment.load();
        let pod = &mut deployment.pods[0];
        let health = address(&mut pod.sidecar);
        pod.await_renewal();
        small.remount("ro");
        let failures = "certtool_sidecar_failures_in_a_row";
        until(|| metric(&health, failures).filter(|failures| *failures >= 3.0));
        let before = pod.issued();
        let said = pod.sidecar.stderr();
        for words in ["the file system is read-only", "The old pair is kept"] {
            assert!(said.contains(words), "{words:?}:\n{said}");
        }
        assert_eq!(crate::world::get(&health, "/readyz").0, 200);
        // One that starts now says so, and ends.
        deployment.kill_sidecar(0);
        let pod = &mut deployment.pods[0];
        assert_eq!(pod.sidecar.wait(LIMIT).code(), Some(1));
        let said = pod.sidecar.stderr();
        assert!(said.contains("the file system is read-only"), "{said}");
        small.remount("rw");
        // As the kubelet does.
        deployment.restart_sidecar(0);
        let pod = &mut deployment.pods[0];
        until(|| (pod.issued() > before).then_some(()));
        deployment.assert_served();
        load.assert_none_failed();
        println!("{} requests", load.stop().admitted);
        deployment.assert_no_mismatch();
    });
}

fn served_serial(deployment: &Deployment<'_>, number: usize) -> String {
    let path = format!("serving-{number}/tls.crt");
    deployment.world.x509(&path, "-serial")
}

/// A deployment whose first Pod has a file system of 192 KiB for its certificates.
async fn with_small_disk(cluster: &ControlPlane) -> (Deployment<'_>, SmallDisk) {
    let mut small = None;
    let deployment = Deployment::prepared(cluster, &settings(), async |world: &World<'_>| {
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
