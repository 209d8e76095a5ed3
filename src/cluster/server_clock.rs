//! The API server's clock, as its answers tell it (`Date`, RFC 9110, section 6.6.1).
//!
//! It goes on by a monotonic clock between two answers, so that it does not jump when this
//! machine's is set.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use http::header::{DATE, HeaderMap};
use time::format_description::well_known::Rfc2822;
use time::{Duration, OffsetDateTime};
use tower::util::MapResponseLayer;

/// What the last answer said, and when it came.
#[derive(Debug, Clone, Default)]
pub(super) struct ServerClock(Arc<Mutex<Option<(OffsetDateTime, Instant)>>>);

impl ServerClock {
    /// Notes the date of each answer that passes.
    pub(super) fn layer<B>(
        &self,
    ) -> MapResponseLayer<impl Fn(http::Response<B>) -> http::Response<B> + Clone + use<B>> {
        let clock = self.clone();
        MapResponseLayer::new(move |answer: http::Response<B>| {
            clock.note(answer.headers(), Instant::now());
            answer
        })
    }

    fn note(&self, headers: &HeaderMap, received: Instant) {
        let date = headers.get(DATE).and_then(|date| date.to_str().ok());
        if let Some(date) = date.and_then(|date| OffsetDateTime::parse(date, &Rfc2822).ok()) {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((date, received));
        }
    }

    pub(super) fn now(&self) -> Option<OffsetDateTime> {
        let (date, received) = (*self.0.lock().unwrap_or_else(PoisonError::into_inner))?;
        let since = Duration::try_from(received.elapsed()).ok()?;
        Some(date.saturating_add(since))
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn it_tells_what_the_last_answer_said_and_goes_on() {
        let clock = ServerClock::default();
        assert_eq!(clock.now(), None);
        let mut headers = HeaderMap::new();
        let at = datetime!(2026-11-21 12:00:00 UTC);
        let ago = Instant::now() - std::time::Duration::from_secs(90);
        headers.insert(DATE, "Sat, 21 Nov 2026 12:00:00 GMT".parse().unwrap());
        clock.note(&headers, ago);
        let passed = clock.now().unwrap() - at;
        assert!(
            (Duration::seconds(90)..Duration::seconds(95)).contains(&passed),
            "{passed}"
        );
        // An answer without a date, or with nonsense, says nothing.
        clock.note(&HeaderMap::new(), Instant::now());
        headers.insert(DATE, "tomorrow".parse().unwrap());
        clock.note(&headers, Instant::now());
        assert!(clock.now().unwrap() - at >= Duration::seconds(90));
    }
}
