//! certtool: the whole life of a Kubernetes webhook's serving certificate.

pub mod store;
