//! The local file of what this machine has attached: the second copy of what an
//! annotation on each object says, for when somebody removes the annotation.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::error::Error;
use super::lock::{self, DirLock};
use super::{Access, Durability, secret_file};
use crate::injectable::{Kind, ObjectId, Record};

/// The mode of the file: it names clusters and their webhooks.
const MODE: u32 = 0o600;

/// What is attached in one cluster, as this machine remembers it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachments {
    /// The API server's URL.
    pub server: String,
    /// The objects.
    #[serde(default)]
    pub objects: Vec<Attachment>,
}

/// One object that was attached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// Its kind, as in a manifest.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Its UID: an object of the same name that was made since is another one.
    pub uid: String,
    /// What was attached, and what to put back.
    pub record: Record,
}

impl Attachment {
    /// The object, if its kind is known.
    #[must_use]
    pub fn object(&self) -> Option<ObjectId> {
        let kind = self.kind.parse::<Kind>().ok()?;
        Some(ObjectId {
            kind,
            name: self.name.clone(),
        })
    }
}

/// The file for one cluster, in a directory of the user's.
#[derive(Clone, Debug)]
pub struct AttachmentsFile {
    directory: PathBuf,
    path: PathBuf,
    server: String,
}

/// The option that errors advise to change: there is none but the environment.
const FLAG: &str = "$XDG_STATE_HOME";

impl AttachmentsFile {
    /// The file for the API server `server` in `directory`.
    #[must_use]
    pub fn new(directory: &Path, server: &str) -> Self {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, server.as_bytes());
        let id: String = digest
            .as_ref()
            .iter()
            .take(8)
            .map(|byte| format!("{byte:02x}"))
            .collect();
        Self {
            directory: directory.to_owned(),
            path: directory.join(format!("attached-{id}.json")),
            server: server.to_owned(),
        }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What it says; nothing attached when there is no file.
    ///
    /// # Errors
    /// When it cannot be read, or is not what certtool wrote.
    pub fn read(&self) -> Result<Attachments, Error> {
        let empty = || Attachments {
            server: self.server.clone(),
            objects: Vec::new(),
        };
        let Some(bytes) = secret_file::read(&self.path, FLAG)? else {
            return Ok(empty());
        };
        serde_json::from_slice(&bytes).map_err(|error| Error::Malformed {
            path: self.path.clone(),
            why: error.to_string(),
        })
    }

    /// Changes it under a lock, so that two processes do not lose each other's entries.
    /// Durable: after a power cut it may be all that knows the originals.
    ///
    /// # Errors
    /// When it cannot be read or written.
    pub fn update(&self, change: impl FnOnce(&mut Attachments)) -> Result<(), Error> {
        let mode = Access::Owner.dir_mode();
        let _lock = DirLock::acquire(&self.directory, mode, lock::DEFAULT_WAIT, FLAG)?;
        let before = self.read()?;
        let mut after = before.clone();
        change(&mut after);
        if after == before {
            return Ok(());
        }
        let json = serde_json::to_vec_pretty(&after).map_err(|error| Error::Malformed {
            path: self.path.clone(),
            why: error.to_string(),
        })?;
        secret_file::write_replace(&self.path, &json, MODE, Durability::Durable, FLAG)
    }
}

impl Attachments {
    /// Remembers an object, in place of an earlier entry for it.
    pub fn remember(&mut self, attachment: Attachment) {
        self.forget(&attachment.kind, &attachment.name);
        self.objects.push(attachment);
    }

    /// Forgets an object.
    pub fn forget(&mut self, kind: &str, name: &str) {
        self.objects
            .retain(|known| known.kind != kind || known.name != name);
    }
}
