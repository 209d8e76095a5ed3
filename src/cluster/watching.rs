//! What all watches have in common: when they are renewed, how they come back, and what is said
//! of it when they break off.

use std::time::Duration;

use kube::runtime::utils::Backoff;
use kube::runtime::watcher;

use super::call::Call;
use super::error::Error;

/// A watch that stays silent is renewed after this many seconds, so that a connection that
/// leads nowhere is noticed.
pub(super) const RENEWED: u32 = 45;

/// Why the watch that `call` names broke off; its verb is filled in.
pub(super) fn explain(error: watcher::Error, server: &str, call: &Call) -> Error {
    let call = |verb| Call {
        verb,
        ..call.clone()
    };
    match error {
        watcher::Error::InitialListFailed(error) => Error::of(&call("list"), server, &error),
        watcher::Error::WatchStartFailed(error) | watcher::Error::WatchFailed(error) => {
            Error::of(&call("watch"), server, &error)
        }
        watcher::Error::WatchError(status) => {
            Error::of(&call("watch"), server, &kube::Error::Api(status))
        }
        watcher::Error::NoResourceVersion => Error::Other {
            call: Box::new(call("list")),
            why: error.to_string(),
        },
    }
}

/// Pauses between attempts: doubling to five seconds, so that an API server that comes back is
/// noticed soon.
#[derive(Debug, Default)]
pub(super) struct Pauses(u32);

impl Iterator for Pauses {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let pause = Duration::from_millis(200).saturating_mul(1 << self.0.min(8));
        self.0 = self.0.saturating_add(1);
        Some(pause.min(Duration::from_secs(5)))
    }
}

impl Backoff for Pauses {
    fn reset(&mut self) {
        self.0 = 0;
    }
}
