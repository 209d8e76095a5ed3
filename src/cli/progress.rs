//! A progress bar on a terminal, nothing otherwise: a script gets the summary.

use std::io::IsTerminal;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::Printer;

/// Progress over many items; may be advanced from several threads.
pub(super) struct Progress(ProgressBar);

impl Progress {
    pub(super) fn new(printer: &Printer, what: &'static str, count: usize) -> Self {
        let visible = count > 1 && !printer.is_quiet() && std::io::stderr().is_terminal();
        let target = if visible {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        };
        let bar = ProgressBar::with_draw_target(Some(count as u64), target);
        if let Ok(style) =
            ProgressStyle::with_template("{msg} {bar:30} {pos}/{len} {per_sec} {eta}")
        {
            bar.set_style(style);
        }
        bar.set_message(what);
        Self(bar)
    }

    pub(super) fn step(&self) {
        self.0.inc(1);
    }

    pub(super) fn finish(&self) {
        self.0.finish_and_clear();
    }
}
