//! Signals on their way to the command.

use rustix::process::{Pid, Signal, kill_process};
use signal_hook::consts::signal::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook::iterator::SignalsInfo;
use signal_hook::iterator::exfiltrator::WithOrigin;
use signal_hook::low_level::siginfo::{Cause, Origin};
use tokio::sync::mpsc;

use crate::cli::ExitStatus;

/// The signals that this process received.
pub(super) struct Signals {
    received: mpsc::UnboundedReceiver<Received>,
}

/// A signal and where it came from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Received {
    number: i32,
    from_terminal: bool,
}

impl Signals {
    /// Takes over the signals that end or steer a process.
    pub(super) fn listen() -> std::io::Result<Self> {
        let numbers = [SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2];
        let mut signals = SignalsInfo::<WithOrigin>::new(numbers)?;
        let (sender, received) = mpsc::unbounded_channel();
        std::thread::Builder::new()
            .name("signals".to_owned())
            .spawn(move || {
                for origin in &mut signals {
                    if sender.send(Received::of(&origin)).is_err() {
                        break;
                    }
                }
            })?;
        Ok(Self { received })
    }

    /// The next signal.
    pub(super) async fn next(&mut self) -> Received {
        match self.received.recv().await {
            Some(received) => received,
            // The thread that sends them lives as long as the process.
            None => std::future::pending().await,
        }
    }

    /// The next signal that asks to end.
    pub(super) async fn next_ending(&mut self) -> Received {
        loop {
            let received = self.next().await;
            if received.ends() {
                return received;
            }
        }
    }
}

impl Received {
    fn of(origin: &Origin) -> Self {
        // Ctrl-C goes to the whole foreground process group: the command has it already,
        // and a second one makes controller-runtime exit at once.
        let from_kernel = matches!(origin.cause, Cause::Kernel);
        let by_key = matches!(origin.signal, SIGINT | SIGQUIT | SIGHUP);
        Self {
            number: origin.signal,
            from_terminal: from_kernel && by_key,
        }
    }

    /// Whether it ends a process that has no handler for it, other than by accident.
    pub(super) fn ends(self) -> bool {
        matches!(self.number, SIGHUP | SIGINT | SIGQUIT | SIGTERM)
    }

    /// Whether it gives a process time to end in order, which may take it a while.
    pub(super) fn asks_to_end(self) -> bool {
        matches!(self.number, SIGINT | SIGTERM)
    }

    /// The exit code of a process that it ended, as shells have it.
    pub(super) fn exit_status(self) -> ExitStatus {
        ExitStatus::Of(u8::try_from(128 + self.number).unwrap_or(1))
    }

    /// Its name.
    pub(super) fn name(self) -> &'static str {
        signal_hook::low_level::signal_name(self.number).unwrap_or("a signal")
    }

    /// Sends it to the command, unless it has it.
    pub(super) fn pass_on(self, pid: u32) {
        let signal = match self.number {
            SIGHUP => Signal::HUP,
            SIGINT => Signal::INT,
            SIGQUIT => Signal::QUIT,
            SIGUSR1 => Signal::USR1,
            SIGUSR2 => Signal::USR2,
            _ => Signal::TERM,
        };
        if !self.from_terminal {
            send(pid, signal);
        }
    }
}

/// Asks the command to end.
pub(super) fn terminate(pid: u32) {
    send(pid, Signal::TERM);
}

fn send(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        // It may have ended in the meantime.
        let _ = kill_process(pid, signal);
    }
}
