//! What is injected where: which source an object's bundle comes from, what its caBundles become,
//! and how long somebody who keeps overwriting them is left alone.
//!
//! Pure: metadata, objects and instants in, decisions out. The loop is in `injector`.

mod choose;
mod contest;
mod material;

pub(super) use choose::{Choice, Chosen, Origin, choose, kinds};
pub(super) use contest::Contest;
pub(super) use material::{Consents, Material, ca_of_secret, overwriters, plan};
