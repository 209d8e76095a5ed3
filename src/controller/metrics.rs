//! What the controller counts, as Prometheus metrics.
//!
//! Labels are bounded: the signers of the configuration and fixed words, never a name of an
//! object or of a requester.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// Seconds; a webhook's pod waits for its certificate when it starts.
const LATENCIES: [f64; 13] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0, 300.0,
];

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
#[allow(non_camel_case_types)] // as Prometheus labels are written
pub(super) enum Outcome {
    approved,
    denied,
    issued,
    failed,
    left,
    malformed,
}

/// How something ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
#[allow(non_camel_case_types)]
pub(super) enum Ended {
    success,
    failure,
    dropped,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BySigner {
    signer: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByOutcome {
    signer: String,
    outcome: Outcome,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByResult {
    result: Ended,
}

/// What became of an object that is to be injected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
#[allow(non_camel_case_types)]
pub(super) enum Injected {
    written,
    failed,
    refused,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByKind {
    kind: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByInjected {
    kind: &'static str,
    outcome: Injected,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Build {
    version: &'static str,
}

/// All metrics of the process.
#[derive(Debug, Clone)]
pub(super) struct Metrics {
    registry: Arc<Registry>,
    requests: Family<ByOutcome, Counter>,
    latency: Family<BySigner, Histogram, fn() -> Histogram>,
    ca_end: Family<BySigner, Gauge<f64, AtomicU64>>,
    ca_usable: Family<BySigner, Gauge>,
    queue: Gauge,
    retries: Family<BySigner, Counter>,
    conflicts: Family<BySigner, Counter>,
    watches: Family<BySigner, Counter>,
    leader: Gauge,
    reloads: Family<ByResult, Counter>,
    reloaded: Gauge,
    events: Family<ByResult, Counter>,
    injections: Family<ByInjected, Counter>,
    injection_conflicts: Family<ByKind, Counter>,
    injection_watches: Family<ByKind, Counter>,
    bundle_end: Family<BySigner, Gauge<f64, AtomicU64>>,
}

impl Metrics {
    pub(super) fn new() -> Self {
        let mut registry = Registry::with_prefix("certtool_controller");
        let latency: fn() -> Histogram = || Histogram::new(LATENCIES);
        let latency = Family::new_with_constructor(latency);
        let metrics = Self {
            registry: Arc::default(),
            requests: Family::default(),
            latency,
            ca_end: Family::default(),
            ca_usable: Family::default(),
            queue: Gauge::default(),
            retries: Family::default(),
            conflicts: Family::default(),
            watches: Family::default(),
            leader: Gauge::default(),
            reloads: Family::default(),
            reloaded: Gauge::default(),
            events: Family::default(),
            injections: Family::default(),
            injection_conflicts: Family::default(),
            injection_watches: Family::default(),
            bundle_end: Family::default(),
        };
        let build = Family::<Build, Gauge>::default();
        build
            .get_or_create(&Build {
                version: env!("CARGO_PKG_VERSION"),
            })
            .set(1);
        registry.register("build_info", "The version that runs", build);
        metrics.register(&mut registry);
        Self {
            registry: Arc::new(registry),
            ..metrics
        }
    }

    fn register(&self, registry: &mut Registry) {
        registry.register(
            "requests",
            "Requests by signer and what became of them",
            self.requests.clone(),
        );
        registry.register(
            "issue_duration_seconds",
            "From a request's creation to its certificate",
            self.latency.clone(),
        );
        registry.register(
            "ca_not_after_timestamp_seconds",
            "When the CA that signs ends, in Unix time",
            self.ca_end.clone(),
        );
        registry.register(
            "ca_usable",
            "Whether the signer has a CA to sign with",
            self.ca_usable.clone(),
        );
        registry.register(
            "queue_length",
            "Requests that wait or are worked on",
            self.queue.clone(),
        );
        registry.register(
            "retries",
            "Attempts that have to be made again",
            self.retries.clone(),
        );
        registry.register(
            "conflicts",
            "Writes that failed since somebody else was faster",
            self.conflicts.clone(),
        );
        registry.register(
            "watch_restarts",
            "Watches that broke off and were begun again",
            self.watches.clone(),
        );
        registry.register(
            "leader",
            "Whether this process writes (1) or is ready to take over (0)",
            self.leader.clone(),
        );
        registry.register(
            "config_reloads",
            "Changes of the configuration by whether they were accepted",
            self.reloads.clone(),
        );
        registry.register(
            "config_last_reload_successful",
            "Whether the configuration in the file is in force",
            self.reloaded.clone(),
        );
        registry.register(
            "events",
            "Kubernetes Events by whether they were written",
            self.events.clone(),
        );
        registry.register(
            "injections",
            "caBundles by kind of the object and what became of them",
            self.injections.clone(),
        );
        registry.register(
            "injection_conflicts",
            "caBundles that somebody else has overwritten",
            self.injection_conflicts.clone(),
        );
        registry.register(
            "injection_watch_restarts",
            "Watches of objects that broke off and were begun again",
            self.injection_watches.clone(),
        );
        registry.register(
            "bundle_not_after_timestamp_seconds",
            "When the first certificate of a signer's trust bundle ends, in Unix time",
            self.bundle_end.clone(),
        );
    }

    /// In Prometheus' text format (OpenMetrics).
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = prometheus_client::encoding::text::encode(&mut text, &self.registry);
        text
    }

    pub(super) fn request(&self, signer: &str, outcome: Outcome) {
        let signer = signer.to_owned();
        self.requests
            .get_or_create(&ByOutcome { signer, outcome })
            .inc();
    }

    pub(super) fn issued_after(&self, signer: &str, latency: Duration) {
        self.request(signer, Outcome::issued);
        self.latency
            .get_or_create(&by(signer))
            .observe(latency.as_secs_f64());
    }

    /// The end of a signer's CA in Unix time; `None` when it has none that can sign.
    pub(super) fn ca(&self, signer: &str, end: Option<i64>) {
        self.ca_usable
            .get_or_create(&by(signer))
            .set(i64::from(end.is_some()));
        match end {
            #[allow(clippy::cast_precision_loss)] // seconds, exact for millions of years
            Some(end) => {
                self.ca_end.get_or_create(&by(signer)).set(end as f64);
            }
            None => {
                self.ca_end.remove(&by(signer));
            }
        }
    }

    /// The first end in a signer's bundle, in Unix time.
    pub(super) fn bundle(&self, signer: &str, end: Option<i64>) {
        match end {
            #[allow(clippy::cast_precision_loss)] // as above
            Some(end) => {
                self.bundle_end.get_or_create(&by(signer)).set(end as f64);
            }
            None => {
                self.bundle_end.remove(&by(signer));
            }
        }
    }

    pub(super) fn injected(&self, kind: &'static str, outcome: Injected) {
        let by = ByInjected { kind, outcome };
        self.injections.get_or_create(&by).inc();
    }

    pub(super) fn injection_conflict(&self, kind: &'static str) {
        self.injection_conflicts
            .get_or_create(&ByKind { kind })
            .inc();
    }

    pub(super) fn injection_watch_restart(&self, kind: &'static str) {
        self.injection_watches.get_or_create(&ByKind { kind }).inc();
    }

    pub(super) fn queue_length(&self, length: usize) {
        self.queue.set(i64::try_from(length).unwrap_or(i64::MAX));
    }

    pub(super) fn retry(&self, signer: &str) {
        self.retries.get_or_create(&by(signer)).inc();
    }

    pub(super) fn conflict(&self, signer: &str) {
        self.conflicts.get_or_create(&by(signer)).inc();
    }

    pub(super) fn watch_restart(&self, signer: &str) {
        self.watches.get_or_create(&by(signer)).inc();
    }

    /// Whether this process is the leader; what was said before.
    pub(super) fn set_leader(&self, leader: bool) -> bool {
        self.leader.set(i64::from(leader)) != 0
    }

    pub(super) fn reload(&self, accepted: bool) {
        let result = if accepted {
            Ended::success
        } else {
            Ended::failure
        };
        self.reloads.get_or_create(&ByResult { result }).inc();
        self.reloaded.set(i64::from(accepted));
    }

    pub(super) fn event(&self, result: Ended) {
        self.events.get_or_create(&ByResult { result }).inc();
    }

    /// Forgets the series of a signer that is no longer configured.
    pub(super) fn forget(&self, signer: &str) {
        self.ca_usable.remove(&by(signer));
        self.ca_end.remove(&by(signer));
        self.bundle_end.remove(&by(signer));
    }
}

fn by(signer: &str) -> BySigner {
    BySigner {
        signer: signer.to_owned(),
    }
}
