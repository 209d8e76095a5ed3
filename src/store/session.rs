//! Sessions: processes that put back by themselves what they attached, and how others see
//! that one was killed.
//!
//! A session holds a lock on a file of its own, which the kernel releases however the
//! process ends: a number that was given to another process cannot mislead.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::error::Error;
use super::{Access, fsops};

/// The option that errors advise to change: there is none but the environment.
const FLAG: &str = "$XDG_STATE_HOME";

/// A session of this process; it ends when this is dropped.
#[derive(Debug)]
pub struct Session {
    id: String,
    path: PathBuf,
    _lock: File,
}

impl Session {
    /// Begins the session `id`, which nobody else has, with a file in `directory`.
    ///
    /// # Errors
    /// When the file cannot be made or locked.
    pub fn begin(directory: &Path, id: &str) -> Result<Self, Error> {
        fsops::ensure_dir(directory, Access::Owner.dir_mode(), FLAG)?;
        let path = path(directory, id);
        let fail = |error| Error::io("create", &path, FLAG, error);
        let lock = File::create_new(&path).map_err(fail)?;
        lock.lock().map_err(fail)?;
        Ok(Self {
            id: id.to_owned(),
            path,
            _lock: lock,
        })
    }

    /// Its name.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Whether the session's process still lives. The file of one that does not is removed.
    #[must_use]
    pub fn lives(directory: &Path, id: &str) -> bool {
        let path = path(directory, id);
        match File::open(&path).map(|file| file.try_lock()) {
            Ok(Ok(())) => {
                let _ = fs::remove_file(&path);
                false
            }
            Err(error) if error.kind() == ErrorKind::NotFound => false,
            // Held by it; or who knows, and then nothing is taken from it.
            Ok(Err(_)) | Err(_) => true,
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

fn path(directory: &Path, id: &str) -> PathBuf {
    directory.join(format!("session-{id}.lock"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_lives_until_it_is_dropped() {
        let directory = tempfile::tempdir().unwrap();
        let session = Session::begin(directory.path(), "a").unwrap();
        assert!(Session::lives(directory.path(), "a"));
        assert!(!Session::lives(directory.path(), "b"));
        drop(session);
        assert!(!Session::lives(directory.path(), "a"));
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    }

    #[test]
    fn what_a_killed_session_left_is_removed_when_it_is_asked_for() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(path(directory.path(), "a"), "").unwrap();
        assert!(!Session::lives(directory.path(), "a"));
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    }
}
