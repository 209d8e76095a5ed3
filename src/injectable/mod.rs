//! Injectable objects: the objects of a cluster that carry a caBundle.
//!
//! The one definition that the command line, the controller and the sidecar share: which kinds
//! there are ([`Kind`]), where their bundles sit and whom they are for ([`ClientConfig`]), and how
//! to change them safely ([`plan_ca_bundles`], [`attach()`], [`detach()`]).
//!
//! Pure: objects come in as `serde_json::Value`, plans go out as data. Invariants:
//! - A patch is guarded: it names the resourceVersion it was made for and every webhook it touches,
//!   so that it fails rather than hits another webhook after a concurrent change.
//! - A patch touches the fields that are ours and nothing else. When nothing differs there is none.
//! - A caBundle is opaque PEM. What it should become is the caller's [`Decision`].

mod attach;
mod ca_bundle;
mod client_config;
mod detach;
mod error;
mod failure_policy;
mod kind;
mod managers;
mod partial;
mod patch;
mod plan;
mod record;

pub use self::attach::{AttachTo, attach};
pub use self::ca_bundle::{CaBundle, Fault, Finding, encode};
pub use self::client_config::{
    ClientConfig, ClientConfigs, Nothing, ServiceTarget, Target, TargetError, client_configs,
    examine,
};
pub use self::detach::{OnDrift, detach};
pub use self::error::{BadBundle, Error, Result};
pub use self::failure_policy::{FailurePolicy, UnknownFailurePolicy, plan_failure_policy};
pub use self::kind::{Kind, ObjectId, UnknownKind};
pub use self::managers::{Manager, Tool, ca_bundle_owners, last_writer, managers};
pub use self::partial::Partial;
pub use self::patch::{Decision, plan_ca_bundles};
pub use self::plan::{Outcome, Plan, What};
pub use self::record::{ANNOTATION, Attached, Entry, Record, RecordError};

#[cfg(test)]
mod fixtures;
