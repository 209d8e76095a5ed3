//! Plans as data: the patch of one object, and what it means for each of its client configs.

use std::fmt;

use json_patch::Patch;
use serde_json::Value;

use super::failure_policy::FailurePolicy;
use super::kind::ObjectId;
use super::record::Record;

/// What to do with one object.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The object.
    pub object: ObjectId,
    /// The patch (`application/json-patch+json`); `None` when nothing differs.
    pub patch: Option<Patch>,
    /// What happens to each client config that was considered.
    pub outcomes: Vec<Outcome>,
    /// The record to keep in the local file as well; `None` when nothing stays attached.
    pub record: Option<Record>,
}

/// What happens to one client config.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The webhook's name; for a kind with one client config, the object's.
    pub webhook: String,
    /// What happens.
    pub what: What,
}

/// What happens to a client config. `Display` is the sentence for a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// It gets this caBundle.
    CaBundle {
        /// There was one before.
        replaced: bool,
        /// `insecureSkipTLSVerify` is cleared too.
        verify: bool,
    },
    /// It gets this failure policy.
    FailurePolicy(FailurePolicy),
    /// Nothing differs.
    Unchanged,
    /// It is pointed at this url.
    Attached {
        /// The url.
        url: String,
        /// It was attached already, elsewhere or with another bundle.
        again: bool,
    },
    /// It is left alone when attaching.
    Skipped {
        /// Why.
        reason: String,
    },
    /// Its original is put back.
    Restored {
        /// What had changed since it was attached, if anything.
        drift: Option<String>,
    },
    /// Its original is in place already.
    AlreadyRestored,
    /// It is left alone when detaching, since somebody else changed it.
    ChangedSince {
        /// How it differs from what was attached.
        difference: String,
        /// The original, for a person to put back.
        original: Value,
    },
    /// It no longer exists.
    Gone,
}

impl Outcome {
    /// Whether it is attached once the plan is carried out.
    #[must_use]
    pub fn is_attached(&self) -> bool {
        matches!(self.what, What::Attached { .. } | What::Unchanged)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.webhook, self.what)
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CaBundle { replaced, verify } => {
                let verb = if *replaced { "replaced" } else { "added" };
                write!(f, "caBundle {verb}")?;
                if *verify {
                    f.write_str(", insecureSkipTLSVerify cleared")?;
                }
                Ok(())
            }
            Self::FailurePolicy(policy) => write!(f, "failurePolicy set to {policy}"),
            Self::Unchanged => f.write_str("unchanged"),
            Self::Attached { url, again: false } => write!(f, "attached to {url}"),
            Self::Attached { url, again: true } => write!(f, "attached anew to {url}"),
            Self::Skipped { reason } => write!(f, "left alone: {reason}"),
            Self::Restored { drift: None } => f.write_str("restored"),
            Self::Restored { drift: Some(drift) } => {
                write!(f, "restored, although it had changed since: {drift}")
            }
            Self::AlreadyRestored => f.write_str("already as it was before"),
            Self::ChangedSince { difference, .. } => write!(
                f,
                "left alone, since somebody changed it after it was attached: {difference}"
            ),
            Self::Gone => f.write_str("no longer exists"),
        }
    }
}
