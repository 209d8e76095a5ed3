//! Signals on their way to the command.

use rustix::process::{Pid, Signal, kill_process};
use signal_hook::consts::signal::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook::iterator::SignalsInfo;
use signal_hook::iterator::exfiltrator::WithOrigin;
use signal_hook::low_level::siginfo::{Cause, Origin};
use tokio::sync::mpsc;

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

    pub(super) async fn next(&mut self) -> Option<Received> {
        self.received.recv().await
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
