//! `certtool ca show`: what a CA is, how long, and what it may sign.

use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use serde::Serialize;
use time::OffsetDateTime;

use super::state::StateReport;
use crate::cli::kubernetes::KubernetesArgs;
use crate::cli::report::CertificateReport;
use crate::cli::{ExitStatus, Printer, authority, duration, runtime};
use crate::cluster::{Cluster, SecretName};
use crate::pki::Certificate;
use crate::store::locations::Locations;

/// Show a CA: expiry, fingerprint, and what it may sign
#[derive(Debug, Args)]
pub(super) struct Show {
    /// Certificate of the CA
    #[arg(long, value_name = "FILE", conflicts_with_all = ["ca_dir", "secret"])]
    ca: Option<PathBuf>,
    /// Directory of the CA [default: the local CA of local-dev]
    #[arg(long, value_name = "DIR", conflicts_with = "secret")]
    ca_dir: Option<PathBuf>,
    /// Secret of the CA
    #[arg(long, visible_alias = "ca-secret", value_name = "NAMESPACE/NAME")]
    secret: Option<SecretName>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct CaReport {
    source: String,
    #[serde(flatten)]
    certificate: CertificateReport,
    /// Whether it can sign now.
    usable: bool,
    may_sign: String,
    expires_in_seconds: i64,
}

pub(super) fn run(
    args: &Show,
    kubernetes: &KubernetesArgs,
    printer: &Printer,
) -> anyhow::Result<ExitStatus> {
    let now = OffsetDateTime::now_utc();
    let Some(secret) = &args.secret else {
        let default = match (&args.ca, &args.ca_dir) {
            (None, None) => Some(Locations::from_process().local_ca()?),
            _ => None,
        };
        let dir = args.ca_dir.as_deref().or(default.as_deref());
        let (source, chain) = authority::certificates(args.ca.as_deref(), dir)?;
        return show(&source, &chain, None, now, printer);
    };
    runtime::interruptible(async {
        let cluster = Cluster::connect(&kubernetes.access()).await?;
        let data = cluster
            .get_secret(secret)
            .await?
            .with_context(|| format!("there is no Secret {secret}"))?;
        let state = authority::read_state(secret, &data)?;
        let chain: Vec<_> = state.current.authority.chain().cloned().collect();
        let report = StateReport::of(secret, &state, now);
        show(
            &format!("Secret {secret}"),
            &chain,
            Some(&report),
            now,
            printer,
        )
    })
}

fn show(
    source: &str,
    chain: &[Certificate],
    state: Option<&StateReport>,
    now: OffsetDateTime,
    printer: &Printer,
) -> anyhow::Result<ExitStatus> {
    let reports: Vec<_> = chain
        .iter()
        .map(|certificate| report(source, certificate, now))
        .collect();
    let mut data = serde_json::json!({ "certificates": reports });
    if let Some(state) = state {
        data["authority"] = serde_json::to_value(state)?;
    }
    printer.result(&data, || {
        let certificates = reports.iter().zip(chain);
        let certificates = certificates.map(|(report, ca)| text(report, ca, now));
        certificates.chain(state.map(StateReport::text)).collect()
    })?;
    for warning in state.iter().flat_map(|state| state.warnings()) {
        printer.warning(warning);
    }
    let usable = reports.first().is_some_and(|report| report.usable);
    Ok(if usable {
        ExitStatus::Done
    } else {
        ExitStatus::Finding
    })
}

fn report(source: &str, ca: &Certificate, now: OffsetDateTime) -> CaReport {
    CaReport {
        source: source.to_owned(),
        certificate: CertificateReport::of(ca),
        usable: ca.is_valid_at(now) && ca.may_sign_certificates(),
        may_sign: may_sign(ca),
        expires_in_seconds: (ca.validity.not_after - now).whole_seconds(),
    }
}

fn may_sign(ca: &Certificate) -> String {
    if ca.ca.is_none() {
        return "nothing: it is not a CA".to_owned();
    }
    if !ca.may_sign_certificates() {
        return "nothing: its key usage lacks cert sign".to_owned();
    }
    let what = match ca.ca.and_then(|ca| ca.path_length) {
        Some(0) => "leaf certificates".to_owned(),
        Some(length) => format!(
            "leaf certificates, and CAs with up to {} below them",
            length - 1
        ),
        None => "leaf certificates, and CAs without limit".to_owned(),
    };
    match ca.constraints.describe() {
        Some(constraints) => format!("{what}, {constraints}"),
        None => format!("{what}, for any name"),
    }
}

fn text(report: &CaReport, ca: &Certificate, now: OffsetDateTime) -> String {
    let left = ca.validity.not_after - now;
    let expiry = if left.is_negative() {
        format!("EXPIRED {} ago", duration::about(left))
    } else {
        format!("in {}", duration::about(left))
    };
    format!(
        "{}\n{}  {:<17}{}\n  {:<17}{expiry}\n",
        report.source,
        report.certificate.text("  "),
        "May sign:",
        report.may_sign,
        "Expires:"
    )
}
