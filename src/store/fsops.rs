//! The few file operations that the store is made of, with exact modes.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::error::{Error, Found, first_non_directory};

/// No certificate chain or key comes near it (2,000 names make some 60 KiB).
pub(super) const MAX_FILE: u64 = 1 << 20;

/// Reads a regular file of at most [`MAX_FILE`] bytes; `None` if there is none
/// (which a dangling link is, too).
pub(super) fn read(path: &Path, flag: &'static str) -> Result<Option<Vec<u8>>, Error> {
    let fail = |e| Error::io("read", path, flag, e);
    // Asked before it is opened: to open a pipe would wait for its writer.
    let meta = match fs::metadata(path) {
        Ok(meta) => meta,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(fail(e)),
    };
    if !meta.is_file() {
        let found = Found::at(path).map_err(fail)?.unwrap_or(Found::Special);
        return Err(Error::NotAFile {
            path: path.to_owned(),
            found,
            flag,
        });
    }
    let file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(fail(e)),
    };
    let mut bytes = Vec::with_capacity(usize::try_from(meta.len().min(MAX_FILE)).unwrap_or(0) + 1);
    file.take(MAX_FILE + 1)
        .read_to_end(&mut bytes)
        .map_err(fail)?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(Error::TooLarge {
            path: path.to_owned(),
            limit: MAX_FILE,
            flag,
        });
    }
    Ok(Some(bytes))
}

/// Writes a file that must not exist yet. It never has a wider mode than
/// `mode`, and has exactly that, whatever the umask, when it is returned.
pub(super) fn create(path: &Path, bytes: &[u8], mode: u32) -> io::Result<File> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)?;
    fill(&mut file, bytes, mode)?;
    Ok(file)
}

/// Writes a file that has no name, and then gives it `path`, unless something has that:
/// whoever looks finds all of it or nothing, and nothing is left behind by a process that
/// ends in between. `None` when the file system, or the kernel, cannot do that.
#[cfg(target_os = "linux")]
pub(super) fn create_linked(
    path: &Path,
    bytes: &[u8],
    mode: u32,
    sync: bool,
) -> io::Result<Option<()>> {
    use rustix::fs::{AtFlags, CWD, OFlags, linkat};
    use rustix::io::Errno;
    let dir = path
        .parent()
        .filter(|dir| !dir.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let opened = OpenOptions::new()
        .write(true)
        .custom_flags(OFlags::TMPFILE.bits().cast_signed())
        .mode(mode)
        .open(dir);
    let Ok(mut file) = opened else {
        return Ok(None);
    };
    fill(&mut file, bytes, mode)?;
    if sync {
        file.sync_data()?;
    }
    let linked = match linkat(&file, "", CWD, path, AtFlags::EMPTY_PATH) {
        // Before Linux 6.10, the file itself takes CAP_DAC_READ_SEARCH, its name in /proc
        // does not.
        Err(Errno::NOENT) => {
            let fd = std::os::fd::AsRawFd::as_raw_fd(&file);
            let name = format!("/proc/self/fd/{fd}");
            linkat(CWD, name, CWD, path, AtFlags::SYMLINK_FOLLOW)
        }
        result => result,
    };
    match linked {
        Ok(()) => Ok(Some(())),
        Err(Errno::EXIST) => Err(io::ErrorKind::AlreadyExists.into()),
        Err(_) => Ok(None),
    }
}

/// Other systems have no files without a name.
#[cfg(not(target_os = "linux"))]
pub(super) fn create_linked(_: &Path, _: &[u8], _: u32, _: bool) -> io::Result<Option<()>> {
    Ok(None)
}

/// Gives a new file its exact mode, whatever the umask, and then its content.
fn fill(file: &mut File, bytes: &[u8], mode: u32) -> io::Result<()> {
    if file.metadata()?.permissions().mode() & 0o777 != mode {
        file.set_permissions(Permissions::from_mode(mode))?;
    }
    file.write_all(bytes)
}

/// Creates one directory with exactly `mode`, whatever the umask. The bits that
/// it inherits (set-group-ID, as in a volume with an `fsGroup`) stay.
pub(super) fn create_dir(path: &Path, mode: u32) -> io::Result<()> {
    DirBuilder::new().mode(mode).create(path)?;
    let found = fs::symlink_metadata(path)?.permissions().mode() & 0o7777;
    if found & 0o777 != mode {
        fs::set_permissions(path, Permissions::from_mode(found & 0o7000 | mode))?;
    }
    Ok(())
}

/// Creates `path` with `mode` and its missing parents with the process's
/// default, and returns those that were missing, outermost first.
pub(super) fn ensure_dir(
    path: &Path,
    mode: u32,
    flag: &'static str,
) -> Result<Vec<PathBuf>, Error> {
    if fs::metadata(path).is_ok_and(|meta| meta.is_dir()) {
        return Ok(Vec::new());
    }
    let mut created = Vec::new();
    let mut missing: Vec<&Path> = path
        .ancestors()
        .filter(|p| !p.as_os_str().is_empty())
        .take_while(|p| fs::symlink_metadata(p).is_err())
        .collect();
    missing.reverse();
    for dir in missing {
        let result = if dir == path {
            create_dir(dir, mode)
        } else {
            fs::create_dir(dir)
        };
        match result {
            Ok(()) => created.push(dir.to_owned()),
            // Somebody else was faster; it is theirs.
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            Err(e) => {
                remove_dirs(&created);
                return Err(Error::io("create the directory", dir, flag, e));
            }
        }
    }
    match fs::metadata(path) {
        Ok(meta) if meta.is_dir() => Ok(created),
        _ => match first_non_directory(path) {
            Some((path, found)) => Err(Error::NotADirectory { path, found, flag }),
            None => Err(Error::Restless {
                path: path.to_owned(),
            }),
        },
    }
}

/// Takes back what [`ensure_dir`] created, as far as it is empty.
pub(super) fn remove_dirs(created: &[PathBuf]) {
    for dir in created.iter().rev() {
        if fs::remove_dir(dir).is_err() {
            break;
        }
    }
}

/// Waits until the names in a directory are on the disk.
pub(super) fn sync_dir(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Eight hexadecimal digits, to tell names apart; not a secret.
pub(super) fn random_suffix() -> String {
    // The standard library seeds every RandomState differently.
    let bits = RandomState::new().build_hasher().finish();
    format!("{:08x}", bits >> 32)
}
