//! The CertificateSigningRequest recipe as its users see it: `genkey`, `submit`, `list`,
//! `describe`, `approve`, `deny`, `sign`, `fetch`, `issue` and `ca`, the real binary against
//! a real API server.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    unreachable_pub
)]

#[path = "../pki_judges/forge.rs"]
#[allow(dead_code)]
mod forge;
#[path = "../support/operator.rs"]
#[allow(dead_code)]
mod operator;
#[path = "../support/mod.rs"]
mod support;

mod authorities;
mod bad_csrs;
mod bad_json;
mod deciding;
mod existing_cas;
mod fetching;
mod files;
mod issuing;
mod killed;
mod lifetimes;
mod listing;
mod meddled;
mod permissions;
mod policies;
mod recipe;
mod served;
mod signing;
mod signing_files;
mod submitting;
mod world;

use files::Files;
use world::World;
