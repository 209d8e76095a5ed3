//! certtool: the whole life of a Kubernetes webhook's serving certificate.

pub mod injectable;
pub mod manifest;
