//! Single files that appear whole or not at all, such as a private key.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::error::Error;
use super::{Durability, fsops};

/// What a temporary file's name contains, besides the name it is for.
const MARK: &str = ".certtool-";

/// Creates a file with exactly `mode`; one that exists stays as it is. `flag`
/// is the option that errors advise to change.
///
/// # Errors
/// [`Error::Exists`] when something has the name already; otherwise when the
/// file cannot be written, and then nothing is left behind.
pub fn write_new(
    path: &Path,
    bytes: &[u8],
    mode: u32,
    durability: Durability,
    flag: &'static str,
) -> Result<(), Error> {
    match fsops::create_linked(path, bytes, mode, durability == Durability::Durable) {
        Ok(Some(())) => {}
        Ok(None) => Staged::new(path, bytes, mode, durability, flag)?.publish_new()?,
        Err(error) => return Err(unpublished(path, flag, error)),
    }
    sync_parent(path, durability, flag)
}

/// Creates a file with exactly `mode`, or replaces the one that has the name, in
/// one step. For files that the caller knows to be its own. A symbolic link is
/// replaced, not followed.
///
/// # Errors
/// When the file cannot be written; the old one is unchanged then.
pub fn write_replace(
    path: &Path,
    bytes: &[u8],
    mode: u32,
    durability: Durability,
    flag: &'static str,
) -> Result<(), Error> {
    Staged::new(path, bytes, mode, durability, flag)?.publish_over()?;
    sync_parent(path, durability, flag)
}

/// Reads a small regular file; `None` if there is none.
///
/// # Errors
/// When something other than a file has the name, or it cannot be read, or is
/// larger than a certificate or key can be.
pub fn read(path: &Path, flag: &'static str) -> Result<Option<Vec<u8>>, Error> {
    fsops::read(path, flag)
}

fn sync_parent(path: &Path, durability: Durability, flag: &'static str) -> Result<(), Error> {
    match durability {
        Durability::Durable => {
            let dir = parent(path);
            fsops::sync_dir(dir).map_err(|e| Error::io("sync", dir, flag, e))
        }
        Durability::Fast => Ok(()),
    }
}

fn parent(path: &Path) -> &Path {
    path.parent()
        .filter(|p| !p.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
}

fn unpublished(path: &Path, flag: &'static str, error: io::Error) -> Error {
    if error.kind() == io::ErrorKind::AlreadyExists {
        Error::Exists {
            path: path.to_owned(),
            flag,
        }
    } else {
        Error::io("write", path, flag, error)
    }
}

/// A complete file under a temporary name in the directory of its final one;
/// removed on drop unless it was published.
#[derive(Debug)]
pub(super) struct Staged<'a> {
    path: &'a Path,
    temporary: PathBuf,
    flag: &'static str,
}

impl<'a> Staged<'a> {
    pub(super) fn new(
        path: &'a Path,
        bytes: &[u8],
        mode: u32,
        durability: Durability,
        flag: &'static str,
    ) -> Result<Self, Error> {
        let fail = |e| Error::io("write", path, flag, e);
        let name = path.file_name().ok_or_else(|| {
            fail(io::Error::new(
                io::ErrorKind::InvalidInput,
                "not a file name",
            ))
        })?;
        let mut temporary = std::ffi::OsString::from(".");
        temporary.push(name);
        temporary.push(MARK);
        temporary.push(fsops::random_suffix());
        let staged = Self {
            path,
            temporary: path.with_file_name(temporary),
            flag,
        };
        let file: File = fsops::create(&staged.temporary, bytes, mode).map_err(fail)?;
        if durability == Durability::Durable {
            file.sync_data().map_err(fail)?;
        }
        Ok(staged)
    }

    /// Gives the file its name, unless something has it.
    pub(super) fn publish_new(self) -> Result<(), Error> {
        // rename(2) would overwrite; link(2) does not.
        fs::hard_link(&self.temporary, self.path)
            .map_err(|error| unpublished(self.path, self.flag, error))
    }

    /// Gives the file its name, in the place of whatever has it.
    pub(super) fn publish_over(self) -> Result<(), Error> {
        fs::rename(&self.temporary, self.path)
            .map_err(|e| Error::io("replace", self.path, self.flag, e))
    }
}

impl Drop for Staged<'_> {
    fn drop(&mut self) {
        let _: io::Result<()> = fs::remove_file(&self.temporary);
    }
}

/// Removes what killed writers of these files left. Only where no writer can be
/// alive: under a lock.
///
/// # Errors
/// When the directory cannot be read, or a file of it not removed.
pub fn remove_leftovers(dir: &Path, names: &[&str]) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let file_name = entry.file_name();
        let is_leftover = file_name.to_str().is_some_and(|file_name| {
            names.iter().any(|name| {
                file_name
                    .strip_prefix('.')
                    .and_then(|rest| rest.strip_prefix(name))
                    .and_then(|rest| rest.strip_prefix(MARK))
                    .is_some_and(|random| {
                        random.len() == 8 && random.bytes().all(|b| b.is_ascii_hexdigit())
                    })
            })
        });
        if is_leftover {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}
