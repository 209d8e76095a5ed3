//! What to do next, as data: state and `now` in, a plan out.

mod leaf;
mod names;
mod reach;

pub use leaf::{Existing, LeafPlan, Reason, Wanted, plan_leaf};
pub use names::{NameSources, collect_names};
pub use reach::{LocalAddress, Surroundings, candidates};
