//! Disks and directories that do not do what they should.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use certtool::store::{CaDir, CertDir, Contents, Error, Force, Pair};

use crate::{assert_ours, child, names, pair, write};

#[track_caller]
fn assert_words(error: &Error, words: &[&str]) {
    let message = error.to_string();
    for word in words {
        assert!(message.contains(word), "{word:?} is not in {message:?}");
    }
}

#[test]
fn a_full_disk_leaves_the_old_pair_and_nothing_else() {
    // A file size limit works for every user; a small file system where this
    // one may mount it.
    let tmp = tempfile::tempdir().unwrap();
    let limit = r#"trap "" XFSZ; ulimit -f 16; exec "$0" "$@""#;
    child::succeeds(&["sh", "-c", limit], "fill the disk", tmp.path());

    if child::can_mount() {
        let tmp = tempfile::tempdir().unwrap();
        let mount = format!(
            r#"mount -t tmpfs -o size=64k,mode=755 none '{}' && exec "$0" "$@""#,
            tmp.path().display()
        );
        let wrapper = ["unshare", "--map-root-user", "--mount", "sh", "-c", &mount];
        child::succeeds(&wrapper, "fill the disk", tmp.path());
    } else {
        eprintln!("no tmpfs can be mounted here: only the file size limit was tested");
    }
}

pub(crate) fn fill(dir: &Path) {
    const TOO_MUCH: usize = 100_000;
    let certs = dir.join("certs");
    let big = Pair {
        cert: vec![b'x'; TOO_MUCH],
        ..pair(2)
    };

    let error = CertDir::new(&certs).write(&big, Force::No).unwrap_err();
    assert!(matches!(error, Error::DiskFull { .. }), "{error:?}");
    assert_words(&error, &["tls.crt", "no space", "--cert-dir"]);
    assert!(
        !certs.exists(),
        "a failed first write left {:?}",
        names(&certs)
    );

    write(&certs, &pair(1));
    let before = names(&certs);
    for _ in 0..3 {
        CertDir::new(&certs).write(&big, Force::No).unwrap_err();
        assert_eq!(names(&certs), before);
        assert_ours(&certs, &pair(1));
    }
    write(&certs, &pair(3));
    assert_ours(&certs, &pair(3));

    let plain = dir.join("plain");
    fs::create_dir(&plain).unwrap();
    fs::write(plain.join("tls.crt"), "their certificate").unwrap();
    fs::write(plain.join("tls.key"), "their key").unwrap();
    CertDir::new(&plain).write(&big, Force::Yes).unwrap_err();
    assert_eq!(names(&plain), ["tls.crt", "tls.key"]);
    assert!(
        fs::symlink_metadata(plain.join("tls.key"))
            .unwrap()
            .is_file()
    );

    let ca = CaDir::new(dir.join("ca"));
    let error = ca
        .lock_exclusive()
        .unwrap()
        .create(&big.cert, b"key")
        .unwrap_err();
    assert!(matches!(error, Error::DiskFull { .. }), "{error:?}");
    assert_words(&error, &["ca.crt", "--ca-dir"]);
    assert!(!ca.path().exists(), "{:?}", names(ca.path()));
}

#[test]
fn a_directory_without_permission_is_named() {
    let tmp = tempfile::tempdir().unwrap();
    // Root may write anywhere, unless it is without this capability.
    let is_root =
        fs::metadata("/proc/self").is_ok_and(|m| std::os::unix::fs::MetadataExt::uid(&m) == 0);
    let wrapper: &[&str] = if is_root {
        &[
            "setpriv",
            "--bounding-set=-dac_override,-dac_read_search",
            "--inh-caps=-all",
        ]
    } else {
        &["env"]
    };
    child::succeeds(wrapper, "write where not permitted", tmp.path());
}

