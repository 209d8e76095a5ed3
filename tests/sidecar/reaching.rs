//! An API server whose CA is replaced while a sidecar runs.

use std::{fs, net::TcpListener, path::Path, sync::Arc, thread};

use base64::{Engine, engine::general_purpose::STANDARD};
use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
};
use serde_json::{Value, json};
use tokio::{
    net::TcpStream,
    sync::{oneshot, watch},
};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::{
    World,
    files::LIMIT,
    support::{self, pki::Ca},
};

const KEEP: &str = "--service hook.%N --cert-dir serving --signer %S --validity 1h";

#[test]
fn an_api_server_whose_ca_is_replaced_is_reached_again() {
    support::run(async {
        let mut world = World::new("other-ca", KEEP).await;
        let _signer = world.signs("--validity 1h");
        let front = Front::new(&world);
        world.kubeconfig = front.kubeconfig(&world);
        let mut process = world.start(KEEP);
        let serial = world.next_serial("");
        // Not at once for the client: whoever replaces both is never that fast.
        front.show(&world, "second");
        process.signal("USR1");
        process.wait_for("cannot reach the API server", LIMIT);
        assert_eq!(world.serial(), serial);
        front.trust(&world, "second");
        world.next_serial(&serial);
        world.assert_good();
        process.terminate(LIMIT);
    });
}

/// Stands before the API server, with a certificate of another CA.
struct Front {
    port: u16,
    shown: watch::Sender<Arc<ServerConfig>>,
    _stop: oneshot::Sender<()>,
}

impl Front {
    fn new(world: &World<'_>) -> Self {
        support::install_crypto_provider();
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = world.cluster.server().replace("https://", "");
        let behind = TlsConnector::from(Arc::new(client_of(world)));
        let (shown, show) = watch::channel(certificate(world, "first"));
        let (stop, stopped) = oneshot::channel();
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            runtime.unwrap().block_on(async {
                tokio::select! {
                    () = serve(listener, server, behind, show) => {}
                    _ = stopped => {}
                }
            });
        });
        Self {
            port,
            shown,
            _stop: stop,
        }
    }

    /// From now on, for new connections; the old ones end.
    fn show(&self, world: &World<'_>, ca: &str) {
        self.shown.send_replace(certificate(world, ca));
    }

    /// What the kubeconfig names.
    fn trust(&self, world: &World<'_>, ca: &str) {
        fs::copy(world.path(&format!("{ca}/ca.crt")), world.path("front.crt")).unwrap();
    }

    fn kubeconfig(&self, world: &World<'_>) -> std::path::PathBuf {
        let mut config = config_of(world);
        self.trust(world, "first");
        config["clusters"][0]["cluster"] = json!({
            "server": format!("https://127.0.0.1:{}", self.port),
            "certificate-authority": world.path("front.crt"),
        });
        let path = world.path("front.kubeconfig");
        fs::write(&path, config.to_string()).unwrap();
        path
    }
}

async fn serve(
    listener: TcpListener,
    server: String,
    behind: TlsConnector,
    shown: watch::Receiver<Arc<ServerConfig>>,
) {
    let listener = tokio::net::TcpListener::from_std(listener).unwrap();
    loop {
        let (client, _) = listener.accept().await.unwrap();
        let (server, behind, mut shown) = (server.clone(), behind.clone(), shown.clone());
        tokio::spawn(async move {
            let config = Arc::clone(&shown.borrow_and_update());
            let mut client = TlsAcceptor::from(config).accept(client).await.ok()?;
            let stream = TcpStream::connect(&server).await.ok()?;
            let name = ServerName::try_from(server.split(':').next()?.to_owned()).ok()?;
            let mut server = behind.connect(name, stream).await.ok()?;
            tokio::select! {
                _ = tokio::io::copy_bidirectional(&mut client, &mut server) => {}
                _ = shown.changed() => {}
            }
            Some(())
        });
    }
}

fn config_of(world: &World<'_>) -> Value {
    let text = fs::read_to_string(&world.kubeconfig).unwrap();
    serde_yaml::from_str(&text).unwrap()
}

fn client_of(world: &World<'_>) -> ClientConfig {
    let config = config_of(world);
    let ca = &config["clusters"][0]["cluster"]["certificate-authority-data"];
    let pem = STANDARD.decode(ca.as_str().unwrap()).unwrap();
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        roots.add(certificate.unwrap()).unwrap();
    }
    ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth()
}

/// One of a new CA, which is left in the directory.
fn certificate(world: &World<'_>, name: &str) -> Arc<ServerConfig> {
    let directory = world.path(name);
    let ca = Ca::new(name);
    ca.write_pair(&directory, &["127.0.0.1"]);
    fs::write(directory.join("ca.crt"), &ca.pem).unwrap();
    let read = |file: &str| fs::read(Path::new(&directory).join(file)).unwrap();
    let chain = vec![CertificateDer::from_pem_slice(&read("tls.crt")).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(&read("tls.key")).unwrap();
    let config = ServerConfig::builder().with_no_client_auth();
    Arc::new(config.with_single_cert(chain, key).unwrap())
}
