//! `--policy FILE`, and the permissions that approving and signing take.

use std::path::Path;

use crate::cluster::{Cluster, Error};
use crate::request::RequestObject;

/// A policy that was read.
#[derive(Debug)]
pub(super) struct Loaded {}

/// Reads a policy file.
pub(super) fn load(path: &Path) -> anyhow::Result<Loaded> {
    anyhow::bail!(
        "{}: approval policies are not supported yet",
        path.display()
    )
}

/// Refuses what the policy would refuse.
pub(super) async fn check(
    _cluster: &Cluster,
    _policy: &Loaded,
    _request: &RequestObject,
) -> anyhow::Result<()> {
    Ok(())
}

/// Approving and signing take two permissions; the API server's message names the second
/// one (`plugin/pkg/admission/certificates`), and this says the rule to add.
pub(super) fn explain_signer_permission(
    signer: &str,
    verb: &'static str,
) -> impl FnOnce(anyhow::Error) -> anyhow::Error {
    let signer = signer.to_owned();
    move |error| {
        let missing = error.downcast_ref::<Error>().is_some_and(|error| {
            matches!(error, Error::Forbidden { message, .. } | Error::Api { message, .. }
                if message.contains("user not permitted to"))
        });
        if !missing {
            return error;
        }
        error.context(format!(
            "not permitted to {verb} requests for {signer}: add the ClusterRole rule \
             {{apiGroups: [\"certificates.k8s.io\"], resources: [\"signers\"], verbs: [\"{verb}\"], resourceNames: [\"{signer}\"]}}"
        ))
    }
}
