//! The names in the API server's own certificate: a hint at where it runs.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use tokio::net::TcpStream;

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
    let seen = Arc::new(Seen::default());
    let config = ClientConfig::builder()
        .dangerous()
        .with_custom_certificate_verifier(seen.clone())
        .with_no_client_auth();
    let stream = TcpStream::connect((host, port)).await.ok()?;
    let name = ServerName::try_from(host.to_owned()).ok()?;
    // A server that insists on a client certificate ends the handshake; by then its own
    // certificate has been seen.
    let _ = tokio_rustls::TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await;
    let der = seen.certificate.lock().ok()?.take()?;
    Certificate::from_der(&der)
        .ok()
        .map(|certificate| certificate.names)
}

/// Accepts any certificate and keeps it.
#[derive(Debug, Default)]
struct Seen {
    certificate: Mutex<Option<Vec<u8>>>,
}

impl ServerCertVerifier for Seen {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if let Ok(mut certificate) = self.certificate.lock() {
            *certificate = Some(end_entity.to_vec());
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        rustls::crypto::aws_lc_rs::default_provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}
