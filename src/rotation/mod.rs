//! Keeps the CA in a Secret rotating: fetch, plan, apply one step.
//!
//! Role: the shell around [`crate::authority`] that the controller, the sidecar and
//! `certtool ca` run. Any number of replicas may run it at once over one Secret.
//!
//! ```no_run
//! # use certtool::{authority::Settings, cluster::Cluster, injectable::ObjectId};
//! # use certtool::rotation::{Error, Injectables, Keeper};
//! # async fn run(cluster: Cluster, settings: Settings, objects: Vec<ObjectId>) -> Result<(), Error> {
//! let secret = "shop/webhook-ca".parse().unwrap();
//! let objects = Injectables::new(objects);
//! let mut keeper = Keeper::new(cluster.clone(), secret, settings);
//! loop {
//!     let now = time::OffsetDateTime::now_utc();
//!     let (objects, cluster) = (&objects, &cluster);
//!     let publish = |trust: Option<certtool::authority::Trust>| async move {
//!         objects.publish(cluster, trust.as_ref(), now).await
//!     };
//!     let tick = keeper.tick(publish, now).await?;
//!     let now = time::OffsetDateTime::now_utc();
//!     if let Ok(signing) = tick.standing.signing(now) {
//!         // signing.authority.issue(public_key, grant, now, serial)
//!     }
//!     tokio::time::sleep(tick.next).await;
//! }
//! # }
//! ```
//!
//! Invariants:
//! * One write of the Secret a tick at most, by compare-and-swap; who is outrun reads again.
//! * The objects are given the bundle before the plan is made, and read after that.
//! * A Secret that does not add up, or is gone although it was there, is an error and stays
//!   as it is.

mod error;
mod injectables;
mod keeper;

pub use error::{Error, Result};
pub use injectables::{Injectables, Published};
pub use keeper::{Done, Keeper, Tick};
