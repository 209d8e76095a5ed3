//! The local authority's directory.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::sync::Barrier;
use std::thread;

use certtool::store::{CaDir, Error};

use crate::{mode, names};

#[test]
fn it_is_created_once_with_exact_modes() {
    let tmp = tempfile::tempdir().unwrap();
    let ca = CaDir::new(tmp.path().join("certtool/local-ca"));
    assert_eq!(ca.read().unwrap(), certtool::store::CaFiles::default());
    assert!(!ca.path().exists(), "reading creates nothing");
    ca.lock_exclusive()
        .unwrap()
        .create(b"cert", b"key")
        .unwrap();
    assert_eq!(mode(ca.path()), 0o700);
    assert_eq!(mode(ca.key_path()), 0o600);
    assert_eq!(mode(ca.cert_path()), 0o644);
    assert_eq!(names(ca.path()), ["ca.crt", "ca.key"]);
    let files = ca.read().unwrap();
    assert!(files.is_complete());
    assert!(
        !format!("{files:?}").contains(&format!("{:?}", b"key")),
        "{files:?}"
    );
}

#[test]
fn neither_file_is_ever_overwritten() {
    for existing in ["ca.crt", "ca.key"] {
        let tmp = tempfile::tempdir().unwrap();
        fs::write(tmp.path().join(existing), "mine").unwrap();
        let ca = CaDir::new(tmp.path());
        let error = ca
            .lock_exclusive()
            .unwrap()
            .create(b"cert", b"key")
            .unwrap_err();
        assert!(
            matches!(&error, Error::Exists { path, .. } if path.ends_with(existing)),
            "{error}"
        );
        assert_eq!(names(tmp.path()), [existing]);
        assert_eq!(fs::read(tmp.path().join(existing)).unwrap(), b"mine");
    }
}

#[test]
fn a_key_without_a_certificate_can_be_completed() {
    let tmp = tempfile::tempdir().unwrap();
    fs::write(tmp.path().join("ca.key"), "key").unwrap();
    // What a process killed before it gave the certificate its name leaves.
    fs::write(tmp.path().join(".ca.crt.certtool-0123abcd"), "half").unwrap();
    fs::write(tmp.path().join(".ca.crt.certtool-backup"), "mine").unwrap();
    let ca = CaDir::new(tmp.path());
    let guard = ca.lock_exclusive().unwrap();
    guard.add_cert(b"cert").unwrap();
    assert!(matches!(
        guard.add_cert(b"other").unwrap_err(),
        Error::Exists { .. }
    ));
    assert_eq!(
        names(tmp.path()),
        [".ca.crt.certtool-backup", "ca.crt", "ca.key"]
    );
    assert_eq!(guard.read().unwrap().cert.unwrap(), b"cert");
}

#[test]
fn processes_that_start_together_end_with_one_authority() {
    const STARTERS: usize = 8;
    let tmp = tempfile::tempdir().unwrap();
    let path = tmp.path().join("new/local-ca");
    let start = Barrier::new(STARTERS);
    let created: usize = thread::scope(|scope| {
        let starters: Vec<_> = (0..STARTERS)
            .map(|n| {
                let (path, start) = (&path, &start);
                scope.spawn(move || {
                    let ca = CaDir::new(path);
                    start.wait();
                    let guard = ca.lock_exclusive().unwrap();
                    if guard.read().unwrap().is_complete() {
                        return 0;
                    }
                    guard
                        .create(
                            format!("cert {n}").as_bytes(),
                            format!("key {n}").as_bytes(),
                        )
                        .unwrap();
                    1
                })
            })
            .collect();
        starters
            .into_iter()
            .map(|starter| starter.join().unwrap())
            .sum()
    });
    assert_eq!(created, 1);
    let files = CaDir::new(&path).read().unwrap();
    let cert = String::from_utf8(files.cert.unwrap()).unwrap();
    let key = String::from_utf8(files.key.unwrap()).unwrap();
    assert_eq!(cert.strip_prefix("cert "), key.strip_prefix("key "));
}

#[test]
fn a_key_that_others_may_read_is_reported() {
    let tmp = tempfile::tempdir().unwrap();
    let ca = CaDir::new(tmp.path());
    assert_eq!(ca.key_permissions_too_open().unwrap(), None);
    ca.lock_exclusive()
        .unwrap()
        .create(b"cert", b"key")
        .unwrap();
    assert_eq!(ca.key_permissions_too_open().unwrap(), None);
    for mode in [0o640, 0o604, 0o620] {
        fs::set_permissions(ca.key_path(), Permissions::from_mode(mode)).unwrap();
        assert_eq!(ca.key_permissions_too_open().unwrap(), Some(mode));
    }
}
