//! The fuzz targets of `fuzz/` on their corpus and on mutations of it: bounded, the same
//! in every run, with the stable compiler. What they accept, `openssl` must accept.
//!
//! `CERTTOOL_FUZZ_ROUNDS=N` makes N times as many mutations, and others.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod harness;
mod judge;
mod mutate;
#[path = "../../fuzz/targets.rs"]
#[allow(unreachable_pub)] // it is a library for cargo-fuzz
mod targets;

use harness::{Corpus, Summary, smoke};

/// Runs a target and demands that its corpus reaches both what is accepted and what is
/// refused: a corpus that certtool merely refuses would test nothing.
fn run(
    name: &str,
    target: fn(&[u8]) -> Vec<targets::Accepted>,
    mutations: usize,
    accepted: usize,
) -> Summary {
    let corpus = Corpus::of(name);
    let summary = smoke(name, target, &corpus, mutations).unwrap_or_else(|error| panic!("{error}"));
    println!("{name}: {summary:?}");
    assert!(summary.accepted_seeds >= accepted, "{name}: {summary:?}");
    assert!(
        summary.accepted_mutants > 0 && summary.accepted_mutants < summary.mutants,
        "{name}: {summary:?}"
    );
    summary
}

#[test]
fn requests() {
    assert!(run("csr", targets::csr, 800, 5).judged > 40);
}

#[test]
fn certificates() {
    assert!(run("certificate", targets::certificate, 800, 5).judged > 40);
}

#[test]
fn pem() {
    assert!(run("pem", targets::pem, 150, 8).judged > 40);
}

#[test]
fn cfssl_csr_json() {
    assert!(run("csr_json", targets::csr_json, 800, 4).judged > 40);
}

#[test]
fn cfssl_signing_config() {
    assert!(run("signing_config", targets::signing_config, 400, 3).judged > 40);
}

#[test]
fn manifests() {
    run("manifest", targets::manifest, 600, 3);
}
