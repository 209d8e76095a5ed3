//! Waiting for an API server that restarts, hangs or is overloaded.

use std::future::Future;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::error::{Error, Result};

/// An API server that has just started answers before it knows the roles and the tokens: it
/// refuses what it will allow a moment later.
const GRACE: Duration = Duration::from_secs(10);
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// How often a wait is mentioned.
const MENTION: Duration = Duration::from_secs(10);

/// How long an API server may be away, and who hears of it.
pub struct Patience {
    limit: Duration,
    note: Box<dyn Fn(&str) + Send + Sync>,
    trouble: Mutex<Trouble>,
}

#[derive(Default)]
struct Trouble {
    /// When the first of the requests was sent that were not answered.
    since: Option<Instant>,
    /// When it was last known to be away.
    last: Option<Instant>,
    mentioned: Option<Instant>,
    pause: Duration,
}

/// One attempt at a request.
pub(super) struct Attempt<'a> {
    patience: &'a Patience,
    began: Instant,
}

impl Patience {
    /// Waits for `limit` whenever the API server is away, and tells `note` in a line.
    #[must_use]
    pub fn new(limit: Duration, note: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self {
            limit,
            note: Box::new(note),
            trouble: Mutex::default(),
        }
    }

    pub(super) fn begin(&self) -> Attempt<'_> {
        Attempt {
            patience: self,
            began: Instant::now(),
        }
    }

    fn trouble(&self) -> MutexGuard<'_, Trouble> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Attempt<'_> {
    /// An answer, or that there is none in time.
    pub(super) async fn limited<T>(
        &self,
        server: &http::Uri,
        answer: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let limit = self.patience.limit;
        let answer = tokio::time::timeout(limit, answer).await;
        answer.unwrap_or_else(|_| {
            Err(Error::Unreachable {
                server: server.to_string(),
                why: format!("no answer within {} s", limit.as_secs()),
            })
        })
    }

    /// It is there.
    pub(super) fn answered(&self) {
        let mut trouble = self.patience.trouble();
        if trouble.since.is_some_and(|since| since <= self.began) {
            trouble.since = None;
            if trouble.mentioned.take().is_some() {
                (self.patience.note)("the API server answers again");
            }
        }
    }

    /// Waits a moment if that may help.
    ///
    /// # Errors
    /// `error` when it will not, and [`Error::TimedOut`] when it has been long enough.
    pub(super) async fn forgive(&self, error: Error) -> Result<()> {
        let now = Instant::now();
        let pause = {
            let mut trouble = self.patience.trouble();
            if error.is_transient() {
                trouble.last = Some(now);
            } else {
                let denied = matches!(error, Error::Forbidden { .. } | Error::Unauthorized { .. });
                if !(denied && trouble.last.is_some_and(|last| now < last + GRACE)) {
                    return Err(error);
                }
            }
            if trouble.since.is_none() {
                trouble.pause = FIRST_PAUSE;
            }
            let since = *trouble.since.get_or_insert(self.began);
            if now + trouble.pause > since + self.patience.limit {
                return Err(match error {
                    denied @ (Error::Forbidden { .. } | Error::Unauthorized { .. }) => denied,
                    error => Error::TimedOut {
                        waited: now - since,
                        last: Box::new(error),
                    },
                });
            }
            if trouble.mentioned.is_none_or(|at| now > at + MENTION) {
                trouble.mentioned = Some(now);
                let left = (since + self.patience.limit - now).as_secs();
                (self.patience.note)(&format!("waiting up to {left} s more: {error}"));
            }
            trouble.pause = (trouble.pause * 3 / 2).min(LONGEST_PAUSE);
            trouble.pause
        };
        tokio::time::sleep(pause).await;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::call::Call;
    use super::*;

    fn away() -> Error {
        Error::Unreachable {
            server: "https://x".to_owned(),
            why: "connection refused".to_owned(),
        }
    }

    fn forbidden() -> Error {
        Error::Forbidden {
            call: Box::new(Call::cluster_scoped("get", "", "v1", "nodes")),
            message: "no".to_owned(),
        }
    }

    fn patience(seconds: u64) -> (Patience, Arc<Mutex<Vec<String>>>) {
        let said = Arc::new(Mutex::new(Vec::new()));
        let notes = Arc::clone(&said);
        let note = move |text: &str| notes.lock().unwrap().push(text.to_owned());
        (Patience::new(Duration::from_secs(seconds), note), said)
    }

    fn run(test: impl Future<Output = ()>) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        runtime.unwrap().block_on(test);
    }

    #[test]
    fn it_waits_until_the_limit_and_says_so_once() {
        run(async {
            let (patience, said) = patience(1);
            let began = Instant::now();
            let error = loop {
                if let Err(error) = patience.begin().forgive(away()).await {
                    break error;
                }
            };
            assert!(began.elapsed() < Duration::from_secs(2));
            assert!(
                matches!(&error, Error::TimedOut { last, .. } if matches!(**last, Error::Unreachable { .. })),
                "{error}"
            );
            let said = said.lock().unwrap();
            assert_eq!(said.len(), 1, "{said:?}");
            assert!(said[0].contains("connection refused"), "{said:?}");
        });
    }

    #[test]
    fn every_absence_has_the_whole_limit() {
        run(async {
            let (patience, said) = patience(1);
            for _ in 0..3 {
                for _ in 0..3 {
                    patience.begin().forgive(away()).await.unwrap();
                }
                patience.begin().answered();
            }
            let said = said.lock().unwrap();
            assert_eq!(said.len(), 6, "{said:?}");
            assert_eq!(said[1], "the API server answers again");
        });
    }

    #[test]
    fn a_refusal_is_final_unless_the_server_has_only_just_started() {
        run(async {
            let (patience, _) = patience(1);
            assert!(patience.begin().forgive(forbidden()).await.is_err());
            patience.begin().forgive(away()).await.unwrap();
            patience.begin().forgive(forbidden()).await.unwrap();
            let error = loop {
                if let Err(error) = patience.begin().forgive(forbidden()).await {
                    break error;
                }
            };
            assert!(matches!(error, Error::Forbidden { .. }));
        });
    }

    #[test]
    fn a_server_that_hangs_is_away() {
        run(async {
            let (patience, _) = patience(0);
            let server = "https://x".parse().unwrap();
            let hangs = std::future::pending::<Result<()>>();
            let error = patience.begin().limited(&server, hangs).await.unwrap_err();
            assert!(error.is_transient(), "{error}");
        });
    }
}
