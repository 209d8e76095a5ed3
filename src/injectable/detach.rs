//! Putting an object's webhooks back as they were before they were attached.

use serde_json::{Map, Value};

use super::ca_bundle::CaBundle;
use super::client_config::{ClientConfig, client_configs};
use super::kind::ObjectId;
use super::patch::{Edits, check_names, name_of};
use super::plan::{Outcome, Plan, What};
use super::record::{ANNOTATION, Entry, Record, sha256};
use super::{Error, Result};

/// What to do with a client config that still calls the attached url, but has another caBundle or
/// another field changed: cert-manager's cainjector writes its own bundle within seconds, for one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnDrift {
    /// Restore the original: the url is ours, and leads nowhere once the developer is gone.
    Restore,
    /// Leave it, and keep its record.
    Leave,
}

/// Plans the way back: each original in `record` that `select` picks, exactly as it was. What it
/// does not pick stays attached, and in the annotation.
///
/// A webhook that no longer calls the url it was attached to was changed by somebody else: it is
/// left alone and reported. New webhooks are not touched, vanished ones are reported. The annotation
/// goes away, except for what [`OnDrift::Leave`] leaves attached.
///
/// # Errors
/// The object is malformed, or two of its webhooks have one name.
pub fn detach(
    object: &Value,
    record: &Record,
    on_drift: OnDrift,
    select: impl Fn(&str, &Entry) -> bool,
) -> Result<Plan> {
    let id = ObjectId::of(object).ok_or_else(|| Error::not_injectable(object))?;
    let configs = client_configs(object)?;
    check_names(&configs, &id)?;

    let mut left = record.clone();
    left.webhooks.clear();
    let mut edits = Edits::new(object);
    let mut outcomes = Vec::new();
    for (name, entry) in &record.webhooks {
        if !select(name, entry) {
            left.webhooks.insert(name.clone(), entry.clone());
            continue;
        }
        let config = configs.iter().find(|config| name_of(config, &id) == *name);
        let what = restore(object, config, entry, on_drift);
        match (&what, config) {
            (What::Restored { .. }, Some(config)) => {
                edits.replace_config(config, entry.original.clone());
            }
            (What::ChangedSince { .. }, Some(config)) if calls(object, config, entry) => {
                left.webhooks.insert(name.clone(), entry.clone());
            }
            _ => {}
        }
        outcomes.push(Outcome {
            webhook: name.clone(),
            what,
        });
    }
    let record = (!left.webhooks.is_empty()).then_some(left);
    update_annotation(object, &mut edits, record.as_ref());
    Ok(Plan {
        object: id,
        patch: edits.into_patch(),
        outcomes,
        record,
    })
}

fn restore(
    object: &Value,
    config: Option<&ClientConfig>,
    entry: &Entry,
    on_drift: OnDrift,
) -> What {
    let Some(config) = config else {
        return What::Gone;
    };
    let Some(value @ Value::Object(current)) = object.pointer(&config.pointer) else {
        return What::Gone;
    };
    if *value == entry.original {
        return What::AlreadyRestored;
    }
    let ours = calls(object, config, entry);
    match difference(current, entry) {
        None => What::Restored { drift: None },
        Some(drift) if ours && on_drift == OnDrift::Restore => {
            What::Restored { drift: Some(drift) }
        }
        Some(difference) => What::ChangedSince {
            difference,
            original: entry.original.clone(),
        },
    }
}

/// Whether the client config still calls the url that it was attached to.
fn calls(object: &Value, config: &ClientConfig, entry: &Entry) -> bool {
    let current = object.pointer(&config.pointer);
    let present = |key: &str| current.and_then(|current| current.get(key));
    present("url").and_then(Value::as_str) == Some(&entry.attached.url)
        && present("service").is_none_or(Value::is_null)
}

