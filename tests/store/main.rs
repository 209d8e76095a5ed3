//! The store as its callers see it: files, links, modes, and what it refuses.

#![allow(clippy::unwrap_used, clippy::panic)] // clippy.toml permits it in #[test] functions alone

mod ca_dir;
mod cert_dir;
mod child;
mod disk;
mod foreign;
mod secret_file;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use certtool::store::{CertDir, Contents, Force, Origin, Pair, Written};

/// A pair whose three files say which generation they are of.
fn pair(generation: u32) -> Pair {
    Pair {
        cert: format!("certificate {generation}").into_bytes(),
        key: format!("key {generation}").into_bytes(),
        ca: Some(format!("authority {generation}").into_bytes()),
    }
}

fn pair_without_ca(generation: u32) -> Pair {
    Pair {
        ca: None,
        ..pair(generation)
    }
}

fn mode(path: impl AsRef<Path>) -> u32 {
    let path = path.as_ref();
    let meta = fs::symlink_metadata(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    meta.permissions().mode() & 0o7777
}

/// The names in a directory, sorted.
fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// The data directories and leftovers, sorted.
fn generations(dir: &Path) -> Vec<String> {
    let mut names = names(dir);
    names.retain(|name| name.starts_with("..certtool-"));
    names
}

fn write(dir: &Path, pair: &Pair) -> Written {
    CertDir::new(dir).write(pair, Force::No).unwrap()
}

#[track_caller]
fn assert_ours(dir: &Path, expected: &Pair) {
    let contents = CertDir::new(dir).read().unwrap();
    let expected = Contents::Pair {
        pair: expected.clone(),
        origin: Origin::Ours,
    };
    assert_eq!(contents, expected);
    for (name, bytes) in [
        ("tls.crt", pair_bytes(&expected).0),
        ("tls.key", pair_bytes(&expected).1),
    ] {
        assert_eq!(
            fs::read(dir.join(name)).unwrap(),
            bytes,
            "{name} by its path"
        );
    }
}

fn pair_bytes(contents: &Contents) -> (Vec<u8>, Vec<u8>) {
    let pair = contents.clone().into_pair().unwrap();
    (pair.cert, pair.key)
}
