//! Telling a server that does not watch its files.

use std::fs;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

/// A command that takes longer is killed.
const PATIENCE: Duration = Duration::from_secs(30);
/// How much of what a command says is kept for the message.
const WORDS: usize = 300;

/// How to tell it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reload {
    /// A signal to the process whose number is in a file.
    Signal {
        /// The signal.
        signal: Signal,
        /// Its name without `SIG`.
        name: &'static str,
        /// The file.
        pid_file: PathBuf,
    },
    /// A program with its arguments; no shell reads them.
    Exec {
        /// The program.
        program: String,
        /// Its arguments.
        args: Vec<String>,
    },
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Told {
    /// It was told; how.
    Yes(String),
    /// There is no server yet; it reads the files when it starts.
    NobodyThere(String),
}

impl Reload {
    /// Tells it.
    ///
    /// # Errors
    /// Why it could not be told.
    pub(super) async fn tell(&self) -> Result<Told, String> {
        match self {
            Self::Signal {
                signal,
                name,
                pid_file,
            } => {
                let shown = pid_file.display();
                let text = match fs::read_to_string(pid_file) {
                    Ok(text) => text,
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                        return Ok(Told::NobodyThere(format!("{shown} does not exist yet")));
                    }
                    Err(error) => return Err(format!("--reload-pid-file {shown}: {error}")),
                };
                let pid =
                    process_in(&text).map_err(|why| format!("--reload-pid-file {shown}: {why}"))?;
                kill_process(pid, *signal).map_err(|error| {
                    format!(
                        "no signal {name} to process {} of {shown}: {error}; in a Pod this takes shareProcessNamespace: true and the same user",
                        pid.as_raw_nonzero()
                    )
                })?;
                let pid = pid.as_raw_nonzero();
                Ok(Told::Yes(format!("signal {name} to process {pid}")))
            }
            Self::Exec { program, args } => {
                let output = tokio::process::Command::new(program)
                    .args(args)
                    .stdin(Stdio::null())
                    .kill_on_drop(true)
                    .output();
                let output = tokio::time::timeout(PATIENCE, output)
                    .await
                    .map_err(|_| format!("{program} took longer than {} s", PATIENCE.as_secs()))?
                    .map_err(|error| format!("--reload-exec {program}: {error}"))?;
                if output.status.success() {
                    return Ok(Told::Yes(format!("{program} {}", args.join(" "))));
                }
                let said = String::from_utf8_lossy(&output.stderr);
                let said: String = said.trim().chars().take(WORDS).collect();
                Err(format!("{program} ended with {}: {said}", output.status))
            }
        }
    }
}

fn process_in(text: &str) -> Result<Pid, String> {
    let number: i32 = text
        .trim()
        .parse()
        .map_err(|_| "there is no process number in it".to_owned())?;
    // 0 and negative numbers are groups of processes.
    let single = Some(number).filter(|number| *number > 0);
    let pid = single
        .and_then(Pid::from_raw)
        .ok_or_else(|| format!("{number} is no process number"))?;
    if pid == rustix::process::getpid() {
        return Err(format!("process {number} is certtool itself"));
    }
    Ok(pid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_single_process_is_ever_signalled() {
        assert!(process_in("12\n").is_ok());
        for text in ["", "0", "-1", "-12", "x", "1 2", "99999999999"] {
            assert!(process_in(text).is_err(), "{text:?}");
        }
        let ours = std::process::id().to_string();
        assert!(process_in(&ours).unwrap_err().contains("certtool itself"));
    }
}
