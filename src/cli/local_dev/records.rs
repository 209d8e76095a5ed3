//! What is attached, as annotations and the local file say, and who we are in both.

use std::collections::BTreeMap;

use serde_json::Value;

use super::select::KINDS;
use crate::cli::Printer;
use crate::cluster::{Applied, Cluster, Error, Selection};
use crate::injectable::{ANNOTATION, Entry, ObjectId, Record, RecordError};
use crate::store::locations::Locations;
use crate::store::{self, Attachment, AttachmentsFile, Session};

/// The local file of one cluster.
#[derive(Debug)]
pub(super) struct Memory {
    file: AttachmentsFile,
    directory: std::path::PathBuf,
}

/// An object that is attached, by one account or both.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// What its annotation says.
    pub(super) annotated: Option<Result<Record, RecordError>>,
    /// What the local file says.
    pub(super) remembered: Option<Attachment>,
}

/// What is known to be attached.
pub(super) type Found = BTreeMap<ObjectId, Known>;

impl Memory {
    pub(super) fn of(cluster: &Cluster) -> Result<Self, store::Error> {
        let directory = Locations::from_process().state("$XDG_STATE_HOME")?;
        let file = AttachmentsFile::new(&directory, &cluster.server.to_string());
        Ok(Self { file, directory })
    }

    /// Begins a session: what it attaches is known to be put back by this process.
    pub(super) fn session(&self) -> anyhow::Result<Session> {
        let id = crate::random_serial()
            .map_err(|_| anyhow::anyhow!("could not get randomness from the kernel"))?;
        Ok(Session::begin(&self.directory, &id.to_string())?)
    }

    /// What this machine attached, by the session that did.
    pub(super) fn of_sessions(&self, which: impl Fn(&str) -> bool) -> Result<Found, store::Error> {
        let objects = self.file.read()?.objects.into_iter();
        Ok(objects
            .filter(|attachment| attachment.session.as_deref().is_some_and(&which))
            .filter_map(|attachment| Some((attachment.object()?, Known::remembered(attachment))))
            .collect())
    }

    /// Whether a session's process still runs.
    pub(super) fn lives(&self, session: &str) -> bool {
        Session::lives(&self.directory, session)
    }

    /// Notes what plans are about to replace, before they do: a kill in between then loses
    /// no original.
    pub(super) fn remember(&self, applied: &[Applied], session: Option<&str>) -> Result<(), Error> {
        let attachments: Vec<_> = applied
            .iter()
            .filter_map(|applied| {
                Some(Attachment {
                    kind: applied.plan.object.kind.as_str().to_owned(),
                    name: applied.plan.object.name.clone(),
                    uid: uid(&applied.before),
                    record: applied.plan.record.clone()?,
                    session: session.map(str::to_owned),
                })
            })
            .collect();
        if attachments.is_empty() {
            return Ok(());
        }
        self.file
            .update(|known| {
                for attachment in attachments {
                    known.remember(attachment);
                }
            })
            .map_err(Error::Record)
    }

    /// Forgets what is no longer attached, and keeps what is left of the rest.
    pub(super) fn update(&self, left: &[(ObjectId, Option<Record>)]) -> Result<(), store::Error> {
        self.file.update(|known| {
            for (id, record) in left {
                match record {
                    None => known.forget(id.kind.as_str(), &id.name),
                    Some(record) => {
                        let same = |known: &&mut Attachment| known.object().as_ref() == Some(id);
                        if let Some(known) = known.objects.iter_mut().find(same) {
                            known.record.clone_from(record);
                        }
                    }
                }
            }
        })
    }
}

/// Every object that is attached according to its annotation or to the local file.
///
/// The annotations say enough: a local file that cannot be read is worth a warning.
pub(super) async fn find(
    cluster: &Cluster,
    selection: &Selection,
    printer: &Printer,
) -> anyhow::Result<Found> {
    let lists = futures::future::try_join_all(KINDS.map(|kind| {
        cluster.list_injectable_metadata(kind, selection, |object| {
            let annotated = Record::of_object(&object).transpose()?;
            Some((ObjectId::of(&object)?, Known::annotated(annotated)))
        })
    }));
    let mut found: Found = lists.await?.into_iter().flatten().collect();
    let remembered = Memory::of(cluster).and_then(|memory| memory.file.read());
    let remembered = remembered.unwrap_or_else(|error| {
        printer.warning(&format!(
            "what this machine attached is known from {ANNOTATION} alone: {error}"
        ));
        store::Attachments::default()
    });
    for attachment in remembered.objects {
        let Some(id) = attachment.object() else {
            continue;
        };
        // A selection by label cannot be applied to what the file remembers.
        if selection.labels.is_none() || found.contains_key(&id) {
            found.entry(id).or_default().remembered = Some(attachment);
        }
    }
    Ok(found)
}

impl Known {
    pub(super) fn annotated(record: Result<Record, RecordError>) -> Self {
        Self {
            annotated: Some(record),
            remembered: None,
        }
    }

    pub(super) fn remembered(attachment: Attachment) -> Self {
        Self {
            annotated: None,
            remembered: Some(attachment),
        }
    }

    /// The webhooks' names, by either account.
    pub(super) fn webhooks(&self) -> impl Iterator<Item = &str> {
        let annotated = self.annotated.iter().flatten();
        let remembered = self.remembered.iter().map(|attachment| &attachment.record);
        annotated
            .chain(remembered)
            .flat_map(|record| record.webhooks.keys().map(String::as_str))
    }
}

/// Whether this machine and user made the record.
pub(super) fn is_ours(record: &Record) -> bool {
    record.by == who() && record.host == machine()
}

/// The Service that an entry's original calls, as NAME.NAMESPACE.
pub(super) fn service(entry: &Entry) -> Option<(&str, &str)> {
    let text = |key: &str| entry.original["service"][key].as_str();
    text("name").zip(text("namespace"))
}

/// The object's UID.
pub(super) fn uid(object: &Value) -> String {
    object["metadata"]["uid"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

/// Who attaches: the user as the shell knows them, and the machine.
pub(super) fn who() -> String {
    let user = ["USER", "LOGNAME", "USERNAME"]
        .iter()
        .find_map(|name| std::env::var(name).ok());
    user.map_or_else(machine, |user| format!("{user}@{}", machine()))
}

/// The machine's name.
pub(super) fn machine() -> String {
    gethostname::gethostname().to_string_lossy().into_owned()
}
