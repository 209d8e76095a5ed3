//! Writing and reading a directory that is certtool's own.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use certtool::store::{Access, CertDir, Contents, Durability, Error, Force, Origin, Written};

use crate::{assert_ours, child, generations, mode, names, pair, pair_without_ca, write};

#[test]
fn a_missing_directory_is_created_with_its_parents() {
    let tmp = tempfile::tempdir().unwrap();
    let dir = tmp.path().join("k8s-webhook-server/serving-certs");
    assert_eq!(CertDir::new(&dir).read().unwrap(), Contents::Empty);
    write(&dir, &pair(1));
    assert_ours(&dir, &pair(1));
    assert_eq!(mode(&dir), 0o700);
    assert_eq!(names(&dir).len(), 5, "{:?}", names(&dir));
    assert_eq!(
        fs::read_link(dir.join("tls.key")).unwrap(),
        Path::new("..data/tls.key")
    );
}

#[test]
fn a_second_write_swaps_all_three_files() {
    let tmp = tempfile::tempdir().unwrap();
    write(tmp.path(), &pair(1));
    let Written::Swapped { data_dir, replaced } = write(tmp.path(), &pair(2)) else {
        panic!("nothing was written");
    };
    assert!(replaced.is_empty());
    assert_eq!(fs::read(data_dir.join("ca.crt")).unwrap(), b"authority 2");
    assert_ours(tmp.path(), &pair(2));
}

#[test]
fn the_same_pair_is_not_written_again() {
    let tmp = tempfile::tempdir().unwrap();
    write(tmp.path(), &pair(1));
    let before = names(tmp.path());
    assert_eq!(write(tmp.path(), &pair(1)), Written::Unchanged);
    assert_eq!(names(tmp.path()), before);

    fs::set_permissions(tmp.path().join("tls.key"), Permissions::from_mode(0o644)).unwrap();
    assert_ne!(
        write(tmp.path(), &pair(1)),
        Written::Unchanged,
        "the key had become readable"
    );
}

#[test]
fn the_previous_generation_stays_and_older_ones_go() {
    let tmp = tempfile::tempdir().unwrap();
    let mut data_dirs = Vec::new();
    for generation in 1..=4 {
        let Written::Swapped { data_dir, .. } = write(tmp.path(), &pair(generation)) else {
            panic!("nothing was written");
        };
        data_dirs.push(data_dir);
    }
    assert_eq!(generations(tmp.path()).len(), 2);
    assert!(!data_dirs[1].exists());
    // A reader that had resolved the directory before the last swap.
    assert_eq!(
        fs::read(data_dirs[2].join("tls.crt")).unwrap(),
        b"certificate 3"
    );
    assert_eq!(fs::read(data_dirs[2].join("tls.key")).unwrap(), b"key 3");
    assert_eq!(mode(data_dirs[2].join("tls.key")), 0o600);
}

#[test]
fn a_server_that_watches_the_file_itself_sees_it_deleted() {
    let tmp = tempfile::tempdir().unwrap();
    write(tmp.path(), &pair(1));
    let previous = fs::canonicalize(tmp.path().join("tls.crt")).unwrap();
    let watched = fs::File::open(&previous).unwrap();
    assert_eq!(watched.metadata().unwrap().nlink(), 1);
    write(tmp.path(), &pair(2));
    assert_eq!(
        watched.metadata().unwrap().nlink(),
        0,
        "inotify reports IN_DELETE_SELF"
    );
    assert_eq!(fs::read(previous).unwrap(), b"certificate 1");
}

