//! What certtool keeps on disk: the certificate directory, the local authority,
//! and where they are by default.
//!
//! Shell code: it does I/O, and decides nothing about certificates. It moves
//! PEM bytes; whether a key matches a certificate, or a pair is still good, is
//! the caller's question.
//!
//! Invariants:
//! - `tls.crt`, `tls.key` and `ca.crt` change together, in one rename of one
//!   link ([`CertDir`]). A process killed at any instant leaves the old pair or
//!   the new one, and on a first write possibly none; never half of one.
//! - What certtool did not write is neither removed nor replaced unless the
//!   caller says [`Force::Yes`], and then only those three names and `..data`.
//! - A private key is created with its final mode, 0600 unless the caller asks
//!   for group access, and is in no error and no `Debug`.
//! - An authority's key is never overwritten ([`CaGuard::create`]).
//!
//! Unix only: the layout is made of symbolic links, and the modes matter.

mod adopt;
mod attachments;
mod ca_dir;
mod cert_dir;
mod error;
mod fsops;
mod generation;
mod layout;
pub mod locations;
mod lock;
mod pair;
pub mod secret_file;
mod session;
mod watch;

pub use self::attachments::{Attachment, Attachments, AttachmentsFile};
pub use self::ca_dir::{CaDir, CaFiles, CaGuard};
pub use self::cert_dir::{CertDir, CertDirGuard, Force, Written};
pub use self::error::{Error, Found};
pub use self::layout::{CA, CERT, KEY};
pub use self::pair::{Contents, Foreign, Origin, Pair};
pub use self::session::Session;
pub use self::watch::{DirWatch, Stamp};

/// Whether a write waits until the disk has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// The files and their directory are synced before the call returns: for
    /// what cannot be made again, such as an authority's key.
    Durable,
    /// Left to the kernel. A power cut may lose the last write, or leave empty
    /// files; a kill does not. For what can be made again, such as a leaf.
    #[default]
    Fast,
}

/// Who may read a private key besides its owner.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Access {
    /// Nobody: key 0600, and a directory that certtool creates is 0700.
    #[default]
    Owner,
    /// The file's group: key 0640, a created directory 0750. For a sidecar
    /// whose server runs with another UID: both share the volume's `fsGroup`,
    /// whose set-group-ID bit the data directories inherit.
    Group,
}

impl Access {
    fn key_mode(self) -> u32 {
        match self {
            Self::Owner => 0o600,
            Self::Group => 0o640,
        }
    }

    fn dir_mode(self) -> u32 {
        match self {
            Self::Owner => 0o700,
            Self::Group => 0o750,
        }
    }
}

/// Certificates are public.
const CERT_MODE: u32 = 0o644;
