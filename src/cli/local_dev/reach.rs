//! By which host the API server reaches this machine: candidates, then proof.

use std::net::{IpAddr, UdpSocket};

use serde_json::{Value, json};

use crate::cluster::{Cluster, ProbeTarget, Proof, Verdict, api_server_names, prove};
use crate::pki::Host;
use crate::plan::{LocalAddress, Surroundings, candidates};

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

/// The `clientConfig` that a webhook with `path` gets.
pub(super) fn client_config(base: &str, path: &str, ca_bundle_pem: &[u8]) -> Value {
    use base64::Engine;
    json!({
        "url": format!("{base}{path}"),
        "caBundle": base64::engine::general_purpose::STANDARD.encode(ca_bundle_pem),
    })
}

/// Has the API server call `paths` at every host; the first host at which trusted TLS is
/// proven, with the proof of each path, or all that was tried.
pub(super) async fn find(
    cluster: &Cluster,
    hosts: &[Host],
    port: u16,
    paths: &[String],
    ca_bundle_pem: &[u8],
) -> crate::cluster::Result<Result<Reached, Vec<(Host, Proof)>>> {
    let first = paths.first().map_or("/", String::as_str);
    let target = |host: &Host, path: &str| ProbeTarget {
        client_config: client_config(&url_base(host, port), path, ca_bundle_pem),
    };
    let targets: Vec<_> = hosts.iter().map(|host| target(host, first)).collect();
    let proofs = prove(cluster, &targets, &cluster.namespace).await?;
    let mut tried: Vec<_> = hosts.iter().cloned().zip(proofs).collect();
    let Some(at) = tried.iter().position(|(_, proof)| proof.verdict.is_proof()) else {
        return Ok(Err(tried));
    };
    let (host, proof) = tried.swap_remove(at);
    let mut reached = Reached {
        host,
        proofs: vec![(first.to_owned(), proof)],
    };
    let rest: Vec<_> = paths.iter().skip(1).cloned().collect();
    if !rest.is_empty() {
        let targets: Vec<_> = rest
            .iter()
            .map(|path| target(&reached.host, path))
            .collect();
        let proofs = prove(cluster, &targets, &cluster.namespace).await?;
        reached.proofs.extend(rest.into_iter().zip(proofs));
    }
    Ok(Ok(reached))
}

/// A host at which the API server reaches this machine.
#[derive(Debug)]
pub(super) struct Reached {
    pub(super) host: Host,
    /// Each path with what the API server said of it.
    pub(super) proofs: Vec<(String, Proof)>,
}

/// The failure that says most about why no host works: what listens but is not trusted
/// before what does not answer.
pub(super) fn most_telling(tried: &[(Host, Proof)]) -> Option<&(Host, Proof)> {
    let rank = |verdict: Verdict| match verdict {
        Verdict::NotTrusted => 0,
        Verdict::Inconclusive => 1,
        Verdict::NotListening => 2,
        _ => 3,
    };
    tried.iter().min_by_key(|(_, proof)| rank(proof.verdict))
}
