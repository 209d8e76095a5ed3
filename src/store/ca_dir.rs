//! The directory of a local authority: `ca.crt` and `ca.key`.

use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::error::Error;
use super::lock::{self, DirLock};
use super::secret_file::{self, Staged};
use super::{Access, CERT_MODE, Durability, fsops};

const CERT: &str = "ca.crt";
const KEY: &str = "ca.key";

/// A directory that holds an authority's certificate and its key.
///
/// To use it, or create it once however many processes start together: read;
/// if both files are there, use them, without a lock (the directory may be
/// read-only). Otherwise take the lock, read again, since another process may
/// have been faster, and only then create.
///
/// ```no_run
/// # use certtool::store::{CaDir, CaFiles, Error};
/// # fn make_authority() -> (Vec<u8>, Vec<u8>) { unimplemented!() }
/// # fn authority(dir: &CaDir) -> Result<CaFiles, Error> {
/// let files = dir.read()?;
/// if files.is_complete() {
///     return Ok(files);
/// }
/// let guard = dir.lock_exclusive()?;
/// let files = guard.read()?;
/// if files.is_complete() {
///     return Ok(files);
/// }
/// let (cert, key) = make_authority();
/// guard.create(&cert, &key)?;
/// # guard.read()
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct CaDir {
    path: PathBuf,
    flag: &'static str,
    lock_wait: Duration,
}

/// What an authority's directory holds.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct CaFiles {
    /// `ca.crt`.
    pub cert: Option<Vec<u8>>,
    /// `ca.key`.
    pub key: Option<Vec<u8>>,
}

impl CaFiles {
    /// Whether both files are there.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.cert.is_some() && self.key.is_some()
    }
}

impl fmt::Debug for CaFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cert, key } = self;
        let redacted = key.as_ref().map(|_| format_args!("(redacted)"));
        f.debug_struct("CaFiles")
            .field("cert", &cert.as_ref().map(Vec::len))
            .field("key", &redacted)
            .finish()
    }
}

impl CaDir {
    /// The directory at `path`, which need not exist.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            flag: "--ca-dir",
            lock_wait: lock::DEFAULT_WAIT,
        }
    }

    /// The option that errors advise to change; `--ca-dir` by default.
    #[must_use]
    pub fn chosen_by(mut self, flag: &'static str) -> Self {
        self.flag = flag;
        self
    }

    /// How long to wait for another process's lock; ten seconds by default.
    #[must_use]
    pub fn with_lock_wait(mut self, wait: Duration) -> Self {
        self.lock_wait = wait;
        self
    }

    /// The directory's path as it was given.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where the certificate is.
    #[must_use]
    pub fn cert_path(&self) -> PathBuf {
        self.path.join(CERT)
    }

    /// Where the private key is.
    #[must_use]
    pub fn key_path(&self) -> PathBuf {
        self.path.join(KEY)
    }

    /// Reads both files, without a lock and without writing. A missing directory
    /// has neither.
    ///
    /// # Errors
    /// When something other than a file has one of the names, or it cannot be read.
    pub fn read(&self) -> Result<CaFiles, Error> {
        // The certificate first: it is written last, so that whoever sees it
        // finds the key too.
        let cert = fsops::read(&self.cert_path(), self.flag)?;
        let key = fsops::read(&self.key_path(), self.flag)?;
        Ok(CaFiles { cert, key })
    }

    /// The key's mode, if it lets others than the owner read or write it: worth
    /// a warning, with `chmod 600`.
    ///
    /// # Errors
    /// When the key is there but its mode cannot be read.
    pub fn key_permissions_too_open(&self) -> Result<Option<u32>, Error> {
        let path = self.key_path();
        match fs::metadata(&path) {
            Ok(meta) => {
                let mode = meta.permissions().mode() & 0o777;
                Ok((mode & 0o077 != 0).then_some(mode))
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(Error::io("read", &path, self.flag, e)),
        }
    }

    /// Keeps other writers out. Creates the directory, mode 0700, if it is missing.
    ///
    /// # Errors
    /// When the directory cannot be created or opened, or another process does
    /// not release its lock in time.
    pub fn lock_exclusive(&self) -> Result<CaGuard<'_>, Error> {
        let mode = Access::Owner.dir_mode();
        let lock = DirLock::acquire(&self.path, mode, self.lock_wait, self.flag)?;
        Ok(CaGuard { dir: self, lock })
    }
}

/// The only writer of a [`CaDir`], until it is dropped.
#[derive(Debug)]
pub struct CaGuard<'a> {
    dir: &'a CaDir,
    lock: DirLock,
}

impl CaGuard<'_> {
    /// Reads both files, as [`CaDir::read`] does.
    ///
    /// # Errors
    /// As [`CaDir::read`].
    pub fn read(&self) -> Result<CaFiles, Error> {
        self.dir.read()
    }

    /// Writes a new authority and waits until the disk has it. The key gets its
    /// name first: a process killed between the two leaves a key without a
    /// certificate (see [`CaGuard::add_cert`]), never the reverse.
    ///
    /// # Errors
    /// [`Error::Exists`] when either file exists; otherwise when writing fails,
    /// and then neither is left behind.
    pub fn create(&self, cert: &[u8], key: &[u8]) -> Result<(), Error> {
        let result = self.create_both(cert, key);
        if result.is_err() {
            fsops::remove_dirs(self.lock.created());
        }
        result
    }

    fn create_both(&self, cert: &[u8], key: &[u8]) -> Result<(), Error> {
        let CaDir { flag, .. } = self.dir;
        let (cert_path, key_path) = (self.dir.cert_path(), self.dir.key_path());
        for existing in [&cert_path, &key_path] {
            if fs::symlink_metadata(existing).is_ok() {
                return Err(Error::Exists {
                    path: existing.clone(),
                    flag,
                });
            }
        }
        self.remove_leftovers()?;
        // Both are on the disk before either has its name; one sync of the
        // directory then covers both names.
        let staged_key = Staged::new(
            &key_path,
            key,
            Access::Owner.key_mode(),
            Durability::Durable,
            flag,
        )?;
        let staged_cert = Staged::new(&cert_path, cert, CERT_MODE, Durability::Durable, flag)?;
        staged_key.publish_new()?;
        staged_cert.publish_new().inspect_err(|_| {
            let _: io::Result<()> = fs::remove_file(&key_path);
        })?;
        self.sync()
    }

    /// Completes an authority of which only the key is there, after a kill in
    /// between. The caller makes the certificate from that key.
    ///
    /// # Errors
    /// [`Error::Exists`] when there is a certificate; otherwise when writing fails.
    pub fn add_cert(&self, cert: &[u8]) -> Result<(), Error> {
        let CaDir { flag, .. } = self.dir;
        self.remove_leftovers()?;
        let cert_path = self.dir.cert_path();
        Staged::new(&cert_path, cert, CERT_MODE, Durability::Durable, flag)?.publish_new()?;
        self.sync()
    }

    fn remove_leftovers(&self) -> Result<(), Error> {
        let CaDir { path, flag, .. } = self.dir;
        secret_file::remove_leftovers(path, &[KEY, CERT])
            .map_err(|e| Error::io("clean up", path, flag, e))
    }

    /// One sync, of the directory that holds the names. Journals are written in
    /// order, so that the entries of directories made just before go with it.
    fn sync(&self) -> Result<(), Error> {
        let CaDir { path, flag, .. } = self.dir;
        fsops::sync_dir(path).map_err(|e| Error::io("sync", path, flag, e))
    }
}
