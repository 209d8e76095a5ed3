//! A writer killed with SIGKILL at any instant leaves a pair that matches.
//!
//! A writer process replaces the pair as fast as it can and is killed a few
//! hundred times, while readers in this process read all the time. The same
//! harness must convict a writer that renames two files: otherwise it would
//! prove nothing.

#![allow(clippy::unwrap_used, clippy::panic)] // clippy.toml permits it in #[test] functions alone

use std::collections::HashSet;
use std::env;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use certtool::store::{CertDir, Contents, Force, Origin, Pair};

const KILLS: u32 = 300;
/// Every so many kills the writer starts in an empty directory: first writes
/// have an order of their own.
const FRESH_EVERY: u32 = 4;
const REAL_PAIRS: u32 = 8;
/// So many kills at least must come in the middle of a write.
const HITS: usize = 50;
const LIMIT: Duration = Duration::from_secs(60);

/// Leaves the writer the time to write.
const READER_PAUSE: Duration = Duration::from_micros(20);

const WRITER: &str = "CERTTOOL_TEST_WRITER";
const DIR: &str = "CERTTOOL_TEST_DIR";
const READY: &str = "writing from now on";

#[test]
fn a_writer_killed_at_any_instant_leaves_a_pair_that_matches() {
    let report = torment("swap", KILLS);
    println!("{report:?}");
    assert_eq!(report.mixed_at_rest, 0, "{report:?}");
    assert_eq!(report.half_at_rest, 0, "{report:?}");
    assert_eq!(report.lost_at_rest, 0, "{report:?}");
    assert_eq!(report.mixed_when_resolved_once, 0, "{report:?}");
    assert_eq!(report.half_when_resolved_once, 0, "{report:?}");
    assert_eq!(report.mixed_twice_by_path, 0, "{report:?}");
    assert!(
        report.pairs_read > KILLS as usize,
        "the readers hardly read: {report:?}"
    );
}

#[test]
fn a_writer_that_renames_two_files_is_convicted() {
    let report = torment("two renames", KILLS / 3);
    println!("{report:?}");
    assert!(
        report.mixed_at_rest > 0,
        "the test would not notice a torn pair: {report:?}"
    );
}

#[test]
fn a_forced_replacement_of_plain_files_killed_at_any_instant_leaves_a_pair_that_matches() {
    let tmp = memory_dir();
    let mut adopted = 0;
    let deadline = Instant::now() + LIMIT;
    for round in 0.. {
        if round >= KILLS / 3 && adopted >= 5 {
            break;
        }
        assert!(Instant::now() < deadline, "too slow after {round} kills");
        let dir = tmp.path().join(round.to_string());
        fs::create_dir(&dir).unwrap();
        let theirs = numbered(0);
        fs::write(dir.join("tls.crt"), &theirs.cert).unwrap();
        fs::write(dir.join("tls.key"), &theirs.key).unwrap();
        kill_at_random(start("force once", &dir), Duration::from_millis(5));
        let cert = fs::read(dir.join("tls.crt")).unwrap();
        let key = fs::read(dir.join("tls.key")).unwrap();
        assert_eq!(number(&cert), number(&key), "round {round}");
        adopted += usize::from(dir.join("..data").exists());
        CertDir::new(&dir).write(&numbered(2), Force::Yes).unwrap();
        assert_eq!(number(&fs::read(dir.join("tls.key")).unwrap()), Some(2));
    }
}

