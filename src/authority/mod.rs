//! A CA that lives in a Secret and rotates: its state, and what to do next.
//!
//! Role: the one definition that the controller, the sidecar and the `ca` commands share. The
//! shell ([`crate::rotation`]) reads the Secret, tells what the objects with a caBundle hold,
//! and carries out the one [`Step`] that [`plan`] names.
//!
//! ```text
//! Introducing(A) --read back--> Steady(A) --A is due, or asked for--> Publishing(A+B)
//!        --read back--> Settling(A+B) --settle time over, read back again--> signs with B
//!        --> Draining(A+B) --A's last leaf has ended, or nothing serves it--> Steady(B)
//! ```
//!
//! Invariants:
//! * The state is in the Secret and nowhere else; the phase is computed from it and the clock,
//!   so that any replica can go on after a crash. Every write is a compare-and-swap.
//! * `tls.crt` and `tls.key` are the CA that signs now, `ca.crt` is what has to be trusted, so
//!   that any tool uses the right one.
//! * No CA signs before every object that should trust it has been read back holding it.
//! * A CA leaves the bundle when nothing that it signed can still be valid, or nothing serves
//!   it any more. For that the longest life of its leaves is in the record, and
//!   [`Authority::issue`](crate::pki::Authority::issue) keeps to it.
//! * A clock that is far from the API server's takes no step and signs nothing.
//! * The private key of a CA that signs no more is gone from the Secret with the same write.
//! * A Secret that does not add up is an error that names the repair, never a reason for a
//!   new CA.

mod phase;
mod plan;
mod problem;
mod read;
mod record;
mod repair;
mod settings;
mod standing;
mod state;
mod trust;
mod write;

pub use phase::{Phase, Prospect};
pub use plan::{
    Observation, ReadBack, Step, Waiting, check_continuity, clock_apart, plan, plan_first,
};
pub use problem::{Broken, Problem};
pub use read::read;
pub use repair::still_trusted;
pub use settings::{CaOrder, Settings, SettingsError};
pub use standing::{LeafDue, NotNow, Signing, Standing, Warning, warnings};
pub use state::{CaState, Current, Former, Next, Owner, Policy, Reason, Request, Retired};
pub use trust::{EntryPlan, Trust};
pub use write::Changes;

/// The entries of the Secret.
pub mod entry {
    /// The certificate of the CA that signs now, its chain after it.
    pub const CERT: &str = "tls.crt";
    /// Its key.
    pub const KEY: &str = "tls.key";
    /// The trust bundle of the phase.
    pub const BUNDLE: &str = "ca.crt";
    /// The certificate of the CA that signs next.
    pub const NEXT_CERT: &str = "next.crt";
    /// Its key.
    pub const NEXT_KEY: &str = "next.key";
    /// The certificates of CAs that sign no more and are still trusted.
    pub const RETIRED: &str = "retired.crt";
    /// Dates and states, in JSON.
    pub const RECORD: &str = "authority.json";
}

/// The annotation of the Secret that asks for a rotation: `requested`, or `now` when the keys
/// may have leaked.
pub const ROTATE_ANNOTATION: &str = "certtool.dev/rotate";

#[cfg(test)]
mod tests;
