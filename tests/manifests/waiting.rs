//! What the API server shows sooner or later: caBundles and Events.

use serde_json::Value;

use crate::{
    LIMIT,
    support::{self, ControlPlane},
};

pub fn decode(base64: &str) -> Vec<u8> {
    use base64::{Engine, engine::general_purpose::STANDARD};
    STANDARD.decode(base64).unwrap()
}

/// How many CAs a field holds.
pub fn certificates_in(cluster: &ControlPlane, object: &str, field: &str) -> usize {
    let path = format!("jsonpath={{{field}}}");
    let bundle = cluster.kubectl(&["get", object, "-o", &path]);
    let bundle = String::from_utf8(decode(&bundle)).unwrap();
    bundle.matches("BEGIN CERTIFICATE").count()
}

/// Waits until a field holds so many CAs.
pub async fn until_bundle(cluster: &ControlPlane, object: &str, field: &str, count: usize) {
    support::eventually(LIMIT, || async {
        match certificates_in(cluster, object, field) {
            number if number == count => Ok(()),
            other => Err(format!("{other} CAs in {object}")),
        }
    })
    .await;
}

/// Waits for an Event with this reason about the object of this name or uid.
pub async fn until_event(
    cluster: &ControlPlane,
    namespace: &str,
    reason: &str,
    (field, object): (&str, &str),
) {
    support::eventually(LIMIT, || async {
        let words = ["get", "events", "-n", namespace, "-o", "json"];
        let list: Value = serde_json::from_str(&cluster.kubectl(&words)).unwrap();
        let mut events = list["items"].as_array().unwrap().iter();
        let found = events
            .any(|event| event["reason"] == reason && event["involvedObject"][field] == object);
        found
            .then_some(())
            .ok_or_else(|| format!("no {reason} of {object}: {list}"))
    })
    .await;
}
