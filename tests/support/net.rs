//! Addresses that no other test uses, in this process or in another.

use std::{
    fs,
    io::ErrorKind,
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket},
    path::Path,
    sync::{Mutex, OnceLock},
};

/// The claims of this process, held until it ends.
static CLAIMS: Mutex<Vec<UdpSocket>> = Mutex::new(Vec::new());

/// A UDP port nobody else has a use for: whoever has it bound owns the address.
const CLAIM_PORT: u16 = 9443;

/// A loopback address out of the API server's service range, for a Service's `clusterIP`.
///
/// The claim is a bound socket, so the kernel gives it back whatever ends this process.
pub fn next_cluster_ip() -> Ipv4Addr {
    let mut claims = CLAIMS.lock().unwrap();
    // Different processes start looking at different places; the claim decides.
    let start = std::process::id().wrapping_mul(131);
    for offset in 0..u32::from(u16::MAX) {
        let [_, _, high, low] = (start + claims.len() as u32 + offset).to_be_bytes();
        // The API server hands out the first addresses by itself.
        if high < 2 || low == 0 || low == 255 {
            continue;
        }
        let address = Ipv4Addr::new(127, 96, high, low);
        let Ok(claim) = UdpSocket::bind((address, CLAIM_PORT)) else {
            continue;
        };
        claims.push(claim);
        if is_new_here(address) {
            return address;
        }
    }
    panic!("all of 127.96.0.0/16 is taken, or it is not a loopback range here (Linux only)");
}

/// Whether no earlier process gave this address to a Service of the shared control plane: Services
/// outlive the test that made them.
fn is_new_here(address: Ipv4Addr) -> bool {
    let Some(dir) = std::env::var_os("CERTTOOL_TEST_CONTROL_PLANE") else {
        return true;
    };
    let dir = Path::new(&dir).join("cluster-ips");
    fs::create_dir_all(&dir).unwrap();
    match fs::File::create_new(dir.join(address.to_string())) {
        Ok(_) => true,
        Err(error) if error.kind() == ErrorKind::AlreadyExists => false,
        Err(error) => panic!("{}: {error}", dir.display()),
    }
}

/// The port for a server behind a Service: 443 where this user may listen on it.
pub fn service_port() -> u16 {
    static PORT: OnceLock<u16> = OnceLock::new();
    *PORT.get_or_init(
        || match TcpListener::bind(SocketAddr::from((next_cluster_ip(), 443))) {
            Ok(_) => 443,
            Err(_) => 8443,
        },
    )
}

/// A port of 127.0.0.1 that was free a moment ago.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind((IpAddr::V4(Ipv4Addr::LOCALHOST), 0)).unwrap();
    listener.local_addr().unwrap().port()
}
