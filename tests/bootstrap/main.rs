//! `bootstrap` as its users see it: the real binary against a real API server, which calls
//! webhooks by their Service.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    unreachable_pub
)]

#[path = "../support/mod.rs"]
mod support;
// The developer of `local-dev attach` has the webhooks that this needs too.
#[path = "../attach/world.rs"]
#[allow(dead_code)]
mod world;

mod choosing;
mod ci;
mod first_run;
mod interrupted;
mod keeping;
mod permissions;
mod racing;
mod refusing;
mod waiting;

use ci::Ci;

/// For `world`.
const ANNOTATION: &str = "certtool.dev/local-dev-attached";
