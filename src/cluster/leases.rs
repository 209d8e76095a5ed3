//! Who holds a Lease.

use kube::api::GetParams;
use kube::core::Request;
use serde_json::Value;

use super::call::Call;
use super::client::Cluster;
use super::error::{Error, Result};

/// The holder of a Lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// `spec.holderIdentity`
    pub identity: String,
    /// `spec.renewTime`, by the holder's clock; it changes with each renewal.
    pub renewed: String,
}

impl Cluster {
    /// The holder of a Lease; `None` when there is no Lease or nobody holds it.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn lease_holder(&self, namespace: &str, name: &str) -> Result<Option<Holder>> {
        let call = Call::cluster_scoped("get", "coordination.k8s.io", "v1", "leases")
            .within(namespace)
            .on(name);
        let request = Request::new(call.path()).get(name, &GetParams::default());
        let lease: Value = match self.send(&call, request).await {
            Ok(lease) => lease,
            Err(Error::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        let text = |field: &str| lease["spec"][field].as_str().unwrap_or_default().to_owned();
        Ok(Some(Holder {
            identity: text("holderIdentity"),
            renewed: text("renewTime"),
        })
        .filter(|holder| !holder.identity.is_empty()))
    }
}
