//! Noticing that somebody changed a certificate directory.
//!
//! The kernel's notifications are quick and not to be relied upon: there may be no watch left
//! for this user, a network file system has none, and a directory that is replaced takes its
//! watch along. So they only say when to look; a slow poll with [`CertDir::stamp`] looks too.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};

use super::cert_dir::CertDir;
use super::layout::{CA, CERT, DATA, KEY};

/// What a cheap look at the directory shows: it differs whenever a file of the pair was
/// replaced, written to, or given other rights.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Stamp {
    directory: Option<(u64, u64)>,
    data: Option<PathBuf>,
    files: [Option<FileStamp>; 3],
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct FileStamp {
    identity: (u64, u64),
    size: u64,
    changed: (i64, i64),
    mode: u32,
}

impl CertDir {
    /// A cheap look, without reading any file.
    #[must_use]
    pub fn stamp(&self) -> Stamp {
        let look = |name: &str| {
            let meta = fs::metadata(self.path().join(name)).ok()?;
            Some(FileStamp {
                identity: (meta.dev(), meta.ino()),
                size: meta.len(),
                changed: (meta.ctime(), meta.ctime_nsec()),
                mode: meta.mode(),
            })
        };
        Stamp {
            directory: identity(self.path()),
            data: fs::read_link(self.path().join(DATA)).ok(),
            files: [CERT, KEY, CA].map(look),
        }
    }
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    let meta = fs::metadata(path).ok()?;
    Some((meta.dev(), meta.ino()))
}

/// The directory, and where its `..data` leads: files there can be written to as well.
type Target = ((u64, u64), Option<PathBuf>);

/// A watch on a directory; it ends when this is dropped.
pub struct DirWatch {
    path: PathBuf,
    changed: Arc<dyn Fn() + Send + Sync>,
    watched: Option<(Target, RecommendedWatcher)>,
}

impl std::fmt::Debug for DirWatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { path, watched, .. } = self;
        f.debug_struct("DirWatch")
            .field("path", path)
            .field("is_watched", &watched.is_some())
            .finish()
    }
}

impl DirWatch {
    /// Calls `changed`, from a thread of its own, whenever something in the directory may have
    /// changed.
    pub fn start(path: impl Into<PathBuf>, changed: impl Fn() + Send + Sync + 'static) -> Self {
        let mut watch = Self {
            path: path.into(),
            changed: Arc::new(changed),
            watched: None,
        };
        watch.refresh();
        watch
    }

    /// Watches the directory that has the path now, and the data directory that is in force, if
    /// these are others than before. To be called at every poll.
    pub fn refresh(&mut self) {
        let now = self.target();
        if self.watched.as_ref().map(|(target, _)| target) == now.as_ref() {
            return;
        }
        self.watched = None;
        let Some(now) = now else { return };
        let changed = Arc::clone(&self.changed);
        let handler = move |event: notify::Result<notify::Event>| {
            // Reading is no change, and would make whoever reads on a change go in circles.
            let is_access = event.is_ok_and(|event| matches!(event.kind, EventKind::Access(_)));
            if !is_access {
                changed();
            }
        };
        let Ok(mut watcher) = notify::recommended_watcher(handler) else {
            return;
        };
        let mode = RecursiveMode::NonRecursive;
        if watcher.watch(&self.path, mode).is_err() {
            return;
        }
        if let Some(data) = &now.1 {
            let _ = watcher.watch(data, mode);
        }
        self.watched = Some((now, watcher));
    }

    fn target(&self) -> Option<Target> {
        let data = fs::canonicalize(self.path.join(DATA)).ok();
        Some((identity(&self.path)?, data))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;
    use crate::store::{Force, Pair};

    fn pair(text: &str) -> Pair {
        Pair {
            cert: text.as_bytes().to_vec(),
            key: b"key".to_vec(),
            ca: None,
        }
    }

    #[test]
    fn a_stamp_changes_with_every_change_and_with_nothing_else() {
        let tmp = tempfile::tempdir().unwrap();
        let dir = CertDir::new(tmp.path().join("serving"));
        let mut seen = vec![dir.stamp()];
        let mut differs = |what: &str| {
            let now = dir.stamp();
            assert!(!seen.contains(&now), "{what}");
            assert_eq!(now, dir.stamp(), "{what}");
            seen.push(now);
        };
        dir.write(&pair("one"), Force::No).unwrap();
        differs("a first pair");
        dir.write(&pair("two"), Force::No).unwrap();
        differs("a second pair");
        fs::write(dir.path().join(CERT), "2wo").unwrap();
        differs("a file that was written to");
        fs::remove_file(dir.path().join(KEY)).unwrap();
        differs("a file that was removed");
        fs::remove_dir_all(dir.path()).unwrap();
        assert_eq!(dir.stamp(), Stamp::default());
    }

    #[test]
    fn a_directory_that_appears_or_is_replaced_is_watched() {
        let tmp = tempfile::tempdir().unwrap();
        let path = tmp.path().join("serving");
        let (sender, told) = mpsc::channel();
        let mut watch = DirWatch::start(&path, move || {
            let _ = sender.send(());
        });
        for _ in 0..2 {
            let dir = CertDir::new(&path);
            dir.write(&pair("one"), Force::No).unwrap();
            watch.refresh();
            while told.recv_timeout(Duration::from_millis(100)).is_ok() {}
            dir.write(&pair("two"), Force::No).unwrap();
            told.recv_timeout(Duration::from_secs(10)).unwrap();
            fs::remove_dir_all(&path).unwrap();
            watch.refresh();
        }
    }
}
