//! Injectable objects, read from JSON without what nobody here looks at.
//!
//! A CRD has hundreds of kilobytes of schemas, a webhook some rules and selectors; what matters to
//! a caBundle is a few hundred bytes. The rest is skipped while it is parsed, and never takes
//! memory. What is kept is an ordinary object, which every function of this module reads as it
//! would the whole one: [`KEPT`] is the list of the fields that any of them looks at.

use std::fmt;

use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor,
};
use serde_json::{Map, Value};

/// An injectable object with the fields that a caBundle depends on; the patches that are planned
/// for it fit the whole object.
#[derive(Clone, Debug, PartialEq)]
pub struct Partial(pub Value);

impl<'de> Deserialize<'de> for Partial {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        KEPT.deserialize(deserializer).map(Self)
    }
}

/// What is kept of a value. A value of another type than expected is kept whole, for the
/// message that says so.
#[derive(Clone, Copy)]
enum Keep {
    /// All of it.
    All,
    /// These fields of a mapping.
    Fields(&'static [(&'static str, Keep)]),
    /// All of a mapping, with less of these fields.
    AllBut(&'static [(&'static str, Keep)]),
    /// This of each value of a list or of a mapping.
    Each(&'static Keep),
}

const KEPT: Keep = Keep::Fields(&[
    ("apiVersion", Keep::All),
    ("kind", Keep::All),
    (
        "metadata",
        Keep::AllBut(&[("managedFields", Keep::Each(&MANAGED))]),
    ),
    ("webhooks", Keep::Each(&WEBHOOK)),
    (
        "spec",
        Keep::Fields(&[
            ("conversion", Keep::All),
            ("group", Keep::All),
            ("version", Keep::All),
            ("service", Keep::All),
            ("caBundle", Keep::All),
            ("insecureSkipTLSVerify", Keep::All),
        ]),
    ),
]);

const WEBHOOK: Keep = Keep::Fields(&[
    ("name", Keep::All),
    ("clientConfig", Keep::All),
    ("failurePolicy", Keep::All),
]);

/// An entry of `metadata.managedFields`: who owns client configs.
const MANAGED: Keep = Keep::Fields(&[
    ("manager", Keep::All),
    ("operation", Keep::All),
    ("time", Keep::All),
    (
        "fieldsV1",
        Keep::Fields(&[
            (
                "f:webhooks",
                Keep::Each(&Keep::Fields(&[("f:clientConfig", Keep::All)])),
            ),
            (
                "f:spec",
                Keep::Fields(&[("f:conversion", Keep::All), ("f:caBundle", Keep::All)]),
            ),
        ]),
    ),
]);

impl Keep {
    /// What to keep of a mapping's field, if anything.
    fn of(self, key: &str) -> Option<Self> {
        let named = |fields: &[(&str, Self)]| {
            let field = fields.iter().find(|(name, _)| *name == key);
            field.map(|(_, keep)| *keep)
        };
        match self {
            Self::All => Some(Self::All),
            Self::Fields(fields) => named(fields),
            Self::AllBut(fields) => Some(named(fields).unwrap_or(Self::All)),
            Self::Each(keep) => Some(*keep),
        }
    }

    /// What to keep of a list's elements.
    fn of_element(self) -> Self {
        match self {
            Self::Each(keep) => *keep,
            Self::All | Self::Fields(_) | Self::AllBut(_) => Self::All,
        }
    }
}

impl<'de> DeserializeSeed<'de> for Keep {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        match self {
            Self::All => Value::deserialize(deserializer),
            Self::Fields(_) | Self::AllBut(_) | Self::Each(_) => deserializer.deserialize_any(self),
        }
    }
}

