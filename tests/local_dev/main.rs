//! `certtool local-dev` without a cluster, as a developer and their scripts see it.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

#[path = "../support/mod.rs"]
mod support;

mod authorities;
mod bad_authorities;
mod disk;
mod first_run;
mod help;
mod home;
mod hosts;
mod judge;
mod made;
mod manifests;
mod output;
mod second_run;
mod together;

use std::time::Duration;

use home::{Home, Ran};

/// How long one run of certtool, or of openssl, may take. A machine under load is slow.
const LIMIT: Duration = Duration::from_secs(30);
