//! The directory from which a webhook server reads its certificate.

use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::error::{Error, Found};
use super::generation::{self, Generation};
use super::layout::{DATA, Data, Layout, Name, is_mounted, link_text};
use super::lock::{self, DirLock};
use super::{Access, CA, CERT, Contents, Durability, Foreign, KEY, Origin, Pair, adopt, fsops};

/// A directory with `tls.crt`, `tls.key` and perhaps `ca.crt`.
///
/// The three are links into a data directory that is swapped as a whole, as the
/// kubelet swaps a mounted Secret:
/// a reader that resolves `..data` once sees one generation, and one that opens
/// the files by their own paths can at worst straddle a swap for an instant.
/// The generation before the current one stays until the next write, for
/// readers that resolved it; older ones, and what killed writers left, go.
///
/// ```no_run
/// use certtool::store::{CertDir, Force, Pair};
///
/// let dir = CertDir::new("/tmp/k8s-webhook-server/serving-certs");
/// let pair = Pair { cert: b"...".to_vec(), key: b"...".to_vec(), ca: None };
/// dir.write(&pair, Force::No)?;
/// # Ok::<(), certtool::store::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct CertDir {
    path: PathBuf,
    flag: &'static str,
    access: Access,
    durability: Durability,
    lock_wait: Duration,
}

/// Whether a write may replace what certtool did not write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Force {
    /// Refuse, naming the file in the way.
    #[default]
    No,
    /// Replace `tls.crt`, `tls.key`, `ca.crt` and `..data`, and nothing else.
    Yes,
}

/// What a write did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Written {
    /// The directory already held these bytes, as certtool writes them.
    Unchanged,
    /// The pair is in force.
    Swapped {
        /// The new data directory.
        data_dir: PathBuf,
        /// Names that something else had written and that were replaced.
        replaced: Vec<&'static str>,
    },
}

impl CertDir {
    /// The directory at `path`, which need not exist.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            flag: "--cert-dir",
            access: Access::default(),
            durability: Durability::default(),
            lock_wait: lock::DEFAULT_WAIT,
        }
    }

    /// The option that errors advise to change; `--cert-dir` by default.
    #[must_use]
    pub fn chosen_by(mut self, flag: &'static str) -> Self {
        self.flag = flag;
        self
    }

    /// Who may read the key; its owner alone by default.
    #[must_use]
    pub fn with_access(mut self, access: Access) -> Self {
        self.access = access;
        self
    }

    /// Whether writes wait for the disk; not by default, since a leaf can be
    /// made again.
    #[must_use]
    pub fn with_durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// How long a write waits for another writer; ten seconds by default.
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

    /// Reads the pair that is in force, all of it from one generation, without
    /// a lock and without writing. A missing directory is [`Contents::Empty`].
    ///
    /// # Errors
    /// When something other than a directory or file is in the way, or a file
    /// cannot be read.
    pub fn read(&self) -> Result<Contents, Error> {
        // A retry means that a writer has swapped twice within one read.
        const ATTEMPTS: usize = 1000;
        for _ in 0..ATTEMPTS {
            let layout = Layout::inspect(&self.path, self.flag)?;
            let contents = self.read_layout(&layout)?;
            // Without a `ca.crt` the names may have been looked at during a swap.
            let complete = matches!(&contents, Contents::Pair { pair, .. } if pair.ca.is_some());
            if complete || Layout::inspect(&self.path, self.flag)? == layout {
                return Ok(contents);
            }
        }
        Err(Error::Restless {
            path: self.path.clone(),
        })
    }

    /// Whether the key's mode lets in whom it should, and nobody else but a group: a volume with an
    /// `fsGroup` gives that its rights. Without a key there is nobody to let in.
    #[must_use]
    pub fn guards_key(&self) -> bool {
        let wanted = self.access.key_mode();
        fs::metadata(self.path.join(KEY)).map_or(true, |meta| {
            let mode = meta.permissions().mode();
            mode & wanted == wanted && mode & 0o007 == 0
        })
    }

    fn read_layout(&self, layout: &Layout) -> Result<Contents, Error> {
        // What the names that are links into `..data` mean: resolved once, here,
        // and never again while the files are read.
        let (base, through) = match &layout.data {
            // Links to nothing, of a first write that is going on or was killed.
            Data::Absent => (None, Origin::Ours),
            Data::Ours(generation) => (Some(generation.path(&self.path)), Origin::Ours),
            Data::Elsewhere(target) => {
                let foreign = if is_mounted(target) {
                    Foreign::Mounted {
                        target: target.display().to_string(),
                    }
                } else {
                    Foreign::Plain
                };
                (Some(self.path.join(target)), Origin::Foreign(foreign))
            }
            Data::NotALink(_) => (Some(self.path.join(DATA)), Origin::Foreign(Foreign::Plain)),
        };
        let read = |name: &str, entry: &Name| match (entry, &base) {
            (Name::Absent, _) | (Name::Linked, None) => Ok(None),
            (Name::Linked, Some(base)) => fsops::read(&base.join(name), self.flag),
            (Name::Foreign(_), _) => fsops::read(&self.path.join(name), self.flag),
        };
        let is_foreign = |entry| matches!(entry, &Name::Foreign(_));
        let origin = if is_foreign(&layout.cert) || is_foreign(&layout.key) {
            Origin::Foreign(Foreign::Plain)
        } else {
            through
        };
        // `ca.crt` first: it is the last to go when a generation is removed, so
        // a pair without it is one that never had it.
        let ca = read(CA, &layout.ca)?;
        let key = read(KEY, &layout.key)?;
        let cert = read(CERT, &layout.cert)?;
        Ok(Contents::new(cert, key, ca, origin))
    }

    /// Puts a pair in force: [`CertDir::lock`], then [`CertDirGuard::write`].
    ///
    /// # Errors
    /// Theirs.
    pub fn write(&self, pair: &Pair, force: Force) -> Result<Written, Error> {
        self.lock()?.write(pair, force)
    }

    /// Keeps other writers out, so that what is read under the lock is still
    /// true when it is replaced. Creates the directory if it is missing.
    ///
    /// # Errors
    /// When the directory cannot be created or opened, or another writer does
    /// not finish in time.
    pub fn lock(&self) -> Result<CertDirGuard<'_>, Error> {
        let lock = DirLock::acquire(
            &self.path,
            self.access.dir_mode(),
            self.lock_wait,
            self.flag,
        )?;
        Ok(CertDirGuard { dir: self, lock })
    }
}

