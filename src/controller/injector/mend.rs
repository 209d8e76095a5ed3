//! One object: read, compared with what its source gives, and patched if it differs.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;
use time::OffsetDateTime;
use tokio::time::Instant;
use tracing::{debug, info, warn};

use super::Injector;
use super::bulk::Read;
use super::index::{Edition, Supply};
use crate::cluster::{Applied, Error, Event, Mode};
use crate::controller::gate::NotLeader;
use crate::controller::injection::{self, Choice, Chosen, Material};
use crate::controller::metrics::Injected;
use crate::controller::signer::Context;
use crate::injectable::ObjectId;

/// An answer that takes longer is an error.
const ANSWER: Duration = Duration::from_secs(20);

/// How work on an object ended.
#[derive(Debug)]
pub(super) enum Ended {
    /// There is nothing to be done until something changes.
    Nothing,
    /// It is left alone until then.
    Until(Instant),
    /// It could not be read or changed: later.
    Again,
}

/// What an object has to hold.
struct Due {
    uid: String,
    chosen: Chosen,
    edition: Edition,
}

impl Injector {
    /// Brings one object in order, as it was just read if it was. `attempts` is how often that
    /// has failed.
    pub(super) async fn mend(
        &self,
        context: &Context,
        id: &ObjectId,
        read: Option<Read>,
        attempts: u32,
    ) -> Ended {
        let due = {
            let index = self.index();
            let Some(entry) = index.get(id) else {
                return Ended::Nothing;
            };
            let Some(edition) = index.source(&entry.chosen.origin) else {
                return Ended::Nothing;
            };
            Due {
                uid: entry.uid.clone(),
                chosen: entry.chosen.clone(),
                edition: edition.clone(),
            }
        };
        let material = match &due.edition.supply {
            Supply::Good(material, consents) => {
                let missing = consents.and_then(|has| has.check(due.chosen.consent).err());
                match missing {
                    None => material,
                    Some(annotation) => {
                        let why = format!(
                            "it does not agree to it: it needs the annotation {annotation}: \"true\""
                        );
                        return self.no_source(context, id, &due, &why);
                    }
                }
            }
            Supply::Bad(why) => return self.no_source(context, id, &due, why),
        };
        match self.try_to_mend(context, id, read, &due, material).await {
            Ok(ended) => ended,
            Err(error) => {
                let kind = id.kind.as_str();
                context.metrics.injected(kind, Injected::failed);
                let object = id.to_string();
                if attempts < 3 || attempts.is_multiple_of(10) {
                    warn!(
                        object,
                        attempts = attempts + 1,
                        "no caBundle injected, trying again: {error}"
                    );
                } else {
                    debug!(object, attempts = attempts + 1, "still: {error}");
                }
                if !error.is_transient() {
                    let note = format!(
                        "the caBundle of {} could not be injected: {error}",
                        due.chosen.origin
                    );
                    context
                        .reporter
                        .report(event(id, &due.uid, "InjectionFailed", note));
                }
                if let Some(entry) = self.index().get_mut(id) {
                    entry.lacks(error.to_string(), Instant::now());
                }
                Ended::Again
            }
        }
    }

