//! CertificateSigningRequest objects as values: what they say, what state they are in,
//! and the bodies that certtool writes.
//!
//! Pure: JSON in, values out. One object that does not read is an error of its own and
//! never stops the others. The API's rules are in `staging/src/k8s.io/api/certificates/v1/types.go`
//! and `pkg/apis/certificates/validation/validation.go`.

mod object;
mod spec;
mod state;

pub use object::{Condition, Malformed, RequestObject, Requester};
pub use spec::{NewRequest, SpecError, same_request};
pub use state::{Decision, State, with_decision, with_failure};

/// The API group.
pub const GROUP: &str = "certificates.k8s.io";
