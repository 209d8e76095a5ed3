//! What kube-proxy is in a cluster: the Service's address, behind which each connection goes to
//! the next replica.

use std::{
    net::{SocketAddr, TcpListener},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
};

use tokio::{io::copy_bidirectional, net::TcpStream, sync::oneshot};

/// It stops when this is dropped.
pub struct Balancer {
    replicas: Arc<Mutex<Vec<SocketAddr>>>,
    connections: Arc<AtomicU64>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Balancer {
    pub fn start(address: SocketAddr, replicas: Vec<SocketAddr>) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        listener.set_nonblocking(true).unwrap();
        let connections = Arc::new(AtomicU64::new(0));
        let replicas = Arc::new(Mutex::new(replicas));
        let behind = Arc::clone(&replicas);
        let (stop, stopped) = oneshot::channel();
        let count = Arc::clone(&connections);
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                tokio::select! {
                    () = balance(listener, &behind, &count) => {}
                    _ = stopped => {}
                }
            });
        });
        Self {
            replicas,
            connections,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    /// New connections go to another replica from now on.
    pub fn replace(&self, number: usize, replica: SocketAddr) {
        self.replicas.lock().unwrap()[number] = replica;
    }

    /// How many connections there were: as many as TLS handshakes.
    pub fn connections(&self) -> u64 {
        self.connections.load(Ordering::Relaxed)
    }
}

async fn balance(listener: TcpListener, replicas: &Mutex<Vec<SocketAddr>>, count: &AtomicU64) {
    let listener = tokio::net::TcpListener::from_std(listener).unwrap();
    let next = AtomicUsize::new(0);
    while let Ok((mut client, _)) = listener.accept().await {
        count.fetch_add(1, Ordering::Relaxed);
        let turn = next.fetch_add(1, Ordering::Relaxed);
        let replica = {
            let replicas = replicas.lock().unwrap();
            replicas[turn % replicas.len()]
        };
        tokio::spawn(async move {
            if let Ok(mut server) = TcpStream::connect(replica).await {
                let _ = copy_bidirectional(&mut client, &mut server).await;
            }
        });
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
