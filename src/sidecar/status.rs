//! What a loop shows: readiness and metrics, both computed by the wall clock when asked for.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use time::OffsetDateTime;
use tokio::sync::Notify;

use super::failure::Failure;
use super::happening::span;
use crate::pki::Certificate;
use crate::plan::{Reason, instant};
use crate::serve;

/// A loop that has not come round for so long hangs. One turn is at most one request to the
/// API server, which has a time limit of its own.
const HANGS: i64 = 180;

/// What the server shows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) enum Serving {
    /// Nobody looked.
    #[default]
    Unknown,
    /// The pair on disk.
    Yes,
    /// Something else.
    No(String),
    /// It does not answer.
    Down(String),
}

/// Shared by the loop, the probe and the HTTP server.
#[derive(Debug)]
pub(super) struct Shared {
    /// Wakes the loop.
    pub(super) wake: Notify,
    /// How often somebody asked for a renewal.
    asked: AtomicU64,
    turned: AtomicI64,
    state: Mutex<State>,
    requires_served: bool,
    metrics: Metrics,
}

#[derive(Debug, Default)]
struct State {
    leaf: Option<Leaf>,
    problem: Option<String>,
    serving: Serving,
}

#[derive(Debug, Clone, Copy)]
struct Leaf {
    not_before: OffsetDateTime,
    not_after: OffsetDateTime,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Why {
    reason: &'static str,
}

#[derive(Debug)]
struct Metrics {
    registry: Registry,
    not_before: Gauge,
    not_after: Gauge,
    due: Gauge,
    issued: Family<Why, Counter>,
    failed: Family<Why, Counter>,
    in_a_row: Gauge,
    issue_seconds: Histogram,
    served: Gauge,
    served_seconds: Histogram,
    reloads: Family<Why, Counter>,
}

impl Metrics {
    fn new(with_probe: bool, with_reload: bool) -> Self {
        let seconds = [
            0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
        ];
        let metrics = Self {
            registry: Registry::default(),
            not_before: Gauge::default(),
            not_after: Gauge::default(),
            due: Gauge::default(),
            issued: Family::default(),
            failed: Family::default(),
            in_a_row: Gauge::default(),
            issue_seconds: Histogram::new(seconds),
            served: Gauge::default(),
            served_seconds: Histogram::new(seconds),
            reloads: Family::default(),
        };
        let mut registry = Registry::with_prefix("certtool_sidecar");
        let unix = |name: &str| Unit::Other(name.to_owned());
        let timestamp = || unix("timestamp_seconds");
        registry.register_with_unit(
            "certificate_not_before",
            "Start of the certificate on disk, in seconds since 1970; 0 without one",
            timestamp(),
            metrics.not_before.clone(),
        );
        registry.register_with_unit(
            "certificate_not_after",
            "End of the certificate on disk, in seconds since 1970; 0 without one",
            timestamp(),
            metrics.not_after.clone(),
        );
        registry.register_with_unit(
            "certificate_renewal",
            "When the certificate on disk is renewed, in seconds since 1970",
            timestamp(),
            metrics.due.clone(),
        );
        registry.register(
            "certificates_issued",
            "Certificates that were written, by what asked for them",
            metrics.issued.clone(),
        );
        registry.register(
            "failures",
            "Attempts to get or write a certificate that failed, by what failed",
            metrics.failed.clone(),
        );
        registry.register(
            "failures_in_a_row",
            "Failed attempts since the last one that succeeded",
            metrics.in_a_row.clone(),
        );
        registry.register_with_unit(
            "issue",
            "From the decision to renew to the pair on disk",
            Unit::Seconds,
            metrics.issue_seconds.clone(),
        );
        if with_probe {
            registry.register(
                "certificate_served",
                "1 if the server shows the certificate on disk and clients would trust it",
                metrics.served.clone(),
            );
            registry.register_with_unit(
                "served_after",
                "From the pair on disk to the server that shows it",
                Unit::Seconds,
                metrics.served_seconds.clone(),
            );
        }
        if with_reload {
            registry.register(
                "reloads",
                "How often the server was told to reload",
                metrics.reloads.clone(),
            );
        }
        Self {
            registry,
            ..metrics
        }
    }
}

impl Shared {
    pub(super) fn new(with_probe: bool, with_reload: bool, requires_served: bool) -> Self {
        Self {
            wake: Notify::new(),
            asked: AtomicU64::new(0),
            turned: AtomicI64::new(OffsetDateTime::now_utc().unix_timestamp()),
            state: Mutex::default(),
            requires_served,
            metrics: Metrics::new(with_probe, with_reload),
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        // Whoever panicked left a whole value.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn ask(&self) {
        self.asked.fetch_add(1, Ordering::Relaxed);
        self.wake.notify_one();
    }

    pub(super) fn asked(&self) -> u64 {
        self.asked.load(Ordering::Relaxed)
    }

    pub(super) fn turned(&self, now: OffsetDateTime) {
        self.turned.store(now.unix_timestamp(), Ordering::Relaxed);
    }

    /// The pair on disk is this one, and due then.
    pub(super) fn on_disk(&self, leaf: &Certificate, due: OffsetDateTime) {
        let validity = leaf.validity;
        self.state().leaf = Some(Leaf {
            not_before: validity.not_before,
            not_after: validity.not_after,
        });
        let Metrics {
            not_before,
            not_after,
            due: renewal,
            ..
        } = &self.metrics;
        not_before.set(validity.not_before.unix_timestamp());
        not_after.set(validity.not_after.unix_timestamp());
        renewal.set(due.unix_timestamp());
    }

    /// There is no pair on disk that a server could use.
    pub(super) fn nothing_on_disk(&self) {
        self.state().leaf = None;
        self.metrics.not_before.set(0);
        self.metrics.not_after.set(0);
    }

    pub(super) fn issued(&self, reason: &Reason, took: Duration) {
        let why = Why {
            reason: reason.code(),
        };
        self.metrics.issued.get_or_create(&why).inc();
        self.metrics.issue_seconds.observe(took.as_secs_f64());
        self.well();
        self.state().serving = Serving::Unknown;
    }

    pub(super) fn well(&self) {
        self.metrics.in_a_row.set(0);
        self.state().problem = None;
    }

    pub(super) fn failed(&self, failure: &Failure, failures: u32) {
        let why = Why {
            reason: failure.code(),
        };
        self.metrics.failed.get_or_create(&why).inc();
        self.metrics.in_a_row.set(i64::from(failures));
        self.state().problem = Some(failure.to_string());
    }

    pub(super) fn reloaded(&self, reason: &'static str) {
        self.metrics.reloads.get_or_create(&Why { reason }).inc();
    }

    pub(super) fn served(&self, after: Option<Duration>) {
        self.state().serving = Serving::Yes;
        self.metrics.served.set(1);
        if let Some(after) = after {
            self.metrics.served_seconds.observe(after.as_secs_f64());
        }
    }

    pub(super) fn not_served(&self, serving: &Serving) {
        self.state().serving = serving.clone();
        self.metrics.served.set(0);
    }

    fn pair(&self, now: OffsetDateTime) -> Result<(), String> {
        let state = self.state();
        let because = |text: String| match &state.problem {
            Some(problem) => format!("{text}: {problem}"),
            None => text,
        };
        match state.leaf {
            None => Err(because("there is no pair on disk yet".to_owned())),
            Some(leaf) if now > leaf.not_after => Err(because(format!(
                "the certificate expired at {}",
                instant(leaf.not_after)
            ))),
            Some(leaf) if now < leaf.not_before => Err(because(format!(
                "the certificate is not valid before {}",
                instant(leaf.not_before)
            ))),
            Some(_) => Ok(()),
        }
    }
}

impl serve::Status for Shared {
    fn alive(&self) -> Result<(), String> {
        let now = OffsetDateTime::now_utc().unix_timestamp();
        let ago = now - self.turned.load(Ordering::Relaxed);
        // A clock that was set forward is no hang: the next turn is a tick away.
        if ago > HANGS {
            self.wake.notify_one();
            let ago = span(time::Duration::seconds(ago));
            return Err(format!("the loop has not come round for {ago}"));
        }
        Ok(())
    }

    fn started(&self) -> Result<(), String> {
        self.pair(OffsetDateTime::now_utc())
    }

    fn ready(&self) -> Result<(), String> {
        self.pair(OffsetDateTime::now_utc())?;
        if !self.requires_served {
            return Ok(());
        }
        match &self.state().serving {
            Serving::Yes => Ok(()),
            Serving::Unknown => Err("the server has not been looked at yet".to_owned()),
            Serving::No(why) | Serving::Down(why) => Err(format!(
                "the server does not show the certificate on disk: {why}"
            )),
        }
    }

    fn metrics(&self) -> String {
        let mut text = String::new();
        if encode(&mut text, &self.metrics.registry).is_err() {
            text.clear();
            let _ = write!(text, "# EOF");
        }
        text
    }
}
