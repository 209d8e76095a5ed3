//! Reading injectable objects, and applying plans to them.

use futures::StreamExt;
use kube::api::{GetParams, ListParams, Patch, PatchParams};
use kube::core::Request;
use serde::Deserialize;
use serde_json::Value;

use super::FIELD_MANAGER;
use super::call::Call;
use super::client::Cluster;
use super::error::{Error, Result};
use crate::injectable::{Kind, ObjectId, Plan};

/// How many objects a page of a list has: CRDs can have hundreds of kilobytes each.
const PAGE: u32 = 50;
/// How many objects are worked on at a time.
const PARALLEL: usize = 8;
/// How often a patch is planned anew after somebody else changed the object.
const ATTEMPTS: usize = 8;

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

#[derive(Deserialize)]
struct List {
    #[serde(default)]
    items: Vec<Value>,
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
                    .map(|item| with_type(item, kind))
                    .filter_map(&keep),
            );
            match page.metadata.next.filter(|token| !token.is_empty()) {
                Some(token) => params = params.continue_token(&token),
                None => return Ok(kept),
            }
        }
    }

    /// Plans for each object from its current state, and carries the plan out; plans anew
    /// when somebody else changed the object in between. `prepared` sees every plan before
    /// it is carried out. An object that is gone yields `None`.
    ///
    /// # Errors
    /// One per object that could not be read, planned for or patched.
    pub async fn apply_plans<P>(
        &self,
        objects: &[ObjectId],
        mode: Mode,
        plan: P,
    ) -> Vec<(ObjectId, Result<Option<Applied>>)>
    where
        P: Fn(&Value) -> Result<Plan>,
    {
        let plan = &plan;
        futures::stream::iter(objects.iter().cloned())
            .map(|id| async move {
                let applied = self.apply_plan(&id, mode, plan).await;
                (id, applied)
            })
            .buffered(PARALLEL)
            .collect()
            .await
    }

    async fn apply_plan<P>(&self, id: &ObjectId, mode: Mode, plan: &P) -> Result<Option<Applied>>
    where
        P: Fn(&Value) -> Result<Plan>,
    {
        let mut attempt = 1;
        loop {
            let Some(before) = self.get_injectable(id).await? else {
                return Ok(None);
            };
            let planned = plan(&before)?;
            let Some(patch) = planned.patch.clone().filter(|_| mode != Mode::Plan) else {
                return Ok(Some(Applied {
                    plan: planned,
                    before,
                }));
            };
            match self.patch(id, patch, mode == Mode::Check).await {
                Ok(()) => {
                    return Ok(Some(Applied {
                        plan: planned,
                        before,
                    }));
                }
                Err(Error::NotFound { .. }) => return Ok(None),
                Err(Error::Conflict { .. }) if attempt < ATTEMPTS => attempt += 1,
                Err(error) => return Err(error),
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
            // A `test` of our patch that fails is 422 with this reason
            // (k8s.io/apiserver pkg/endpoints/handlers/patch.go, applyJSPatch).
            Err(Error::Api {
                call,
                code: 422,
                message,
            }) if message
                .contains("the server rejected our request due to an error in our request")
                || message.contains("test") =>
            {
                Err(Error::Conflict { call, message })
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
