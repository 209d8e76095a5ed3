//! By which host the API server may reach this machine.

use std::net::{IpAddr, UdpSocket};

use clap::Args;

use crate::cluster::{Cluster, api_server_names};
use crate::pki::Host;
use crate::plan::{LocalAddress, Surroundings, candidates};

/// Where the API server is to call.
#[derive(Debug, Clone, Args)]
pub(super) struct ReachArgs {
    /// By which host the API server reaches this machine; auto tries and proves
    #[arg(long, value_name = "auto|HOST", default_value = "auto")]
    pub(super) url_host: UrlHost,
    /// The port that the webhook server listens on
    #[arg(long, value_name = "PORT", default_value_t = 9443)]
    pub(super) port: u16,
    /// Attach without the proof that the API server reaches this machine
    #[arg(long)]
    pub(super) skip_proof: bool,
}

/// Hosts to try, likeliest first: the one that was named, or what this machine's
/// surroundings suggest.
pub(super) async fn hosts(cluster: &Cluster, url_host: &UrlHost) -> Vec<Host> {
    match url_host {
        UrlHost::Named(host) => vec![host.clone()],
        UrlHost::Auto => {
            let server = cluster.server.host().unwrap_or_default();
            let server_names = api_server_names(&cluster.server).await;
            let local = local_addresses();
            let route = route_to(server, cluster.server.port_u16().unwrap_or(443));
            candidates(&Surroundings {
                server,
                server_names: &server_names,
                local: &local,
                route,
            })
        }
    }
}

/// `--url-host`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum UrlHost {
    Auto,
    Named(Host),
}

impl std::str::FromStr for UrlHost {
    type Err = crate::pki::HostError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "auto" {
            Ok(Self::Auto)
        } else {
            text.parse().map(Self::Named)
        }
    }
}

fn local_addresses() -> Vec<LocalAddress> {
    let interfaces = if_addrs::get_if_addrs().unwrap_or_default();
    interfaces
        .into_iter()
        .map(|interface| match interface.addr {
            if_addrs::IfAddr::V4(v4) => LocalAddress {
                ip: IpAddr::V4(v4.ip),
                prefix: v4.prefixlen,
            },
            if_addrs::IfAddr::V6(v6) => LocalAddress {
                ip: IpAddr::V6(v6.ip),
                prefix: v6.prefixlen,
            },
        })
        .collect()
}

/// The local address of the route to the server. Connecting a UDP socket sends nothing.
fn route_to(server: &str, port: u16) -> Option<IpAddr> {
    let server = server.trim_matches(['[', ']']);
    let any = if server.contains(':') {
        "[::]:0"
    } else {
        "0.0.0.0:0"
    };
    let socket = UdpSocket::bind(any).ok()?;
    socket.connect((server, port)).ok()?;
    socket.local_addr().ok().map(|address| address.ip())
}

/// `https://HOST:PORT`.
pub(super) fn url_base(host: &Host, port: u16) -> String {
    match host {
        Host::Ip(IpAddr::V6(ip)) => format!("https://[{ip}]:{port}"),
        host => format!("https://{host}:{port}"),
    }
}
