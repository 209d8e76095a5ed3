//! Events of `events.k8s.io/v1`.

use kube::api::PostParams;
use kube::core::Request;
use serde_json::json;

use super::FIELD_MANAGER;
use super::call::Call;
use super::client::Cluster;
use super::error::Result;

/// The namespace of Events about objects that are in none, as everywhere in Kubernetes.
const NAMESPACE: &str = "default";
/// The longest note that the API server accepts, in bytes (`staging/src/k8s.io/api/events/v1/types.go`).
const LONGEST: usize = 1024;

/// Something that happened to an object, for `kubectl describe` and `kubectl events`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Event {
    /// The object's `apiVersion`.
    pub api_version: String,
    /// The object's `kind`.
    pub kind: String,
    /// The object's namespace, if it is in one.
    pub namespace: Option<String>,
    /// The object's name.
    pub name: String,
    /// The object's UID.
    pub uid: String,
    /// Whether something is wrong.
    pub warning: bool,
    /// What happened, in a word.
    pub reason: String,
    /// What was done, in a word.
    pub action: &'static str,
    /// What happened, in a sentence.
    pub note: String,
}

impl Cluster {
    /// Writes an Event. `instance` is the reporting process, such as its pod's name.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn create_event(
        &self,
        event: &Event,
        instance: &str,
        now: time::OffsetDateTime,
    ) -> Result<()> {
        let namespace = event.namespace.as_deref().unwrap_or(NAMESPACE);
        let call =
            Call::cluster_scoped("create", "events.k8s.io", "v1", "events").within(namespace);
        let body = body(event, instance, now);
        let params = PostParams {
            field_manager: Some(FIELD_MANAGER.to_owned()),
            ..PostParams::default()
        };
        let request = Request::new(call.path()).create(&params, body.to_string().into_bytes());
        let _: serde::de::IgnoredAny = self.send(&call, request).await?;
        Ok(())
    }
}

fn body(event: &Event, instance: &str, now: time::OffsetDateTime) -> serde_json::Value {
    // A name of the object's own could be too long, or none that an Event may have.
    let time = now
        .format(time::macros::format_description!(
            "[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:6]Z"
        ))
        .unwrap_or_default();
    let mut end = event.note.len().min(LONGEST);
    while !event.note.is_char_boundary(end) {
        end -= 1;
    }
    json!({
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": { "generateName": "certtool-", "namespace": event.namespace.as_deref().unwrap_or(NAMESPACE) },
        "eventTime": time,
        "reportingController": "certtool.dev/controller",
        "reportingInstance": instance,
        "action": event.action,
        "reason": event.reason,
        "type": if event.warning { "Warning" } else { "Normal" },
        "note": event.note.get(..end).unwrap_or_default(),
        "regarding": {
            "apiVersion": event.api_version,
            "kind": event.kind,
            "namespace": event.namespace,
            "name": event.name,
            "uid": event.uid,
        },
    })
}

#[cfg(test)]
impl Event {
    /// One with this note, for tests.
    pub(crate) fn example(note: &str) -> Self {
        Self {
            api_version: "v1".to_owned(),
            kind: "X".to_owned(),
            namespace: None,
            name: "x".to_owned(),
            uid: "u".to_owned(),
            warning: true,
            reason: "R".to_owned(),
            action: "A",
            note: note.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_cut_to_what_the_api_server_accepts() {
        let event = Event::example(&format!("x{}", "é".repeat(2000)));
        let now = time::macros::datetime!(2026-11-21 12:00:00.123456789 UTC);
        let body = body(&event, "pod", now);
        assert_eq!(body["note"].as_str().unwrap().len(), 1023);
        assert_eq!(body["eventTime"], "2026-11-21T12:00:00.123456Z");
    }
}
