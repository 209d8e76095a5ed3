//! Manifests written back into their files.

use std::fs::{self, Metadata};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use crate::cli::sources;
use crate::store::{Durability, secret_file};

/// Where a manifest came from.
#[derive(Debug)]
pub(super) struct Place {
    /// Links resolved, when it is to be written: a link stays, what it leads to changes.
    path: PathBuf,
    /// As it was before it was read.
    found: Option<Metadata>,
}

impl Place {
    /// # Errors
    /// It is to be written and is not a regular file.
    pub(super) fn of(path: &Path, to_write: bool) -> anyhow::Result<Self> {
        if !to_write || sources::is_stdin(path) {
            return Ok(Self {
                path: path.to_owned(),
                found: None,
            });
        }
        let name = || format!("could not read {}", path.display());
        let resolved = fs::canonicalize(path).with_context(name)?;
        let found = fs::metadata(&resolved).with_context(name)?;
        if !found.is_file() {
            bail!(
                "{} is not a regular file, so it cannot be changed in place",
                path.display()
            );
        }
        Ok(Self {
            path: resolved,
            found: Some(found),
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Puts new content in the place of the old in one step, with the mode that it had.
    pub(super) fn write(&self, content: &[u8]) -> anyhow::Result<()> {
        let path = self.path.display();
        let Some(found) = &self.found else {
            bail!("{path} cannot be written to");
        };
        let now = fs::metadata(&self.path).with_context(|| format!("could not read {path}"))?;
        let identity = |of: &Metadata| (of.ino(), of.len(), of.mtime(), of.mtime_nsec());
        if identity(found) != identity(&now) {
            bail!("{path} was changed by somebody else meanwhile; run the command again");
        }
        let mode = found.permissions().mode() & 0o777;
        secret_file::write_replace(&self.path, content, mode, Durability::Fast, "-f")?;
        // Whose it was, as far as that is possible: only root may give files away.
        if let Ok(written) = fs::metadata(&self.path)
            && (written.uid(), written.gid()) != (found.uid(), found.gid())
        {
            let _ = std::os::unix::fs::chown(&self.path, Some(found.uid()), Some(found.gid()));
        }
        Ok(())
    }
}
