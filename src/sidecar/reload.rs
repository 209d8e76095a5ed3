//! Telling a server that does not watch its files.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::io::AsyncReadExt;
use tokio::process::{Child, ChildStderr, Command};
use tokio::task::JoinSet;

use crate::store::secret_file;

/// A command that takes longer is killed, with what it started.
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
                let Some(text) = content(pid_file)? else {
                    return Ok(Told::NobodyThere(format!("{shown} does not exist yet")));
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
            Self::Exec { program, args } => run(program, args).await,
        }
    }
}

/// The telling, beside the loop: a command may hang, and no renewal waits for that.
#[derive(Debug)]
pub(super) struct Telling {
    how: Reload,
    running: JoinSet<Result<Told, String>>,
    /// Whether there is another pair than when it began.
    again: bool,
}

impl Telling {
    pub(super) fn new(how: Reload) -> Self {
        Self {
            how,
            running: JoinSet::new(),
            again: false,
        }
    }

    /// Tells it, once more if it is being told already; `ended` is called after that.
    pub(super) fn begin(&mut self, ended: impl FnOnce() + Send + 'static) {
        if !self.running.is_empty() {
            self.again = true;
            return;
        }
        self.again = false;
        let how = self.how.clone();
        self.running.spawn(async move {
            let told = how.tell().await;
            ended();
            told
        });
    }

    /// What became of it, if it has ended.
    pub(super) fn ended(&mut self) -> Option<Result<Told, String>> {
        let ended = self.running.try_join_next()?;
        Some(ended.unwrap_or_else(|error| Err(error.to_string())))
    }

    /// Whether it has to be told once more.
    pub(super) fn is_outdated(&self) -> bool {
        self.again
    }
}

/// A file with a process number. To open a pipe would wait for its writer.
fn content(path: &Path) -> Result<Option<String>, String> {
    let bytes = secret_file::read(path, "--reload-pid-file").map_err(|error| error.to_string())?;
    Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
}

/// A command's group of processes, killed unless it has ended by itself.
struct Group(Option<Pid>);

impl Group {
    fn of(child: &Child) -> Self {
        let id = child.id().and_then(|id| i32::try_from(id).ok());
        Self(id.and_then(Pid::from_raw))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

async fn run(program: &str, args: &[String]) -> Result<Told, String> {
    let mut child = Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| format!("--reload-exec {program}: {error}"))?;
    let mut group = Group::of(&child);
    let (mut stderr, mut said) = (child.stderr.take(), Vec::new());
    let ended = tokio::time::timeout(PATIENCE, async {
        loop {
            tokio::select! {
                biased;
                is_open = hear(stderr.as_mut(), &mut said), if stderr.is_some() => {
                    if !is_open {
                        stderr = None;
                    }
                }
                // What it left running may keep stderr open for ever.
                status = child.wait() => return status,
            }
        }
    });
    let status = ended
        .await
        .map_err(|_| format!("{program} took longer than {} s", PATIENCE.as_secs()))?
        .map_err(|error| format!("--reload-exec {program}: {error}"))?;
    group.0 = None;
    if status.success() {
        return Ok(Told::Yes(format!("{program} {}", args.join(" "))));
    }
    let said = String::from_utf8_lossy(&said);
    let said: String = said.trim().chars().take(WORDS).collect();
    Err(format!("{program} ended with {status}: {said}"))
}

/// Reads some more of what is said, of which only the beginning is kept; whether there may be more.
async fn hear(stderr: Option<&mut ChildStderr>, said: &mut Vec<u8>) -> bool {
    let Some(stderr) = stderr else {
        return false;
    };
    let mut buffer = [0; 1024];
    match stderr.read(&mut buffer).await {
        Ok(0) | Err(_) => false,
        Ok(read) => {
            let room = (4 * WORDS).saturating_sub(said.len());
            said.extend(buffer.iter().take(read.min(room)));
            true
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
