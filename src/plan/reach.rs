//! By which host could an API server reach this machine? Candidates, likeliest first.

use std::net::{IpAddr, Ipv4Addr};

use crate::pki::{Host, San};

/// An address of this machine, with its network's prefix length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LocalAddress {
    /// The address.
    pub ip: IpAddr,
    /// The prefix length of its network.
    pub prefix: u8,
}

/// What is known about where the API server runs.
#[derive(Debug, Clone)]
pub struct Surroundings<'a> {
    /// The host of the kubeconfig's server.
    pub server: &'a str,
    /// The names in the API server's certificate.
    pub server_names: &'a [San],
    /// This machine's addresses.
    pub local: &'a [LocalAddress],
    /// The local address that packets to the server leave from.
    pub route: Option<IpAddr>,
}

/// Names by which container runtimes and virtual machines call their host.
const HOST_NAMES: [&str; 5] = [
    "host.docker.internal",
    "host.minikube.internal",
    "host.k3d.internal",
    "host.containers.internal",
    "host.lima.internal",
];

/// The hosts to try, each once, likeliest first.
#[must_use]
pub fn candidates(surroundings: &Surroundings<'_>) -> Vec<Host> {
    let Surroundings {
        server,
        server_names,
        local,
        route,
    } = surroundings;
    let mut hosts: Vec<Host> = Vec::new();
    let mut add = |host: Host| {
        if !hosts.contains(&host) {
            hosts.push(host);
        }
    };
    // An API server at a loopback address is a process of this machine, or a container
    // whose port is published here; the proof tells which.
    if is_loopback(server) {
        add(Host::Ip(IpAddr::V4(Ipv4Addr::LOCALHOST)));
    }
    // The API server's node is on a network of this machine: kind, k3d, a virtual machine.
    for name in *server_names {
        if let San::Ip(node) = name {
            for address in local.iter().filter(|address| address.reaches(*node)) {
                add(Host::Ip(address.ip));
            }
        }
    }
    if let Some(ip) = route.filter(|ip| !ip.is_loopback()) {
        add(Host::Ip(ip));
    }
    for address in local.iter().filter(|address| address.is_usable()) {
        add(Host::Ip(address.ip));
    }
    for name in HOST_NAMES {
        add(Host::Dns(name.to_owned()));
    }
    hosts
}

fn is_loopback(server: &str) -> bool {
    let host = server.trim_matches(['[', ']']);
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

impl LocalAddress {
    /// Whether others can be expected to reach it: not loopback, not link-local.
    fn is_usable(&self) -> bool {
        match self.ip {
            IpAddr::V4(ip) => !ip.is_loopback() && !ip.is_link_local() && !ip.is_unspecified(),
            IpAddr::V6(ip) => {
                !ip.is_loopback() && !ip.is_unicast_link_local() && !ip.is_unspecified()
            }
        }
    }

    fn reaches(&self, other: IpAddr) -> bool {
        let prefix = u32::from(self.prefix);
        match (self.ip, other) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                let mask = u32::MAX
                    .checked_shl(32u32.saturating_sub(prefix))
                    .unwrap_or(0);
                self.is_usable() && prefix > 0 && own.to_bits() & mask == other.to_bits() & mask
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                let mask = u128::MAX
                    .checked_shl(128u32.saturating_sub(prefix))
                    .unwrap_or(0);
                self.is_usable() && prefix > 0 && own.to_bits() & mask == other.to_bits() & mask
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str, prefix: u8) -> LocalAddress {
        LocalAddress {
            ip: text.parse().unwrap(),
            prefix,
        }
    }

    fn shown(surroundings: &Surroundings<'_>) -> Vec<String> {
        candidates(surroundings)
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn a_local_api_server_is_called_back_on_loopback_first() {
        let local = [address("127.0.0.1", 8), address("192.168.1.5", 24)];
        let hosts = shown(&Surroundings {
            server: "127.0.0.1",
            server_names: &[],
            local: &local,
            route: Some("127.0.0.1".parse().unwrap()),
        });
        assert_eq!(hosts[..2], ["127.0.0.1", "192.168.1.5"]);
    }

    #[test]
    fn the_bridge_to_a_kind_node_comes_before_other_interfaces() {
        let local = [
            address("192.168.1.5", 24),
            address("172.17.0.1", 16),
            address("172.18.0.1", 16),
        ];
        let names = [
            San::Dns("kind-control-plane".into()),
            San::Ip("172.18.0.2".parse().unwrap()),
        ];
        let hosts = shown(&Surroundings {
            server: "127.0.0.1",
            server_names: &names,
            local: &local,
            route: None,
        });
        assert_eq!(
            hosts[..4],
            ["127.0.0.1", "172.18.0.1", "192.168.1.5", "172.17.0.1"]
        );
        assert!(hosts.contains(&"host.docker.internal".to_owned()));
    }

    #[test]
    fn a_remote_api_server_is_called_back_on_the_route_to_it() {
        let local = [
            address("172.17.0.1", 16),
            address("10.1.2.3", 24),
            address("fe80::1", 64),
        ];
        let hosts = shown(&Surroundings {
            server: "203.0.113.7",
            server_names: &[],
            local: &local,
            route: Some("10.1.2.3".parse().unwrap()),
        });
        assert_eq!(hosts[..2], ["10.1.2.3", "172.17.0.1"]);
        assert!(
            !hosts
                .iter()
                .any(|host| host.starts_with("fe80") || host == "127.0.0.1")
        );
    }
}
