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

/// What all requests know of the API server.
#[derive(Default)]
struct Trouble {
    /// When it was last known to be away.
    last: Option<Instant>,
    /// When that was mentioned last.
    mentioned: Option<Instant>,
    /// Whether it was mentioned, and not yet that it is over.
    pending: bool,
}

/// One piece of work, which is tried again until the limit is over.
pub(super) struct Trial<'a> {
    patience: &'a Patience,
    began: Instant,
    pause: Duration,
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

    pub(super) fn begin(&self) -> Trial<'_> {
        Trial {
            patience: self,
            began: Instant::now(),
            pause: FIRST_PAUSE,
        }
    }

    fn trouble(&self) -> MutexGuard<'_, Trouble> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Trial<'_> {
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
        if std::mem::take(&mut trouble.pending) {
            (self.patience.note)("the API server answers again");
        }
    }

    /// Waits a moment if that may help.
    ///
    /// # Errors
    /// `error` when it will not, and [`Error::TimedOut`] when it has been long enough.
    pub(super) async fn forgive(&mut self, error: Error) -> Result<()> {
        let now = Instant::now();
        let denied = matches!(error, Error::Forbidden { .. } | Error::Unauthorized { .. });
        {
            let mut trouble = self.patience.trouble();
            if error.is_transient() {
                trouble.last = Some(now);
            } else if !(denied && trouble.last.is_some_and(|last| now < last + GRACE)) {
                return Err(error);
            }
            let end = self.began + self.patience.limit;
            if now + self.pause > end {
                return Err(match denied {
                    true => error,
                    false => Error::TimedOut {
                        waited: now - self.began,
                        last: Box::new(error),
                    },
                });
            }
            if trouble.mentioned.is_none_or(|at| now > at + MENTION) {
                trouble.mentioned = Some(now);
                trouble.pending = true;
                let left = (end - now).as_secs();
                (self.patience.note)(&format!("waiting up to {left} s more: {error}"));
            }
        }
        tokio::time::sleep(self.pause).await;
        self.pause = (self.pause * 3 / 2).min(LONGEST_PAUSE);
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
            let mut trial = patience.begin();
            let error = loop {
                if let Err(error) = trial.forgive(away()).await {
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
    fn every_piece_of_work_has_the_whole_limit_and_the_notes_do_not_flicker() {
        run(async {
            let (patience, said) = patience(1);
            for _ in 0..4 {
                let mut trial = patience.begin();
                for _ in 0..4 {
                    trial.forgive(away()).await.unwrap();
                    // Another request has more luck.
                    patience.begin().answered();
                }
            }
            let said = said.lock().unwrap();
            assert_eq!(said.len(), 2, "{said:?}");
            assert_eq!(said[1], "the API server answers again");
        });
    }

    #[test]
    fn a_refusal_is_final_unless_the_server_has_only_just_started() {
        run(async {
            let (patience, _) = patience(1);
            assert!(patience.begin().forgive(forbidden()).await.is_err());
            let mut trial = patience.begin();
            trial.forgive(away()).await.unwrap();
            let error = loop {
                if let Err(error) = trial.forgive(forbidden()).await {
                    break error;
                }
            };
            assert!(trial.pause > FIRST_PAUSE * 2);
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
