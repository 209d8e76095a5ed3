//! `certtool inject` on manifests, and `certtool krm`, as a developer and their scripts see them.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

#[path = "../support/mod.rs"]
mod support;

mod bad_bundles;
mod bad_input;
mod choosing;
mod home;
mod in_place;
mod krm;
mod kustomize;
mod large;
mod modes;
mod streams;

use home::{Home, Said, hook, without_bundles};