/// The only writer of a [`CertDir`], until it is dropped.
#[derive(Debug)]
pub struct CertDirGuard<'a> {
    dir: &'a CertDir,
    lock: DirLock,
}

impl CertDirGuard<'_> {
    /// Reads the pair that is in force, as [`CertDir::read`] does.
    ///
    /// # Errors
    /// As [`CertDir::read`].
    pub fn read(&self) -> Result<Contents, Error> {
        self.dir.read()
    }

    /// Puts a pair in force, in one step. Writes nothing when the same pair
    /// already is, with the right modes.
    ///
    /// The order makes the step atomic on a first write too: the data directory
    /// is complete, then the three names are made as links that lead nowhere
    /// yet, then the rename of `..data` lets all of them appear at once.
    ///
    /// # Errors
    /// When something that certtool did not write is in the way and `force` is
    /// [`Force::No`], or when writing fails; then the old pair is in force.
    pub fn write(&self, pair: &Pair, force: Force) -> Result<Written, Error> {
        self.write_pair(pair, force)
            // A failed first write leaves no empty directories either.
            .inspect_err(|_| fsops::remove_dirs(self.lock.created()))
    }

    /// Whether a pair could be written here, with `ca.crt` if `with_ca`: tried with an empty data
    /// directory, which is removed again. So that no certificate is asked for in vain.
    ///
    /// # Errors
    /// Those of [`CertDirGuard::write`], as far as they can be known before.
    pub fn check_writable(&self, with_ca: bool, force: Force) -> Result<(), Error> {
        self.try_out(with_ca, force)
            .inspect_err(|_| fsops::remove_dirs(self.lock.created()))
    }

    fn try_out(&self, with_ca: bool, force: Force) -> Result<(), Error> {
        let CertDir {
            path: dir,
            flag,
            access,
            durability,
            ..
        } = self.dir;
        let layout = Layout::inspect(dir, flag)?;
        let pair = Pair {
            cert: Vec::new(),
            key: Vec::new(),
            ca: with_ca.then(Vec::new),
        };
        self.check(&layout.in_the_way(with_ca), &pair, &layout, force)?;
        let tried = Generation::create(dir, &[(CERT, b"")], *access, *durability, flag)?;
        tried.remove(dir);
        Ok(())
    }

    fn write_pair(&self, pair: &Pair, force: Force) -> Result<Written, Error> {
        let CertDir {
            path: dir,
            flag,
            access,
            durability,
            ..
        } = self.dir;
        let layout = Layout::inspect(dir, flag)?;
        let in_the_way = layout.in_the_way(pair.ca.is_some());
        self.check(&in_the_way, pair, &layout, force)?;
        if in_the_way.is_empty() && self.is_in_force(pair, &layout)? {
            return Ok(Written::Unchanged);
        }

        let fail = |e| Error::io("write to", dir, flag, e);
        generation::remove_stale(dir, layout.generation()).map_err(fail)?;
        let mut files = vec![(KEY, pair.key.as_slice()), (CERT, pair.cert.as_slice())];
        files.extend(pair.ca.as_deref().map(|ca| (CA, ca)));
        let new = Generation::create(dir, &files, *access, *durability, flag)?;

        let mut undo = Undo {
            dir,
            generation: &new,
            links: Vec::new(),
            armed: true,
        };
        let mut layout = layout;
        if !in_the_way.is_empty() {
            adopt::adopt(dir, &in_the_way, &layout, *access, *durability, flag)?;
            layout = Layout::inspect(dir, flag)?;
        }
        for (name, entry) in layout.names() {
            if *entry == Name::Absent && (name != CA || pair.ca.is_some()) {
                symlink(link_text(name), dir.join(name)).map_err(fail)?;
                undo.links.push(name);
            }
        }
        new.swap_in(dir).map_err(fail)?;
        undo.armed = false;

        if pair.ca.is_none() && layout.ca == Name::Linked {
            // Ours, and it leads to nothing now.
            fs::remove_file(dir.join(CA)).map_err(fail)?;
        }
        if *durability == Durability::Durable {
            fsops::sync_dir(dir).map_err(fail)?;
        }
        if let Some(old) = layout.generation() {
            old.renew_inodes(dir);
        }
        Ok(Written::Swapped {
            data_dir: new.path(dir),
            replaced: in_the_way.into_iter().map(|(name, _)| name).collect(),
        })
    }

    /// Refuses what may not be replaced, before anything is written.
    fn check(
        &self,
        in_the_way: &[(&'static str, Found)],
        pair: &Pair,
        layout: &Layout,
        force: Force,
    ) -> Result<(), Error> {
        let CertDir {
            path: dir, flag, ..
        } = self.dir;
        for (name, found) in in_the_way {
            let (path, found) = (dir.join(name), found.clone());
            if force == Force::No {
                return Err(Error::Foreign { path, found, flag });
            }
            if found == Found::Directory {
                return Err(Error::Irreplaceable { path, found, flag });
            }
        }
        if matches!(layout.data, Data::Elsewhere(_)) {
            let written: &[&str] = if pair.ca.is_some() {
                &[CERT, KEY, CA]
            } else {
                &[CERT, KEY]
            };
            adopt::check_dependents(dir, written, flag)?;
        }
        Ok(())
    }

    fn is_in_force(&self, pair: &Pair, layout: &Layout) -> Result<bool, Error> {
        let CertDir {
            path: dir, access, ..
        } = self.dir;
        let Some(generation) = layout.generation() else {
            return Ok(false);
        };
        if layout.cert != Name::Linked || layout.key != Name::Linked {
            return Ok(false);
        }
        let key = generation.path(dir).join(KEY);
        let mode = fs::symlink_metadata(key).map_or(0, |meta| meta.permissions().mode() & 0o777);
        let current = self.dir.read_layout(layout)?;
        let ca_is_ours = !matches!(layout.ca, Name::Foreign(_));
        Ok(mode == access.key_mode()
            && match current {
                Contents::Pair {
                    pair: current,
                    origin: Origin::Ours,
                } => {
                    current.cert == pair.cert
                        && current.key == pair.key
                        && (current.ca == pair.ca || !ca_is_ours)
                }
                _ => false,
            })
    }
}

/// Takes an unfinished write back.
struct Undo<'a> {
    dir: &'a Path,
    generation: &'a Generation,
    links: Vec<&'static str>,
    armed: bool,
}

impl Drop for Undo<'_> {
    fn drop(&mut self) {
        if self.armed {
            for name in &self.links {
                let _: io::Result<()> = fs::remove_file(self.dir.join(name));
            }
            self.generation.remove(self.dir);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_first_write_during_a_read_is_not_read_in_part() {
        let tmp = tempfile::tempdir().unwrap();
        for name in [CA, KEY, CERT] {
            symlink(link_text(name), tmp.path().join(name)).unwrap();
        }
        let dir = CertDir::new(tmp.path());
        let seen_before = Layout::inspect(tmp.path(), dir.flag).unwrap();
        let pair = Pair {
            cert: b"certificate".to_vec(),
            key: b"key".to_vec(),
            ca: Some(b"authority".to_vec()),
        };
        dir.write(&pair, Force::No).unwrap();
        // The next look at the names finds that they have changed.
        assert_eq!(dir.read_layout(&seen_before).unwrap(), Contents::Empty);
        assert_eq!(dir.read().unwrap().into_pair(), Some(pair));
    }
}
