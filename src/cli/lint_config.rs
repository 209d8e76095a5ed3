//! `certtool lint-config`: where a cfssl signing config means something else here.

use std::path::PathBuf;

use anyhow::Context;
use clap::Args;

use super::{ExitStatus, Printer, input};
use crate::cfssl::{self, SigningConfig};

/// Check a cfssl signing config: what is refused, and what differs from cfssl on purpose
///
/// Exit code 3 when something differs, 1 when the file cannot be used.
#[derive(Debug, Args)]
pub(super) struct LintConfig {
    /// The signing config, or - for stdin
    #[arg(value_name = "FILE|-")]
    file: PathBuf,
}

pub(super) fn run(args: &LintConfig, printer: &Printer) -> anyhow::Result<ExitStatus> {
    let (name, text) = input::read(&args.file)?;
    let text = String::from_utf8(text).with_context(|| format!("{name} is not UTF-8"))?;
    let config = SigningConfig::parse(&text).with_context(|| name.clone())?;
    let findings: Vec<String> = cfssl::lint(&config)
        .iter()
        .map(ToString::to_string)
        .collect();
    let data = serde_json::json!({ "file": name, "findings": findings });
    printer.result(&data, || {
        findings
            .iter()
            .map(|finding| format!("{name}: {finding}\n"))
            .collect()
    })?;
    if findings.is_empty() {
        printer.hint(&format!("{name}: the same certificates as cfssl's"));
        return Ok(ExitStatus::Done);
    }
    Ok(ExitStatus::Finding)
}
