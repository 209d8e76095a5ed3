//! Runs a scenario in a process of its own, where the umask, the file size
//! limit, the mounts or the privileges are other ones.

use std::env;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::{cert_dir, disk};

const SCENARIO: &str = "CERTTOOL_TEST_SCENARIO";
const DIR: &str = "CERTTOOL_TEST_DIR";

/// Runs `scenario` on `dir` under `wrapper` (a program and its arguments, before
/// the test binary and its own). Returns whether it succeeded, and its output.
pub(crate) fn run(wrapper: &[&str], scenario: &str, dir: &Path) -> (bool, String) {
    let test = env::current_exe().unwrap();
    let mut command = Command::new(wrapper[0]);
    command
        .args(&wrapper[1..])
        .arg(test)
        .args(["--exact", "child::scenario", "--ignored", "--nocapture"])
        .env(SCENARIO, scenario)
        .env(DIR, dir)
        .stdin(Stdio::null());
    let output = command
        .output()
        .unwrap_or_else(|e| panic!("cannot run {}: {e}", wrapper[0]));
    let text = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    (output.status.success(), text)
}

#[track_caller]
pub(crate) fn succeeds(wrapper: &[&str], scenario: &str, dir: &Path) {
    let (success, output) = run(wrapper, scenario, dir);
    assert!(success, "{scenario} under {wrapper:?}:\n{output}");
}

/// Whether this user may mount in a namespace of its own.
pub(crate) fn can_mount() -> bool {
    let dir = tempfile::tempdir().unwrap();
    Command::new("unshare")
        .args(["--map-root-user", "--mount", "mount", "-t", "tmpfs", "none"])
        .arg(dir.path())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

#[test]
#[ignore = "run by the other tests, in a process of its own"]
fn scenario() {
    let (Ok(scenario), Some(dir)) = (env::var(SCENARIO), env::var_os(DIR)) else {
        return;
    };
    let dir = Path::new(&dir);
    match scenario.as_str() {
        "write with modes" => cert_dir::write_with_modes(dir),
        "fill the disk" => disk::fill(dir),
        "write where not permitted" => disk::write_where_not_permitted(dir),
        "write where read-only" => disk::write_where_read_only(dir),
        other => panic!("no scenario {other:?}"),
    }
}
