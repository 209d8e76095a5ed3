//! A Secret in memory, CAs for it, and what is seen of the objects.

use std::collections::BTreeMap;
use std::sync::Arc;

use time::macros::datetime;
use time::{Duration, OffsetDateTime};

use crate::authority::{CaState, Changes, Observation, ReadBack, Settings, Step, Waiting, read};
use crate::pki::{Authority, Certificate, Grant, KeyAlgorithm, Lifetime, PrivateKey, San, Serial};

pub(super) const NOW: OffsetDateTime = datetime!(2026-11-21 12:00 UTC);
pub(super) const SECRET: &str = "shop/webhook-ca";

/// CAs of 30 days, leaves of a day: rotation after 20 days, settle and freshness a minute,
/// five minutes between clocks.
pub(super) fn settings() -> Settings {
    let settings = Settings::new(Duration::days(30), Duration::days(1)).unwrap();
    assert_eq!(settings.settle, Duration::MINUTE);
    assert_eq!(settings.fresh, Duration::MINUTE);
    assert_eq!(settings.skew, Duration::minutes(5));
    settings
}

pub(super) fn serial(number: u64) -> Serial {
    let mut bytes = [7; 20];
    bytes[..8].copy_from_slice(&number.to_be_bytes());
    bytes[0] = 0x11;
    Serial::from_random(bytes)
}

/// A CA as certtool makes it. Ed25519, since tests make many.
pub(super) fn make(settings: &Settings, number: u64, now: OffsetDateTime) -> Arc<Authority> {
    let serial = serial(number);
    let order = settings.order(SECRET, &serial, now);
    let key = PrivateKey::generate(KeyAlgorithm::Ed25519).unwrap();
    Arc::new(Authority::self_signed(&order.spec, key, serial).unwrap())
}

/// The content of a Secret.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Stored {
    pub(super) data: BTreeMap<String, Vec<u8>>,
    pub(super) annotations: BTreeMap<String, String>,
}

impl Stored {
    pub(super) fn new(state: &CaState) -> Self {
        let mut stored = Self::default();
        stored.write(state, None);
        stored
    }

    /// As `certtool ca init`, cert-manager or a person makes it.
    pub(super) fn plain(authority: &Authority) -> Self {
        let mut stored = Self::default();
        let cert = authority.certificate().to_pem().into_bytes();
        let key = authority.key().to_pem().unwrap();
        stored.set("tls.crt", &cert);
        stored.set("tls.key", key.expose().as_bytes());
        stored.set("ca.crt", &cert);
        stored
    }

    pub(super) fn set(&mut self, entry: &str, value: &[u8]) {
        self.data.insert(entry.to_owned(), value.to_vec());
    }

    pub(super) fn state(&self) -> CaState {
        self.read().unwrap()
    }

    pub(super) fn read(&self) -> Result<CaState, crate::authority::Broken> {
        read(SECRET, &self.data, &self.annotations)
    }

    pub(super) fn write(&mut self, state: &CaState, before: Option<&CaState>) {
        let changes = Changes::to(state, before, &self.data, &self.annotations).unwrap();
        for (entry, value) in changes.data {
            match value {
                Some(value) => self.data.insert(entry.to_owned(), value),
                None => self.data.remove(entry),
            };
        }
        for (key, value) in changes.annotations {
            match value {
                Some(value) => self.annotations.insert(key.to_owned(), value),
                None => self.annotations.remove(key),
            };
        }
    }

    /// Changes it and reads it again, as the shell does.
    pub(super) fn change(&mut self, change: impl FnOnce(&CaState) -> CaState) -> CaState {
        let before = self.state();
        self.write(&change(&before), Some(&before));
        self.state()
    }

    pub(super) fn entries(&self) -> Vec<&str> {
        self.data.keys().map(String::as_str).collect()
    }

    pub(super) fn text(&self, entry: &str) -> &str {
        std::str::from_utf8(&self.data[entry]).unwrap()
    }
}

/// A first CA, made at [`NOW`] and trusted everywhere since.
pub(super) fn steady() -> (Stored, Settings) {
    let settings = settings();
    let ca = make(&settings, 1, NOW);
    let state = CaState::first(ca, &settings, NOW).proven(NOW);
    (Stored::new(&state), settings)
}

pub(super) fn at(days: i64) -> OffsetDateTime {
    NOW + Duration::days(days)
}

pub(super) fn leaf(ca: &Authority, life: Duration, now: OffsetDateTime) -> Certificate {
    let key = PrivateKey::generate(KeyAlgorithm::Ed25519).unwrap();
    let names = vec![San::Dns("a.b.svc".to_owned())];
    let grant = Grant::serving(None, names, Lifetime::of(life).starting(now));
    ca.issue(key.public_key(), &grant, now, serial(99)).unwrap()
}

pub(super) fn holds() -> Observation {
    Observation::of(ReadBack::Holds)
}

pub(super) fn lacking() -> Observation {
    Observation::of(ReadBack::Lacking(vec!["webhook x".to_owned()]))
}

pub(super) fn waits(step: &Step, for_what: &Waiting) -> OffsetDateTime {
    match step {
        Step::Wait { until, what } if what == for_what => *until,
        other => panic!("{other:?} instead of waiting for {for_what:?}"),
    }
}