#[test]
fn leftovers_of_killed_writers_go_and_everything_else_stays() {
    let tmp = tempfile::tempdir().unwrap();
    let dir = tmp.path();
    write(dir, &pair(1));
    let ours = "..certtool-2026_11_21_16_50_00-0123abcd";
    fs::create_dir(dir.join(ours)).unwrap();
    fs::write(dir.join(ours).join("tls.key"), "half").unwrap();
    std::os::unix::fs::symlink(ours, dir.join("..certtool-2026_11_21_16_50_00-4567cdef")).unwrap();
    for other in [
        "..certtool-notes",
        "..2026_11_21_16_50_00.123",
        "certtool-x",
    ] {
        fs::create_dir(dir.join(other)).unwrap();
    }
    let with_more = "..certtool-2026_11_21_16_50_00-89abcdef";
    fs::create_dir(dir.join(with_more)).unwrap();
    fs::write(dir.join(with_more).join("notes.txt"), "mine").unwrap();
    let file = "..certtool-2026_11_21_16_50_00-00000000";
    fs::write(dir.join(file), "mine").unwrap();

    write(dir, &pair(2));
    let left = names(dir);
    assert!(
        !left.iter().any(|n| n == ours || n.ends_with("4567cdef")),
        "{left:?}"
    );
    for stays in [
        "..certtool-notes",
        "..2026_11_21_16_50_00.123",
        "certtool-x",
        with_more,
        file,
    ] {
        assert!(left.iter().any(|n| n == stays), "{stays} is gone: {left:?}");
    }
    assert_eq!(
        fs::read(dir.join(with_more).join("notes.txt")).unwrap(),
        b"mine"
    );
    assert_ours(dir, &pair(2));
}

#[test]
fn a_first_write_that_was_killed_is_completed() {
    let tmp = tempfile::tempdir().unwrap();
    for name in ["tls.key", "tls.crt"] {
        std::os::unix::fs::symlink(format!("..data/{name}"), tmp.path().join(name)).unwrap();
    }
    assert_eq!(CertDir::new(tmp.path()).read().unwrap(), Contents::Empty);
    write(tmp.path(), &pair(1));
    assert_ours(tmp.path(), &pair(1));
}

#[test]
fn a_directory_that_lost_a_link_or_its_data_is_repaired() {
    let tmp = tempfile::tempdir().unwrap();
    write(tmp.path(), &pair(1));
    fs::remove_file(tmp.path().join("tls.key")).unwrap();
    let expected = Contents::Half {
        present: "tls.crt",
        missing: "tls.key",
        origin: Origin::Ours,
    };
    assert_eq!(CertDir::new(tmp.path()).read().unwrap(), expected);
    assert_ne!(write(tmp.path(), &pair(1)), Written::Unchanged);
    assert_ours(tmp.path(), &pair(1));

    fs::remove_dir_all(fs::canonicalize(tmp.path().join("..data")).unwrap()).unwrap();
    assert_eq!(CertDir::new(tmp.path()).read().unwrap(), Contents::Empty);
    write(tmp.path(), &pair(2));
    assert_ours(tmp.path(), &pair(2));
}

#[test]
fn a_pair_without_an_authority_takes_the_old_one_away() {
    let tmp = tempfile::tempdir().unwrap();
    write(tmp.path(), &pair(1));
    write(tmp.path(), &pair_without_ca(2));
    assert_ours(tmp.path(), &pair_without_ca(2));
    assert!(fs::symlink_metadata(tmp.path().join("ca.crt")).is_err());
    write(tmp.path(), &pair(3));
    assert_ours(tmp.path(), &pair(3));
}

#[test]
fn a_directory_that_exists_keeps_its_mode_and_its_other_files() {
    let tmp = tempfile::tempdir().unwrap();
    fs::set_permissions(tmp.path(), Permissions::from_mode(0o755)).unwrap();
    fs::write(tmp.path().join("README"), "mine").unwrap();
    write(tmp.path(), &pair(1));
    assert_eq!(mode(tmp.path()), 0o755);
    assert_eq!(fs::read(tmp.path().join("README")).unwrap(), b"mine");
}

#[test]
fn modes_are_exact_whatever_the_umask() {
    for umask in ["000", "022", "077", "0377"] {
        let tmp = tempfile::tempdir().unwrap();
        let script = format!("umask {umask}; exec \"$0\" \"$@\"");
        child::succeeds(&["sh", "-c", &script], "write with modes", tmp.path());
    }
}

