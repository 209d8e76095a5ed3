//! Manifests: streams of YAML and JSON documents as people and tools write them.
//!
//! [`documents`] splits a stream, [`objects`] finds the injectable objects in it, [`services`] the
//! Services that they name, and [`inject`] changes their caBundles in place.
//!
//! Pure: bytes in, bytes and findings out. Invariants:
//! - One bad document is an error of its own, with its number and line; the others are still read.
//! - [`inject`] changes the bytes of caBundle values and nothing else, and reads every changed
//!   document again before giving it out: a wrong edit becomes an error.
//! - No input makes it panic, recurse without bound or expand aliases without bound.
//!
//! How it stays fast: a document that cannot hold an injectable object is never parsed
//! (`split`), and of the others only what can matter is given to the YAML parser (`skeleton`).

mod edit;
mod error;
mod inject;
mod json;
mod read;
mod scalar;
mod services;
mod skeleton;
mod split;
mod tree;
mod yaml;

pub use self::edit::Edit;
pub use self::error::{DocumentError, Reason};
pub use self::inject::{
    Change, Edited, Injected, InjectedDocument, Injector, Note, edited, inject,
};
pub use self::read::{Located, Objects, objects, to_value};
pub use self::services::{FoundService, Placeholder, Services, services};
pub use self::split::{Document, Documents, documents};
