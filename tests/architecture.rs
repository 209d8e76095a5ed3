//! The invariants of docs/architecture.md that can be read off the sources.

#![allow(clippy::unwrap_used)] // a test that cannot go on fails

use std::fs;
use std::path::{Path, PathBuf};

/// Modules that take values and give values.
const PURE: [&str; 11] = [
    "authority",
    "cfssl",
    "controller/config",
    "controller/decide",
    "controller/injection",
    "injectable",
    "manifest",
    "pki",
    "plan",
    "policy",
    "request",
];

/// What a pure module must not reach for, and what it is.
const FORBIDDEN: [(&str, &str); 12] = [
    ("std::fs", "the file system"),
    ("std::net::Tcp", "the network"),
    ("std::net::Udp", "the network"),
    ("std::env", "the environment"),
    ("std::process", "processes"),
    ("std::thread", "threads"),
    ("tokio", "the runtime"),
    ("kube::", "the cluster"),
    ("SystemTime", "the clock"),
    ("Instant::", "the clock"),
    ("now_utc", "the clock"),
    ("rand::fill", "randomness"),
];

fn sources(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

fn source_root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// The code before the tests, without comments.
fn code(path: &Path) -> Vec<(usize, String)> {
    let text = fs::read_to_string(path).unwrap();
    let end = text.find("#[cfg(test)]\nmod tests").unwrap_or(text.len());
    text[..end]
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.trim_start().starts_with("//"))
        .map(|(index, line)| (index + 1, line.to_owned()))
        .collect()
}

#[test]
fn pure_modules_reach_for_no_io_no_client_and_no_clock() {
    let mut found = Vec::new();
    for module in PURE {
        let files = sources(&source_root().join(module));
        assert!(!files.is_empty(), "src/{module} is gone: correct this list");
        for file in files.iter().filter(|file| !is_test_only(file)) {
            for (line, text) in code(file) {
                for (needle, what) in FORBIDDEN {
                    if text.contains(needle) {
                        found.push(format!("{}:{line}: {needle} ({what})", file.display()));
                    }
                }
            }
        }
    }
    assert!(
        found.is_empty(),
        "pure modules with side effects:\n{}",
        found.join("\n")
    );
}

#[test]
fn nothing_but_the_command_line_knows_the_command_line() {
    let mut found = Vec::new();
    for file in sources(&source_root()) {
        let inside = file.strip_prefix(source_root()).unwrap();
        if inside.starts_with("cli") || inside == Path::new("main.rs") {
            continue;
        }
        for (line, text) in code(&file) {
            if text.contains("cli::") {
                found.push(format!("{}:{line}", file.display()));
            }
        }
    }
    assert!(found.is_empty(), "these reach for src/cli: {found:?}");
}

/// Files that a `#[cfg(test)] mod` alone includes.
fn is_test_only(file: &Path) -> bool {
    file.file_stem()
        .is_some_and(|stem| stem == "fixtures" || stem == "tests")
        || file.components().any(|part| part.as_os_str() == "tests")
}

#[test]
fn every_file_says_what_it_is_for() {
    for file in sources(&source_root()) {
        let text = fs::read_to_string(&file).unwrap();
        assert!(
            text.starts_with("//!"),
            "{} has no module documentation",
            file.display()
        );
    }
}

#[test]
fn the_architecture_document_names_every_module() {
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/architecture.md");
    let document = fs::read_to_string(document).unwrap();
    for entry in fs::read_dir(source_root()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            assert!(
                document.contains(&format!("src/{name}/")),
                "docs/architecture.md does not name src/{name}/"
            );
        }
    }
}

/// A name that nothing has any more would put nothing anywhere, and nobody would see it.
#[test]
fn the_linkers_layout_names_what_there_is() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let layout = fs::read_to_string(root.join("scripts/layout.ld")).unwrap();
    let lock = fs::read_to_string(root.join("Cargo.lock")).unwrap();
    let (_, seldom) = layout.split_once(".text.seldom :").unwrap();
    let mut checked = 0;
    for line in seldom.lines() {
        let patterns = line.trim().strip_prefix("*(").unwrap_or_default();
        let mut patterns = patterns.trim_end_matches(')').split_whitespace().peekable();
        while let Some(pattern) = patterns.next() {
            let name = pattern.strip_prefix(".text.*").unwrap();
            if !name.starts_with(|c: char| c.is_ascii_digit()) {
                continue;
            }
            let path = parts_of(name.trim_end_matches(['?', '*']));
            assert!(is_there(&path, &lock), "scripts/layout.ld: {line}");
            // Its other spelling is of the same.
            if let Some(other) = patterns.peek().filter(|other| other.contains("..")) {
                assert!(
                    other.contains(&path.join("..")),
                    "scripts/layout.ld: {line}"
                );
            }
            checked += 1;
        }
    }
    assert!(checked > 40, "{checked}");
}

fn is_there(path: &[&str], lock: &str) -> bool {
    let is_locked = |name: &str| lock.contains(&format!("name = \"{name}\"\n"));
    match path {
        ["certtool", module] => is_module(&source_root(), module),
        ["certtool", parent, module] => is_module(&source_root().join(parent), module),
        ["cli", module, ..] => is_module(&source_root().join("cli"), module),
        // Of rustls-webpki, and of the standard library.
        [
            "webpki" | "addr2line" | "fmt" | "gimli" | "miniz_oxide" | "rustc_demangle" | "slice",
            ..,
        ] => true,
        [name, ..] => is_locked(name) || is_locked(&name.replace('_', "-")),
        [] => false,
    }
}

fn is_module(parent: &Path, name: &str) -> bool {
    parent.join(name).is_dir() || parent.join(format!("{name}.rs")).is_file()
}

/// `3cli6inject`: each part has its length in front.
fn parts_of(mut symbol: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    while let Some(end) = symbol.find(|c: char| !c.is_ascii_digit()) {
        let (length, rest) = symbol.split_at(end);
        let length: usize = length.parse().unwrap();
        let (part, rest) = rest.split_at(length);
        parts.push(part);
        symbol = rest;
    }
    assert!(symbol.is_empty(), "{symbol}");
    parts
}
