//! Reading injectable objects, and applying plans to them.

use std::time::Duration;

use futures::{Stream, StreamExt};
use kube::api::{GetParams, Patch, PatchParams};
use kube::core::{PartialObjectMeta, Request};
use serde_json::Value;
use tokio::time::Instant;

use super::FIELD_MANAGER;
use super::call::Call;
use super::client::Cluster;
use super::error::{Error, Result};
use super::pages::{Pages, Selection, with_type};
use super::patience::Patience;
use crate::injectable::{Kind, ObjectId, Partial, Plan};

/// How many objects are worked on at a time.
const PARALLEL: usize = 8;
/// How long a patch is planned anew after somebody else changed the object.
const PERSISTENCE: Duration = Duration::from_secs(20);

/// What to do with a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Carry it out.
    Apply,
    /// Have the API server check it and store nothing (`dryRun=All`).
    Check,
    /// Nothing: the plan is the result.
    Plan,
}

/// What became of a plan.
#[derive(Debug)]
pub struct Applied {
    /// The plan that was carried out, or found to be empty.
    pub plan: Plan,
    /// The object before it.
    pub before: Value,
    /// The object's resourceVersion after it; `None` when nothing was changed, or it is not
    /// known by which answer.
    pub version: Option<String>,
}

impl Applied {
    fn planned(plan: Plan, before: Value) -> Self {
        Self {
            plan,
            before,
            version: None,
        }
    }

    fn id(&self) -> ObjectId {
        self.plan.object.clone()
    }
}

fn call(verb: &'static str, kind: Kind) -> Call {
    Call::cluster_scoped(verb, kind.group(), kind.version(), kind.plural())
}

