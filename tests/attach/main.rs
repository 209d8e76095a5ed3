//! `local-dev attach`, `detach`, `run` and `status` as their users see them: the real
//! binary against a real API server.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    unreachable_pub
)]

#[path = "../support/operator.rs"]
#[allow(clippy::unwrap_used, clippy::panic, dead_code, unreachable_pub)]
mod operator;
#[path = "../support/mod.rs"]
mod support;

mod attaching;
mod choosing;
mod detaching;
mod failing;
mod forbidden;
mod interrupted;
mod operating;
mod proving;
mod racing;
mod running;
mod showing;
mod world;

use world::{Said, World};

/// The annotation that holds the originals: part of what users may see and remove.
const ANNOTATION: &str = "certtool.dev/local-dev-attached";