impl<'de> Visitor<'de> for Keep {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(key) = access.next_key::<String>()? {
            match self.of(&key) {
                Some(keep) => {
                    map.insert(key, access.next_value_seed(keep)?);
                }
                None => {
                    access.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(Value::Object(map))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(value) = access.next_element_seed(self.of_element())? {
            list.push(value);
        }
        Ok(Value::Array(list))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        let number = serde_json::Number::from_f64(value);
        number.map_or_else(|| Err(E::custom("not a finite number")), |n| Ok(n.into()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::fixtures::{CA, api_service, crd, validating};
    use super::super::{
        AttachTo, Decision, FailurePolicy, Record, attach, client_configs, managers,
        plan_ca_bundles, plan_failure_policy,
    };
    use super::*;

    fn partial(object: &Value) -> Value {
        let Partial(value) = serde_json::from_str(&object.to_string()).unwrap();
        value
    }

    /// Objects with everything that somebody looks at, and much that nobody does.
    fn objects() -> Vec<Value> {
        let mut all = vec![validating(), crd(), api_service()];
        for object in &mut all {
            object["metadata"]["annotations"] = json!({
                "cert-manager.io/inject-ca-from": "ns/cert",
                "kubectl.kubernetes.io/last-applied-configuration": "{}",
            });
            object["metadata"]["managedFields"] = json!([
                {"manager": "helm", "operation": "Apply", "time": "2026-01-01T00:00:00Z",
                 "fieldsType": "FieldsV1", "fieldsV1": {
                    "f:webhooks": {".": {}, "k:{\"name\":\"a.example.com\"}": {
                        "f:clientConfig": {"f:caBundle": {}}, "f:rules": {}}},
                    "f:spec": {"f:versions": {}, "f:caBundle": {}, "f:conversion": {
                        "f:webhook": {"f:clientConfig": {"f:caBundle": {}}}}}}},
            ]);
            object["status"] = json!({"conditions": [1, 2]});
            object["spec"]["versions"] = json!([{"schema": {"deep": [1, {"x": null}]}}]);
            if let Some(webhooks) = object["webhooks"].as_array_mut() {
                webhooks[0]["rules"] = json!([{"operations": ["*"]}]);
            }
        }
        all
    }

    #[test]
    fn every_function_reads_the_same_from_a_part_as_from_the_whole() {
        let to = AttachTo {
            url_base: "https://10.0.0.1:9443".to_owned(),
            ca_bundle_pem: CA.into(),
            by: "ann".to_owned(),
            host: "laptop".to_owned(),
            at: "2026-11-21T12:00:00Z".to_owned(),
        };
        let set = |_: &_| Decision::Set(CA.into());
        for whole in objects() {
            let part = partial(&whole);
            assert_ne!(part, whole);
            assert_eq!(client_configs(&part), client_configs(&whole));
            assert_eq!(plan_ca_bundles(&part, set), plan_ca_bundles(&whole, set));
            let fail = |object| plan_failure_policy(object, FailurePolicy::Ignore, |_| true);
            assert_eq!(fail(&part), fail(&whole));
            assert_eq!(managers(&part), managers(&whole));
            assert!(!managers(&part).is_empty());
            assert_eq!(Record::of_object(&part), Record::of_object(&whole));
            assert_eq!(
                attach(&part, &to, |_| true),
                attach(&whole, &to, |_| true),
                "{whole}"
            );
        }
    }

    #[test]
    fn what_nobody_looks_at_is_not_kept() {
        for object in objects() {
            let text = partial(&object).to_string();
            for gone in ["versions", "rules", "status", "f:rules", "f:versions"] {
                assert!(!text.contains(gone), "{gone} in {text}");
            }
        }
    }

    #[test]
    fn a_value_of_another_type_is_kept_for_the_message_about_it() {
        for wrong in [
            json!({"a": 1}),
            json!("x"),
            json!(7),
            json!(-1.5),
            json!(true),
        ] {
            let mut object = validating();
            object["webhooks"] = wrong;
            let whole = client_configs(&object).unwrap_err();
            assert_eq!(client_configs(&partial(&object)), Err(whole));
        }
        let mut object = validating();
        object["webhooks"] = json!([1, [2]]);
        assert!(client_configs(&partial(&object)).is_err());
        object["webhooks"] = Value::Null;
        assert_eq!(client_configs(&partial(&object)), Ok(vec![]));
    }
}
