//! Single files that appear whole or not at all.

use std::fs;
use std::path::Path;

use certtool::store::secret_file::{read, write_new, write_replace};
use certtool::store::{Durability, Error};

use crate::{mode, names};

#[test]
fn a_new_file_never_overwrites() {
    let tmp = tempfile::tempdir().unwrap();
    let path = tmp.path().join("server-key.pem");
    for durability in [Durability::Durable, Durability::Fast] {
        let _ = fs::remove_file(&path);
        write_new(&path, b"key", 0o600, durability, "--out-dir").unwrap();
        assert_eq!(mode(&path), 0o600);
        let error = write_new(&path, b"other", 0o600, durability, "--out-dir").unwrap_err();
        assert!(matches!(error, Error::Exists { .. }), "{error}");
        assert!(error.to_string().contains("--out-dir"));
        assert_eq!(read(&path, "--out-dir").unwrap().unwrap(), b"key");
        assert_eq!(names(tmp.path()), ["server-key.pem"]);
    }
}

#[test]
fn a_link_to_nothing_is_not_followed() {
    let tmp = tempfile::tempdir().unwrap();
    let path = tmp.path().join("ca.key");
    std::os::unix::fs::symlink("elsewhere", &path).unwrap();
    assert_eq!(read(&path, "--out-dir").unwrap(), None);
    write_new(&path, b"key", 0o600, Durability::Fast, "--out-dir").unwrap_err();
    write_replace(&path, b"key", 0o600, Durability::Fast, "--out-dir").unwrap();
    assert_eq!(names(tmp.path()), ["ca.key"]);
    assert!(fs::symlink_metadata(&path).unwrap().is_file());
}

#[test]
fn a_replaced_file_gets_the_new_mode() {
    let tmp = tempfile::tempdir().unwrap();
    let path = tmp.path().join("record.json");
    fs::write(&path, "old").unwrap();
    write_replace(&path, b"new", 0o600, Durability::Durable, "--state-dir").unwrap();
    assert_eq!(
        (mode(&path), fs::read(&path).unwrap()),
        (0o600, b"new".to_vec())
    );
}

#[test]
fn a_missing_directory_or_name_is_an_error_that_names_the_path() {
    let tmp = tempfile::tempdir().unwrap();
    for path in [tmp.path().join("missing/file"), Path::new("/").to_owned()] {
        let error = write_new(&path, b"x", 0o600, Durability::Fast, "--out-dir").unwrap_err();
        assert!(
            error.to_string().contains(path.to_str().unwrap()),
            "{error}"
        );
    }
}
