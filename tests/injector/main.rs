//! The injector of `certtool controller`: the real binary as a service account with the rights
//! that `site::rights` lists and no others, against a real API server.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    unreachable_pub
)]

#[path = "../controller/world.rs"]
#[allow(dead_code)]
mod controller;
#[path = "../controller/faulty.rs"]
#[allow(dead_code)]
mod faulty;
#[path = "../requests/files.rs"]
#[allow(dead_code)]
mod files;
#[path = "../support/mod.rs"]
mod support;
#[path = "../requests/world.rs"]
#[allow(dead_code)]
mod user;
#[path = "../inject_cluster/world.rs"]
#[allow(dead_code)]
mod world;

mod choosing;
mod contested;
mod faults;
mod following;
mod masses;
mod publishing;
mod rights;
mod site;

use files::Files;
