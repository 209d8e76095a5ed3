//! Runs a target, keeps the input that it fails on, and judges what it accepts.

use std::collections::HashSet;
use std::fmt::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::judge;
use crate::mutate::{Rng, mutant};
use crate::targets::{Accepted, Kind};

/// How many accepted mutants of one target the judge sees at most; seeds all are.
const JUDGED: usize = 60;

/// How many of those that the judge refuses are shown.
const SHOWN: usize = 5;

pub(crate) struct Corpus {
    seeds: Vec<Vec<u8>>,
}

impl Corpus {
    /// The files of `fuzz/corpus/NAME`, in order.
    pub(crate) fn of(name: &str) -> Self {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("fuzz/corpus")
            .join(name);
        let mut files: Vec<PathBuf> = std::fs::read_dir(&dir)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        files.sort();
        Self::from(files.iter().map(|file| std::fs::read(file).unwrap()))
    }

    pub(crate) fn from(seeds: impl IntoIterator<Item = Vec<u8>>) -> Self {
        Self {
            seeds: seeds.into_iter().collect(),
        }
    }
}

#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Summary {
    pub(crate) seeds: usize,
    pub(crate) accepted_seeds: usize,
    pub(crate) mutants: usize,
    pub(crate) accepted_mutants: usize,
    pub(crate) judged: usize,
    /// How long the target took, the judge aside.
    pub(crate) ran: Duration,
}

/// Runs `target` on the corpus and on about `mutations` mutations of each seed.
pub(crate) fn smoke(
    name: &str,
    target: impl Fn(&[u8]) -> Vec<Accepted>,
    corpus: &Corpus,
    mutations: usize,
) -> Result<Summary, String> {
    let started = Instant::now();
    let rounds = std::env::var("CERTTOOL_FUZZ_ROUNDS").map_or(1, |text| text.parse().unwrap());
    let mut summary = Summary::default();
    let (mut from_seeds, mut from_mutants) = (Vec::new(), Vec::new());
    for seed in &corpus.seeds {
        let accepted = attempt(name, &target, seed)?;
        summary.seeds += 1;
        summary.accepted_seeds += usize::from(!accepted.is_empty());
        from_seeds.extend(accepted.into_iter().map(|one| (seed.clone(), one)));
    }
    let mut seen = HashSet::new();
    for which in 0..corpus.seeds.len() {
        let mut rng = Rng::new(which as u64 + 1);
        for _ in 0..mutations * rounds {
            let input = mutant(&mut rng, &corpus.seeds, which);
            if !seen.insert(input.clone()) {
                continue;
            }
            let accepted = attempt(name, &target, &input)?;
            summary.mutants += 1;
            summary.accepted_mutants += usize::from(!accepted.is_empty());
            from_mutants.extend(accepted.into_iter().map(|one| (input.clone(), one)));
        }
    }
    summary.ran = started.elapsed();
    let is_judged = |(_, one): &(Vec<u8>, Accepted)| one.kind != Kind::Other;
    from_seeds.retain(is_judged);
    from_mutants.retain(is_judged);
    let every = from_mutants.len().div_ceil(JUDGED * rounds).max(1);
    let judged: Vec<_> = from_seeds
        .iter()
        .chain(from_mutants.iter().step_by(every))
        .collect();
    summary.judged = judged.len();
    let accepted: Vec<_> = judged.iter().map(|(_, accepted)| accepted).collect();
    let refused = judge::refused(&accepted);
    if refused.is_empty() {
        return Ok(summary);
    }
    let mut message = format!(
        "{name}: {} of {} that are accepted are not by openssl:",
        refused.len(),
        judged.len()
    );
    for (index, why) in refused.iter().take(SHOWN) {
        let (input, accepted) = judged[*index];
        let _ = write!(
            message,
            "\nthe input is {}; accepted was the {:?} {}; {why}",
            keep(name, input).display(),
            accepted.kind,
            keep(name, &accepted.bytes).display()
        );
    }
    Err(message)
}

fn attempt(
    name: &str,
    target: impl Fn(&[u8]) -> Vec<Accepted>,
    input: &[u8],
) -> Result<Vec<Accepted>, String> {
    catch_unwind(AssertUnwindSafe(|| target(input))).map_err(|panic| {
        let message = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied())
            .unwrap_or_default();
        let kept = keep(name, input);
        format!(
            "{name} panics: {message}\nthe input is {}; it belongs into fuzz/corpus/{name} once this is mended",
            kept.display()
        )
    })
}

/// A file that outlives the test.
fn keep(name: &str, input: &[u8]) -> PathBuf {
    let mut file = tempfile::Builder::new()
        .prefix(&format!("certtool-fuzz-{name}-"))
        .tempfile()
        .unwrap();
    std::io::Write::write_all(&mut file, input).unwrap();
    file.keep().unwrap().1
}

mod tests {
    //! The harness itself can fail.

    use super::*;

    fn path_in(message: &str, before: &str) -> PathBuf {
        let rest = message.split_once(before).unwrap().1;
        let end = rest.find([';', ',']).unwrap();
        rest[..end].into()
    }

    #[test]
    fn a_target_that_panics_is_reported_with_its_input() {
        let corpus = Corpus::from([b"{\"abc\": 1}".to_vec()]);
        let target = |data: &[u8]| {
            assert!(!data.ends_with(b": "), "deliberate");
            Vec::new()
        };
        let error = smoke("panicking", target, &corpus, 2000).unwrap_err();
        assert!(error.contains("panicking panics: deliberate"), "{error}");
        let path = path_in(&error, "the input is ");
        let input = std::fs::read(&path).unwrap();
        std::fs::remove_file(path).unwrap();
        assert!(input.ends_with(b": "), "{input:?}");
        assert!(attempt("again", target, &input).is_err_and(|error| {
            std::fs::remove_file(path_in(&error, "the input is ")).is_ok()
        }));
    }

    #[test]
    fn what_openssl_refuses_is_reported_whatever_it_is_taken_for() {
        for kind in [
            Kind::RequestDer,
            Kind::RequestPem,
            Kind::CertificateDer,
            Kind::CertificatesPem(1),
            Kind::CertificatesPem(2),
            Kind::KeyPem,
        ] {
            let corpus = Corpus::from([b"no such thing".to_vec()]);
            let target = |data: &[u8]| {
                let bytes = data.to_vec();
                vec![Accepted { kind, bytes }]
            };
            let error = smoke("gullible", target, &corpus, 0).unwrap_err();
            assert!(error.contains("not by openssl"), "{error}");
            let accepted = format!("accepted was the {kind:?} ");
            for before in ["the input is ", &accepted] {
                std::fs::remove_file(path_in(&error, before)).unwrap();
            }
        }
    }

    #[test]
    fn one_certificate_where_two_were_accepted_is_reported() {
        let corpus = Corpus::of("certificate");
        let seed = corpus.seeds.iter().find(|seed| seed.starts_with(b"-"));
        let bytes = seed.unwrap().clone();
        let two = Accepted {
            kind: Kind::CertificatesPem(2),
            bytes,
        };
        let refused = judge::refused(&[&two]);
        assert!(refused[0].1.contains("Total found: 1"), "{refused:?}");
    }

    #[test]
    fn mutations_are_the_same_in_every_run() {
        let seeds = Corpus::of("csr").seeds;
        let all = || -> Vec<_> {
            let mut rng = Rng::new(5);
            (0..200).map(|_| mutant(&mut rng, &seeds, 0)).collect()
        };
        assert_eq!(all(), all());
    }
}
