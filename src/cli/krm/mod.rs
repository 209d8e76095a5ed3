//! `certtool krm`: `inject` as a KRM function (KRM Functions Specification v1).

mod config;
mod results;

use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::Args;
use serde_json::Value;
use time::OffsetDateTime;

use self::config::Config;
use self::results::{Result as Finding, Severity};
use super::inject::{Planner, Wanted, checked};
use super::{ExitStatus, Printer, input, sources};
use crate::manifest::{self, Injected, documents, to_value};
use crate::pki::TrustBundle;
use crate::plan::BundleMode;

/// Work as a KRM function: a ResourceList on stdin, one with caBundles and results on stdout
///
/// For kustomize (exec functions) and kpt. The functionConfig, a ConfigMap or an object of
/// apiVersion certtool.dev/v1alpha1, says what to inject: ca (PEM) or caFile, and if need be mode,
/// webhooks, crds, apiservices, services. The exit code is 1 when a result is an error; the items
/// are unchanged then.
#[derive(Debug, Args)]
pub(super) struct Krm {}

pub(super) fn run(_args: &Krm, printer: &Printer) -> anyhow::Result<ExitStatus> {
    let source = sources::read_one(&PathBuf::from("-"))?;
    let list = read_list(&source.content)?;
    let now = OffsetDateTime::now_utc();
    let injected = inject(&list, &source.content, now, printer);
    let (output, findings) = match injected {
        Ok(done) => done,
        Err(error) => (
            source.content.as_slice().into(),
            vec![Finding::error(format!("{error:#}"))],
        ),
    };
    let text = results::with_results(&output, &findings)?;
    printer.raw(&text)?;
    let failed = findings
        .iter()
        .any(|finding| finding.severity == Severity::Error);
    for finding in &findings {
        match finding.severity {
            Severity::Error => printer.error(&anyhow::anyhow!("{finding}")),
            Severity::Warning => printer.warning(&finding.to_string()),
            Severity::Info => printer.detail(&finding.to_string()),
        }
    }
    Ok(if failed {
        ExitStatus::Error
    } else {
        ExitStatus::Done
    })
}

/// The ResourceList as a value; the items stay in the text.
fn read_list(content: &[u8]) -> anyhow::Result<Value> {
    const WHAT: &str = "stdin is not a ResourceList (config.kubernetes.io/v1), which kustomize and kpt give to their functions; `certtool inject` takes manifests";
    let mut all = documents("stdin", content);
    let (Some(document), None) = (all.next(), all.next()) else {
        bail!(WHAT);
    };
    let list = to_value(&document)?;
    anyhow::ensure!(
        list.get("kind").and_then(Value::as_str) == Some("ResourceList"),
        WHAT
    );
    let version = list.get("apiVersion").and_then(Value::as_str);
    anyhow::ensure!(
        version.is_some_and(|version| version.starts_with("config.kubernetes.io/")),
        "the ResourceList has apiVersion {}, not config.kubernetes.io/v1",
        version.unwrap_or("none")
    );
    Ok(list)
}

type Done<'a> = (std::borrow::Cow<'a, [u8]>, Vec<Finding>);

/// # Errors
/// The functionConfig cannot be used.
fn inject<'a>(
    list: &Value,
    content: &'a [u8],
    now: OffsetDateTime,
    printer: &Printer,
) -> anyhow::Result<Done<'a>> {
    let config = Config::read(list.get("functionConfig"))?;
    let ours = bundle(&config, printer)?;
    let choice = config.choice.resolve();
    let wanted = Wanted {
        choice: &choice,
        ours: &ours,
        mode: config.mode,
        now,
    };
    let mut planner = Planner::new(&wanted);
    let Injected {
        output,
        changes,
        notes,
        errors,
    } = manifest::inject("stdin", content, |config, id| planner.decide(config, id));
    if !errors.is_empty() {
        let findings = errors.iter().map(Finding::of_error).collect();
        return Ok((content.into(), findings));
    }
    let missing = choice.missing();
    if !missing.is_empty() {
        let mut findings: Vec<_> = missing
            .iter()
            .map(|what| Finding::error(format!("there is no {what} among the items")))
            .collect();
        let named = notes.iter().filter(|note| choice.names(&note.object));
        findings.extend(named.map(Finding::of_note));
        return Ok((content.into(), findings));
    }
    let mut findings: Vec<_> = changes.iter().map(Finding::of_change).collect();
    if findings.is_empty() && planner.configs == 0 {
        findings.push(Finding::warning(
            "nothing to inject into: no webhook configuration, CRD with a conversion webhook or APIService among the items".to_owned(),
        ));
        findings.extend(notes.iter().map(Finding::of_note));
    }
    Ok((output, findings))
}

fn bundle(config: &Config, printer: &Printer) -> anyhow::Result<TrustBundle> {
    let mut bundle = TrustBundle::default();
    if let Some(pem) = &config.ca {
        bundle = bundle.merge(&checked(
            "ca of the functionConfig",
            pem.as_bytes(),
            printer,
        )?);
    }
    for file in &config.ca_files {
        anyhow::ensure!(
            !sources::is_stdin(file),
            "caFile cannot be stdin: the ResourceList comes from there"
        );
        let (name, pem) = input::read(file).context("caFile of the functionConfig")?;
        bundle = bundle.merge(&checked(&name, &pem, printer)?);
    }
    anyhow::ensure!(
        !bundle.is_empty() || config.mode == BundleMode::Prune,
        "the functionConfig names no CA: give ca (PEM text) or caFile"
    );
    Ok(bundle)
}
