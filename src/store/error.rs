//! What can go wrong on disk: each error names the path, what failed, and what
//! to do next. None carries file contents.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A failure of the store.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file of certtool's own that does not read.
    #[error("{} is damaged ({why}): move it away", .path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// Something that certtool did not write has the name it would write.
    #[error(
        "{path} is {found}, which certtool did not write, so it stays as it is: \
         add --force to replace it, or choose another directory with {flag}"
    )]
    Foreign {
        /// The file in the way.
        path: PathBuf,
        /// What it looks like.
        found: Found,
        /// The option that chose the directory.
        flag: &'static str,
    },

    /// Something in the way that not even force replaces.
    #[error(
        "{path} is {found}, which certtool does not replace even when forced: \
         move it away, or choose another directory with {flag}"
    )]
    Irreplaceable {
        /// The file in the way.
        path: PathBuf,
        /// What it looks like.
        found: Found,
        /// The option that chose the directory.
        flag: &'static str,
    },

    /// Replacing `..data` would take other files' contents away.
    #[error(
        "{path} leads through the mounted volume's ..data and would break if that \
         were replaced: choose another directory with {flag}"
    )]
    WouldBreak {
        /// The file that would break.
        path: PathBuf,
        /// The option that chose the directory.
        flag: &'static str,
    },

    /// A file that must not be overwritten.
    #[error(
        "{path} already exists and is not overwritten: move it away, or choose another place with {flag}"
    )]
    Exists {
        /// The existing file.
        path: PathBuf,
        /// The option that chose its place.
        flag: &'static str,
    },

    /// A directory was expected.
    #[error(
        "{path} is {found} where a directory is needed: move it away, or choose another directory with {flag}"
    )]
    NotADirectory {
        /// What is not a directory, possibly a parent of what was asked for.
        path: PathBuf,
        /// What it is.
        found: Found,
        /// The option that chose the directory.
        flag: &'static str,
    },

    /// A regular file was expected.
    #[error(
        "{path} is {found} where a file is needed: remove it, or choose another place with {flag}"
    )]
    NotAFile {
        /// What is not a file.
        path: PathBuf,
        /// What it is.
        found: Found,
        /// The option that chose the directory.
        flag: &'static str,
    },

    /// Too large to be a certificate or a key.
    #[error(
        "{path} is larger than {limit} bytes: that is no certificate or key; remove it, or choose another place with {flag}"
    )]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The largest size that is read.
        limit: u64,
        /// The option that chose the directory.
        flag: &'static str,
    },

    /// Not permitted by the file's or directory's mode or owner.
    #[error(
        "cannot {action} {path}: permission denied; check who owns it and its mode (ls -ld), or choose another place with {flag}"
    )]
    Denied {
        /// What was tried.
        action: &'static str,
        /// The path.
        path: PathBuf,
        /// The option that chose it.
        flag: &'static str,
        /// The system's error.
        source: io::Error,
    },

    /// A read-only file system.
    #[error(
        "cannot {action} {path}: the file system is read-only; choose a writable place with {flag}"
    )]
    ReadOnly {
        /// What was tried.
        action: &'static str,
        /// The path.
        path: PathBuf,
        /// The option that chose it.
        flag: &'static str,
        /// The system's error.
        source: io::Error,
    },

    /// No space, no quota, or a file size limit.
    #[error(
        "cannot {action} {path}: no space is left; what was there before is unchanged. Free some space, or choose another place with {flag}"
    )]
    DiskFull {
        /// What was tried.
        action: &'static str,
        /// The path.
        path: PathBuf,
        /// The option that chose it.
        flag: &'static str,
        /// The system's error.
        source: io::Error,
    },

    /// Links that lead in a circle.
    #[error(
        "cannot {action} {path}: its symbolic links lead in a circle; remove the link, or choose another place with {flag}"
    )]
    LinkLoop {
        /// What was tried.
        action: &'static str,
        /// The path.
        path: PathBuf,
        /// The option that chose it.
        flag: &'static str,
        /// The system's error.
        source: io::Error,
    },

    /// Another process is writing, and did not finish in time.
    #[error(
        "{path} is being written by another process and was still locked after {waited:?}: see whether it hangs (lsof {path}), then try again"
    )]
    Locked {
        /// The directory.
        path: PathBuf,
        /// How long this process waited.
        waited: Duration,
    },

    /// The directory was replaced faster than it could be read or locked.
    #[error("{path} keeps changing while it is being used: see what rewrites it, then try again")]
    Restless {
        /// The directory.
        path: PathBuf,
    },

    /// Any other failure; the source says which.
    #[error("cannot {action} {path}; check the path given with {flag}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// The path.
        path: PathBuf,
        /// The option that chose it.
        flag: &'static str,
        /// The system's error.
        source: io::Error,
    },

    /// No directory can be derived from the environment.
    #[error(
        "no place for {purpose}: {variable} is not set to an absolute path; set it, or choose a directory with {flag}"
    )]
    NoHome {
        /// What the directory is for.
        purpose: &'static str,
        /// The variable that is needed.
        variable: &'static str,
        /// The option that chooses the directory.
        flag: &'static str,
    },
}

