//! A developer's home directory, and certtool run in it.

use std::{
    collections::BTreeMap,
    fs,
    io::Write,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use serde_json::Value;
use tempfile::TempDir;

use crate::{LIMIT, support};

/// A home directory in which nothing has run yet.
pub(crate) struct Home(TempDir);

/// What certtool said, and its exit code; 128 and the signal when one ended it.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Home {
    pub(crate) fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        // Makes the directories that every home has, so that they are not news later.
        let _ = support::certtool(home.path());
        Self(home)
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// Where controller-runtime looks, for a process whose `$TMPDIR` is `tmp` in here.
    pub(crate) fn certs(&self) -> PathBuf {
        self.path().join("tmp/k8s-webhook-server/serving-certs")
    }

    /// Where the local CA is.
    pub(crate) fn ca(&self) -> PathBuf {
        self.path().join(".local/share/certtool/local-ca")
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = support::certtool(self.path());
        command.arg("local-dev").args(args);
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Ran {
        ran(self.command(args))
    }

    /// Runs with an input, through a file since nobody reads a pipe that is refused.
    pub(crate) fn run_with_stdin(&self, args: &[&str], input: &[u8]) -> Ran {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(input).unwrap();
        std::io::Seek::rewind(&mut file).unwrap();
        let mut command = self.command(args);
        command.stdin(file);
        ran(command)
    }

    /// Runs, and it works.
    #[track_caller]
    pub(crate) fn done(&self, args: &[&str]) -> Ran {
        let ran = self.run(args);
        assert_eq!(ran.code, 0, "{args:?}: {ran:?}");
        ran
    }

    /// Runs, and it works: the result as data.
    #[track_caller]
    pub(crate) fn report(&self, args: &[&str]) -> Value {
        self.done(&[args, &["-o", "json"]].concat()).json()
    }

    /// The reason code of a run that wrote a pair, or `unchanged`.
    #[track_caller]
    pub(crate) fn reason(&self, args: &[&str]) -> String {
        let report = self.report(args);
        let reason = &report["reason"];
        assert_eq!(report["changed"], !reason.is_null(), "{report}");
        reason["code"].as_str().unwrap_or("unchanged").to_owned()
    }

    /// The run is refused in one line with these words, and changes nothing.
    #[track_caller]
    pub(crate) fn refuses(&self, args: &[&str], words: &[&str]) -> Ran {
        let before = snapshot(self.path());
        let ran = self.run(args);
        ran.is_refusal(1, words);
        assert_eq!(ran.stderr.lines().count(), 1, "{}", ran.stderr);
        assert_unchanged(&before, self.path());
        ran
    }

    /// The arguments are refused with these words, and nothing changes.
    #[track_caller]
    pub(crate) fn refuses_usage(&self, args: &[&str], words: &[&str]) {
        let before = snapshot(self.path());
        self.run(args).is_refusal(2, words);
        assert_unchanged(&before, self.path());
    }
}

impl Ran {
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("{e}: {}", self.stdout))
    }

    #[track_caller]
    pub(crate) fn is_refusal(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, code, "{self:?}");
        assert_eq!(self.stdout, "", "{self:?}");
        assert!(self.stderr.starts_with("error: "), "{}", self.stderr);
        for word in words {
            assert!(self.stderr.contains(word), "{word:?}: {}", self.stderr);
        }
    }

    /// The rest of the line of the result that begins with a word.
    #[track_caller]
    pub(crate) fn line(&self, word: &str) -> &str {
        let mut lines = self.stdout.lines();
        let line = lines.find_map(|line| line.strip_prefix(word));
        line.unwrap_or_else(|| panic!("{word:?}: {self:?}")).trim()
    }
}

/// Runs a command to its end. Whatever it is about, no key is in its output.
#[track_caller]
pub(crate) fn ran(command: Command) -> Ran {
    use std::os::unix::process::ExitStatusExt;
    let Output {
        status,
        stdout,
        stderr,
    } = support::output(command, LIMIT);
    let [stdout, stderr] = [stdout, stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    for text in [&stdout, &stderr] {
        assert!(!text.contains("PRIVATE KEY-"), "{text}");
        assert!(!text.contains("panicked"), "{text}");
    }
    let code = status.code().or(status.signal().map(|signal| 128 + signal));
    Ran {
        code: code.unwrap(),
        stdout,
        stderr,
    }
}

/// The same command, run by a program that changes the world around it.
pub(crate) fn under(wrapper: &[&str], command: &Command) -> Command {
    let mut wrapped = Command::new(wrapper[0]);
    wrapped
        .args(&wrapper[1..])
        .arg(command.get_program())
        .args(command.get_args())
        .current_dir(command.get_current_dir().unwrap())
        .env_clear()
        .envs(command.get_envs().filter_map(|(k, v)| Some((k, v?))))
        .stdin(Stdio::null());
    wrapped
}

/// Everything about every file that a write would change.
pub(crate) type Snapshot = BTreeMap<PathBuf, (u64, u32, i64, i64, Vec<u8>)>;

pub(crate) fn snapshot(dir: &Path) -> Snapshot {
    let mut found = Snapshot::new();
    for entry in walkdir::WalkDir::new(dir) {
        let entry = entry.unwrap();
        let meta = entry.path().symlink_metadata().unwrap();
        let content = if meta.is_file() {
            fs::read(entry.path()).unwrap()
        } else if meta.is_symlink() {
            let target = fs::read_link(entry.path()).unwrap();
            target.to_str().unwrap().as_bytes().to_vec()
        } else {
            Vec::new()
        };
        let state = (meta.ino(), meta.mode(), meta.mtime(), meta.mtime_nsec());
        let state = (state.0, state.1, state.2, state.3, content);
        found.insert(entry.path().to_owned(), state);
    }
    found
}

#[track_caller]
pub(crate) fn assert_unchanged(before: &Snapshot, dir: &Path) {
    let after = snapshot(dir);
    let changed: Vec<_> = before
        .iter()
        .filter(|(path, state)| after.get(*path) != Some(state))
        .map(|(path, _)| path)
        .chain(after.keys().filter(|path| !before.contains_key(*path)))
        .collect();
    assert!(changed.is_empty(), "{changed:?}");
}

pub(crate) fn mode(path: impl AsRef<Path>) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o7777
}

/// The names of a report, as `TYPE:VALUE`.
pub(crate) fn names(report: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let names = report["names"].as_array().unwrap().iter();
    names
        .map(|name| format!("{}:{}", text(&name["type"]), text(&name["value"])))
        .collect()
}
