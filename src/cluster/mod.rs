//! The API server: reached as kubectl reaches it, asked and told what a plan says.
//!
//! Objects come and go as `serde_json::Value`, so that no field is lost that this
//! version of certtool does not know. Every error names the verb, the object and, when
//! access is denied, the RBAC rule that grants it.

mod aggregated;
mod ca_secrets;
mod call;
mod client;
mod config_maps;
mod configuration;
mod connection;
mod error;
mod events;
mod facts;
mod handshake;
mod injectables;
mod lean;
mod leases;
mod metadata_watch;
mod namespaces;
mod pages;
mod patience;
mod probe;
mod request_watch;
mod requests;
mod secrets;
mod server;
mod server_clock;
mod verdict;
mod watching;
mod write;

pub use ca_secrets::Written;
pub use call::Call;
pub use client::{Access, Cluster};
pub use config_maps::{ConfigMap, ConfigMapName};
pub use error::{Error, Result};
pub use events::Event;
pub use facts::Answer;
pub(crate) use handshake::shown_chain;
pub use injectables::{Applied, Mode};
pub use leases::Holder;
pub use metadata_watch::{Metadata, MetadataEvent};
pub use pages::{Pages, Selection};
pub use patience::Patience;
pub use probe::{ProbeTarget, Until, prove};
pub use request_watch::RequestEvent;
pub use secrets::{SecretData, SecretName};
pub use server::{api_server_names, listens};
pub use verdict::{Proof, Verdict};

/// The field manager of certtool's writes, as `managedFields` shows it.
pub const FIELD_MANAGER: &str = "certtool";