pub(crate) fn write_with_modes(dir: &Path) {
    for (access, dir_mode, key_mode) in
        [(Access::Owner, 0o700, 0o600), (Access::Group, 0o750, 0o640)]
    {
        let created = dir.join(format!("{access:?}"));
        let target = CertDir::new(&created).with_access(access);
        for generation in 1..=2 {
            target.write(&pair(generation), Force::No).unwrap();
            assert_eq!(mode(&created), dir_mode);
            for data_dir in generations(&created) {
                let data_dir = created.join(data_dir);
                assert_eq!(mode(&data_dir), 0o755);
                assert_eq!(mode(data_dir.join("tls.key")), key_mode);
                assert_eq!(mode(data_dir.join("tls.crt")), 0o644);
                assert_eq!(mode(data_dir.join("ca.crt")), 0o644);
            }
        }
    }
    // A volume with an fsGroup: its set-group-ID bit must reach the key's directory.
    let volume = dir.join("volume");
    fs::create_dir(&volume).unwrap();
    fs::set_permissions(&volume, Permissions::from_mode(0o2777)).unwrap();
    CertDir::new(&volume)
        .with_access(Access::Group)
        .write(&pair(1), Force::No)
        .unwrap();
    assert_eq!(mode(volume.join(&generations(&volume)[0])), 0o2755);
    assert_eq!(mode(&volume), 0o2777);
}

#[test]
fn writers_take_turns_and_all_their_pairs_match() {
    const WRITERS: u32 = 4;
    const WRITES: u32 = 50;
    let tmp = tempfile::tempdir().unwrap();
    let dir = tmp.path().join("new");
    let start = Barrier::new(WRITERS as usize);
    thread::scope(|scope| {
        for writer in 0..WRITERS {
            let (dir, start) = (&dir, &start);
            scope.spawn(move || {
                start.wait();
                for n in 0..WRITES {
                    CertDir::new(dir)
                        .write(&pair(writer * WRITES + n), Force::No)
                        .unwrap();
                    let found = CertDir::new(dir).read().unwrap().into_pair().unwrap();
                    let cert = String::from_utf8(found.cert).unwrap();
                    let key = String::from_utf8(found.key).unwrap();
                    assert_eq!(cert.strip_prefix("certificate "), key.strip_prefix("key "));
                }
            });
        }
    });
    assert!(generations(&dir).len() <= 2);
}

#[test]
fn a_writer_that_hangs_is_not_waited_for_without_end() {
    let tmp = tempfile::tempdir().unwrap();
    write(tmp.path(), &pair(1));
    let held = CertDir::new(tmp.path());
    let guard = held.lock().unwrap();
    assert!(guard.read().unwrap().into_pair().is_some());
    let impatient = CertDir::new(tmp.path()).with_lock_wait(Duration::from_millis(30));
    let error = impatient.write(&pair(2), Force::No).unwrap_err();
    assert!(matches!(error, Error::Locked { .. }), "{error}");
    assert_ours(tmp.path(), &pair(1));
    guard.write(&pair(3), Force::No).unwrap();
    drop(guard);
    assert_ours(tmp.path(), &pair(3));
    impatient.write(&pair(4), Force::No).unwrap();
}

#[test]
fn a_durable_write_is_the_same_on_disk() {
    let tmp = tempfile::tempdir().unwrap();
    let dir = tmp.path().join("a/b");
    CertDir::new(&dir)
        .with_durability(Durability::Durable)
        .write(&pair(1), Force::No)
        .unwrap();
    assert_ours(&dir, &pair(1));
}

#[test]
fn a_link_to_a_directory_is_a_directory() {
    let tmp = tempfile::tempdir().unwrap();
    fs::create_dir(tmp.path().join("real")).unwrap();
    std::os::unix::fs::symlink("real", tmp.path().join("link")).unwrap();
    write(&tmp.path().join("link"), &pair(1));
    assert_ours(&tmp.path().join("real"), &pair(1));
}

#[test]
fn no_debug_output_has_a_key_in_it() {
    let tmp = tempfile::tempdir().unwrap();
    write(tmp.path(), &pair(1));
    let contents = CertDir::new(tmp.path()).read().unwrap();
    let debug = format!("{contents:?} {contents:#?}");
    assert!(
        !debug.contains("key 1") && debug.contains("redacted"),
        "{debug}"
    );
    let bytes = format!("{:?}", b"key 1".to_vec());
    assert!(!debug.contains(&bytes[1..bytes.len() - 1]), "{debug}");
}
