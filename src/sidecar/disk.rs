//! The pair that belongs on disk, and what is there.
//!
//! What is held was issued for this process or found when it started; another hand's change
//! never replaces it.

use time::OffsetDateTime;
use tokio::sync::watch;
use tokio::time::Instant;

use super::held::{self, Held};
use super::served::Expected;
use crate::pki::{Certificate, TrustBundle};
use crate::store::{self, CertDir, Contents, Force, Origin, Stamp};

/// Files are put back at most so often before a fresh pair is asked for, too.
const MEDDLING: time::Duration = time::Duration::seconds(10);

/// The directory, and the pair for it.
#[derive(Debug)]
pub(super) struct Disk {
    dir: CertDir,
    force: Force,
    /// Who looks at what the server shows.
    expect: watch::Sender<Option<Expected>>,
    held: Option<Held>,
    /// The end of what is on disk, as far as that is ours.
    not_after: Option<OffsetDateTime>,
    /// What the directory looked like when it was read.
    stamp: Option<Stamp>,
    differs: bool,
    meddled: Option<OffsetDateTime>,
    /// How often in a row, each a moment after the one before.
    meddlings: u32,
}

/// What a look at the directory found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// Nothing that was not known.
    Same,
    /// The pair that is held.
    AsHeld,
    /// Something else: removed or changed by another hand.
    Changed {
        /// Whether that has happened a moment before, too.
        again: bool,
    },
}

impl Disk {
    pub(super) fn new(dir: CertDir, force: Force, expect: watch::Sender<Option<Expected>>) -> Self {
        Self {
            dir,
            force,
            expect,
            held: None,
            not_after: None,
            stamp: None,
            differs: false,
            meddled: None,
            meddlings: 0,
        }
    }

    pub(super) fn dir(&self) -> &CertDir {
        &self.dir
    }

    /// Whether pairs can be written here at all.
    pub(super) fn check(&self, with_ca: bool) -> Result<(), store::Error> {
        self.dir.lock()?.check_writable(with_ca, self.force)
    }

    /// The pair that belongs on disk.
    pub(super) fn held(&self) -> Option<&Held> {
        self.held.as_ref()
    }

    /// Its leaf.
    pub(super) fn leaf(&self) -> Option<&Certificate> {
        self.held.as_ref()?.leaf()
    }

    /// It, if a server could use it now.
    pub(super) fn usable(&self, now: OffsetDateTime) -> Option<&Held> {
        self.held.as_ref().filter(|held| held.is_usable(now))
    }

    /// Until when the pair on disk is valid: another one than is held if that could not be
    /// written.
    pub(super) fn not_after(&self) -> Option<OffsetDateTime> {
        self.not_after
    }

    /// Whether the files are other than what is held.
    pub(super) fn differs(&self) -> bool {
        self.differs
    }

    /// How often the files were changed by another hand lately, each time soon after they had been put
    /// back.
    pub(super) fn meddlings(&self) -> u32 {
        self.meddlings
    }

    /// Reads the directory, if it has changed since it was read.
    pub(super) fn look(&mut self, now: OffsetDateTime) -> Look {
        let stamp = self.dir.stamp();
        if self.stamp.as_ref() == Some(&stamp) {
            return Look::Same;
        }
        let contents = self.dir.read();
        let was_written = self.stamp.replace(stamp).is_none();
        let found = match contents {
            // What is somebody else's is replaced if that is forced, and never served as ours.
            Ok(Contents::Pair { pair, origin }) => (origin == Origin::Ours).then_some(pair),
            Ok(Contents::Empty | Contents::Half { .. }) | Err(_) => None,
        };
        // What was just written has the rights that this file system gives.
        let has_rights = was_written || self.dir.guards_key();
        match (&self.held, found) {
            (None, Some(pair)) => {
                let held = Held::of(pair, held::read_note(&self.dir));
                self.expect(&held, None);
                self.not_after = held.leaf().map(|leaf| leaf.validity.not_after);
                self.held = Some(held);
                Look::Same
            }
            (None, None) => Look::Same,
            (Some(held), found) if found.as_ref() == Some(&held.pair) && has_rights => {
                self.differs = false;
                self.not_after = held.leaf().map(|leaf| leaf.validity.not_after);
                Look::AsHeld
            }
            (Some(_), _) => {
                self.differs = true;
                self.not_after = None;
                let is_again = |at: OffsetDateTime| now - at < MEDDLING && now >= at;
                let again = self.meddled.is_some_and(is_again);
                self.meddled = Some(now);
                self.meddlings = if again { self.meddlings + 1 } else { 1 };
                Look::Changed { again }
            }
        }
    }

    /// Another pair belongs on disk from now on. It is held even if it cannot be written now:
    /// then only the writing is tried again.
    pub(super) fn hold(&mut self, held: Held) {
        self.held = Some(held);
        self.differs = true;
    }

    /// Writes the pair that is held, and the note about it.
    pub(super) fn write(&mut self) -> Result<(), store::Error> {
        let Some(held) = &self.held else {
            return Ok(());
        };
        let guard = self.dir.lock()?;
        // Names of ours that another hand replaced are still not ours to delete.
        let written = guard.write(&held.pair, self.force);
        drop(guard);
        written?;
        // Looked at once more: somebody may have been quicker.
        self.stamp = None;
        self.differs = false;
        self.not_after = held.leaf().map(|leaf| leaf.validity.not_after);
        if let Some(record) = &held.record {
            // Without it the pair is as good; the disk may be full.
            let _ = held::write_note(&self.dir, record);
        }
        self.expect(held, Some(Instant::now()));
        Ok(())
    }

    /// Puts another bundle beside the pair.
    pub(super) fn write_bundle(&mut self, bundle: &TrustBundle) -> Result<(), store::Error> {
        let Some(held) = &self.held else {
            return Ok(());
        };
        let held = held.with_bundle(bundle);
        let before = self.held.replace(held);
        self.write().inspect_err(|_| self.held = before)
    }

    fn expect(&self, held: &Held, written: Option<Instant>) {
        if let Some(leaf) = held.leaf() {
            self.expect.send_replace(Some(Expected {
                leaf: leaf.clone(),
                trust: held.bundle().cloned(),
                written,
            }));
        }
    }
}