/// How a client config differs from what was attached; `None` when it does not.
pub(super) fn difference(current: &Map<String, Value>, entry: &Entry) -> Option<String> {
    let mut differences = Vec::new();
    let empty = Map::new();
    let original = entry.original.as_object().unwrap_or(&empty);

    match current.get("url").and_then(Value::as_str) {
        Some(url) if url == entry.attached.url => {}
        Some(url) => differences.push(format!("url is {url}, not {}", entry.attached.url)),
        None => differences.push(format!("url {} is gone", entry.attached.url)),
    }
    if let Some(service) = current.get("service").filter(|value| !value.is_null()) {
        differences.push(format!("service is {service}"));
    }
    let bundle = CaBundle::of_value(current.get("caBundle"));
    match &bundle {
        CaBundle::Pem(pem) if sha256(pem) == entry.attached.ca_bundle_sha256 => {}
        CaBundle::Pem(_) => differences.push("caBundle is another one".to_owned()),
        CaBundle::Absent | CaBundle::Empty => differences.push("caBundle is gone".to_owned()),
        CaBundle::Invalid(fault) => differences.push(fault.to_string()),
    }
    let ours = |key: &str| matches!(key, "url" | "service" | "caBundle");
    for (key, value) in current.iter().filter(|(key, _)| !ours(key)) {
        if original.get(key) != Some(value) {
            differences.push(format!("{key} is {value}"));
        }
    }
    for key in original.keys().filter(|key| !ours(key)) {
        if !current.contains_key(key) {
            differences.push(format!("{key} is gone"));
        }
    }
    (!differences.is_empty()).then(|| differences.join(", "))
}

