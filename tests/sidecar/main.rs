//! `certtool sidecar` as a pod runs it: the real binary with its own service account and the
//! RBAC that it prints, against a real API server.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    unreachable_pub
)]

#[path = "../../examples/webhook.rs"]
#[allow(dead_code)]
mod example;
#[path = "../requests/files.rs"]
#[allow(dead_code)]
mod files;
#[path = "../support/mod.rs"]
mod support;

mod directory;
mod health;
mod once;
mod own_ca;
mod reaching;
mod refused;
mod renewing;
mod resolver;
mod rights;
mod signers;
mod world;

use files::Files;
use world::World;
