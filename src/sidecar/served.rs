//! Does the server beside us show the pair that is on disk, and would clients trust it?
//!
//! Asked as the API server asks: a new TLS connection to the webhook's port, with the
//! Service's name. Nothing is sent over it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls_pki_types::{CertificateDer, ServerName};
use time::OffsetDateTime;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::Instant;

use super::happening::{Happening, Observer};
use super::status::{Serving, Shared};
use crate::cluster::shown_chain;
use crate::pki::{Certificate, San, TrustBundle, verify_server};

/// A server on this machine answers within milliseconds.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// Looks after a change: quick at first, to know how long the server took.
const FIRST_LOOK: Duration = Duration::from_millis(25);
const LAST_LOOK: Duration = Duration::from_secs(2);
/// controller-runtime polls its files every 10 s; whoever takes longer does not reload.
const PATIENCE: Duration = Duration::from_secs(20);
/// Looks once all is well, and once it is known not to be.
const PACE: Duration = Duration::from_secs(60);
const PACE_OF_TROUBLE: Duration = Duration::from_secs(5);

/// Where the server is, and by which name clients call it.
#[derive(Debug, Clone)]
pub struct Probe {
    /// `HOST:PORT`
    pub address: String,
    /// The name in the TLS hello: `NAME.NAMESPACE.svc`.
    pub name: ServerName<'static>,
}

/// What the server should show.
#[derive(Debug, Clone)]
pub(super) struct Expected {
    pub(super) leaf: Certificate,
    pub(super) trust: Option<TrustBundle>,
    /// When it was written, if this process did that.
    pub(super) written: Option<Instant>,
}

/// Looks whenever something else is expected, and from time to time.
pub(super) async fn run(
    probe: Probe,
    mut expected: watch::Receiver<Option<Expected>>,
    shared: Arc<Shared>,
    observer: Observer,
) {
    loop {
        let Some(now) = expected.borrow_and_update().clone() else {
            if expected.changed().await.is_err() {
                return;
            }
            continue;
        };
        tokio::select! {
            changed = expected.changed() => if changed.is_err() { return },
            () = follow(&probe, &now, &shared, &observer) => {}
        }
    }
}

/// Looks until something else is expected; never ends by itself.
async fn follow(probe: &Probe, expected: &Expected, shared: &Shared, observer: &Observer) {
    let since = expected.written.unwrap_or_else(Instant::now);
    let mut pause = FIRST_LOOK;
    let (mut was, mut was_served) = (None, false);
    loop {
        let now = probe.look(expected).await;
        let is_told = was.as_ref().is_some_and(|was: &Serving| same(was, &now));
        match &now {
            Serving::Yes => {
                if !is_told {
                    // The first time since it was written says how long it took.
                    let after = expected.written.filter(|_| !was_served);
                    let after = after.map(|written| written.elapsed());
                    was_served = true;
                    shared.served(after);
                    observer(&Happening::Served { after });
                }
                pause = PACE;
            }
            Serving::No(why) | Serving::Down(why) => {
                shared.not_served(&now);
                let is_patient = since.elapsed() < PATIENCE;
                if is_patient && !was_served {
                    tokio::time::sleep(pause).await;
                    pause = (pause * 3 / 2).min(LAST_LOOK);
                    continue;
                }
                // A server that is not there is the kubelet's business, not a stale one.
                if !is_told && matches!(now, Serving::No(_)) {
                    let since = since.elapsed();
                    let why = why.clone();
                    observer(&Happening::NotServed { why, since });
                }
                pause = PACE_OF_TROUBLE;
            }
            Serving::Unknown => {}
        }
        was = Some(now);
        tokio::time::sleep(pause).await;
    }
}

fn same(a: &Serving, b: &Serving) -> bool {
    std::mem::discriminant(a) == std::mem::discriminant(b)
}

impl Probe {
    async fn look(&self, expected: &Expected) -> Serving {
        match tokio::time::timeout(HANDSHAKE, self.shown()).await {
            Err(_) => Serving::Down(format!(
                "{} did not answer within {} s",
                self.address,
                HANDSHAKE.as_secs()
            )),
            Ok(Err(error)) => Serving::Down(format!("{}: {error}", self.address)),
            Ok(Ok(shown)) => judge(&shown, expected, &self.name, OffsetDateTime::now_utc()),
        }
    }

    /// The chain that the server shows.
    async fn shown(&self) -> io::Result<Vec<CertificateDer<'static>>> {
        let stream = TcpStream::connect(&self.address).await?;
        shown_chain(self.name.clone(), stream).await
    }
}

/// Judges what a server shows.
fn judge(
    shown: &[CertificateDer<'_>],
    expected: &Expected,
    name: &ServerName<'_>,
    now: OffsetDateTime,
) -> Serving {
    let mut chain = Vec::with_capacity(shown.len());
    for der in shown {
        match Certificate::from_der(der) {
            Ok(certificate) => chain.push(certificate),
            Err(error) => {
                return Serving::No(format!(
                    "it shows a certificate that does not read: {error}"
                ));
            }
        }
    }
    let Some((leaf, intermediates)) = chain.split_first() else {
        return Serving::No("it shows no certificate".to_owned());
    };
    if *leaf != expected.leaf {
        return Serving::No(format!(
            "it shows another certificate (serial {}, until {}; on disk is serial {})",
            leaf.serial,
            crate::plan::instant(leaf.validity.not_after),
            expected.leaf.serial
        ));
    }
    let name = match name {
        ServerName::IpAddress(address) => San::Ip((*address).into()),
        name => San::Dns(name.to_str().into_owned()),
    };
    match &expected.trust {
        Some(trust) => match verify_server(leaf, intermediates, trust, &[name], now) {
            Ok(()) => Serving::Yes,
            Err(error) => Serving::No(format!("clients would not trust what it shows: {error}")),
        },
        None => Serving::Yes,
    }
}
