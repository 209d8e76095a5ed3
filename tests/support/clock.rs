//! A wall clock that is set wrong while a program runs: a small library in front of libc's
//! `clock_gettime`, which Rust's standard library reads. Linux, and a C compiler.
//!
//! ```ignore
//! let clock = support::Clock::new();
//! let mut command = world.command("sidecar …");
//! clock.rule(&mut command);
//! let process = Process::spawn(command);
//! clock.set(3 * 3600 * 1000); // three hours ahead, from now on
//! ```

use std::{
    fs::{self, OpenOptions},
    os::unix::fs::FileExt,
    path::PathBuf,
    process::Command,
    time::Duration,
};

/// The clock of each program that it rules.
pub struct Clock {
    directory: tempfile::TempDir,
}

impl Clock {
    /// One that is right as yet.
    pub fn new() -> Self {
        let clock = Self {
            directory: tempfile::tempdir().unwrap(),
        };
        let source = clock.path("clock.c");
        fs::write(&source, include_str!("clock.c")).unwrap();
        let mut compile = Command::new("cc");
        compile
            .args(["-O1", "-shared", "-fPIC", "-o"])
            .arg(clock.path("clock.so"))
            .arg(&source);
        let output = super::output(compile, Duration::from_secs(30));
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "cc: {stderr}");
        fs::write(clock.path("shift"), 0_i64.to_ne_bytes()).unwrap();
        clock
    }

    fn path(&self, file: &str) -> PathBuf {
        self.directory.path().join(file)
    }

    /// Has a program live by this clock, its children included.
    pub fn rule(&self, command: &mut Command) {
        command
            .env("LD_PRELOAD", self.path("clock.so"))
            .env("CERTTOOL_TEST_CLOCK", self.path("shift"));
    }

    /// How far it is ahead from now on, in milliseconds; behind if negative.
    pub fn set(&self, milliseconds: i64) {
        let shift = OpenOptions::new()
            .write(true)
            .open(self.path("shift"))
            .unwrap();
        shift.write_all_at(&milliseconds.to_ne_bytes(), 0).unwrap();
    }
}
