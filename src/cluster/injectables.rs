//! Reading injectable objects, and applying plans to them.

use std::time::Duration;

use futures::StreamExt;
use kube::api::{GetParams, ListParams, Patch, PatchParams};
use kube::core::Request;
use serde::Deserialize;
use serde_json::Value;
use tokio::time::Instant;

use super::FIELD_MANAGER;
use super::call::Call;
use super::client::Cluster;
use super::error::{Error, Result};
use crate::injectable::{Kind, ObjectId, Plan};

/// How many objects a page of a list has: CRDs can have hundreds of kilobytes each.
const PAGE: u32 = 50;
/// How many objects are worked on at a time.
const PARALLEL: usize = 8;
/// How long a patch is planned anew after somebody else changed the object.
const PERSISTENCE: Duration = Duration::from_secs(20);

/// Which objects of a kind.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// A label selector, as kubectl's `-l`.
    pub labels: Option<String>,
}

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
}

impl Applied {
    fn id(&self) -> ObjectId {
        self.plan.object.clone()
    }
}

#[derive(Deserialize)]
struct List {
    /// `null` in an empty list of metadata.
    items: Option<Vec<Value>>,
    #[serde(default)]
    metadata: ListMeta,
}

#[derive(Deserialize, Default)]
struct ListMeta {
    #[serde(rename = "continue", default)]
    next: Option<String>,
}

fn call(verb: &'static str, kind: Kind) -> Call {
    Call::cluster_scoped(verb, kind.group(), kind.version(), kind.plural())
}

impl Cluster {
    /// One object; `None` when it does not exist.
    ///
    /// # Errors
    /// Anything but "not found".
    pub async fn get_injectable(&self, id: &ObjectId) -> Result<Option<Value>> {
        let call = call("get", id.kind).on(&id.name);
        let request = Request::new(call.path()).get(&id.name, &GetParams::default());
        match self.send::<Value>(&call, request).await {
            Ok(object) => Ok(Some(with_type(object, id.kind))),
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
        self.pages(kind, selection, false, keep).await
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
        self.pages(kind, selection, true, keep).await
    }

    async fn pages<T>(
        &self,
        kind: Kind,
        selection: &Selection,
        metadata_only: bool,
        keep: impl Fn(Value) -> Option<T>,
    ) -> Result<Vec<T>> {
        let call = call("list", kind);
        let mut params = ListParams::default().limit(if metadata_only { 500 } else { PAGE });
        params.label_selector.clone_from(&selection.labels);
        let mut kept = Vec::new();
        loop {
            let request = Request::new(call.path());
            let request = if metadata_only {
                request.list_metadata(&params)
            } else {
                request.list(&params)
            };
            let page: List = self.send(&call, request).await?;
            kept.extend(
                page.items
                    .into_iter()
                    .flatten()
                    .map(|item| with_type(item, kind))
                    .filter_map(&keep),
            );
            match page.metadata.next.filter(|token| !token.is_empty()) {
                Some(token) => params = params.continue_token(&token),
                None => return Ok(kept),
            }
        }
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
                Ok(plan) if plan.patch.is_some() => due.push(Applied { plan, before }),
                Ok(plan) => planned.push((id, Ok(Some(Applied { plan, before })))),
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
        loop {
            let Some(patch) = applied.plan.patch.clone() else {
                return Ok(Some(applied));
            };
            match self.patch(&id, patch, mode == Mode::Check).await {
                Ok(()) => return Ok(Some(applied)),
                Err(Error::NotFound { .. }) => return Ok(None),
                Err(Error::Conflict { .. }) if Instant::now() < deadline => {
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).clamp(Duration::from_millis(5), Duration::from_millis(200));
                }
                Err(error) => return Err(error),
            }
            let Some(before) = self.get_injectable(&id).await? else {
                return Ok(None);
            };
            applied = Applied {
                plan: plan(&id, &before)?,
                before,
            };
            if applied.plan.patch.is_some() {
                note(std::slice::from_ref(&applied))?;
            }
        }
    }

    async fn patch(&self, id: &ObjectId, patch: json_patch::Patch, dry_run: bool) -> Result<()> {
        let call = call("patch", id.kind).on(&id.name);
        let params = PatchParams {
            dry_run,
            field_manager: Some(FIELD_MANAGER.to_owned()),
            ..Default::default()
        };
        let request =
            Request::new(call.path()).patch(&id.name, &params, &Patch::<Value>::Json(patch));
        match self
            .send::<kube::core::PartialObjectMeta>(&call, request)
            .await
        {
            Ok(_) => Ok(()),
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

/// Items of a list have no type of their own.
fn with_type(mut object: Value, kind: Kind) -> Value {
    if let Value::Object(fields) = &mut object {
        fields.insert("apiVersion".to_owned(), kind.api_version().into());
        fields.insert("kind".to_owned(), kind.as_str().into());
    }
    object
}