impl Cluster {
    /// One object, with the fields that a caBundle depends on; `None` when it does not exist.
    ///
    /// # Errors
    /// Anything but "not found".
    pub async fn get_injectable(&self, id: &ObjectId) -> Result<Option<Value>> {
        let call = call("get", id.kind).on(&id.name);
        let request = Request::new(call.path()).get(&id.name, &GetParams::default());
        match self.send::<Partial>(&call, request).await {
            Ok(Partial(object)) => Ok(Some(with_type(object, id.kind))),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Visits all objects of a kind, a page at a time: `keep` says what is worth keeping of each.
    ///
    /// # Errors
    /// When the list is refused or breaks off.
    pub async fn list_injectables<T>(
        &self,
        kind: Kind,
        selection: &Selection,
        keep: impl Fn(Value) -> Option<T>,
    ) -> Result<Vec<T>> {
        let pages = self.injectable_pages(kind, selection);
        all(pages, keep).await
    }

    /// As [`Cluster::list_injectables`], with `metadata` alone of each object.
    ///
    /// # Errors
    /// When the list is refused or breaks off.
    pub async fn list_injectable_metadata<T>(
        &self,
        kind: Kind,
        selection: &Selection,
        keep: impl Fn(Value) -> Option<T>,
    ) -> Result<Vec<T>> {
        let pages = self.injectable_pages(kind, selection).metadata_only();
        all(pages, keep).await
    }

    /// Objects by their identity, those that exist, in this order.
    ///
    /// # Errors
    /// One per object that could not be read.
    pub async fn get_injectables(
        &self,
        ids: impl IntoIterator<Item = ObjectId>,
    ) -> Vec<(ObjectId, Result<Option<Value>>)> {
        futures::stream::iter(ids)
            .map(|id| async move {
                let object = self.get_injectable(&id).await;
                (id, object)
            })
            .buffered(PARALLEL)
            .collect()
            .await
    }

    /// Plans for each object as it was read, and carries the plans out; plans anew for one
    /// that somebody else changed since. `note` sees every plan that changes something
    /// before it is carried out: all at once, then those made anew. An object that is gone
    /// yields `None`.
    ///
    /// # Errors
    /// When `note` refuses at first: then nothing was changed. One per object that could not
    /// be planned for, read again or patched.
    pub async fn apply_plans<P, N>(
        &self,
        objects: Vec<Value>,
        mode: Mode,
        plan: P,
        note: N,
    ) -> Result<Vec<(ObjectId, Result<Option<Applied>>)>>
    where
        P: Fn(&ObjectId, &Value) -> Result<Plan>,
        N: Fn(&[Applied]) -> Result<()>,
    {
        let mut planned: Vec<(ObjectId, Result<Option<Applied>>)> = Vec::new();
        let mut due = Vec::new();
        for before in objects {
            let Some(id) = ObjectId::of(&before) else {
                continue;
            };
            match plan(&id, &before) {
                Ok(plan) if plan.patch.is_some() => due.push(Applied::planned(plan, before)),
                Ok(plan) => planned.push((id, Ok(Some(Applied::planned(plan, before))))),
                Err(error) => planned.push((id, Err(error))),
            }
        }
        if mode == Mode::Plan {
            planned.extend(
                due.into_iter()
                    .map(|applied| (applied.id(), Ok(Some(applied)))),
            );
        } else {
            note(&due)?;
            let (plan, note) = (&plan, &note);
            let applied: Vec<_> = futures::stream::iter(due)
                .map(|applied| async move {
                    (applied.id(), self.apply(applied, mode, plan, note).await)
                })
                .buffered(PARALLEL)
                .collect()
                .await;
            planned.extend(applied);
        }
        planned.sort_by(|(one, _), (other, _)| one.cmp(other));
        Ok(planned)
    }

    /// Plans for each object as it comes and carries the plan out, several at a time; plans anew
    /// for one that somebody else changed since. `done` hears of each object when that is over,
    /// in no order; `None` is one that is gone. No more is in memory than what is worked on.
    ///
    /// # Errors
    /// The first error of `objects`, after what was begun has ended.
    pub async fn apply_each<P, D>(
        &self,
        objects: impl Stream<Item = Result<Value>>,
        mode: Mode,
        plan: P,
        mut done: D,
    ) -> Result<()>
    where
        P: Fn(&ObjectId, &Value) -> Result<Plan>,
        D: FnMut(ObjectId, Result<Option<Applied>>),
    {
        let plan = &plan;
        let applied = objects
            .map(|before| async move {
                let before = before?;
                let Some(id) = ObjectId::of(&before) else {
                    return Ok(None);
                };
                let applied = async {
                    let applied = Applied::planned(plan(&id, &before)?, before);
                    if mode == Mode::Plan {
                        return Ok(Some(applied));
                    }
                    self.apply(applied, mode, plan, &|_: &[Applied]| Ok(()))
                        .await
                };
                let applied = applied.await;
                Ok(Some((id, applied)))
            })
            .buffer_unordered(PARALLEL);
        let mut applied = std::pin::pin!(applied);
        let mut failed = Ok(());
        while let Some(next) = applied.next().await {
            match next {
                Ok(Some((id, applied))) => done(id, applied),
                Err(error) if failed.is_ok() => failed = Err(error),
                Ok(None) | Err(_) => {}
            }
        }
        failed
    }

    async fn apply<P, N>(
        &self,
        mut applied: Applied,
        mode: Mode,
        plan: &P,
        note: &N,
    ) -> Result<Option<Applied>>
    where
        P: Fn(&ObjectId, &Value) -> Result<Plan>,
        N: Fn(&[Applied]) -> Result<()>,
    {
        let id = applied.id();
        let deadline = Instant::now() + PERSISTENCE;
        let mut pause = Duration::ZERO;
        let mut trial = self.patience().map(Patience::begin);
        // A plan whose patch got no answer: it may have been carried out all the same.
        let mut unanswered: Option<Applied> = None;
        loop {
            let Some(patch) = applied.plan.patch.clone() else {
                return Ok(Some(unanswered.unwrap_or(applied)));
            };
            let answer = self.patch(&id, patch, mode == Mode::Check);
            let answer = match &trial {
                Some(trial) => trial.limited(&self.server, answer).await,
                None => answer.await,
            };
            match (answer, &mut trial) {
                (Ok(version), trial) => {
                    if let Some(trial) = trial {
                        trial.answered();
                    }
                    applied.version = version;
                    return Ok(Some(applied));
                }
                (Err(Error::NotFound { .. }), _) => return Ok(None),
                (Err(Error::Conflict { .. }), _) if Instant::now() < deadline => {
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).clamp(Duration::from_millis(5), Duration::from_millis(200));
                }
                (Err(error), Some(trial)) => {
                    let lost = matches!(error, Error::Unreachable { .. });
                    trial.forgive(error).await?;
                    if lost && mode == Mode::Apply {
                        unanswered = Some(applied);
                    }
                }
                (Err(error), None) => return Err(error),
            }
            let Some(before) = self.get_injectable(&id).await? else {
                return Ok(None);
            };
            applied = Applied::planned(plan(&id, &before)?, before);
            if applied.plan.patch.is_some() {
                note(std::slice::from_ref(&applied))?;
            }
        }
    }

    /// The object's resourceVersion after it.
    async fn patch(
        &self,
        id: &ObjectId,
        patch: json_patch::Patch,
        dry_run: bool,
    ) -> Result<Option<String>> {
        let call = call("patch", id.kind).on(&id.name);
        let params = PatchParams {
            dry_run,
            field_manager: Some(FIELD_MANAGER.to_owned()),
            ..Default::default()
        };
        // The answer is nothing but a receipt.
        let request = Request::new(call.path()).patch_metadata(
            &id.name,
            &params,
            &Patch::<Value>::Json(patch),
        );
        match self.send_once(&call, request).await {
            Ok(receipt) => Ok(serde_json::from_str::<PartialObjectMeta>(&receipt)
                .ok()
                .and_then(|receipt| receipt.metadata.resource_version)),
            // A `test` of our patch that fails, and nothing else, is 422 without a word about
            // the object (k8s.io/apiserver pkg/endpoints/handlers/patch.go, applyJSPatch).
            Err(Error::Api {
                call,
                code: 422,
                message,
            }) if message == "the server rejected our request due to an error in our request" => {
                Err(Error::Conflict {
                    call,
                    message: "our patch no longer fits".to_owned(),
                })
            }
            Err(error) => Err(error),
        }
    }
}

async fn all<T>(mut pages: Pages<'_>, keep: impl Fn(Value) -> Option<T>) -> Result<Vec<T>> {
    let mut kept = Vec::new();
    while let Some(page) = pages.next().await? {
        kept.extend(page.into_iter().filter_map(&keep));
    }
    Ok(kept)
}
