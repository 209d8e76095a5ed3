//! `manifests/`, built by kustomize and applied to a real API server: the controller manager makes
//! the pods, Pod Security admits them as restricted, and the binary runs as their ServiceAccount
//! with the roles that are shipped.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    unreachable_pub
)]

#[path = "../sidecar_load/balancer.rs"]
#[allow(dead_code)]
mod balancer;
#[path = "../sidecar_load/load.rs"]
#[allow(dead_code)]
mod load;
#[path = "../support/operator.rs"]
#[allow(clippy::unwrap_used, clippy::panic, dead_code, unreachable_pub)]
mod operator;
#[path = "../kubebuilder/project.rs"]
#[allow(dead_code)]
mod project;
#[path = "../support/mod.rs"]
mod support;

mod built;
mod controller;
mod operating;
mod pod;
mod replicas;
mod rights;
mod security;
mod sidecar;
mod waiting;

use std::time::Duration;

use rights::Account;
use support::{ControlPlane, Options};

/// How long anything may take that is not about speed.
const LIMIT: Duration = Duration::from_secs(60);

/// One that makes pods of Deployments and notes who asks for what.
fn cluster() -> ControlPlane {
    ControlPlane::dedicated_with(&Options {
        controller_manager: true,
        audit_log: true,
        ..Options::default()
    })
}
