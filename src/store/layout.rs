//! Whose names are in a certificate directory.
//!
//! ```text
//! tls.crt -> ..data/tls.crt
//! tls.key -> ..data/tls.key
//! ca.crt  -> ..data/ca.crt
//! ..data  -> ..certtool-2026_11_21_16_50_00-3f9a21bc
//! ..certtool-2026_11_21_16_50_00-3f9a21bc/{tls.crt,tls.key,ca.crt}
//! ```
//!
//! The layout is the kubelet's atomic writer's (k8s.io/kubernetes
//! `pkg/volume/util/atomic_writer.go`); the data directory's prefix tells
//! certtool's work from the kubelet's.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::error::{Error, Found};
use super::generation::Generation;

/// The certificate chain's file name in a certificate directory.
pub const CERT: &str = "tls.crt";
/// The private key's file name in a certificate directory.
pub const KEY: &str = "tls.key";
/// The trust bundle's file name in a certificate directory.
pub const CA: &str = "ca.crt";
/// The link that a swap replaces.
pub(super) const DATA: &str = "..data";

/// The text of a name's link.
pub(super) fn link_text(name: &str) -> String {
    format!("{DATA}/{name}")
}

/// One of the three names that readers open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Name {
    Absent,
    /// A link into `..data`, which has no contents of its own.
    Linked,
    Foreign(Found),
}

/// Where `..data` leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Data {
    Absent,
    Ours(Generation),
    /// A link, but to no generation of ours.
    Elsewhere(PathBuf),
    NotALink(Found),
}

/// The four names, as they are now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) data: Data,
    pub(super) cert: Name,
    pub(super) key: Name,
    pub(super) ca: Name,
}

impl Layout {
    /// Looks at the names without following them.
    pub(super) fn inspect(dir: &Path, flag: &'static str) -> Result<Self, Error> {
        let look = |name: &str| {
            let path = dir.join(name);
            look_at(&path).map_err(|e| Error::io("read", &path, flag, e))
        };
        let name = |name: &str| {
            Ok(match look(name)? {
                Entry::Absent => Name::Absent,
                Entry::Link(target) if target.as_os_str() == OsStr::new(&link_text(name)) => {
                    Name::Linked
                }
                Entry::Link(target) => Name::Foreign(Found::Link(target)),
                Entry::Other(found) => Name::Foreign(found),
            })
        };
        Ok(Self {
            data: match look(DATA)? {
                Entry::Absent => Data::Absent,
                Entry::Link(target) => match Generation::parse(target.as_os_str()) {
                    Some(generation) => Data::Ours(generation),
                    None => Data::Elsewhere(target),
                },
                Entry::Other(found) => Data::NotALink(found),
            },
            cert: name(CERT)?,
            key: name(KEY)?,
            ca: name(CA)?,
        })
    }

    /// The three names with what they are, in the order in which they are made.
    pub(super) fn names(&self) -> [(&'static str, &Name); 3] {
        [(CA, &self.ca), (KEY, &self.key), (CERT, &self.cert)]
    }

    pub(super) fn generation(&self) -> Option<&Generation> {
        match &self.data {
            Data::Ours(generation) => Some(generation),
            Data::Absent | Data::Elsewhere(_) | Data::NotALink(_) => None,
        }
    }

    /// What a write would replace that is not ours: the name and what it is.
    /// `ca.crt` is in the way only of a pair that brings one.
    pub(super) fn in_the_way(&self, with_ca: bool) -> Vec<(&'static str, Found)> {
        let mut found: Vec<_> = match &self.data {
            Data::Absent | Data::Ours(_) => None,
            Data::Elsewhere(target) if is_mounted(target) => {
                Some((DATA, Found::Mounted(target.clone())))
            }
            Data::Elsewhere(target) => Some((DATA, Found::Link(target.clone()))),
            Data::NotALink(found) => Some((DATA, found.clone())),
        }
        .into_iter()
        .collect();
        let names = self.names();
        // The certificate first: it is what people know.
        for (name, entry) in names.into_iter().rev() {
            if let Name::Foreign(what) = entry
                && (name != CA || with_ca)
            {
                found.push((name, what.clone()));
            }
        }
        found
    }
}

/// The kubelet names its data directories `..2026_11_21_16_50_00.123456789`.
pub(super) fn is_mounted(target: &Path) -> bool {
    target
        .to_str()
        .and_then(|t| t.strip_prefix(".."))
        .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
}

enum Entry {
    Absent,
    Link(PathBuf),
    Other(Found),
}

fn look_at(path: &Path) -> io::Result<Entry> {
    match fs::read_link(path) {
        Ok(target) => Ok(Entry::Link(target)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Entry::Absent),
        // It exists and is not a link.
        Err(e) if e.kind() == io::ErrorKind::InvalidInput => {
            Ok(Found::at(path)?.map_or(Entry::Absent, Entry::Other))
        }
        Err(e) => Err(e),
    }
}
