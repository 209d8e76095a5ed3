//! Signing CSR files, one or thousands, on all cores.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, bail};
use serde::Serialize;
use time::OffsetDateTime;

use super::profile::Profile;
use super::{NO_NAMES, Sign};
use crate::cli::authority::tell_limit;
use crate::cli::dry_run::suffix;
use crate::cli::kubernetes::KubernetesArgs;
use crate::cli::progress::Progress;
use crate::cli::{ExitStatus, Printer, UsageError, input, instant, runtime};
use crate::cluster::{Cluster, Mode};
use crate::pki::{Authority, Certificate, Csr};
use crate::random_serial;
use crate::store::{Durability, Error, secret_file};

/// A CSR file and where its certificate goes.
struct Job {
    csr: PathBuf,
    out: PathBuf,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Item {
    csr: PathBuf,
    certificate: Option<PathBuf>,
    not_after: Option<String>,
    error: Option<String>,
}

pub(super) fn run(
    args: &Sign,
    profile: &Profile,
    kubernetes: &KubernetesArgs,
    printer: &Printer,
) -> anyhow::Result<ExitStatus> {
    let authority = if args.ca.needs_cluster() {
        runtime::current_thread()?.block_on(async {
            let cluster = Cluster::connect(&kubernetes.access()).await?;
            args.ca.load(Some(&cluster)).await
        })?
    } else {
        args.ca.load_files()?
    };
    authority.check_valid_at(OffsetDateTime::now_utc())?;
    tell_limit(&authority, args.terms.validity, printer);
    if let ([file], None) = (args.csrs.as_slice(), &args.out_dir)
        && !file.is_dir()
    {
        return one(args, file, &authority, profile, printer);
    }
    let Some(out_dir) = &args.out_dir else {
        return Err(UsageError(
            "several CSR files need --out-dir DIR for their certificates".to_owned(),
        )
        .into());
    };
    let jobs = jobs(&args.csrs, out_dir)?;
    if args.dry_run.mode() == Mode::Apply {
        std::fs::create_dir_all(out_dir)
            .with_context(|| format!("could not make {}", out_dir.display()))?;
    }
    let write = args.dry_run.mode() == Mode::Apply;
    let progress = Progress::new(printer, "signing", jobs.len());
    let results = in_parallel(&jobs, &progress, |job| {
        sign_to_file(job, &authority, profile, args.force, write)
    });
    progress.finish();
    summary(&jobs, &results, args.dry_run.mode(), printer)
}

/// One file: to stdout, or to `--out`.
fn one(
    args: &Sign,
    file: &Path,
    authority: &Authority,
    profile: &Profile,
    printer: &Printer,
) -> anyhow::Result<ExitStatus> {
    let (name, pem) = input::read(file)?;
    let signed =
        sign(&pem, authority, profile).with_context(|| format!("the CSR {name} is not signed"))?;
    let mode = args.dry_run.mode();
    let until = instant(signed.not_after);
    if !signed.has_names {
        printer.warning(&format!("the CSR {name}: {NO_NAMES}"));
    }
    let Some(out) = args.out.as_deref().filter(|out| out.as_os_str() != "-") else {
        match mode {
            Mode::Apply => printer.raw(signed.chain.as_bytes())?,
            Mode::Plan | Mode::Check => printer.hint(&format!(
                "the CSR {name} would be signed, valid until {until}{}",
                suffix(mode)
            )),
        }
        return Ok(ExitStatus::Done);
    };
    if mode == Mode::Apply {
        write(out, &signed.chain, args.force)?;
    }
    let item = Item {
        csr: file.to_owned(),
        certificate: Some(out.to_owned()),
        not_after: Some(until.clone()),
        error: None,
    };
    let data = serde_json::json!({ "items": [item] });
    printer.result(&data, || {
        format!(
            "{} written{}, valid until {until}\n",
            out.display(),
            suffix(mode)
        )
    })?;
    Ok(ExitStatus::Done)
}

/// A certificate with those between it and the root.
struct Signed {
    chain: String,
    not_after: OffsetDateTime,
    has_names: bool,
}

fn sign(pem: &[u8], authority: &Authority, profile: &Profile) -> anyhow::Result<Signed> {
    let now = OffsetDateTime::now_utc();
    let csr = Csr::from_pem(pem)?;
    let verified = csr.verified()?;
    let grant = profile.grant_file(&verified, now)?;
    let serial = random_serial().context("could not get randomness from the kernel")?;
    let leaf = authority.issue_encoded(&csr.public_key, &grant, now, serial)?;
    let mut chain = leaf.to_pem();
    chain.extend(authority.intermediates().map(Certificate::to_pem));
    Ok(Signed {
        chain,
        not_after: leaf.validity.not_after,
        has_names: !grant.names.is_empty(),
    })
}

fn sign_to_file(
    job: &Job,
    authority: &Authority,
    profile: &Profile,
    force: bool,
    to_disk: bool,
) -> anyhow::Result<String> {
    if !force && job.out.symlink_metadata().is_ok() {
        bail!(exists(&job.out));
    }
    let (_, pem) = input::read(&job.csr)?;
    let signed = sign(&pem, authority, profile)?;
    if to_disk {
        write(&job.out, &signed.chain, force)?;
    }
    Ok(instant(signed.not_after))
}

fn write(out: &Path, chain: &str, force: bool) -> anyhow::Result<()> {
    let write = if force {
        secret_file::write_replace
    } else {
        secret_file::write_new
    };
    // A certificate can be made again.
    match write(out, chain.as_bytes(), 0o644, Durability::Fast, "--out") {
        Err(Error::Exists { path, .. }) => bail!(exists(&path)),
        result => Ok(result?),
    }
}

fn exists(out: &Path) -> String {
    format!(
        "{} exists, and is not overwritten without --force",
        out.display()
    )
}

/// Every file, and every `.csr` of a directory; outputs must not collide.
fn jobs(csrs: &[PathBuf], out_dir: &Path) -> anyhow::Result<Vec<Job>> {
    let mut files = Vec::new();
    for path in csrs {
        if path.as_os_str() == "-" {
            return Err(UsageError(
                "a CSR from stdin has no name for its certificate in --out-dir: sign it alone, with --out FILE".to_owned(),
            )
            .into());
        }
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let before = files.len();
        let entries = std::fs::read_dir(path)
            .with_context(|| format!("could not read {}", path.display()))?;
        for entry in entries {
            let entry = entry.with_context(|| format!("could not read {}", path.display()))?;
            let file = entry.path();
            if file.extension().is_some_and(|extension| extension == "csr") {
                files.push(file);
            }
        }
        if files.len() == before {
            bail!("{}: no .csr file in this directory", path.display());
        }
        // Paths are compared part by part, which takes long for thousands; in one directory
        // the octets give the same order.
        if let Some(found) = files.get_mut(before..) {
            found.sort_unstable_by(|a, b| a.as_os_str().cmp(b.as_os_str()));
        }
    }
    files.sort();
    files.dedup();
    let mut outputs = std::collections::HashSet::new();
    files
        .into_iter()
        .map(|csr| {
            let mut name = csr
                .file_stem()
                .with_context(|| format!("{} has no file name", csr.display()))?
                .to_owned();
            name.push(".crt");
            let out = out_dir.join(&name);
            if !outputs.insert(name) {
                bail!(
                    "two CSR files would both become {}: sign them into different directories",
                    out.display()
                );
            }
            Ok(Job { csr, out })
        })
        .collect()
}

/// Does every job on all cores; results in the jobs' order.
fn in_parallel(
    jobs: &[Job],
    progress: &Progress,
    work: impl Fn(&Job) -> anyhow::Result<String> + Sync,
) -> Vec<anyhow::Result<String>> {
    let cores = std::thread::available_parallelism()
        .map_or(1, usize::from)
        .min(jobs.len().max(1));
    let next = AtomicUsize::new(0);
    let mut results: Vec<(usize, anyhow::Result<String>)> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..cores)
            .map(|_| {
                scope.spawn(|| {
                    let mut done = Vec::new();
                    while let Some((index, job)) = {
                        let index = next.fetch_add(1, Ordering::Relaxed);
                        jobs.get(index).map(|job| (index, job))
                    } {
                        done.push((index, work(job)));
                        progress.step();
                    }
                    done
                })
            })
            .collect();
        workers
            .into_iter()
            .filter_map(|worker| worker.join().ok())
            .flatten()
            .collect()
    });
    results.sort_by_key(|(index, _)| *index);
    results.into_iter().map(|(_, result)| result).collect()
}

fn summary(
    jobs: &[Job],
    results: &[anyhow::Result<String>],
    mode: Mode,
    printer: &Printer,
) -> anyhow::Result<ExitStatus> {
    let items: Vec<Item> = jobs
        .iter()
        .zip(results)
        .map(|(job, result)| Item {
            csr: job.csr.clone(),
            certificate: result.is_ok().then(|| job.out.clone()),
            not_after: result.as_ref().ok().cloned(),
            error: result.as_ref().err().map(|error| format!("{error:#}")),
        })
        .collect();
    let failed = items.iter().filter(|item| item.error.is_some()).count();
    let data = serde_json::json!({ "items": items });
    printer.result(&data, || {
        format!(
            "signed {}, not signed {failed}{}\n",
            items.len() - failed,
            suffix(mode)
        )
    })?;
    for item in &items {
        if let Some(error) = &item.error {
            printer.error(&anyhow::anyhow!("{}: {error}", item.csr.display()));
        }
    }
    Ok(if failed > 0 {
        ExitStatus::Error
    } else {
        ExitStatus::Done
    })
}
