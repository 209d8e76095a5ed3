//! What kube-proxy is in a cluster: the Service's address, behind which each connection goes to
//! the next replica.

use std::{
    net::{SocketAddr, TcpListener},
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
};

use tokio::{io::copy_bidirectional, net::TcpStream, sync::oneshot};

/// It stops when this is dropped.
pub struct Balancer {
    connections: Arc<AtomicU64>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Balancer {
    pub fn start(address: SocketAddr, replicas: Vec<SocketAddr>) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        listener.set_nonblocking(true).unwrap();
        let connections = Arc::new(AtomicU64::new(0));
        let (stop, stopped) = oneshot::channel();
        let count = Arc::clone(&connections);
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                tokio::select! {
                    () = balance(listener, &replicas, &count) => {}
                    _ = stopped => {}
                }
            });
        });
        Self {
            connections,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    /// How many connections there were: as many as TLS handshakes.
    pub fn connections(&self) -> u64 {
        self.connections.load(Ordering::Relaxed)
    }
}

async fn balance(listener: TcpListener, replicas: &[SocketAddr], count: &AtomicU64) {
    let listener = tokio::net::TcpListener::from_std(listener).unwrap();
    let next = AtomicUsize::new(0);
    while let Ok((mut client, _)) = listener.accept().await {
        count.fetch_add(1, Ordering::Relaxed);
        let replica = replicas[next.fetch_add(1, Ordering::Relaxed) % replicas.len()];
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
