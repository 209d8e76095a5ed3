//! Running programs, certtool first of all, without leaking them or the user's settings.

use std::{
    fs,
    io::Read,
    path::Path,
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::{Arc, Mutex},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// certtool with an environment of its own: everything it may write is under `home`.
pub fn certtool(home: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_certtool"));
    command.env_clear();
    for kept in ["PATH", "LLVM_PROFILE_FILE", "RUST_BACKTRACE"] {
        if let Some(value) = std::env::var_os(kept) {
            command.env(kept, value);
        }
    }
    for (name, directory) in [
        ("HOME", ""),
        ("TMPDIR", "tmp"),
        ("XDG_CACHE_HOME", ".cache"),
        ("XDG_CONFIG_HOME", ".config"),
        ("XDG_DATA_HOME", ".local/share"),
        ("XDG_STATE_HOME", ".local/state"),
        ("XDG_RUNTIME_DIR", "run"),
    ] {
        let directory = home.join(directory);
        fs::create_dir_all(&directory).unwrap();
        command.env(name, directory);
    }
    command.current_dir(home).stdin(Stdio::null());
    command
}

/// Runs a command to its end, or kills it and panics when the limit is over.
pub fn output(mut command: Command, limit: Duration) -> Output {
    let described = format!("{command:?}");
    let child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{described}: {error}"));
    let mut process = Process::watch(child, described);
    let status = process.wait(limit);
    let [stdout, stderr] =
        [&process.stdout, &process.stderr].map(|text| text.lock().unwrap().clone());
    Output {
        status,
        stdout,
        stderr,
    }
}

/// A running program: its output is collected, and it is killed when this is dropped.
pub struct Process {
    child: Child,
    described: String,
    stdout: Arc<Mutex<Vec<u8>>>,
    stderr: Arc<Mutex<Vec<u8>>>,
    readers: Vec<JoinHandle<()>>,
}

impl Process {
    pub fn spawn(mut command: Command) -> Self {
        let described = format!("{command:?}");
        let child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{described}: {error}"));
        Self::watch(child, described)
    }

    fn watch(mut child: Child, described: String) -> Self {
        let stdout = Arc::default();
        let stderr = Arc::default();
        let mut readers = Vec::new();
        if let Some(pipe) = child.stdout.take() {
            readers.push(collect(pipe, Arc::clone(&stdout)));
        }
        if let Some(pipe) = child.stderr.take() {
            readers.push(collect(pipe, Arc::clone(&stderr)));
        }
        Self {
            child,
            described,
            stdout,
            stderr,
            readers,
        }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn stdout(&self) -> String {
        String::from_utf8_lossy(&self.stdout.lock().unwrap()).into_owned()
    }

    pub fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.stderr.lock().unwrap()).into_owned()
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits until its output, either kind, has a text in it.
    pub fn wait_for(&mut self, text: &str, limit: Duration) {
        let deadline = Instant::now() + limit;
        while !(self.stdout().contains(text) || self.stderr().contains(text)) {
            let running = self.is_running();
            assert!(
                running && Instant::now() < deadline,
                "{} (running: {running}) did not print {text:?} within {limit:?}; it printed\n{}{}",
                self.described,
                self.stdout(),
                self.stderr(),
            );
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits for its end and for the rest of its output, or kills it and panics.
    pub fn wait(&mut self, limit: Duration) -> ExitStatus {
        let deadline = Instant::now() + limit;
        let mut pause = Duration::from_millis(1);
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                self.join();
                return status;
            }
            if Instant::now() >= deadline {
                self.kill();
                panic!(
                    "{} did not end within {limit:?}; it printed\n{}{}",
                    self.described,
                    self.stdout(),
                    self.stderr(),
                );
            }
            thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(50));
        }
    }

    /// Sends a signal by its name: `TERM`, `INT`, `HUP`, `KILL`, `STOP`, `CONT`.
    pub fn signal(&self, name: &str) {
        send_signal(self.id(), name);
    }

    /// TERM, and the exit status that followed.
    pub fn terminate(&mut self, limit: Duration) -> ExitStatus {
        self.signal("TERM");
        self.wait(limit)
    }

    fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Waits until the output is complete. A grandchild that keeps the pipe open does
    /// not hold this up for ever.
    fn join(&mut self) {
        let deadline = Instant::now() + Duration::from_secs(2);
        while self.readers.iter().any(|reader| !reader.is_finished()) && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Without `unsafe` there is no other way to send a signal than to have it sent.
pub fn send_signal(process: u32, name: &str) {
    let status = Command::new("kill")
        .args(["-s", name, &process.to_string()])
        .status()
        .unwrap();
    assert!(status.success(), "no signal {name} to process {process}");
}

fn collect(mut pipe: impl Read + Send + 'static, into: Arc<Mutex<Vec<u8>>>) -> JoinHandle<()> {
    thread::spawn(move || {
        let mut chunk = [0; 4096];
        while let Ok(length @ 1..) = pipe.read(&mut chunk) {
            into.lock().unwrap().extend_from_slice(&chunk[..length]);
        }
    })
}
