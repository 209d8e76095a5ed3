//! One generation of the pair: a data directory that is complete before any
//! link leads to it, and never changes what it says afterwards.

use std::ffi::OsStr;
use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use time::OffsetDateTime;
use time::macros::format_description;

use super::error::Error;
use super::fsops;
use super::layout::{CA, CERT, DATA, KEY};
use super::{Access, CERT_MODE, Durability};

/// How certtool knows its own data directories. Two dots as the kubelet has
/// them: programs that list a directory of certificates skip such names.
const PREFIX: &str = "..certtool-";

/// Certificates in it are public and its key has its own mode, so the data
/// directory may be entered by whoever may enter the directory above it.
const DIR_MODE: u32 = 0o755;

/// The name of a data directory or of a link on its way to become `..data`:
/// `..certtool-2026_11_21_16_50_00-3f9a21bc`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Generation(String);

impl Generation {
    /// A name of ours, if it is one.
    pub(super) fn parse(name: &OsStr) -> Option<Self> {
        let name = name.to_str()?;
        let (stamp, random) = name.strip_prefix(PREFIX)?.split_once('-')?;
        let stamp_fits =
            stamp.len() == 19 && stamp.bytes().all(|b| b.is_ascii_digit() || b == b'_');
        let random_fits = random.len() == 8 && random.bytes().all(|b| b.is_ascii_hexdigit());
        (stamp_fits && random_fits).then(|| Self(name.to_owned()))
    }

    fn unused() -> Self {
        let format = format_description!("[year]_[month]_[day]_[hour]_[minute]_[second]");
        // The stamp is for people; the random part makes the name unique.
        let stamp = OffsetDateTime::now_utc()
            .format(format)
            .unwrap_or_else(|_| "0000_00_00_00_00_00".to_owned());
        Self(format!("{PREFIX}{stamp}-{}", fsops::random_suffix()))
    }

    pub(super) fn path(&self, dir: &Path) -> PathBuf {
        dir.join(&self.0)
    }

    /// Writes a complete data directory, or leaves nothing behind.
    pub(super) fn create(
        dir: &Path,
        files: &[(&'static str, &[u8])],
        access: Access,
        durability: Durability,
        flag: &'static str,
    ) -> Result<Self, Error> {
        let generation = loop {
            let generation = Self::unused();
            match fsops::create_dir(&generation.path(dir), DIR_MODE) {
                Ok(()) => break generation,
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
                Err(e) => return Err(Error::io("write to", dir, flag, e)),
            }
        };
        let path = generation.path(dir);
        let written = files.iter().try_for_each(|(name, bytes)| {
            let mode = if *name == KEY {
                access.key_mode()
            } else {
                CERT_MODE
            };
            fsops::create(&path.join(name), bytes, mode)
                .and_then(|file| match durability {
                    Durability::Durable => file.sync_data(),
                    Durability::Fast => Ok(()),
                })
                .map_err(|e| Error::io("write", &dir.join(name), flag, e))
        });
        let synced = written.and_then(|()| match durability {
            Durability::Durable => {
                fsops::sync_dir(&path).map_err(|e| Error::io("sync", dir, flag, e))
            }
            Durability::Fast => Ok(()),
        });
        synced.inspect_err(|_| generation.remove(dir))?;
        Ok(generation)
    }

    /// Makes `..data` lead to this generation, in one step.
    pub(super) fn swap_in(&self, dir: &Path) -> io::Result<()> {
        replace_by_link(dir, &self.0, DATA)
    }

    /// Removes the data directory, or the leftover link, as far as its contents
    /// are certtool's; what else somebody put into it stays. Best effort: what
    /// cannot be removed now is tried again by the next write.
    pub(super) fn remove(&self, dir: &Path) {
        let path = self.path(dir);
        let Ok(meta) = fs::symlink_metadata(&path) else {
            return;
        };
        if meta.is_symlink() {
            let _ = fs::remove_file(&path);
        } else if meta.is_dir() {
            // In this order, on which `CertDir::read` relies.
            for name in [KEY, CERT, CA] {
                let _ = fs::remove_file(path.join(name));
                let _ = fs::remove_file(path.join(copy_name(name)));
            }
            let _ = fs::remove_dir(&path);
        }
    }

    /// Gives the files of a replaced generation new inodes with the same bytes.
    ///
    /// Servers that watch `tls.crt` itself really watch its inode: controller-runtime
    /// before v0.20 (which has no polling) reloads when that inode is deleted, as
    /// the kubelet does it. The generation stays readable for whoever resolved
    /// the directory before the swap.
    pub(super) fn renew_inodes(&self, dir: &Path) {
        let path = self.path(dir);
        let renewed = [CA, KEY, CERT]
            .into_iter()
            .try_for_each(|name| renew_inode(&path.join(name), &path.join(copy_name(name))));
        if renewed.is_err() {
            // The watchers come before the stragglers.
            self.remove(dir);
        }
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn copy_name(name: &str) -> String {
    format!(".{name}.copy")
}

fn renew_inode(path: &Path, copy: &Path) -> io::Result<()> {
    let mode = match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_file() => meta.permissions().mode() & 0o777,
        Ok(_) => return Ok(()),
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(e),
    };
    fsops::create(copy, &fs::read(path)?, mode)?;
    fs::rename(copy, path)
}

/// Puts a link in the place of whatever has the name, in one step.
pub(super) fn replace_by_link(dir: &Path, target: &str, name: &str) -> io::Result<()> {
    let temporary = loop {
        let temporary = Generation::unused().path(dir);
        match symlink(target, &temporary) {
            Ok(()) => break temporary,
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            Err(e) => return Err(e),
        }
    };
    fs::rename(&temporary, dir.join(name)).inspect_err(|_| {
        let _ = fs::remove_file(&temporary);
    })
}

/// Removes every generation and leftover but the one that is in use. Only under
/// the directory's lock: a live writer's own data directory looks the same.
pub(super) fn remove_stale(dir: &Path, keep: Option<&Generation>) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let Some(generation) = Generation::parse(&entry?.file_name()) else {
            continue;
        };
        if Some(&generation) != keep {
            generation.remove(dir);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_knows_its_own_names_and_no_others() {
        let unused = Generation::unused();
        assert_eq!(
            Generation::parse(OsStr::new(&unused.0)),
            Some(unused.clone())
        );
        assert_ne!(unused, Generation::unused());
        for other in [
            "..data",
            "..2026_11_21_16_50_00.1234567890",
            "..certtool-",
            "..certtool-notes",
            "..certtool-2026_11_21_16_50_00",
            "..certtool-2026_11_21_16_50_00-3f9a21b",
            "..certtool-2026_11_21_16_50_00-3f9a21bc.old",
            "..certtool-2026_11_21_16_50_00-3f9a21bg",
            "../..certtool-2026_11_21_16_50_00-3f9a21bc",
            "..certtool-../../../../../../../-3f9a21bc",
        ] {
            assert_eq!(Generation::parse(OsStr::new(other)), None, "{other}");
        }
    }
}
