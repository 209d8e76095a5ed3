//! Three replicas of the Go operator, each with a sidecar, under the load of an API server that
//! makes a TLS handshake for each call, while leaves and CAs are replaced, and while things
//! break. No request may fail. Pairs come from a CA of the sidecars' own, and from a controller.
//!
//! `CERTTOOL_LOAD_SECONDS` lengthens each run. `CERTTOOL_LOAD_RATE` is the number of creations a
//! second (110), each of which is two admission requests, and five conversions for every
//! twelfth one, each over a connection of its own. The runs take turns. Those of disks mount a
//! small file system: that takes root, or a sudo that asks for no password.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    unreachable_pub
)]

#[path = "../requests/files.rs"]
#[allow(dead_code)]
mod files;
#[path = "../support/operator.rs"]
#[allow(dead_code)]
mod operator;
#[path = "../support/mod.rs"]
mod support;
#[path = "../sidecar/world.rs"]
#[allow(dead_code)]
mod world;

mod balancer;
mod controllers;
mod deployment;
mod disk;
mod faults;
mod issuer;
#[allow(dead_code)] // tests/manifests has it too
mod load;
mod rotating;

use files::Files;
