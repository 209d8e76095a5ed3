//! Putting attached webhooks back, for `detach`, for the end of `run`, and for an `attach`
//! that failed half-way.

use serde::Serialize;
use serde_json::Value;

use super::records::{self, Found, Known, Memory};
use super::select;
use crate::cli::Printer;
use crate::cluster::{Cluster, Error, Mode};
use crate::injectable::{self, Entry, ObjectId, OnDrift, Outcome, Plan, Record, What};
use crate::store::Attachment;

/// Which of the attached webhooks to put back.
#[derive(Debug, Clone, Copy)]
pub(super) enum Which<'a> {
    /// All of them, whoever attached them.
    All,
    /// Those of these names, or of objects of these names.
    Named(&'a [String]),
    /// Those that are still attached as the local file remembers: what somebody else has
    /// attached since is theirs.
    Ours,
}

/// What became of one object.
#[derive(Debug, Serialize)]
pub(super) struct Detached {
    pub(super) kind: &'static str,
    pub(super) name: String,
    webhooks: Vec<DetachedWebhook>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) error: Option<String>,
}

#[derive(Debug, Serialize)]
struct DetachedWebhook {
    name: String,
    restored: bool,
    result: String,
}

/// Puts the objects back; one that fails does not stop the others.
pub(super) async fn put_back(
    cluster: &Cluster,
    found: &Found,
    which: Which<'_>,
    mode: Mode,
    printer: &Printer,
) -> anyhow::Result<Vec<Detached>> {
    let mut all = Vec::new();
    let mut left = Vec::new();
    let mut objects = Vec::new();
    for (id, read) in cluster.get_injectables(found.keys().cloned()).await {
        match read {
            Ok(Some(object)) => objects.push(object),
            Ok(None) => gone(&id, &mut left, printer),
            Err(error) => all.push(Detached::failed(&id, &error)),
        }
    }
    let nothing = Known::default();
    let plan =
        |id: &ObjectId, object: &Value| plan(id, object, found.get(id).unwrap_or(&nothing), which);
    let results = cluster.apply_plans(objects, mode, plan, |_| Ok(())).await?;
    for (id, result) in results {
        match result {
            Ok(Some(applied)) => {
                if !applied.plan.outcomes.is_empty() {
                    all.push(Detached::of(&id, &applied.plan.outcomes));
                }
                left.push((id, applied.plan.record));
            }
            Ok(None) => gone(&id, &mut left, printer),
            Err(error) => all.push(Detached::failed(&id, &error)),
        }
    }
    all.sort_by(|one, other| (one.kind, &one.name).cmp(&(other.kind, &other.name)));
    if mode == Mode::Apply && found.values().any(|known| known.remembered.is_some()) {
        Memory::of(cluster)?.update(&left)?;
    }
    Ok(all)
}

fn gone(id: &ObjectId, left: &mut Vec<(ObjectId, Option<Record>)>, printer: &Printer) {
    printer.hint(&format!("{id} no longer exists"));
    left.push((id.clone(), None));
}

/// By the annotation, or by the local file where somebody removed it.
fn plan(id: &ObjectId, object: &Value, known: &Known, which: Which<'_>) -> Result<Plan, Error> {
    // Made anew under the same name since: not what was attached.
    let remembered = known
        .remembered
        .as_ref()
        .filter(|attachment| attachment.uid == records::uid(object));
    let record = match (Record::of_object(object), remembered) {
        (Ok(Some(record)), _) => record,
        (Ok(None) | Err(_), Some(attachment)) => attachment.record.clone(),
        (Ok(None), None) => {
            return Ok(Plan {
                object: id.clone(),
                patch: None,
                outcomes: Vec::new(),
                record: None,
            });
        }
        (Err(source), None) => {
            let object = id.clone();
            return Err(injectable::Error::Record { object, source }.into());
        }
    };
    let picked = |webhook: &str, entry: &Entry| match which {
        Which::All => true,
        Which::Named(names) => names.iter().any(|name| select::names(name, id, [webhook])),
        Which::Ours => is_remembered(remembered, webhook, entry),
    };
    let mut plan = injectable::detach(object, &record, OnDrift::Restore, picked)?;
    if matches!(which, Which::Ours) {
        // What is left is somebody else's, and no concern of the local file.
        plan.record = None;
    }
    Ok(plan)
}

fn is_remembered(remembered: Option<&Attachment>, webhook: &str, entry: &Entry) -> bool {
    remembered.is_some_and(|attachment| {
        let known = attachment.record.webhooks.get(webhook);
        known.is_some_and(|known| known.attached == entry.attached)
    })
}

impl Detached {
    fn of(id: &ObjectId, outcomes: &[Outcome]) -> Self {
        Self {
            kind: id.kind.as_str(),
            name: id.name.clone(),
            webhooks: outcomes.iter().map(DetachedWebhook::of).collect(),
            error: None,
        }
    }

    fn failed(id: &ObjectId, error: &Error) -> Self {
        Self {
            kind: id.kind.as_str(),
            name: id.name.clone(),
            webhooks: Vec::new(),
            error: Some(error.to_string()),
        }
    }

    /// One line a webhook, for people.
    pub(super) fn lines(&self) -> impl Iterator<Item = String> {
        self.webhooks.iter().map(|webhook| {
            format!(
                "{}/{} {}: {}",
                self.kind, self.name, webhook.name, webhook.result
            )
        })
    }

    /// Why it could not be put back, with its name.
    pub(super) fn failure(&self) -> Option<String> {
        let error = self.error.as_ref()?;
        Some(format!("{}/{}: {error}", self.kind, self.name))
    }
}

impl DetachedWebhook {
    fn of(outcome: &Outcome) -> Self {
        Self {
            name: outcome.webhook.clone(),
            restored: matches!(outcome.what, What::Restored { .. }),
            result: outcome.what.to_string(),
        }
    }
}
