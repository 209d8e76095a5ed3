//! Whether the controller does what it is configured to do: it watches every signer's
//! requests. That it is the leader does not matter.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

/// What is still missing.
#[derive(Debug, Clone, Default)]
pub(super) struct Readiness(Arc<Mutex<BTreeSet<String>>>);

impl Readiness {
    /// A signer whose requests are to be watched.
    pub(super) fn expect(&self, signer: &str) {
        self.lock().insert(signer.to_owned());
    }

    /// Its requests are being watched.
    pub(super) fn watching(&self, signer: &str) {
        self.lock().remove(signer);
    }

    /// Nothing, or what is missing.
    pub(super) fn check(&self) -> Result<(), String> {
        let missing = self.lock();
        if missing.is_empty() {
            return Ok(());
        }
        let missing: Vec<&str> = missing.iter().map(String::as_str).collect();
        Err(format!(
            "the requests of these signers are not watched yet: {}",
            missing.join(", ")
        ))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeSet<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
