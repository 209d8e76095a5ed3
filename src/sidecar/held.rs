//! The pair that should be on disk, kept in memory as well, and the note about it.
//!
//! The note is a small file beside the pair: who issued the leaf, and when it was received. It
//! is about one leaf alone, and a pair without it is as good.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::pki::{Certificate, TrustBundle};
use crate::plan::{Existing, LeafRecord, instant};
use crate::store::{self, CertDir, Durability, Pair, secret_file};

/// The note's name: hidden, so that nobody takes it for a certificate.
const NOTE: &str = ".certtool-sidecar.json";

/// A pair in memory.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) pair: Pair,
    pub(super) existing: Existing,
    pub(super) record: Option<LeafRecord>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Note {
    /// SHA-256 of the leaf.
    leaf: String,
    issuer: String,
    /// In RFC 3339.
    received: String,
}

impl Held {
    pub(super) fn of(pair: Pair, record: Option<LeafRecord>) -> Self {
        let existing = Existing::read(&pair.cert, &pair.key, pair.ca.as_deref());
        Self {
            pair,
            existing,
            record,
        }
    }

    pub(super) fn leaf(&self) -> Option<&Certificate> {
        match &self.existing {
            Existing::Pair { leaf, .. } => Some(leaf),
            Existing::Nothing | Existing::Unusable(_) => None,
        }
    }

    pub(super) fn bundle(&self) -> Option<&TrustBundle> {
        match &self.existing {
            Existing::Pair { bundle, .. } => bundle.as_ref(),
            Existing::Nothing | Existing::Unusable(_) => None,
        }
    }

    /// The same pair beside another bundle.
    pub(super) fn with_bundle(&self, bundle: &TrustBundle) -> Self {
        let pair = Pair {
            ca: Some(bundle.to_pem().into_bytes()),
            ..self.pair.clone()
        };
        Self::of(pair, self.record.clone())
    }

    /// Whether a server could use it now.
    pub(super) fn is_usable(&self, now: OffsetDateTime) -> bool {
        match &self.existing {
            Existing::Pair { leaf, key, .. } => {
                leaf.public_key == *key.public_key() && leaf.is_valid_at(now)
            }
            Existing::Nothing | Existing::Unusable(_) => false,
        }
    }
}

fn path(dir: &CertDir) -> PathBuf {
    dir.path().join(NOTE)
}

/// The note beside the pair, if there is one that reads.
pub(super) fn read_note(dir: &CertDir) -> Option<LeafRecord> {
    let text = secret_file::read(&path(dir), "--cert-dir").ok()??;
    let note: Note = serde_json::from_slice(&text).ok()?;
    Some(LeafRecord {
        fingerprint: note.leaf,
        issuer: note.issuer,
        received: OffsetDateTime::parse(&note.received, &Rfc3339).ok()?,
    })
}

/// Writes it.
pub(super) fn write_note(dir: &CertDir, record: &LeafRecord) -> Result<(), store::Error> {
    let note = Note {
        leaf: record.fingerprint.clone(),
        issuer: record.issuer.clone(),
        received: instant(record.received),
    };
    let text = serde_json::to_vec(&note).unwrap_or_default();
    let fast = Durability::Fast;
    secret_file::write_replace(&path(dir), &text, 0o644, fast, "--cert-dir")
}