#[test]
fn real_certificates_and_keys_match_after_every_kill() {
    let tmp = memory_dir();
    let (material, dir) = (tmp.path().join("material"), tmp.path().join("certs"));
    fs::create_dir(&material).unwrap();
    for n in 0..REAL_PAIRS {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        fs::write(material.join(format!("{n}.crt")), made.cert.pem()).unwrap();
        fs::write(
            material.join(format!("{n}.key")),
            made.signing_key.serialize_pem(),
        )
        .unwrap();
    }
    let mut seen = HashSet::new();
    let deadline = Instant::now() + LIMIT;
    for kill in 0.. {
        if kill >= KILLS / 5 && seen.len() >= 3 {
            break;
        }
        assert!(Instant::now() < deadline, "too slow after {kill} kills");
        kill_at_random(start("real", &dir), Duration::from_millis(2));
        let Some(pair) = CertDir::new(&dir).read().unwrap().into_pair() else {
            assert!(seen.is_empty(), "the pair is gone after {kill} kills");
            continue;
        };
        let cert = CertificateDer::from_pem_slice(&pair.cert).unwrap();
        let key = PrivateKeyDer::from_pem_slice(&pair.key).unwrap();
        CertifiedKey::from_der(vec![cert], key, &aws_lc_rs::default_provider())
            .unwrap_or_else(|e| panic!("after {kill} kills: {e}"));
        assert_eq!(fs::read(dir.join("tls.crt")).unwrap(), pair.cert);
        assert_eq!(fs::read(dir.join("tls.key")).unwrap(), pair.key);
        seen.insert(pair.cert);
    }
}

/// What was seen.
#[derive(Debug, Default)]
struct Report {
    pairs_read: usize,
    /// The writer was killed with an unfinished generation on disk.
    killed_in_a_write: usize,
    mixed_at_rest: usize,
    half_at_rest: usize,
    /// A pair had been there before the kill, and none was after it.
    lost_at_rest: usize,
    mixed_when_resolved_once: usize,
    half_when_resolved_once: usize,
    /// Allowed: a swap between the two opens.
    mixed_once_by_path: usize,
    /// Not allowed: the next read was wrong too, and nothing was being swapped.
    mixed_twice_by_path: usize,
}

#[derive(Default)]
struct Counters {
    pairs_read: AtomicUsize,
    mixed_when_resolved_once: AtomicUsize,
    half_when_resolved_once: AtomicUsize,
    mixed_once_by_path: AtomicUsize,
    mixed_twice_by_path: AtomicUsize,
}

fn torment(writer: &str, kills: u32) -> Report {
    let tmp = memory_dir();
    let mut report = Report::default();
    let counters = Counters::default();
    let deadline = Instant::now() + LIMIT;
    let mut round = 0;
    // On a slow machine more kills come before the writer has begun.
    while round < kills || (writer == "swap" && report.killed_in_a_write < HITS) {
        let dir = tmp.path().join(round.to_string());
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            // Set also when an assertion fails: the scope waits for its threads.
            let _stop = StopOnDrop(&stop);
            if writer == "swap" {
                scope.spawn(|| read_resolved_once(&dir, &counters, &stop));
                scope.spawn(|| read_through_the_store(&dir, &counters, &stop));
            }
            scope.spawn(|| read_by_path(&dir, &counters, &stop));
            for _ in 0..FRESH_EVERY {
                assert!(Instant::now() < deadline, "too slow after {round} kills");
                let before = see(&dir);
                kill_at_random(start(writer, &dir), Duration::from_millis(4));
                inspect_at_rest(&dir, &before, &mut report);
                round += 1;
            }
        });
    }
    report.pairs_read = counters.pairs_read.into_inner();
    report.mixed_when_resolved_once = counters.mixed_when_resolved_once.into_inner();
    report.half_when_resolved_once = counters.half_when_resolved_once.into_inner();
    report.mixed_once_by_path = counters.mixed_once_by_path.into_inner();
    report.mixed_twice_by_path = counters.mixed_twice_by_path.into_inner();
    report
}

struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Nobody writes: every reader must be right at the first attempt.
fn inspect_at_rest(dir: &Path, before: &Seen, report: &mut Report) {
    match see(dir) {
        Seen::Pair(cert, key) if cert != key => report.mixed_at_rest += 1,
        Seen::Half => report.half_at_rest += 1,
        Seen::Nothing if *before != Seen::Nothing => report.lost_at_rest += 1,
        Seen::Pair(..) | Seen::Nothing => {}
    }
    let Ok(entries) = fs::read_dir(dir) else {
        return;
    };
    let current = fs::read_link(dir.join("..data")).ok();
    let in_force = see_number(&dir.join("tls.crt"));
    let (mut leftovers, mut unfinished) = (0, false);
    for entry in entries {
        let entry = entry.unwrap();
        let key = entry.path().join("tls.key");
        if let Ok(meta) = fs::metadata(&key) {
            assert_eq!(
                meta.permissions().mode() & 0o777,
                0o600,
                "{}",
                key.display()
            );
        }
        let name = entry.file_name();
        let is_generation = name.to_str().unwrap().starts_with("..certtool-");
        if is_generation && current.as_deref() != Some(Path::new(&name)) {
            leftovers += 1;
            let number = see_number(&entry.path().join("tls.crt"));
            unfinished |= entry.path().is_symlink() || number.is_none() || number > in_force;
        }
    }
    // The previous generation, and what the killed write was making: a data
    // directory and a link.
    assert!(leftovers <= 3, "{leftovers} leftovers in {}", dir.display());
    report.killed_in_a_write += usize::from(unfinished);
}

fn see_number(path: &Path) -> Option<u32> {
    number(&fs::read(path).ok()?)
}

/// Where the disk does not slow the writer down, if there is such a place.
fn memory_dir() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").unwrap_or_else(|_| tempfile::tempdir().unwrap())
}

/// What a reader saw: the numbers in the two files, if both were there.
#[derive(Debug, PartialEq, Eq)]
enum Seen {
    Nothing,
    Half,
    Pair(Option<u32>, Option<u32>),
}

fn see(dir: &Path) -> Seen {
    match (fs::read(dir.join("tls.crt")), fs::read(dir.join("tls.key"))) {
        (Ok(cert), Ok(key)) => Seen::Pair(number(&cert), number(&key)),
        (Err(_), Err(_)) => Seen::Nothing,
        _ => Seen::Half,
    }
}

