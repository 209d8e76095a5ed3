//! The program of tests/cfssl, which drives cfssl's own packages.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use certtool::pki::Authority;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Case {
    pub(crate) kind: &'static str,
    pub(crate) json: String,
    pub(crate) profile: String,
    pub(crate) csr: String,
    pub(crate) hosts: Option<Vec<String>>,
}

#[derive(Serialize)]
struct Input<'a> {
    ca: String,
    ca_key: String,
    cases: &'a [Case],
}

#[derive(Deserialize)]
struct Outcome {
    at: i64,
    #[serde(default)]
    error: String,
    #[serde(default)]
    pem: String,
}

/// What cfssl made of a case, and when.
#[derive(Debug, Clone)]
pub(crate) struct Theirs {
    pub(crate) at: OffsetDateTime,
    /// A PEM text, or its error.
    pub(crate) made: Result<Vec<u8>, String>,
}

impl Case {
    pub(crate) fn new(kind: &'static str, json: String) -> Self {
        Self {
            kind,
            json,
            ..Self::default()
        }
    }

    pub(crate) fn describe(&self) -> String {
        format!(
            "{:?} {:?} {}\n{}",
            self.profile, self.hosts, self.json, self.csr
        )
    }
}

pub(crate) struct Peer {
    program: PathBuf,
}

impl Peer {
    /// Built by scripts/cfssl-peer, once.
    pub(crate) fn find() -> Self {
        static DIR: OnceLock<PathBuf> = OnceLock::new();
        let dir = DIR.get_or_init(|| {
            let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/cfssl-peer");
            let output = Command::new(script)
                .stderr(Stdio::inherit())
                .output()
                .unwrap();
            assert!(
                output.status.success(),
                "scripts/cfssl-peer failed; its message is above"
            );
            PathBuf::from(String::from_utf8(output.stdout).unwrap().trim())
        });
        Self {
            program: dir.join("peer"),
        }
    }

    /// What cfssl makes of each case.
    pub(crate) fn run(&self, ca: Option<&Authority>, cases: &[Case]) -> Vec<Theirs> {
        let input = Input {
            ca: ca.map(|ca| ca.certificate().to_pem()).unwrap_or_default(),
            ca_key: ca
                .map(|ca| ca.key().to_pem().unwrap().expose().to_owned())
                .unwrap_or_default(),
            cases,
        };
        let mut child = Command::new(&self.program)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let input = serde_json::to_vec(&input).unwrap();
        child.stdin.take().unwrap().write_all(&input).unwrap();
        let output = child.wait_with_output().unwrap();
        let outcomes: Vec<Outcome> = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(outcomes.len(), cases.len());
        outcomes
            .into_iter()
            .map(|outcome| Theirs {
                at: OffsetDateTime::from_unix_timestamp(outcome.at).unwrap(),
                made: match outcome.error.as_str() {
                    "" => Ok(outcome.pem.into_bytes()),
                    _ => Err(outcome.error),
                },
            })
            .collect()
    }
}
