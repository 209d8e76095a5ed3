//! Writers of a directory take turns: an exclusive lock on the directory itself,
//! which leaves no file behind and which the kernel releases when its holder dies.

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use super::error::Error;
use super::fsops;

/// How long a writer waits for another one. A write takes a millisecond.
pub(super) const DEFAULT_WAIT: Duration = Duration::from_secs(10);

const FIRST_PAUSE: Duration = Duration::from_micros(200);
const LONGEST_PAUSE: Duration = Duration::from_millis(20);

/// An exclusive lock on a directory, released on drop.
#[derive(Debug)]
pub(super) struct DirLock {
    _handle: File,
    created: Vec<PathBuf>,
}

impl DirLock {
    /// Creates the directory if it is missing, and waits for the lock.
    pub(super) fn acquire(
        path: &Path,
        mode: u32,
        wait: Duration,
        flag: &'static str,
    ) -> Result<Self, Error> {
        let fail = |e| Error::io("lock", path, flag, e);
        let start = Instant::now();
        let mut created = Vec::new();
        loop {
            created.extend(fsops::ensure_dir(path, mode, flag)?);
            let handle = match File::open(path) {
                Ok(handle) => handle,
                // Removed since, by a writer that failed and took it back.
                Err(e) if e.kind() == io::ErrorKind::NotFound && start.elapsed() < wait => continue,
                Err(e) => return Err(fail(e)),
            };
            lock(&handle, path, start, wait, flag)?;
            if is_still_at(&handle, path).map_err(fail)? {
                return Ok(Self {
                    _handle: handle,
                    created,
                });
            }
            if start.elapsed() >= wait {
                return Err(Error::Restless {
                    path: path.to_owned(),
                });
            }
        }
    }

    /// The directories that were created for the lock, outermost first.
    pub(super) fn created(&self) -> &[PathBuf] {
        &self.created
    }
}

fn lock(
    handle: &File,
    path: &Path,
    start: Instant,
    wait: Duration,
    flag: &'static str,
) -> Result<(), Error> {
    let mut pause = FIRST_PAUSE;
    loop {
        match handle.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) if start.elapsed() < wait => {
                thread::sleep(pause);
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
            Err(TryLockError::WouldBlock) => {
                return Err(Error::Locked {
                    path: path.to_owned(),
                    waited: wait,
                });
            }
            Err(TryLockError::Error(e)) => return Err(Error::io("lock", path, flag, e)),
        }
    }
}

/// Whether the locked directory is the one that the path leads to now.
fn is_still_at(handle: &File, path: &Path) -> io::Result<bool> {
    let locked = handle.metadata()?;
    match fs::metadata(path) {
        Ok(now) => Ok(now.dev() == locked.dev() && now.ino() == locked.ino()),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(e),
    }
}
