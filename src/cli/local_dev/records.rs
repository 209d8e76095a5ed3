//! The local file that remembers originals, and who we are in it.

use serde_json::Value;

use crate::cluster::{Cluster, Error};
use crate::injectable::Plan;
use crate::store::locations::Locations;
use crate::store::{self, Attachment, AttachmentsFile};

/// The file for this cluster.
pub(super) fn file(cluster: &Cluster) -> Result<AttachmentsFile, store::Error> {
    let directory = Locations::from_process().state("$XDG_STATE_HOME")?;
    Ok(AttachmentsFile::new(
        &directory,
        &cluster.server.to_string(),
    ))
}

/// Notes what a plan is about to replace.
pub(super) fn remember(file: &AttachmentsFile, object: &Value, plan: &Plan) -> Result<(), Error> {
    let Some(record) = &plan.record else {
        return Ok(());
    };
    let attachment = Attachment {
        kind: plan.object.kind.as_str().to_owned(),
        name: plan.object.name.clone(),
        uid: uid(object),
        record: record.clone(),
    };
    file.update(|attachments| attachments.remember(attachment))
        .map_err(Error::Record)
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
