//! What to do next, as data: state and `now` in, a plan out.

mod ca_bundle;
mod leaf;
mod names;
mod reach;
mod serving;
mod sign;

pub use ca_bundle::{BundleMode, BundlePlan, UnknownMode, plan_bundle, plan_client_config};
pub use leaf::{Existing, LeafPlan, Reason, Wanted, plan_leaf};
pub use names::{NameSources, collect_names};
pub use reach::{LocalAddress, Surroundings, candidates};
pub use serving::{Holder, ServingPlan, holder, plan_serving};
pub use sign::{Unsignable, grant, grant_as_controller_manager, lifetime};
