//! `certtool ca rotate`: asks for a new CA in a Secret.

use std::time::Instant;

use anyhow::{Context, bail};
use clap::Args;
use serde::Serialize;
use time::{Duration, OffsetDateTime};

use super::state::{NOBODY, StateReport, unrotatable};
use crate::authority::{CaState, Changes, Request};
use crate::cli::authority::read_state;
use crate::cli::dry_run::{DryRunArgs, suffix};
use crate::cli::kubernetes::KubernetesArgs;
use crate::cli::{ExitStatus, Format, Printer, TimedOut, UsageError, duration, runtime};
use crate::cluster::{Cluster, Mode, SecretName, Written};

/// Ask for a new CA in a Secret
///
/// The controller or sidecar that keeps the Secret makes the next CA, has it trusted everywhere,
/// and only then signs with it; the CA before stays trusted until nothing that it signed is
/// valid. Nothing fails meanwhile.
#[derive(Debug, Args)]
pub(super) struct Rotate {
    /// Secret of the CA
    #[arg(long, visible_alias = "ca-secret", value_name = "NAMESPACE/NAME")]
    secret: Option<SecretName>,
    /// The keys may have leaked: a fresh CA even if one is being prepared, and certificates are
    /// replaced as soon as it signs
    #[arg(long)]
    now: bool,
    /// Wait until the new CA signs
    #[arg(long)]
    wait: bool,
    /// How long to wait
    #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = duration::parse)]
    timeout: Duration,
    #[command(flatten)]
    dry_run: DryRunArgs,
}

/// How often somebody else may change the Secret at the same moment.
const ATTEMPTS: usize = 20;
const PAUSE: std::time::Duration = std::time::Duration::from_millis(500);

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    secret: String,
    /// `requested` or `now`
    request: &'static str,
    /// Whether it was asked for already.
    already: bool,
    authority: StateReport,
}

pub(super) fn run(
    args: &Rotate,
    kubernetes: &KubernetesArgs,
    printer: &Printer,
) -> anyhow::Result<ExitStatus> {
    let Some(secret) = &args.secret else {
        return Err(UsageError(
            "which CA? Name it with --secret NAMESPACE/NAME. A CA in a directory has nobody to replace what it signed: make another one with `certtool ca init --out-dir DIR`, and the certificates anew".to_owned(),
        )
        .into());
    };
    let request = if args.now {
        Request::Now
    } else {
        Request::Rotate
    };
    let mode = args.dry_run.mode();
    runtime::interruptible(async {
        let cluster = Cluster::connect(&kubernetes.access()).await?;
        let (before, already) = ask(&cluster, secret, request, mode).await?;
        if before.policy.is_none() {
            printer.warning(NOBODY);
        }
        let mut state = before.clone();
        if args.wait && mode == Mode::Apply {
            state = wait(&cluster, secret, &before, args.timeout, printer).await?;
        } else {
            state.request = Some(request);
        }
        let report = Report {
            secret: secret.to_string(),
            request: request.as_str(),
            already,
            authority: StateReport::of(secret, &state, OffsetDateTime::now_utc()),
        };
        printer.result(&report, || text(&report, args, mode, printer))?;
        Ok(ExitStatus::Done)
    })
}

fn text(report: &Report, args: &Rotate, mode: Mode, printer: &Printer) -> String {
    let secret = &report.secret;
    if printer.format() == Format::Name {
        return format!("secret/{}\n", secret.rsplit('/').next().unwrap_or(secret));
    }
    let did = match (args.wait && mode == Mode::Apply, report.already) {
        (true, _) => "rotated, the new CA signs",
        (false, true) => "asked for already",
        (false, false) if args.now => "asked for, with a fresh CA and fresh certificates",
        (false, false) => "asked for",
    };
    let dry = suffix(mode);
    format!(
        "Rotation of the CA in Secret {secret}: {did}{dry}\n{}",
        report.authority.text()
    )
}

/// Asks; the state before, and whether it was asked for already.
async fn ask(
    cluster: &Cluster,
    secret: &SecretName,
    request: Request,
    mode: Mode,
) -> anyhow::Result<(CaState, bool)> {
    for _ in 0..ATTEMPTS {
        let data = cluster.get_secret(secret).await?.with_context(|| {
            format!(
                "there is no Secret {secret}: `certtool ca init --secret {secret}` makes a CA in it"
            )
        })?;
        let state = read_state(secret, &data)?;
        if let Some(why) = unrotatable(&state) {
            bail!("the CA in Secret {secret} is not rotated: {why}");
        }
        if state.request == Some(request) || state.request == Some(Request::Now) {
            return Ok((state, true));
        }
        if mode == Mode::Plan {
            return Ok((state, false));
        }
        let changes = Changes::requesting(request);
        let dry_run = mode == Mode::Check;
        let written = cluster
            .update_ca_secret(secret, &data, &changes, dry_run)
            .await?;
        if matches!(written, Written::Done(_)) {
            return Ok((state, false));
        }
    }
    bail!("the Secret {secret} was changed by others each time it was to be annotated; run again")
}

async fn wait(
    cluster: &Cluster,
    secret: &SecretName,
    before: &CaState,
    timeout: Duration,
    printer: &Printer,
) -> anyhow::Result<CaState> {
    let deadline = Instant::now() + timeout.unsigned_abs();
    let old = before.current.authority.certificate().fingerprint();
    let mut said = String::new();
    loop {
        let data = cluster
            .get_secret(secret)
            .await?
            .with_context(|| format!("the Secret {secret} was deleted meanwhile"))?;
        let state = read_state(secret, &data)?;
        let current = state.current.authority.certificate().fingerprint();
        if state.request.is_none() && current != old {
            return Ok(state);
        }
        let report = StateReport::of(secret, &state, OffsetDateTime::now_utc());
        let missing = report.waits_for();
        if missing != said {
            printer.progress(&missing);
            said.clone_from(&missing);
        }
        if Instant::now() >= deadline {
            return Err(TimedOut(format!(
                "the new CA in Secret {secret} did not sign within {}: {missing}",
                duration::about(timeout)
            ))
            .into());
        }
        tokio::time::sleep(PAUSE).await;
    }
}
