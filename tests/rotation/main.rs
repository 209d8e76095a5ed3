//! A CA in a Secret, on a real API server: written by compare-and-swap, rotated by several
//! replicas, killed, damaged and repaired.
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

mod commands;
mod damaged;
mod killed;
mod racing;
mod rotating;
mod secrets;
mod world;
