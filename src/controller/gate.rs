//! The write gate: whoever is not the leader writes nothing.
//!
//! Invariant: a write begins only while the gate is open, and one under way is dropped at the
//! instant at which it closes. The lease ends by the clock of this process, not by somebody's
//! word: a leader whose renewals hang stops by itself before another may begin.

use std::future::Future;

use tokio::sync::watch;
use tokio::time::Instant;

/// Whether this process may write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Closed,
    /// There is no leader election.
    Open,
    /// Until the lease that was last renewed ends.
    Until(Instant),
}

/// Asked before each write.
#[derive(Debug, Clone)]
pub(super) struct Gate(watch::Receiver<State>);

/// The side that opens and closes it.
#[derive(Debug)]
pub(super) struct Keeper(watch::Sender<State>);

/// The write was not made, or its outcome is not known: this process is not the leader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NotLeader;

/// A closed gate.
pub(super) fn gate() -> (Keeper, Gate) {
    let (sender, receiver) = watch::channel(State::Closed);
    (Keeper(sender), Gate(receiver))
}

impl Keeper {
    /// Opens it for good.
    pub(super) fn open(&self) {
        self.0.send_replace(State::Open);
    }

    /// Opens it until an instant, or moves that instant.
    pub(super) fn open_until(&self, end: Instant) {
        self.0.send_replace(State::Until(end));
    }

    /// Closes it.
    pub(super) fn close(&self) {
        self.0
            .send_if_modified(|state| std::mem::replace(state, State::Closed) != State::Closed);
    }
}

impl Gate {
    /// Whether it is open.
    pub(super) fn is_open(&self) -> bool {
        match *self.0.borrow() {
            State::Closed => false,
            State::Open => true,
            State::Until(end) => Instant::now() < end,
        }
    }

    /// Makes a write while it is open.
    pub(super) async fn write<T>(&self, write: impl Future<Output = T>) -> Result<T, NotLeader> {
        if !self.is_open() {
            return Err(NotLeader);
        }
        tokio::select! {
            biased;
            () = self.closed() => Err(NotLeader),
            done = write => Ok(done),
        }
    }

    /// Waits until it is closed.
    pub(super) async fn closed(&self) {
        let mut state = self.0.clone();
        loop {
            let now = *state.borrow_and_update();
            match now {
                State::Closed => return,
                State::Open => {
                    if state.changed().await.is_err() {
                        std::future::pending::<()>().await;
                    }
                }
                State::Until(end) => {
                    tokio::select! {
                        () = tokio::time::sleep_until(end) => {
                            if *state.borrow() == now {
                                return;
                            }
                        }
                        changed = state.changed() => if changed.is_err() {
                            tokio::time::sleep_until(end).await;
                            return;
                        },
                    }
                }
            }
        }
    }

    /// Waits until it is open.
    pub(super) async fn opened(&self) {
        let mut state = self.0.clone();
        while !self.is_open() {
            if state.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn run(test: impl Future<Output = ()>) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(test);
    }

    #[test]
    fn nothing_is_written_before_it_opens() {
        run(async {
            let (keeper, gate) = gate();
            let write = gate.write(async { panic!("written") });
            assert_eq!(write.await, Err::<(), _>(NotLeader));
            keeper.open();
            assert_eq!(gate.write(async { 1 }).await, Ok(1));
        });
    }

    #[test]
    fn a_write_under_way_ends_with_the_lease() {
        run(async {
            let (keeper, gate) = gate();
            let began = Instant::now();
            keeper.open_until(began + Duration::from_millis(100));
            let hanging = gate.write(std::future::pending::<()>());
            assert_eq!(hanging.await, Err(NotLeader));
            let took = began.elapsed();
            assert!(took >= Duration::from_millis(100) && took < Duration::from_secs(2));
            assert!(!gate.is_open());
        });
    }

    #[test]
    fn a_renewal_in_time_keeps_it_open() {
        run(async {
            let (keeper, gate) = gate();
            let began = Instant::now();
            keeper.open_until(began + Duration::from_millis(50));
            let renewed = async {
                tokio::time::sleep(Duration::from_millis(20)).await;
                keeper.open_until(began + Duration::from_secs(60));
                std::future::pending::<()>().await;
            };
            let write = gate.write(async {
                tokio::time::sleep(Duration::from_millis(200)).await;
                7
            });
            tokio::select! {
                () = renewed => {}
                written = write => assert_eq!(written, Ok(7)),
            }
        });
    }

    #[test]
    fn losing_the_lease_drops_a_write_at_once() {
        run(async {
            let (keeper, gate) = gate();
            keeper.open_until(Instant::now() + Duration::from_secs(60));
            let began = Instant::now();
            let write = gate.write(std::future::pending::<()>());
            let lose = async {
                tokio::time::sleep(Duration::from_millis(20)).await;
                keeper.close();
            };
            let (written, ()) = futures::join!(write, lose);
            assert_eq!(written, Err(NotLeader));
            assert!(began.elapsed() < Duration::from_secs(2));
        });
    }
}
