//! A home directory with CAs, and what certtool says in it.

use std::{
    fs,
    fs::File,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use tempfile::TempDir;

use crate::support;
use crate::support::pki::Ca;

const LIMIT: Duration = Duration::from_secs(60);

pub(crate) struct Home {
    home: TempDir,
}

impl Home {
    /// With `ca.crt` and `other.crt`, CAs that certtool did not make.
    pub(crate) fn new() -> Self {
        let home = Self {
            home: tempfile::tempdir().unwrap(),
        };
        home.write("ca.crt", &Ca::new("ours").pem);
        home.write("other.crt", &Ca::new("theirs").pem);
        home
    }

    pub(crate) fn path(&self, file: &str) -> PathBuf {
        self.home.path().join(file)
    }

    pub(crate) fn write(&self, file: &str, content: impl AsRef<[u8]>) {
        let path = self.path(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    pub(crate) fn read(&self, file: &str) -> String {
        fs::read_to_string(self.path(file)).unwrap()
    }

    /// The base64 of these PEM files together, as a caBundle has it.
    pub(crate) fn base64(&self, files: &[&str]) -> String {
        let pem: String = files.iter().map(|file| self.read(file)).collect();
        STANDARD.encode(pem)
    }

    pub(crate) fn command(&self, words: &str) -> Command {
        let mut command = support::certtool(self.home.path());
        command.args(words.split_whitespace());
        command
    }

    pub(crate) fn certtool(&self, words: &str) -> Said {
        Said::of(self.command(words))
    }

    /// The same with this on stdin.
    pub(crate) fn piped(&self, stdin: impl AsRef<[u8]>, words: &str) -> Said {
        self.write("tmp/stdin", stdin);
        let mut command = self.command(words);
        command.stdin(File::open(self.path("tmp/stdin")).unwrap());
        Said::of(command)
    }

    /// What `inject --ca ca.crt` gives for this on stdin; run again it changes nothing.
    #[track_caller]
    pub(crate) fn injected(&self, manifest: impl AsRef<[u8]>) -> String {
        let said = self.piped(manifest, "inject --ca ca.crt").done();
        let again = self.piped(&said.stdout, "inject --ca ca.crt").done();
        assert_eq!(again.stdout, said.stdout, "a second run changed something");
        self.piped(&said.stdout, "inject --ca ca.crt --check")
            .done();
        said.stdout
    }

    pub(crate) fn root(&self) -> &Path {
        self.home.path()
    }
}

/// What a command printed and how it ended.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Said {
    #[track_caller]
    pub(crate) fn of(command: Command) -> Self {
        let described = format!("{command:?}");
        let output = support::output(command, LIMIT);
        let said = Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        };
        let all = format!("{}{}", said.stdout, said.stderr);
        assert!(!all.contains("PRIVATE KEY-----\n"), "{described}\n{all}");
        assert_ne!(said.code, 101, "{described} panicked: {}", said.stderr);
        said
    }

    #[track_caller]
    pub(crate) fn ended(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{}\n{}", self.stdout, self.stderr);
        self
    }

    #[track_caller]
    pub(crate) fn done(self) -> Self {
        self.ended(0)
    }

    /// Ended with this code, printed nothing, and said these things.
    #[track_caller]
    pub(crate) fn refused(self, code: i32, words: &[&str]) -> Self {
        let said = self.ended(code);
        assert_eq!(said.stdout, "");
        said.explains(words)
    }

    #[track_caller]
    pub(crate) fn explains(self, words: &[&str]) -> Self {
        for word in words {
            assert!(self.stderr.contains(word), "no {word:?} in {}", self.stderr);
        }
        self
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap()
    }
}

/// A configuration with one webhook that has this `clientConfig`, its lines at four spaces.
pub(crate) fn hook(client_config: &str) -> String {
    format!(
        "apiVersion: admissionregistration.k8s.io/v1\nkind: ValidatingWebhookConfiguration\n\
         metadata:\n  name: shop\nwebhooks:\n- name: a.example.com\n  clientConfig:\n\
         {client_config}  sideEffects: None\n"
    )
}

/// A manifest without the lines that hold a caBundle.
pub(crate) fn without_bundles(manifest: &str) -> Vec<&str> {
    manifest
        .split_inclusive('\n')
        .filter(|line| !line.trim_start().starts_with("caBundle:"))
        .collect()
}
