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
fn of_many_writers_one_wins_and_readers_see_all_of_it_or_nothing() {
    let tmp = tempfile::tempdir().unwrap();
    let path = tmp.path().join("leaf.crt");
    for round in 0..50 {
        let _ = fs::remove_file(&path);
        let content = |writer: u8| vec![b'a' + writer; 10_000];
        let results: Vec<_> = std::thread::scope(|scope| {
            let reader = scope.spawn(|| {
                loop {
                    if let Some(seen) = read(&path, "--out").unwrap() {
                        return seen;
                    }
                }
            });
            let writers: Vec<_> = (0..4)
                .map(|writer| {
                    let (path, content) = (&path, &content);
                    scope.spawn(move || {
                        write_new(path, &content(writer), 0o666, Durability::Fast, "--out")
                    })
                })
                .collect();
            let results = writers.into_iter().map(|one| one.join().unwrap()).collect();
            assert_eq!(reader.join().unwrap().len(), 10_000, "round {round}");
            results
        });
        let won: Vec<u8> = (0..4)
            .filter(|one| results[usize::from(*one)].is_ok())
            .collect();
        assert_eq!(won.len(), 1, "round {round}: {results:?}");
        assert_eq!(fs::read(&path).unwrap(), content(won[0]));
        assert_eq!(mode(&path), 0o666, "exactly, whatever the umask");
        assert_eq!(names(tmp.path()), ["leaf.crt"]);
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
