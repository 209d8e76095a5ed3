//! `certtool controller` as a platform team runs it: the real binary as a service account with
//! the rights that `world::rights` lists and no others, against a real API server.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    unreachable_pub
)]

#[path = "../requests/files.rs"]
#[allow(dead_code)]
mod files;
#[path = "../support/mod.rs"]
mod support;
#[path = "../requests/world.rs"]
#[allow(dead_code)]
mod user;

mod approving;
mod checking;
mod clocks;
mod damaged;
mod escaping;
mod faults;
mod faulty;
mod killed;
mod leading;
mod masses;
mod publishing;
mod reloading;
mod rights;
mod serving;
mod signing;
mod world;

// The forgeries name them as the crate's own.
use escaping::{pki, policy};
use files::Files;
