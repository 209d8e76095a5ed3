//! What `local-dev` says about the pair, for people and for scripts.

use std::fmt::Write;
use std::path::PathBuf;

use serde::Serialize;
use time::OffsetDateTime;

use crate::cli::duration::about;
use crate::cli::report::NameReport;
use crate::pki::Certificate;
use crate::plan::Reason;

/// The outcome as data: a stable interface.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Report {
    pub(super) changed: bool,
    pub(super) reason: Option<ReasonReport>,
    pub(super) cert_dir: PathBuf,
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
    pub(super) ca_certificate: PathBuf,
    pub(super) names: Vec<NameReport>,
    pub(super) not_before: String,
    pub(super) not_after: String,
    pub(super) serial: String,
    pub(super) fingerprint: String,
    pub(super) key_algorithm: String,
    pub(super) authority: AuthorityReport,
    pub(super) warnings: Vec<String>,
}

#[derive(Debug, Serialize)]
pub(super) struct ReasonReport {
    pub(super) code: &'static str,
    pub(super) message: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct AuthorityReport {
    pub(super) subject: String,
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
    pub(super) not_after: String,
    pub(super) fingerprint: String,
    /// What was made just now, if anything.
    pub(super) created: Option<String>,
}

impl ReasonReport {
    pub(super) fn of(reason: &Reason) -> Self {
        Self {
            code: reason.code(),
            message: reason.to_string(),
        }
    }
}

/// The text for people.
pub(super) fn text(report: &Report, leaf: &Certificate, now: OffsetDateTime) -> String {
    let mut text = String::new();
    let heading = match &report.reason {
        Some(reason) => format!("written: {}", reason.message),
        None => "unchanged: the pair is valid, matches and covers the names".to_owned(),
    };
    let names: Vec<_> = report
        .names
        .iter()
        .map(|name| name.value.as_str())
        .collect();
    let created = report
        .authority
        .created
        .as_ref()
        .map_or_else(String::new, |note| format!(" ({note})"));
    let left = about(leaf.validity.not_after - now);
    // Writing to a String cannot fail.
    let _ = write!(
        text,
        "certificate  {heading}\n\
         files        {}/tls.crt, tls.key, ca.crt\n\
         names        {}\n\
         valid until  {} (in {left})\n\
         signed by    {}{created}\n",
        report.cert_dir.display(),
        shortened(&names),
        report.not_after,
        report.authority.subject,
    );
    text
}

/// Some hundred names are no help on a terminal; `-o json` has them all.
fn shortened(names: &[&str]) -> String {
    const SHOWN: usize = 30;
    if names.len() <= SHOWN {
        return names.join(", ");
    }
    format!(
        "{} and {} more",
        names[..SHOWN].join(", "),
        names.len() - SHOWN
    )
}
