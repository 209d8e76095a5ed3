//! cfssl's CSR JSON and signing config, read into the types of [`pki`](crate::pki).
//!
//! Text in, values out: nothing here reads a file, a clock or a key. Written against
//! cfssl 1.6.5 (`csr/csr.go`, `config/config.go`, `signer/signer.go`,
//! `signer/local/local.go`, `initca/initca.go`), which a differential test runs beside
//! this module.
//!
//! Invariant: for every input either the certificate that cfssl makes (subject, SANs,
//! usages, dates to the minute, CA bits, path length), or an error that names what
//! differs. cfssl drops unknown keys and usages, falls back to the default profile for
//! an unknown one and ignores settings that do not fit together; here each of them is
//! an error with its place in the text. What is different on purpose and still signs is
//! what [`lint`] reports.
//!
//! Values of `auth_keys` are secrets: they are never read, kept or quoted.

mod config;
mod duration;
mod error;
mod grant;
mod hosts;
mod json;
mod lint;
mod policies;
mod position;
mod profile;
mod request;
mod settings;
mod subject;
mod whitelist;

pub use config::SigningConfig;
pub use error::{At, Error};
pub use grant::GrantError;
pub use lint::{Lint, lint};
pub use profile::Profile;
pub use request::{CaSection, CsrJson};
