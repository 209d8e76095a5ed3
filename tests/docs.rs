//! The examples of README.md and docs/ work: every `sh` block of a page is run, in order,
//! in one shell, against the control plane. Blocks marked `bash` are for the reader: they
//! build, wait for a person, or need a project of the reader's own.

#![allow(clippy::unwrap_used)] // a test that cannot go on fails

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(60);

fn pages() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut pages = vec![root.join("README.md")];
    for entry in fs::read_dir(root.join("docs")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "md") {
            pages.push(path);
        }
    }
    pages.sort();
    pages
}

fn examples(page: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut block: Option<String> = None;
    for line in page.lines() {
        match &mut block {
            None if line == "```sh" => block = Some(String::new()),
            None => {}
            Some(text) if line == "```" => {
                blocks.push(std::mem::take(text));
                block = None;
            }
            Some(text) => {
                text.push_str(line);
                text.push('\n');
            }
        }
    }
    blocks
}

#[test]
fn the_examples_of_every_page_work() {
    let _watchdog = support::watchdog(Duration::from_secs(300));
    // A control plane of its own: the examples use fixed names.
    let control_plane = support::ControlPlane::dedicated();
    let kubeconfig = control_plane.kubeconfig().to_owned();
    let mut ran = 0;
    for page in pages() {
        let blocks = examples(&fs::read_to_string(&page).unwrap());
        if blocks.is_empty() {
            continue;
        }
        let home = tempfile::tempdir().unwrap();
        let script = format!("set -euo pipefail\ncd \"$HOME\"\n{}", blocks.join("\n"));
        let mut command = support::certtool(home.path());
        let program = PathBuf::from(command.get_program());
        let path = format!(
            "{}:{}",
            program.parent().unwrap().display(),
            std::env::var("PATH").unwrap_or_default()
        );
        let environment: Vec<_> = command
            .get_envs()
            .filter_map(|(key, value)| Some((key.to_owned(), value?.to_owned())))
            .collect();
        command = std::process::Command::new("bash");
        command
            .env_clear()
            .envs(environment)
            .env("PATH", path)
            .env("KUBECONFIG", &kubeconfig)
            .args(["-c", &script]);
        let output = support::output(command, LIMIT);
        assert!(
            output.status.success(),
            "the examples of {} fail:\n{script}\n-- stdout\n{}\n-- stderr\n{}",
            page.display(),
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        ran += blocks.len();
    }
    assert!(ran > 0, "no page has an example");
}

#[test]
fn every_link_between_the_pages_leads_somewhere() {
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        for link in text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next())
        {
            let target = link.split('#').next().unwrap_or_default();
            if target.is_empty() || target.contains("://") {
                continue;
            }
            let path = page.parent().unwrap().join(target);
            assert!(path.exists(), "{}: {link} leads nowhere", page.display());
        }
    }
}