impl Error {
    /// Classifies a system error by what the user can do about it.
    pub(super) fn io(
        action: &'static str,
        path: &Path,
        flag: &'static str,
        source: io::Error,
    ) -> Self {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::NotADirectory => {
                if let Some((path, found)) = first_non_directory(&path) {
                    return Self::NotADirectory { path, found, flag };
                }
                Self::Io {
                    action,
                    path,
                    flag,
                    source,
                }
            }
            io::ErrorKind::PermissionDenied => Self::Denied {
                action,
                path,
                flag,
                source,
            },
            io::ErrorKind::ReadOnlyFilesystem => Self::ReadOnly {
                action,
                path,
                flag,
                source,
            },
            io::ErrorKind::StorageFull
            | io::ErrorKind::QuotaExceeded
            | io::ErrorKind::FileTooLarge => Self::DiskFull {
                action,
                path,
                flag,
                source,
            },
            _ if source.raw_os_error() == Some(ELOOP) => Self::LinkLoop {
                action,
                path,
                flag,
                source,
            },
            _ => Self::Io {
                action,
                path,
                flag,
                source,
            },
        }
    }
}

/// `io::ErrorKind::FilesystemLoop` is not stable yet.
const ELOOP: i32 = if cfg!(any(target_os = "linux", target_os = "android")) {
    40
} else {
    62
};

/// The outermost part of `path` that exists and is not a directory.
pub(super) fn first_non_directory(path: &Path) -> Option<(PathBuf, Found)> {
    let mut parts: Vec<&Path> = path
        .ancestors()
        .filter(|p| !p.as_os_str().is_empty())
        .collect();
    parts.reverse();
    parts.into_iter().find_map(|part| {
        let found = Found::at(part).ok()??;
        let is_directory = fs::metadata(part).is_ok_and(|meta| meta.is_dir());
        (!is_directory).then(|| (part.to_owned(), found))
    })
}

/// What something in the way looks like.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Found {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link to something that exists.
    Link(PathBuf),
    /// A symbolic link to nothing.
    Dangling(PathBuf),
    /// The link of a volume that the kubelet mounted.
    Mounted(PathBuf),
    /// A device, pipe or socket.
    Special,
}

impl Found {
    /// What is at `path`, itself, if anything.
    pub(super) fn at(path: &Path) -> io::Result<Option<Self>> {
        let meta = match fs::symlink_metadata(path) {
            Ok(meta) => meta,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(e),
        };
        let kind = meta.file_type();
        Ok(Some(if kind.is_symlink() {
            let target = fs::read_link(path)?;
            match fs::metadata(path) {
                Err(e) if e.kind() == io::ErrorKind::NotFound => Self::Dangling(target),
                _ => Self::Link(target),
            }
        } else if kind.is_dir() {
            Self::Directory
        } else if kind.is_file() {
            Self::File
        } else {
            Self::Special
        }))
    }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File => f.write_str("a plain file"),
            Self::Directory => f.write_str("a directory"),
            Self::Link(target) => write!(f, "a link to {}", target.display()),
            Self::Dangling(target) => {
                write!(f, "a link to {}, which does not exist,", target.display())
            }
            Self::Mounted(target) => write!(
                f,
                "the link of a volume mounted by the kubelet (to {})",
                target.display()
            ),
            Self::Special => f.write_str("a device, pipe or socket"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_system_error_names_the_path_and_the_option() {
        for code in [2, 13, 30, 28, 27, ELOOP, 5] {
            let source = io::Error::from_raw_os_error(code);
            let message =
                Error::io("write", Path::new("/no/such/tls.key"), "--cert-dir", source).to_string();
            assert!(
                message.contains("/no/such/tls.key") && message.contains("--cert-dir"),
                "{message}"
            );
        }
    }
}
