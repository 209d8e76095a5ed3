//! What each client config gets: whether it is chosen, and what its caBundle becomes.

use std::collections::{BTreeSet, HashMap};

use time::OffsetDateTime;

use super::Choice;
use crate::injectable::{CaBundle, ClientConfig, Decision, ObjectId};
use crate::pki::TrustBundle;
use crate::plan::{BundleMode, plan_client_config};

/// What is asked for.
#[derive(Debug)]
pub(in crate::cli) struct Wanted<'a> {
    pub(in crate::cli) choice: &'a Choice,
    pub(in crate::cli) ours: &'a TrustBundle,
    pub(in crate::cli) mode: BundleMode,
    pub(in crate::cli) now: OffsetDateTime,
}

/// Decides for one client config after the other, and remembers: there are many webhooks and few
/// bundles.
#[derive(Debug)]
pub(in crate::cli) struct Planner<'a> {
    wanted: &'a Wanted<'a>,
    known: HashMap<Key, Decision>,
    /// How many client configs there were.
    pub(in crate::cli) configs: usize,
    /// What was there to choose from; the first few.
    pub(in crate::cli) seen: BTreeSet<String>,
    /// Subjects of the certificates that leave a caBundle.
    pub(in crate::cli) dropped: BTreeSet<String>,
}

/// All that a decision depends on.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Key {
    bundle: Bundle,
    skip_verify: bool,
}

#[derive(Debug, PartialEq, Eq, Hash)]
enum Bundle {
    None,
    Unusable,
    Pem(Vec<u8>),
}

impl<'a> Planner<'a> {
    /// How many names are kept for a message.
    const SEEN: usize = 20;

    /// Above this many there is no point in remembering more.
    const KNOWN: usize = 256;

    pub(in crate::cli) fn new(wanted: &'a Wanted<'a>) -> Self {
        Self {
            wanted,
            known: HashMap::new(),
            configs: 0,
            seen: BTreeSet::new(),
            dropped: BTreeSet::new(),
        }
    }

    pub(in crate::cli) fn decide(&mut self, config: &ClientConfig, id: &ObjectId) -> Decision {
        self.configs += 1;
        let choice = self.wanted.choice;
        if !choice.is_everything() && self.seen.len() < Self::SEEN {
            self.seen.insert(id.to_string());
        }
        if !choice.has(id, config) {
            return Decision::Keep;
        }
        if let Err(target) = &config.target {
            return Decision::Refuse(target.to_string());
        }
        let key = Key {
            bundle: match &config.ca_bundle {
                CaBundle::Absent | CaBundle::Empty => Bundle::None,
                CaBundle::Invalid(_) => Bundle::Unusable,
                CaBundle::Pem(pem) => Bundle::Pem(pem.clone()),
            },
            skip_verify: config.insecure_skip_tls_verify,
        };
        if let Some(decision) = self.known.get(&key) {
            return decision.clone();
        }
        let Wanted {
            ours, mode, now, ..
        } = self.wanted;
        let plan = plan_client_config(config, ours, *mode, *now);
        self.dropped.extend(plan.dropped);
        if self.known.len() < Self::KNOWN {
            self.known.insert(key, plan.decision.clone());
        }
        plan.decision
    }
}