/// As most servers read: the two files by their own paths.
fn read_by_path(dir: &Path, counters: &Counters, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        thread::sleep(READER_PAUSE);
        let current = || fs::read_link(dir.join("..data")).ok();
        let Seen::Pair(cert, key) = see(dir) else {
            continue;
        };
        counters.pairs_read.fetch_add(1, Ordering::Relaxed);
        if cert == key {
            continue;
        }
        counters.mixed_once_by_path.fetch_add(1, Ordering::Relaxed);
        // The writer never pauses, so the next read may straddle the next swap;
        // one that straddles none must be right.
        let before = current();
        let again = see(dir);
        if before == current() && !matches!(again, Seen::Pair(cert, key) if cert == key) {
            counters.mixed_twice_by_path.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// As careful servers read: the directory once, and both files from there.
fn read_resolved_once(dir: &Path, counters: &Counters, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        thread::sleep(READER_PAUSE);
        let Ok(resolved) = fs::canonicalize(dir.join("..data")) else {
            continue;
        };
        match see(&resolved) {
            Seen::Pair(cert, key) => {
                counters.pairs_read.fetch_add(1, Ordering::Relaxed);
                if cert != key || cert.is_none() {
                    counters
                        .mixed_when_resolved_once
                        .fetch_add(1, Ordering::Relaxed);
                }
            }
            // Removed: two swaps since it was resolved, which the writer here
            // does within a millisecond.
            Seen::Half | Seen::Nothing => {}
        }
    }
}

fn read_through_the_store(dir: &Path, counters: &Counters, stop: &AtomicBool) {
    let store = CertDir::new(dir);
    let mut had_a_pair = false;
    while !stop.load(Ordering::Relaxed) {
        thread::sleep(READER_PAUSE);
        match store.read().unwrap() {
            Contents::Pair { pair, origin } => {
                assert_eq!(origin, Origin::Ours);
                had_a_pair = true;
                counters.pairs_read.fetch_add(1, Ordering::Relaxed);
                let numbers =
                    [&pair.cert, &pair.key, &pair.ca.unwrap_or_default()].map(|file| number(file));
                if numbers[0].is_none() || numbers.iter().any(|n| *n != numbers[0]) {
                    counters
                        .mixed_when_resolved_once
                        .fetch_add(1, Ordering::Relaxed);
                }
            }
            Contents::Empty if !had_a_pair => {}
            Contents::Empty | Contents::Half { .. } => {
                counters
                    .half_when_resolved_once
                    .fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

/// Waits until the writer writes, then a random while, then kills it.
fn kill_at_random(mut writer: Child, longest: Duration) {
    let stdout = BufReader::new(writer.stdout.take().unwrap());
    let ready = stdout
        .lines()
        .map_while(Result::ok)
        .any(|line| line.ends_with(READY));
    let mut random = [0; 4];
    fs::File::open("/dev/urandom")
        .unwrap()
        .read_exact(&mut random)
        .unwrap();
    let pause = longest.mul_f64(f64::from(u32::from_ne_bytes(random)) / f64::from(u32::MAX));
    let start = Instant::now();
    while start.elapsed() < pause {
        std::hint::spin_loop();
    }
    writer.kill().unwrap();
    let status = writer.wait().unwrap();
    assert!(ready, "the writer did not start: {status}");
}

fn start(writer: &str, dir: &Path) -> Child {
    Command::new(env::current_exe().unwrap())
        .args(["--exact", "writer", "--ignored", "--nocapture", "--quiet"])
        .env(WRITER, writer)
        .env(DIR, dir)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

#[test]
#[ignore = "the process that the other tests kill"]
fn writer() {
    let (Ok(writer), Some(dir)) = (env::var(WRITER), env::var_os(DIR)) else {
        return;
    };
    let dir = PathBuf::from(dir);
    let store = CertDir::new(&dir);
    let first = match see(&dir) {
        Seen::Pair(Some(cert), _) => cert + 1,
        // Nothing yet, or real certificates.
        Seen::Pair(None, _) | Seen::Half | Seen::Nothing => 1,
    };
    println!("{READY}");
    for n in first.. {
        match writer.as_str() {
            "swap" => {
                store.write(&numbered(n), Force::No).unwrap();
            }
            "force once" => {
                store.write(&numbered(1), Force::Yes).unwrap();
                thread::sleep(LIMIT);
            }
            "real" => {
                let material = dir.with_file_name("material");
                let file =
                    |kind| fs::read(material.join(format!("{}.{kind}", n % REAL_PAIRS))).unwrap();
                let pair = Pair {
                    cert: file("crt"),
                    key: file("key"),
                    ca: None,
                };
                store.write(&pair, Force::No).unwrap();
            }
            "two renames" => two_renames(&dir, &numbered(n)),
            other => panic!("no writer {other:?}"),
        }
    }
}

/// What the store must not do.
fn two_renames(dir: &Path, pair: &Pair) {
    fs::create_dir_all(dir).unwrap();
    for (name, bytes) in [("tls.crt", &pair.cert), ("tls.key", &pair.key)] {
        let temporary = dir.join(format!(".{name}.tmp"));
        fs::write(&temporary, bytes).unwrap();
        fs::set_permissions(&temporary, fs::Permissions::from_mode(0o600)).unwrap();
        fs::rename(&temporary, dir.join(name)).unwrap();
    }
}

/// A pair whose files carry the number at both ends, as long as real ones.
fn numbered(n: u32) -> Pair {
    let file = |length: usize| format!("{n:010}{}{n:010}", "-".repeat(length)).into_bytes();
    Pair {
        cert: file(4000),
        key: file(1700),
        ca: Some(file(1200)),
    }
}

/// The number of a whole file.
fn number(file: &[u8]) -> Option<u32> {
    let text = std::str::from_utf8(file).ok()?;
    let (first, last) = (text.get(..10)?, text.get(text.len().checked_sub(10)?..)?);
    (first == last).then(|| first.parse().ok())?
}