    async fn try_to_mend(
        &self,
        context: &Context,
        id: &ObjectId,
        read: Option<Read>,
        due: &Due,
        material: &Material,
    ) -> Result<Ended, Error> {
        let edition = due.edition.number;
        let (found, began) = match read {
            Some((object, began)) => (Some(object), began),
            None => {
                let began = Instant::now();
                let found = limited(context, context.cluster.get_injectable(id)).await?;
                (found, began)
            }
        };
        let Some(object) = found.filter(|object| text(object, "uid") == due.uid) else {
            return Ok(Ended::Nothing);
        };
        if self.choice_of(id, &object) != Choice::Of(due.chosen.clone()) {
            // The watch is about to tell.
            return Ok(Ended::Nothing);
        }
        let now = OffsetDateTime::now_utc();
        let plan = injection::plan(&object, material, now)?;
        let version = text(&object, "resourceVersion").to_owned();
        if plan.patch.is_none() {
            if let Some(entry) = self.index().get_mut(id) {
                entry.holds(edition, &version, began, &plan.outcomes);
            }
            return Ok(Ended::Nothing);
        }
        if !context.gate.is_open() {
            return Ok(Ended::Nothing);
        }
        if let Some(entry) = self.index().get_mut(id)
            && entry.was_taken(edition, &version, &plan.outcomes)
        {
            let kind = id.kind.as_str();
            context.metrics.injection_conflict(kind);
            let who = injection::overwriters(&object);
            let object = id.to_string();
            if let Some(pause) = entry.contest.lost(began.into_std()) {
                warn!(
                    object,
                    who, "somebody keeps overwriting the caBundle; leaving it so for {pause:?}"
                );
                let note = format!(
                    "{who} keeps overwriting the caBundle that certtool injects ({}): it is put \
                     back ever more rarely, and a rotation of the CA does not wait for this \
                     object. Take the field out of the other writer's manifest, or the object out \
                     of certtool's hands",
                    due.chosen.origin
                );
                context
                    .reporter
                    .report(event(id, &due.uid, "CABundleContested", note));
                entry.lacks(format!("{who} keeps overwriting it"), began);
                return Ok(Ended::Until(began + pause));
            }
            info!(object, who, "the caBundle was overwritten");
        }
        let writing = context.cluster.apply_plans(
            vec![object],
            Mode::Apply,
            |_, object| Ok(injection::plan(object, material, now)?),
            |_| Ok(()),
        );
        let applied = match context.gate.write(limited(context, writing)).await {
            Err(NotLeader) => return Ok(Ended::Nothing),
            Ok(applied) => applied?.into_iter().next(),
        };
        let Some((_, applied)) = applied else {
            return Ok(Ended::Nothing);
        };
        // Gone meanwhile, or not.
        let Some(applied) = applied? else {
            return Ok(Ended::Nothing);
        };
        self.applied(context, id, due, &applied);
        Ok(Ended::Nothing)
    }

    fn applied(&self, context: &Context, id: &ObjectId, due: &Due, applied: &Applied) {
        let Applied { plan, version, .. } = applied;
        if plan.patch.is_some() {
            context
                .metrics
                .injected(id.kind.as_str(), Injected::written);
            info!(
                object = id.to_string(),
                source = due.chosen.origin.to_string(),
                "injected the caBundle"
            );
        }
        if let Some(entry) = self.index().get_mut(id) {
            let version = version.as_deref().unwrap_or_default();
            entry.wrote(due.edition.number, version, &plan.outcomes);
        }
    }

    fn no_source(&self, context: &Context, id: &ObjectId, due: &Due, why: &str) -> Ended {
        let why = format!("nothing can be injected from {}: {why}", due.chosen.origin);
        self.refused(context, id, &due.uid, &why);
        if let Some(entry) = self.index().get_mut(id) {
            entry.lacks(why, Instant::now());
        }
        Ended::Nothing
    }

    /// Says of an object that what it asks for cannot be done.
    pub(super) fn refused(&self, context: &Context, id: &ObjectId, uid: &str, why: &str) {
        context
            .metrics
            .injected(id.kind.as_str(), Injected::refused);
        warn!(object = id.to_string(), "{why}");
        let note = why.to_owned();
        context
            .reporter
            .report(event(id, uid, "InjectionRefused", note));
    }

    /// What an object that was read asks for.
    fn choice_of(&self, id: &ObjectId, object: &Value) -> Choice {
        let texts = |field: &str| -> BTreeMap<String, String> {
            let fields = object["metadata"][field].as_object();
            let fields = fields.into_iter().flatten();
            let fields =
                fields.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())));
            fields.collect()
        };
        self.choose(id, &texts("labels"), &texts("annotations"))
    }
}

async fn limited<T>(
    context: &Context,
    answer: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    let answer = tokio::time::timeout(ANSWER, answer).await;
    answer.unwrap_or_else(|_| {
        Err(Error::Unreachable {
            server: context.cluster.server.to_string(),
            why: format!("no answer within {} s", ANSWER.as_secs()),
        })
    })
}

fn text<'a>(object: &'a Value, field: &str) -> &'a str {
    object["metadata"][field].as_str().unwrap_or_default()
}

/// A Warning on an object.
fn event(id: &ObjectId, uid: &str, reason: &str, note: String) -> Event {
    Event {
        api_version: id.kind.api_version().to_owned(),
        kind: id.kind.as_str().to_owned(),
        namespace: None,
        name: id.name.clone(),
        uid: uid.to_owned(),
        warning: true,
        reason: reason.to_owned(),
        action: "Inject",
        note,
    }
}
