//! What a TLS server shows before any request: the API server's names, a hint at where it
//! runs; a webhook server's readiness.

use std::net::IpAddr;
use std::time::Duration;

use rustls::pki_types::{CertificateDer, ServerName};
use tokio::net::TcpStream;

use super::handshake::shown_chain;
use crate::pki::{Certificate, San};

const LIMIT: Duration = Duration::from_secs(3);

/// The SANs of the certificate that `server` presents; empty when it cannot be asked.
///
/// The certificate is not verified: no request is sent, and the names only say which
/// addresses of this machine are worth a try.
pub async fn api_server_names(server: &http::Uri) -> Vec<San> {
    tokio::time::timeout(LIMIT, ask(server))
        .await
        .ok()
        .flatten()
        .unwrap_or_default()
}

async fn ask(server: &http::Uri) -> Option<Vec<San>> {
    let host = server.host()?.trim_matches(['[', ']']);
    let port = server.port_u16().unwrap_or(443);
    let stream = TcpStream::connect((host, port)).await.ok()?;
    let der = greet(host, stream).await?;
    Certificate::from_der(&der)
        .ok()
        .map(|certificate| certificate.names)
}

/// Whether something accepts connections there.
///
/// It is greeted with TLS: a server in Go logs an error for a connection that is merely
/// opened and closed.
pub async fn listens(ip: IpAddr, port: u16) -> bool {
    let connected = tokio::time::timeout(LIMIT, TcpStream::connect((ip, port))).await;
    let Ok(Ok(stream)) = connected else {
        return false;
    };
    let _ = tokio::time::timeout(LIMIT, greet(&ip.to_string(), stream)).await;
    true
}

/// A TLS handshake for its own sake; the certificate that was presented.
async fn greet(host: &str, stream: TcpStream) -> Option<CertificateDer<'static>> {
    let name = ServerName::try_from(host.to_owned()).ok()?;
    let chain = shown_chain(name, stream).await.ok()?;
    chain.into_iter().next()
}