fn update_annotation(object: &Value, edits: &mut Edits<'_>, left: Option<&Record>) {
    let annotations = object
        .pointer("/metadata/annotations")
        .and_then(Value::as_object);
    let Some((annotations, present)) =
        annotations.and_then(|all| Some((all, all.get(ANNOTATION)?)))
    else {
        return;
    };
    match left.map(|record| Value::String(record.to_json())) {
        Some(json) if *present == json => {}
        Some(json) => edits.replace("/metadata/annotations", ANNOTATION, json),
        // An object that had no annotations before should have none after.
        None if annotations.len() == 1 => edits.remove("/metadata", "annotations"),
        None => edits.remove("/metadata/annotations", ANNOTATION),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::attach::{AttachTo, attach};
    use super::super::ca_bundle::encode;
    use super::super::fixtures::{CA, OTHER_CA, apply, crd, validating};
    use super::*;

    fn attached(object: &Value) -> (Value, Record) {
        let to = AttachTo {
            url_base: "https://laptop:9443".to_owned(),
            ca_bundle_pem: CA.into(),
            by: "ann".to_owned(),
            host: "laptop".to_owned(),
            at: "2026-11-21T10:00:00Z".to_owned(),
        };
        let plan = attach(object, &to, |_| true).unwrap();
        (apply(object, &plan), plan.record.unwrap())
    }

    #[test]
    fn detaching_gives_back_the_very_same_object() {
        for object in [validating(), crd()] {
            let (attached, record) = attached(&object);
            let plan = detach(&attached, &record, OnDrift::Restore, |_, _| true).unwrap();
            assert_eq!(
                serde_json::to_string(&apply(&attached, &plan)).unwrap(),
                serde_json::to_string(&object).unwrap()
            );
            assert_eq!(plan.record, None);
        }
    }

    #[test]
    fn the_local_record_does_when_the_annotation_is_gone() {
        let (mut object, record) = attached(&validating());
        object["metadata"]
            .as_object_mut()
            .unwrap()
            .shift_remove("annotations");
        let record = Record::parse(&record.to_json()).unwrap();
        let plan = detach(&object, &record, OnDrift::Restore, |_, _| true).unwrap();
        assert_eq!(apply(&object, &plan), validating());
    }

    #[test]
    fn detaching_twice_does_nothing_the_second_time() {
        let (object, record) = attached(&validating());
        let restored = apply(
            &object,
            &detach(&object, &record, OnDrift::Restore, |_, _| true).unwrap(),
        );
        let plan = detach(&restored, &record, OnDrift::Restore, |_, _| true).unwrap();
        assert_eq!(plan.patch, None);
        assert!(
            plan.outcomes
                .iter()
                .all(|o| o.what == What::AlreadyRestored)
        );
    }

    #[test]
    fn what_somebody_else_changed_is_left_alone_and_reported() {
        let (mut object, record) = attached(&validating());
        let bobs =
            json!({"url": "https://bob:9443/validate-a", "caBundle": encode(OTHER_CA.as_bytes())});
        object["webhooks"][0]["clientConfig"] = bobs.clone();
        let plan = detach(&object, &record, OnDrift::Restore, |_, _| true).unwrap();
        let after = apply(&object, &plan);
        assert_eq!(after["webhooks"][0]["clientConfig"], bobs);
        assert_eq!(after["webhooks"][1], validating()["webhooks"][1]);
        assert_eq!(after["metadata"].get("annotations"), None);
        assert_eq!(
            plan.outcomes[0].to_string(),
            "a.example.com: left alone, since somebody changed it after it was attached: url is \
             https://bob:9443/validate-a, not https://laptop:9443/validate-a, caBundle is another one"
        );
    }

    #[test]
    fn a_drifted_bundle_is_restored_or_left_with_its_record_as_the_caller_likes() {
        let (mut object, record) = attached(&validating());
        object["webhooks"][0]["clientConfig"]["caBundle"] = json!(encode(OTHER_CA.as_bytes()));
        let restored = detach(&object, &record, OnDrift::Restore, |_, _| true).unwrap();
        assert_eq!(apply(&object, &restored), validating());
        assert_eq!(
            restored.outcomes[0].to_string(),
            "a.example.com: restored, although it had changed since: caBundle is another one"
        );

        let left = detach(&object, &record, OnDrift::Leave, |_, _| true).unwrap();
        let after = apply(&object, &left);
        assert_eq!(after["webhooks"][0], object["webhooks"][0]);
        let kept = Record::of_object(&after).unwrap().unwrap();
        assert_eq!(kept.webhooks.keys().collect::<Vec<_>>(), ["a.example.com"]);
        assert_eq!(left.record, Some(kept));
    }

    #[test]
    fn vanished_webhooks_are_reported_and_new_ones_untouched() {
        let (mut object, record) = attached(&validating());
        let new =
            json!({"name": "new.example.com", "clientConfig": {"url": "https://laptop:9443/new"}});
        object["webhooks"].as_array_mut().unwrap().remove(0);
        object["webhooks"]
            .as_array_mut()
            .unwrap()
            .insert(0, new.clone());
        let plan = detach(&object, &record, OnDrift::Restore, |_, _| true).unwrap();
        assert_eq!(
            plan.outcomes[0].to_string(),
            "a.example.com: no longer exists"
        );
        let after = apply(&object, &plan);
        assert_eq!(after["webhooks"][0], new);
        assert_eq!(after["webhooks"][1], validating()["webhooks"][1]);
    }

    #[test]
    fn a_conversion_that_was_switched_off_since_counts_as_gone() {
        let (mut object, record) = attached(&crd());
        object["spec"]["conversion"] = json!({"strategy": "None"});
        let plan = detach(&object, &record, OnDrift::Restore, |_, _| true).unwrap();
        assert_eq!(plan.outcomes[0].what, What::Gone);
        let after = apply(&object, &plan);
        assert_eq!(after["metadata"], crd()["metadata"]);
    }

    #[test]
    fn what_is_not_picked_stays_attached_with_its_record() {
        let (object, record) = attached(&validating());
        let only_a = |name: &str, _: &Entry| name == "a.example.com";
        let plan = detach(&object, &record, OnDrift::Restore, only_a).unwrap();
        let after = apply(&object, &plan);
        assert_eq!(after["webhooks"][0], validating()["webhooks"][0]);
        assert_eq!(after["webhooks"][1], object["webhooks"][1]);
        let left = Record::of_object(&after).unwrap().unwrap();
        assert_eq!(left.webhooks.keys().collect::<Vec<_>>(), ["b.example.com"]);
        assert_eq!(plan.record, Some(left));
    }
}
