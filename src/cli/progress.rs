//! A line of progress on a terminal, nothing otherwise: a script gets the summary.
//!
//! A crate for progress bars smooths its estimate with a power function. For that one function the
//! whole program would be linked to libm, a third of a MiB in each sidecar that waits.

use std::io::{IsTerminal, Write};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::Printer;

/// How often the line is written anew, in milliseconds.
const PACE: u64 = 100;

/// Progress over many items; may be advanced from several threads.
pub(super) struct Progress(Option<Line>);

struct Line {
    what: &'static str,
    count: usize,
    done: AtomicUsize,
    started: Instant,
    /// When the line is due, in milliseconds from the start.
    due: AtomicU64,
}

impl Progress {
    pub(super) fn new(printer: &Printer, what: &'static str, count: usize) -> Self {
        let visible = count > 1 && !printer.is_quiet() && std::io::stderr().is_terminal();
        Self(visible.then(|| Line {
            what,
            count,
            done: AtomicUsize::new(0),
            started: Instant::now(),
            due: AtomicU64::new(0),
        }))
    }

    pub(super) fn step(&self) {
        if let Some(line) = &self.0 {
            line.step();
        }
    }

    pub(super) fn finish(&self) {
        if self.0.is_some() {
            show("\r\x1b[K");
        }
    }
}

impl Line {
    fn step(&self) {
        let done = self.done.fetch_add(1, Ordering::Relaxed) + 1;
        let elapsed = self.started.elapsed();
        let now = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
        let due = self.due.load(Ordering::Relaxed);
        let next = now.saturating_add(PACE);
        let order = Ordering::Relaxed;
        // One of the threads writes it, and whoever has done the last one.
        let is_due = || now >= due && self.due.compare_exchange(due, next, order, order).is_ok();
        if done == self.count || is_due() {
            show(&text(self.what, done, self.count, elapsed));
        }
    }
}

/// A terminal that is gone is no reason to end.
fn show(text: &str) {
    let mut stderr = std::io::stderr().lock();
    let _ = stderr.write_all(text.as_bytes());
    let _ = stderr.flush();
}

/// In the place of the line before.
fn text(what: &str, done: usize, count: usize, elapsed: Duration) -> String {
    let part = |whole: u128, of: usize, by: usize| whole * of as u128 / by.max(1) as u128;
    let percent = part(100, done, count);
    let left = part(elapsed.as_millis(), count.saturating_sub(done), done) / 1000;
    format!("\r\x1b[K{what} {done}/{count} ({percent} %), {left} s left")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_much_is_done_and_how_long_the_rest_takes() {
        let line = |done, seconds| text("signing", done, 8, Duration::from_secs(seconds));
        assert_eq!(line(2, 3), "\r\x1b[Ksigning 2/8 (25 %), 9 s left");
        assert_eq!(line(8, 3), "\r\x1b[Ksigning 8/8 (100 %), 0 s left");
        assert_eq!(line(0, 3), "\r\x1b[Ksigning 0/8 (0 %), 24 s left");
    }
}
