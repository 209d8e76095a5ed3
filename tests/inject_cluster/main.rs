//! `inject --cluster` as its users see it: the real binary against a real API server, with the
//! programs beside it that apply the same objects.
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

mod choosing;
mod gitops;
mod injecting;
mod meddled;
mod paging;
mod permissions;
mod restarting;
mod showing;
mod world;

use files::Files;
use world::World;
