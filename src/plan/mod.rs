//! What to do next, as data: state and `now` in, a plan out.

mod accept;
mod ca_bundle;
mod existing;
#[cfg(test)]
mod fixtures;
mod jitter;
mod leaf;
mod names;
mod reach;
mod reason;
mod renewal;
mod serving;
mod sign;

pub use accept::{Asked, Unacceptable, accept};
pub use ca_bundle::{BundleMode, BundlePlan, UnknownMode, plan_bundle, plan_client_config};
pub use existing::Existing;
pub use jitter::{Seed, pause_after};
pub use leaf::{LeafPlan, Wanted, plan_leaf};
pub use names::{NameSources, collect_names};
pub use reach::{LocalAddress, Surroundings, candidates};
pub use reason::Reason;
pub use renewal::{Desired, LeafRecord, RENEW_ANNOTATION, Renewal, plan_renewal};
pub use serving::{Holder, ServingPlan, holder, plan_serving};
pub use sign::{Unsignable, grant, grant_as_controller_manager, lifetime};

/// An instant as people and scripts read it: RFC 3339, in whole seconds.
#[must_use]
pub fn instant(at: time::OffsetDateTime) -> String {
    let format = &time::format_description::well_known::Rfc3339;
    let whole = at.replace_nanosecond(0).unwrap_or(at);
    whole.format(format).unwrap_or_else(|_| at.to_string())
}
