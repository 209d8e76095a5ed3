//! What has to be trusted, and what becomes of a caBundle, or of an entry of a ConfigMap, for
//! that.

use std::collections::BTreeSet;

use time::OffsetDateTime;

use crate::injectable::{CaBundle, Decision};
use crate::pki::{Certificate, TrustBundle};
use crate::plan::{BundleMode, plan_bundle};

/// The trust bundle of a phase.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trust {
    /// What has to be trusted.
    pub bundle: TrustBundle,
    /// Fingerprints of CAs that were trusted before and must leave.
    pub former: BTreeSet<String>,
}

/// What becomes of an entry that clients read a trust bundle from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntryPlan {
    /// It holds what it should.
    Keep,
    /// It becomes this PEM text.
    Set(String),
    /// It is somebody else's and lacks a CA.
    NotOurs,
}

impl Trust {
    /// What becomes of the entry of a ConfigMap: `found` is its text, and `is_ours` whether certtool
    /// made the ConfigMap. To a ConfigMap of somebody else's the entry is added, and not changed
    /// if it is there. Certificates stay as they do in a caBundle ([`Trust::plan`]).
    #[must_use]
    pub fn plan_entry(&self, found: Option<&str>, is_ours: bool, now: OffsetDateTime) -> EntryPlan {
        let Some(found) = found else {
            return EntryPlan::Set(self.bundle.to_pem());
        };
        let found = CaBundle::Pem(found.as_bytes().to_vec());
        if !is_ours {
            return match self.is_in(&found) {
                true => EntryPlan::Keep,
                false => EntryPlan::NotOurs,
            };
        }
        match self.plan(&found, BundleMode::Merge, now) {
            Decision::Set(pem) => EntryPlan::Set(String::from_utf8_lossy(&pem).into_owned()),
            _ => EntryPlan::Keep,
        }
    }

    /// Whether an API server that has this caBundle trusts all that it should.
    #[must_use]
    pub fn is_in(&self, bundle: &CaBundle) -> bool {
        bundle
            .pem()
            .is_some_and(|pem| TrustBundle::usable(pem).0.contains_all(&self.bundle))
    }

    /// What a caBundle becomes. With [`BundleMode::Merge`] the certificates of others stay, so
    /// that a server that still serves one of theirs is trusted until it has ours; what was
    /// ours and is trusted no more leaves.
    ///
    /// Merging never removes a CA that this state does not know, so that a replica with an
    /// old state cannot undo what one with a newer state has published.
    #[must_use]
    pub fn plan(&self, bundle: &CaBundle, mode: BundleMode, now: OffsetDateTime) -> Decision {
        let there = bundle.pem().map(|pem| TrustBundle::usable(pem).0);
        let is_former = |certificate: &Certificate| {
            !self.former.is_empty() && self.former.contains(&certificate.fingerprint())
        };
        match there {
            Some(there)
                if mode == BundleMode::Merge && there.certificates().iter().any(is_former) =>
            {
                let others = there.without_expired(now);
                let others = others.certificates().iter();
                let others = others.filter(|certificate| !is_former(certificate));
                let wanted = TrustBundle::new(others.cloned()).merge(&self.bundle);
                Decision::Set(wanted.to_pem().into_bytes())
            }
            _ => plan_bundle(bundle, &self.bundle, mode, now).decision,
        }
    }
}
