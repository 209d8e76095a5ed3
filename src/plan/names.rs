//! Which names a developer's certificate covers.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::pki::{Host, San, ServiceName};

/// Where names come from.
#[derive(Debug, Clone, Default)]
pub struct NameSources<'a> {
    /// The machine's own name, if it is one.
    pub machine: Option<Host>,
    /// Names and addresses given by the user or found for the cluster.
    pub hosts: &'a [Host],
    /// Services given by the user or found in manifests.
    pub services: &'a [ServiceName],
    /// The cluster's DNS domain.
    pub cluster_domain: &'a str,
    /// Names that an earlier certificate had and that stay covered.
    pub kept: &'a [San],
}

/// `localhost`, 127.0.0.1, ::1, the machine's own name, and every name of the sources,
/// each once, in that order.
#[must_use]
pub fn collect_names(sources: &NameSources<'_>) -> Vec<San> {
    let mut names = vec![
        San::Dns("localhost".to_owned()),
        San::Ip(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        San::Ip(IpAddr::V6(Ipv6Addr::LOCALHOST)),
    ];
    let services = sources
        .services
        .iter()
        .flat_map(|service| service.dns_names(sources.cluster_domain));
    let more = sources
        .machine
        .iter()
        .chain(sources.hosts)
        .map(Host::to_san)
        .chain(services.map(San::Dns))
        .chain(sources.kept.iter().cloned());
    let mut seen: std::collections::HashSet<San> = names.iter().cloned().collect();
    for name in more {
        if seen.insert(name.clone()) {
            names.push(name);
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_source_is_covered_once() {
        let hosts = ["10.0.0.1".parse().unwrap(), "localhost".parse().unwrap()];
        let services = ["hook.shop".parse().unwrap()];
        let kept = [
            San::Dns("old.example".to_owned()),
            San::Dns("hook.shop".to_owned()),
        ];
        let names = collect_names(&NameSources {
            machine: Some("laptop".parse().unwrap()),
            hosts: &hosts,
            services: &services,
            cluster_domain: "cluster.local",
            kept: &kept,
        });
        let shown: Vec<_> = names.iter().map(San::value).collect();
        assert_eq!(
            shown,
            [
                "localhost",
                "127.0.0.1",
                "::1",
                "laptop",
                "10.0.0.1",
                "hook.shop",
                "hook.shop.svc",
                "hook.shop.svc.cluster.local",
                "old.example"
            ]
        );
    }
}
