//! What certtool did not write is left alone, unless it is told otherwise.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use certtool::store::{CertDir, Contents, Error, Force, Foreign, Origin, Pair, Written};

use crate::{assert_ours, names, pair, pair_without_ca, write};

fn plain(dir: &Path) -> Pair {
    fs::write(dir.join("tls.crt"), "their certificate").unwrap();
    fs::write(dir.join("tls.key"), "their key").unwrap();
    Pair {
        cert: b"their certificate".to_vec(),
        key: b"their key".to_vec(),
        ca: None,
    }
}

/// A Secret as the kubelet mounts it.
fn mounted(dir: &Path, files: &[&str]) -> PathBuf {
    let data = dir.join("..2026_11_21_16_50_00.1234567890");
    fs::create_dir(&data).unwrap();
    symlink(data.file_name().unwrap(), dir.join("..data")).unwrap();
    for name in files {
        fs::write(data.join(name), format!("their {name}")).unwrap();
        symlink(format!("..data/{name}"), dir.join(name)).unwrap();
    }
    data
}

/// Every path under `dir` with its link text or contents.
fn snapshot(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut all: Vec<_> = walkdir::WalkDir::new(dir)
        .into_iter()
        .map(|entry| {
            let entry = entry.unwrap();
            let what = if entry.file_type().is_symlink() {
                fs::read_link(entry.path())
                    .unwrap()
                    .into_os_string()
                    .into_encoded_bytes()
            } else if entry.file_type().is_file() {
                fs::read(entry.path()).unwrap()
            } else {
                Vec::new()
            };
            (entry.into_path(), what)
        })
        .collect();
    all.sort();
    all
}

#[track_caller]
fn is_refused(dir: &Path, pair: &Pair, force: Force, words: &[&str]) {
    let before = snapshot(dir);
    let error = CertDir::new(dir).write(pair, force).unwrap_err();
    let message = error.to_string();
    for word in words {
        assert!(message.contains(word), "{word:?} is not in {message:?}");
    }
    assert!(!message.contains("their key"), "{message}");
    assert_eq!(snapshot(dir), before, "something was changed");
}

#[test]
fn plain_files_are_read_reported_and_left() {
    let tmp = tempfile::tempdir().unwrap();
    let theirs = plain(tmp.path());
    let expected = Contents::Pair {
        pair: theirs,
        origin: Origin::Foreign(Foreign::Plain),
    };
    assert_eq!(CertDir::new(tmp.path()).read().unwrap(), expected);
    let path = tmp.path().join("tls.crt");
    let words = [
        path.to_str().unwrap(),
        "a plain file",
        "--force",
        "--cert-dir",
    ];
    is_refused(tmp.path(), &pair(1), Force::No, &words);
}

#[test]
fn the_error_names_the_option_that_chose_the_directory() {
    let tmp = tempfile::tempdir().unwrap();
    plain(tmp.path());
    let dir = CertDir::new(tmp.path()).chosen_by("--out-dir");
    let message = dir.write(&pair(1), Force::No).unwrap_err().to_string();
    assert!(
        message.contains("--out-dir") && !message.contains("--cert-dir"),
        "{message}"
    );
}

#[test]
fn one_file_alone_is_half_a_pair_and_left() {
    let tmp = tempfile::tempdir().unwrap();
    fs::write(tmp.path().join("tls.key"), "their key").unwrap();
    let expected = Contents::Half {
        present: "tls.key",
        missing: "tls.crt",
        origin: Origin::Foreign(Foreign::Plain),
    };
    assert_eq!(CertDir::new(tmp.path()).read().unwrap(), expected);
    is_refused(tmp.path(), &pair(1), Force::No, &["tls.key", "--force"]);
}

#[test]
fn an_authority_file_is_in_the_way_only_of_another_one() {
    let tmp = tempfile::tempdir().unwrap();
    fs::write(tmp.path().join("ca.crt"), "their authority").unwrap();
    is_refused(tmp.path(), &pair(1), Force::No, &["ca.crt"]);
    for generation in 1..=2 {
        write(tmp.path(), &pair_without_ca(generation));
    }
    assert_eq!(write(tmp.path(), &pair_without_ca(2)), Written::Unchanged);
    assert_eq!(
        fs::read(tmp.path().join("ca.crt")).unwrap(),
        b"their authority"
    );
    CertDir::new(tmp.path())
        .write(&pair(3), Force::Yes)
        .unwrap();
    assert_ours(tmp.path(), &pair(3));
}

#[test]
fn forced_it_replaces_its_own_names_and_nothing_else() {
    let tmp = tempfile::tempdir().unwrap();
    plain(tmp.path());
    fs::write(tmp.path().join("notes"), "mine").unwrap();
    let written = CertDir::new(tmp.path())
        .write(&pair(1), Force::Yes)
        .unwrap();
    let Written::Swapped { replaced, .. } = written else {
        panic!("{written:?}")
    };
    assert_eq!(replaced, ["tls.crt", "tls.key"]);
    assert_ours(tmp.path(), &pair(1));
    assert_eq!(fs::read(tmp.path().join("notes")).unwrap(), b"mine");
    write(tmp.path(), &pair(2));
    assert_ours(tmp.path(), &pair(2));
}

#[test]
fn a_link_elsewhere_is_replaced_when_forced_and_its_target_stays() {
    let tmp = tempfile::tempdir().unwrap();
    let elsewhere = tmp.path().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    plain(&elsewhere);
    let dir = tmp.path().join("certs");
    fs::create_dir(&dir).unwrap();
    for name in ["tls.crt", "tls.key"] {
        symlink(elsewhere.join(name), dir.join(name)).unwrap();
    }
    is_refused(&dir, &pair(1), Force::No, &["a link to", "elsewhere"]);
    CertDir::new(&dir).write(&pair(1), Force::Yes).unwrap();
    assert_ours(&dir, &pair(1));
    assert_eq!(fs::read(elsewhere.join("tls.key")).unwrap(), b"their key");
}

