//! Keys, certificate signing requests, certificates, authorities, trust bundles.
//!
//! Everything here is pure: values in, values out. `now` and serial numbers are
//! arguments; nothing reads a file, a clock or a cluster. The one source of
//! randomness that cannot be passed in is [`PrivateKey::generate`], since aws-lc-rs
//! draws keys from the kernel by itself.
//!
//! Invariants of the module:
//! * A certificate is built afresh from a public key and a [`Grant`]; nothing is
//!   copied from a request (RFC 5280 has no "copy"; cfssl's `copy_extensions` does).
//! * An [`Authority`] can only be built from a certificate that is a CA and a key
//!   that belongs to it; it never issues beyond its own `notAfter`.
//! * No `Debug`, `Display` or error of this module contains key material.
//!
//! Certificates are laid out by `layout`, octet for octet as rcgen does it, and read by
//! x509-parser; requests are laid out by rcgen. rcgen's `DistinguishedName` cannot hold
//! repeated or multi-valued attributes, and a chain is built by comparing the exact DER
//! of the names (RFC 5280, section 7.1), so that a name is copied as it is.

mod algorithm;
mod anchors;
mod assemble;
mod attribute;
mod authority;
mod authority_error;
mod bundle;
mod certificate;
mod constraints;
mod csr;
mod der;
mod dn;
mod encoder;
mod extension;
mod grant;
mod host;
mod key;
mod layout;
mod oid;
mod pem_blocks;
mod public_key;
mod san;
mod serial;
mod service;
mod shape;
mod signature;
mod usage;
mod verify;

pub use algorithm::{KeyAlgorithm, UnknownAlgorithm};
pub use anchors::{AnchorError, AnchorWarning, Anchors};
pub use attribute::Attribute;
pub use authority::{Authority, CaSpec, Issued};
pub use authority_error::{AuthorityError, AuthorityPemError, IssueError};
pub use bundle::{BundleError, TrustBundle};
pub use certificate::{Certificate, CertificateError};
pub use constraints::Subtrees;
pub use csr::{Csr, CsrError, RequestedExtension, VerifiedCsr, create_csr};
pub use dn::{AttributeValue, DistinguishedName, NameError};
pub use extension::{Extension, ExtensionError};
pub use grant::{CaConstraint, Grant, Lifetime, NameConstraints, Validity};
pub use host::{Host, HostError};
pub use key::{KeyError, PrivateKey, SecretPem};
pub use oid::{Oid, OidError};
pub use public_key::{Curve, PublicKey, PublicKeyError, PublicKeyKind};
pub use san::{MAX_NAMES, San, SanError, check_size};
pub use serial::Serial;
pub use service::{ServiceName, ServiceNameError};
pub use signature::SignatureError;
pub use usage::{UnknownUsage, Usage};
pub use verify::{VerifyError, verify_server};

/// The longest common name that X.520 allows (`ub-common-name`, RFC 5280 appendix A).
pub const MAX_COMMON_NAME: usize = 64;

/// How far a certificate is dated back, so that peers whose clocks are a little
/// behind accept it at once. The same five minutes as kube-controller-manager
/// (`pkg/controller/certificates/signer/signer.go`) and cfssl.
pub const BACKDATE: time::Duration = time::Duration::minutes(5);
