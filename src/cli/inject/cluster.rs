//! `inject --cluster`: caBundles in the API server, changed where the meaning differs.

use std::cell::RefCell;

use anyhow::bail;
use time::OffsetDateTime;

use super::outcome::Report;
use super::planner::{Planner, Wanted};
use super::search::{self, Search};
use super::{Choice, Inject};
use crate::cli::kubernetes::KubernetesArgs;
use crate::cli::{ExitStatus, Printer, TimedOut, runtime};
use crate::cluster::{self, Applied, Cluster, Error, Mode, Patience};
use crate::injectable::{self, ObjectId, Plan, Record, client_configs, plan_ca_bundles};

pub(super) fn run(
    args: &Inject,
    choice: &Choice,
    kubernetes: &KubernetesArgs,
    printer: &Printer,
) -> anyhow::Result<ExitStatus> {
    runtime::interruptible(async {
        let notes = printer.clone();
        let patience = Patience::new(args.timeout.unsigned_abs(), move |note| {
            notes.progress(note);
        });
        let cluster = Cluster::connect_patiently(&kubernetes.access(), patience).await?;
        inject(args, choice, &cluster, printer).await
    })
}

async fn inject(
    args: &Inject,
    choice: &Choice,
    cluster: &Cluster,
    printer: &Printer,
) -> anyhow::Result<ExitStatus> {
    let mode = if args.check {
        Mode::Plan
    } else {
        args.dry_run.mode()
    };
    let ours = args.bundle.load(Some(cluster), printer).await?;
    let wanted = Wanted {
        choice,
        ours: &ours,
        mode: args.mode,
        now: OffsetDateTime::now_utc(),
    };
    let planner = RefCell::new(Planner::new(&wanted));
    let plan = |id: &ObjectId, object: &serde_json::Value| -> cluster::Result<Plan> {
        refuse_attached(id, object, choice)?;
        let mut planner = planner.borrow_mut();
        Ok(plan_ca_bundles(object, |config| {
            planner.decide(config, id)
        })?)
    };

    let search = Search::new(&args.choice, choice, cluster);
    let objects = search.begin().await?;
    // What is there once it is over, which need not be what was seen at first.
    let confirmed = args.choice.resolve();
    let mut report = Report::default();
    let mut failures = Failures::default();
    let done = |id: ObjectId, applied: cluster::Result<Option<Applied>>| match applied {
        Ok(Some(applied)) => report.add(&applied, &confirmed, printer),
        Ok(None) => printer.warning(&format!("{id} was deleted in the meantime")),
        Err(error) => failures.add(&id, &error),
    };
    let searched = cluster.apply_each(objects, mode, plan, done).await;
    if let Err(error) = &searched {
        failures.add_first(error);
    }
    report.show(mode, printer)?;
    let dropped = &planner.borrow().dropped;
    if !dropped.is_empty() && report.changed() > 0 {
        let subjects: Vec<_> = dropped.iter().map(String::as_str).collect();
        printer.hint(&format!("no longer trusted: {}", subjects.join("; ")));
    }
    if failures.is_empty() {
        failures.missing = search::gone(&confirmed, cluster);
    }
    failures.into_result()?;
    Ok(match args.check && report.changed() > 0 {
        true => ExitStatus::Finding,
        false => ExitStatus::Done,
    })
}

/// A webhook that calls a developer's machine: what `detach` puts back would not have the CA.
fn refuse_attached(
    id: &ObjectId,
    object: &serde_json::Value,
    choice: &Choice,
) -> injectable::Result<()> {
    let Ok(Some(record)) = Record::of_object(object) else {
        return Ok(());
    };
    for config in client_configs(object)? {
        if !choice.has(id, &config) {
            continue;
        }
        if let Some(entry) = record.attached(id, &config) {
            return Err(injectable::Error::Refused {
                object: id.clone(),
                webhook: config.webhook,
                reason: format!(
                    "it is attached to {} by {} since {}, and `certtool local-dev detach` puts \
                     back the caBundle that it had before: detach first, then run this again",
                    entry.attached.url, record.by, record.at
                ),
            });
        }
    }
    Ok(())
}

/// What went wrong, object by object.
#[derive(Default)]
struct Failures {
    lines: Vec<String>,
    missing: Vec<String>,
    timed_out: bool,
}

impl Failures {
    fn add(&mut self, id: &ObjectId, error: &Error) {
        let text = error.to_string();
        let named = text.starts_with(&id.to_string());
        self.note(error);
        self.lines
            .push(if named { text } else { format!("{id}: {text}") });
    }

    fn add_first(&mut self, error: &Error) {
        self.note(error);
        self.lines.insert(0, error.to_string());
    }

    fn note(&mut self, error: &Error) {
        self.timed_out |= matches!(error, Error::TimedOut { .. });
    }

    fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    fn into_result(self) -> anyhow::Result<()> {
        if !self.missing.is_empty() {
            bail!("{}", self.missing.join("\n"));
        }
        if self.lines.is_empty() {
            return Ok(());
        }
        let text = format!("not everything was injected\n{}", self.lines.join("\n"));
        if self.timed_out {
            return Err(TimedOut(text).into());
        }
        bail!("{text}")
    }
}