#[test]
fn a_mounted_secret_is_recognised() {
    let tmp = tempfile::tempdir().unwrap();
    mounted(tmp.path(), &["tls.crt", "tls.key", "ca.crt"]);
    let Contents::Pair {
        pair: theirs,
        origin,
    } = CertDir::new(tmp.path()).read().unwrap()
    else {
        panic!("no pair");
    };
    assert_eq!(theirs.ca.as_deref(), Some(&b"their ca.crt"[..]));
    let target = "..2026_11_21_16_50_00.1234567890".to_owned();
    assert_eq!(origin, Origin::Foreign(Foreign::Mounted { target }));
    is_refused(
        tmp.path(),
        &pair(1),
        Force::No,
        &["..data", "mounted by the kubelet", "--cert-dir"],
    );
}

#[test]
fn a_mounted_volume_without_a_pair_is_refused_too() {
    let tmp = tempfile::tempdir().unwrap();
    mounted(tmp.path(), &["config.yaml"]);
    assert_eq!(CertDir::new(tmp.path()).read().unwrap(), Contents::Empty);
    is_refused(tmp.path(), &pair(1), Force::No, &["..data"]);
    is_refused(
        tmp.path(),
        &pair(1),
        Force::Yes,
        &["config.yaml", "would break"],
    );
}

#[test]
fn a_mounted_secret_is_replaced_when_forced_if_nothing_else_depends_on_it() {
    let tmp = tempfile::tempdir().unwrap();
    let data = mounted(tmp.path(), &["tls.crt", "tls.key", "ca.crt"]);
    is_refused(
        tmp.path(),
        &pair_without_ca(1),
        Force::Yes,
        &["ca.crt", "would break"],
    );
    CertDir::new(tmp.path())
        .write(&pair(1), Force::Yes)
        .unwrap();
    assert_ours(tmp.path(), &pair(1));
    assert_eq!(fs::read(data.join("tls.key")).unwrap(), b"their tls.key");
    write(tmp.path(), &pair(2));
    assert_eq!(fs::read(data.join("tls.key")).unwrap(), b"their tls.key");
}

#[test]
fn one_of_our_names_that_was_replaced_since_is_foreign() {
    let tmp = tempfile::tempdir().unwrap();
    write(tmp.path(), &pair(1));
    fs::write(tmp.path().join("new"), "their certificate").unwrap();
    fs::rename(tmp.path().join("new"), tmp.path().join("tls.crt")).unwrap();
    let Contents::Pair {
        pair: found,
        origin,
    } = CertDir::new(tmp.path()).read().unwrap()
    else {
        panic!("no pair");
    };
    assert_eq!(
        (found.cert.as_slice(), found.key.as_slice()),
        (&b"their certificate"[..], &b"key 1"[..])
    );
    assert_eq!(origin, Origin::Foreign(Foreign::Plain));
    is_refused(tmp.path(), &pair(2), Force::No, &["tls.crt"]);
    CertDir::new(tmp.path())
        .write(&pair(2), Force::Yes)
        .unwrap();
    assert_ours(tmp.path(), &pair(2));
}

#[test]
fn a_directory_in_the_place_of_a_file_is_never_replaced() {
    for name in ["tls.crt", "tls.key", "ca.crt", "..data"] {
        let tmp = tempfile::tempdir().unwrap();
        fs::create_dir(tmp.path().join(name)).unwrap();
        is_refused(tmp.path(), &pair(1), Force::No, &[name, "a directory"]);
        is_refused(
            tmp.path(),
            &pair(1),
            Force::Yes,
            &[name, "even when forced"],
        );
    }
}

#[test]
fn a_pipe_does_not_make_it_wait() {
    let tmp = tempfile::tempdir().unwrap();
    let pipe = tmp.path().join("tls.crt");
    assert!(
        std::process::Command::new("mkfifo")
            .arg(&pipe)
            .status()
            .unwrap()
            .success()
    );
    let error = CertDir::new(tmp.path()).read().unwrap_err();
    assert!(matches!(error, Error::NotAFile { .. }), "{error}");
    is_refused(
        tmp.path(),
        &pair(1),
        Force::No,
        &["a device, pipe or socket"],
    );
    CertDir::new(tmp.path())
        .write(&pair(1), Force::Yes)
        .unwrap();
    assert_ours(tmp.path(), &pair(1));
}

#[test]
fn a_file_that_is_no_certificate_is_not_read_into_memory() {
    let tmp = tempfile::tempdir().unwrap();
    fs::File::create(tmp.path().join("tls.crt"))
        .unwrap()
        .set_len(1 << 40)
        .unwrap();
    let error = CertDir::new(tmp.path()).read().unwrap_err();
    assert!(matches!(error, Error::TooLarge { .. }), "{error}");
}

#[test]
fn a_forced_write_leaves_no_leftovers() {
    let tmp = tempfile::tempdir().unwrap();
    plain(tmp.path());
    CertDir::new(tmp.path())
        .write(&pair(1), Force::Yes)
        .unwrap();
    // The adopted pair is the previous generation.
    assert_eq!(
        names(tmp.path())
            .iter()
            .filter(|n| n.starts_with("..certtool-"))
            .count(),
        2
    );
    write(tmp.path(), &pair(2));
    assert_eq!(
        names(tmp.path())
            .iter()
            .filter(|n| n.starts_with("..certtool-"))
            .count(),
        2
    );
    assert!(
        !snapshot(tmp.path())
            .iter()
            .any(|(_, bytes)| bytes == b"their key")
    );
}
