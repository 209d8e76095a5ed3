//! What the integration tests share: a real control plane, a webhook server, and ways
//! to run certtool so that nothing leaks into or out of a test.
//!
//! ```ignore
//! mod support;
//!
//! #[test]
//! fn a_namespace_can_be_listed() {
//!     support::run(async {
//!         let cluster = support::control_plane();
//!         let namespace = cluster.namespace("listing").await;
//!         let home = tempfile::tempdir().unwrap();
//!         let mut list = support::certtool(home.path());
//!         list.args(["list", "--kubeconfig"]).arg(cluster.kubeconfig());
//!         let output = support::output(list, Duration::from_secs(20));
//!         assert!(output.status.success());
//!     });
//! }
//! ```
//!
//! Every server listens on loopback, every wait ends, and every process that a test
//! starts ends with it, even if the test is killed.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    dead_code,
    missing_docs,
    unreachable_pub,
    unused_imports
)]

mod clock;
mod control_plane;
mod net;
mod process;
mod random;
mod usage;

pub mod meddler;
pub mod objects;
pub mod pki;
pub mod webhook;

use std::{
    future::Future,
    sync::mpsc::{self, RecvTimeoutError, Sender},
    thread,
    time::{Duration, Instant},
};

pub use clock::Clock;
pub use control_plane::{ControlPlane, Options, control_plane, rule, script};
pub use net::{free_port, next_cluster_ip, service_port};
pub use process::{Process, certtool, output, send_signal};
pub use random::Random;
pub use usage::Usage;

/// How long one test may take, the start of a control plane included.
const TEST_LIMIT: Duration = Duration::from_secs(180);

/// Runs an asynchronous test on a runtime of its own, within [`TEST_LIMIT`].
pub fn run<T>(test: impl Future<Output = T>) -> T {
    run_within(TEST_LIMIT, test)
}

/// Runs an asynchronous test on a runtime of its own, within a limit.
pub fn run_within<T>(limit: Duration, test: impl Future<Output = T>) -> T {
    install_crypto_provider();
    // The runtime cannot interrupt a test that blocks its thread; the watchdog can.
    let _watchdog = watchdog(limit + Duration::from_secs(15));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let result = runtime.block_on(async { tokio::time::timeout(limit, test).await });
    result.unwrap_or_else(|_| panic!("the test took longer than {limit:?}"))
}

/// Gives a test without a runtime a time limit: hold the result until its end.
#[must_use]
pub fn watchdog(limit: Duration) -> Watchdog {
    let (held, released) = mpsc::channel();
    let name = thread::current().name().unwrap_or("a test").to_owned();
    thread::spawn(move || {
        if released.recv_timeout(limit) == Err(RecvTimeoutError::Timeout) {
            eprintln!("{name} took longer than {limit:?}: ending the whole test program");
            std::process::exit(101);
        }
    });
    Watchdog { _held: held }
}

pub struct Watchdog {
    _held: Sender<()>,
}

/// Asks again and again until there is an answer; panics with the last reason it got.
pub async fn eventually<T, F>(limit: Duration, mut ask: impl FnMut() -> F) -> T
where
    F: Future<Output = Result<T, String>>,
{
    let deadline = Instant::now() + limit;
    loop {
        match ask().await {
            Ok(answer) => return answer,
            Err(reason) => assert!(Instant::now() < deadline, "not within {limit:?}: {reason}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The end of what a process has said.
pub fn last_lines(said: &str, count: usize) -> String {
    let lines: Vec<_> = said.lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}

/// The value of a metric in the text that Prometheus reads.
pub fn sample(text: &str, name: &str) -> Option<f64> {
    let line = text.lines().find(|line| {
        line.strip_prefix(name)
            .is_some_and(|rest| rest.starts_with([' ', '{']))
    })?;
    line.rsplit(' ').next()?.parse().ok()
}

/// rustls asks for a default provider; installing it again is harmless.
pub fn install_crypto_provider() {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}