pub(crate) fn write_where_not_permitted(dir: &Path) {
    let certs = dir.join("certs");
    write(&certs, &pair(1));
    fs::set_permissions(&certs, Permissions::from_mode(0o500)).unwrap();
    let error = CertDir::new(&certs).write(&pair(2), Force::No).unwrap_err();
    assert!(matches!(error, Error::Denied { .. }), "{error:?}");
    assert_words(
        &error,
        &[certs.to_str().unwrap(), "permission denied", "--cert-dir"],
    );
    assert_ours(&certs, &pair(1));

    let below = certs.join("below");
    let error = CertDir::new(&below).write(&pair(2), Force::No).unwrap_err();
    assert_words(
        &error,
        &[
            "create the directory",
            below.to_str().unwrap(),
            "permission denied",
        ],
    );

    fs::set_permissions(&certs, Permissions::from_mode(0o700)).unwrap();
    fs::set_permissions(certs.join("tls.key"), Permissions::from_mode(0o000)).unwrap();
    let error = CertDir::new(&certs).read().unwrap_err();
    assert_words(&error, &["cannot read", "tls.key", "permission denied"]);

    // An authority that may only be read is enough.
    let ca = CaDir::new(dir.join("ca"));
    ca.lock_exclusive()
        .unwrap()
        .create(b"cert", b"key")
        .unwrap();
    fs::set_permissions(ca.path(), Permissions::from_mode(0o500)).unwrap();
    assert!(ca.read().unwrap().is_complete());
    fs::set_permissions(ca.path(), Permissions::from_mode(0o700)).unwrap();
}

#[test]
fn a_read_only_file_system_is_named() {
    let tmp = tempfile::tempdir().unwrap();
    if !child::can_mount() {
        eprintln!("no tmpfs can be mounted here: not tested");
        return;
    }
    let mount = format!(
        r#"mount -t tmpfs -o ro none '{}' && exec "$0" "$@""#,
        tmp.path().display()
    );
    let wrapper = ["unshare", "--map-root-user", "--mount", "sh", "-c", &mount];
    child::succeeds(&wrapper, "write where read-only", tmp.path());
}

pub(crate) fn write_where_read_only(dir: &Path) {
    for dir in [dir.to_owned(), dir.join("certs")] {
        let error = CertDir::new(&dir).write(&pair(1), Force::No).unwrap_err();
        assert!(matches!(error, Error::ReadOnly { .. }), "{error:?}");
        assert_words(&error, &[dir.to_str().unwrap(), "read-only", "--cert-dir"]);
        assert_eq!(CertDir::new(&dir).read().unwrap(), Contents::Empty);
    }
}

#[test]
fn a_file_in_the_place_of_a_directory_is_named() {
    let tmp = tempfile::tempdir().unwrap();
    let file = tmp.path().join("file");
    fs::write(&file, "mine").unwrap();
    for dir in [file.clone(), file.join("certs"), file.join("a/b/c")] {
        for error in [
            CertDir::new(&dir).write(&pair(1), Force::Yes).unwrap_err(),
            CertDir::new(&dir).read().unwrap_err(),
        ] {
            assert!(matches!(error, Error::NotADirectory { .. }), "{error:?}");
            assert_words(
                &error,
                &[&format!("{} is a plain file", file.display()), "--cert-dir"],
            );
        }
        let error = CaDir::new(&dir).lock_exclusive().unwrap_err();
        assert_words(
            &error,
            &[&format!("{} is a plain file", file.display()), "--ca-dir"],
        );
    }
    assert_eq!(fs::read(&file).unwrap(), b"mine");
}

#[test]
fn links_that_lead_nowhere_or_in_a_circle_are_named() {
    let tmp = tempfile::tempdir().unwrap();
    let dangling = tmp.path().join("dangling");
    symlink("nothing", &dangling).unwrap();
    let error = CertDir::new(&dangling)
        .write(&pair(1), Force::Yes)
        .unwrap_err();
    assert_words(&error, &["dangling", "does not exist", "--cert-dir"]);

    let circle = tmp.path().join("circle");
    symlink("circle", &circle).unwrap();
    for error in [
        CertDir::new(&circle)
            .write(&pair(1), Force::Yes)
            .unwrap_err(),
        CertDir::new(&circle).read().unwrap_err(),
        CertDir::new(circle.join("certs"))
            .write(&pair(1), Force::Yes)
            .unwrap_err(),
    ] {
        assert_words(&error, &["circle", "--cert-dir"]);
    }

    let certs = tmp.path().join("certs");
    fs::create_dir(&certs).unwrap();
    symlink("tls.key", certs.join("tls.key")).unwrap();
    symlink("..data", certs.join("..data")).unwrap();
    let error = CertDir::new(&certs).read().unwrap_err();
    assert_words(&error, &["tls.key", "circle"]);
    CertDir::new(&certs).write(&pair(1), Force::No).unwrap_err();
    CertDir::new(&certs).write(&pair(1), Force::Yes).unwrap();
    assert_ours(&certs, &pair(1));
}
