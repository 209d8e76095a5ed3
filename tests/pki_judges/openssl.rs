//! The `openssl` command in a directory of its own.

use std::path::PathBuf;
use std::process::{Command, Output};

pub(crate) struct OpenSsl {
    dir: tempfile::TempDir,
}

impl OpenSsl {
    pub(crate) fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
        }
    }

    pub(crate) fn path(&self, file: &str) -> PathBuf {
        self.dir.path().join(file)
    }

    pub(crate) fn write(&self, file: &str, content: impl AsRef<[u8]>) {
        std::fs::write(self.path(file), content).unwrap();
    }

    pub(crate) fn read(&self, file: &str) -> Vec<u8> {
        std::fs::read(self.path(file)).unwrap()
    }

    pub(crate) fn run(&self, arguments: &str) -> Output {
        Command::new("openssl")
            .args(arguments.split_whitespace())
            .current_dir(self.dir.path())
            .output()
            .expect("the openssl command is needed for this test")
    }

    /// Standard output of a command that must succeed.
    pub(crate) fn ok(&self, arguments: &str) -> String {
        let output = self.run(arguments);
        assert!(
            output.status.success(),
            "openssl {arguments}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// The line after the one with `heading` in `openssl x509 -text`, trimmed.
    pub(crate) fn extension(&self, certificate: &str, heading: &str) -> Option<String> {
        let text = self.ok(&format!("x509 -in {certificate} -noout -text"));
        let mut lines = text.lines().skip_while(|line| !line.contains(heading));
        let first = lines.next()?.trim();
        let value = lines.next()?.trim().trim_start_matches("keyid:");
        let critical = if first.ends_with("critical") {
            "critical "
        } else {
            ""
        };
        Some(format!("{critical}{value}"))
    }
}
