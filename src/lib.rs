//! certtool: the whole life of a Kubernetes webhook's serving certificate.
//!
//! # Map
//! Pure, values in and values out; no I/O, no clock:
//! * [`pki`]: keys, requests, certificates, authorities, trust bundles
//! * [`cfssl`]: cfssl's CSR JSON and signing config, read into pki's types
//! * [`injectable`]: the four kinds that carry a `caBundle`, and how to patch them safely
//! * [`manifest`]: reading manifests
//! * [`policy`]: which certificate signing requests are approved
//! * [`plan`]: what to do next, as data
//! * [`request`]: CertificateSigningRequest objects as values
//! * [`authority`]: a CA that lives in a Secret and rotates
//!
//! Shell, doing what a plan says:
//! * [`store`]: the certificate directory and the CA's
//! * [`cluster`]: the API server
//! * [`controller`]: signers, approval and leader election, in the cluster
//! * [`sidecar`]: the loop that keeps a pair fresh beside its server
//! * [`resolver`]: a rustls certificate resolver that follows a directory
//! * [`serve`]: health and metrics over HTTP
//! * [`rotation`]: keeps the CA in a Secret rotating
//! * [`cli`]: the command line
//!
//! # Invariants
//! docs/architecture.md has all of them; the ones that every module upholds:
//! * a certificate and its key change together, and a kill at any instant leaves a
//!   usable pair;
//! * a private key is in no log, error, `Debug`, argument list or `caBundle`;
//! * a certificate says what was granted and nothing that a request asked for besides;
//! * nothing is written unless something differs, and only fields that are ours.

pub mod authority;
pub mod cfssl;
pub mod cli;
pub mod cluster;
pub mod controller;
pub mod injectable;
pub mod manifest;
pub mod pki;
pub mod plan;
pub mod policy;
pub mod request;
pub mod resolver;
pub mod rotation;
pub mod serve;
pub mod sidecar;
pub mod store;

mod entropy;
mod namespaced;

pub use entropy::random_serial;
pub use namespaced::{NamespacedName, NotNamespaced};

/// Makes aws-lc-rs the process's TLS crypto provider. Idempotent.
pub fn install_crypto_provider() {
    // An error means that one is installed already, which is as good.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}
