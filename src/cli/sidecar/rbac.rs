//! The rights that a sidecar needs, and no others, as manifests.

use serde_json::Value;

use super::options::{From, Options};
use crate::NamespacedName;
use crate::cli::rbac::Rules;
use crate::sidecar::TrustSource;

/// Roles and their bindings.
pub(super) fn manifests(options: &Options, account: &NamespacedName) -> Vec<Value> {
    let mut rules = Rules::default();
    match &options.from {
        From::Signer(_) => {
            let requests = (
                "certificates.k8s.io",
                ["certificatesigningrequests"].as_slice(),
            );
            rules.add(None, requests, &["create", "get"], &[]);
        }
        From::Secret(own) => {
            let secrets = ("", ["secrets"].as_slice());
            let namespace = Some(own.secret.namespace.as_str());
            rules.add(namespace, secrets, &["get", "patch"], &[&own.secret.name]);
            // A create cannot be limited by name.
            rules.add(namespace, secrets, &["create"], &[]);
            for id in own.objects.iter().flatten() {
                rules.add_injectable(id.kind, &["get", "patch"], &[&id.name]);
            }
        }
    }
    if let TrustSource::ConfigMap { name, .. } = &options.trust {
        let config_maps = ("", ["configmaps"].as_slice());
        rules.add(Some(&name.namespace), config_maps, &["get"], &[&name.name]);
    }
    let events = ("events.k8s.io", ["events"].as_slice());
    rules.add(Some(&account.namespace), events, &["create"], &[]);
    rules.manifests("certtool-sidecar", account)
}
