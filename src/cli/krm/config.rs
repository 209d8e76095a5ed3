//! The functionConfig: a ConfigMap's `data`, or the `spec` of an object of ours.

use std::path::PathBuf;

use anyhow::{Context, bail};
use serde_json::{Map, Value};

use crate::cli::inject::ChoiceArgs;
use crate::plan::BundleMode;

/// The group of typed functionConfigs; any kind and version of it will do.
const GROUP: &str = "certtool.dev/";

const FIELDS: [&str; 7] = [
    "ca",
    "caFile",
    "mode",
    "webhooks",
    "crds",
    "apiservices",
    "services",
];

/// What a functionConfig asks for.
#[derive(Debug, Default)]
pub(super) struct Config {
    pub(super) ca: Option<String>,
    pub(super) ca_files: Vec<PathBuf>,
    pub(super) mode: BundleMode,
    pub(super) choice: ChoiceArgs,
}

impl Config {
    /// # Errors
    /// It is of another kind, or has a field that is not known or malformed.
    pub(super) fn read(config: Option<&Value>) -> anyhow::Result<Self> {
        let Some(config) = config.filter(|config| !config.is_null()) else {
            bail!("there is no functionConfig; it has to say what to inject (ca or caFile)");
        };
        let text = |key| config.get(key).and_then(Value::as_str).unwrap_or_default();
        let (version, kind) = (text("apiVersion"), text("kind"));
        let fields = match (version, kind) {
            ("v1", "ConfigMap") => "data",
            (version, _) if version.starts_with(GROUP) => "spec",
            _ => bail!(
                "the functionConfig is {version} {kind}; give a ConfigMap, or an object of apiVersion certtool.dev/v1alpha1"
            ),
        };
        match config.get(fields) {
            Some(Value::Object(found)) => {
                Self::of_fields(found).with_context(|| format!("{fields} of the functionConfig"))
            }
            _ => bail!(
                "the functionConfig has no {fields}; it has to say what to inject (ca or caFile)"
            ),
        }
    }

    fn of_fields(fields: &Map<String, Value>) -> anyhow::Result<Self> {
        let mut config = Self::default();
        for (key, value) in fields {
            let texts = || texts(key, value);
            match key.as_str() {
                "ca" => config.ca = Some(text(key, value)?.to_owned()),
                "caFile" => {
                    config.ca_files = match value {
                        // A file's name may have a space.
                        Value::String(file) => vec![PathBuf::from(file)],
                        _ => texts()?.into_iter().map(PathBuf::from).collect(),
                    }
                }
                "mode" => config.mode = text(key, value)?.parse()?,
                "webhooks" => config.choice.webhooks = texts()?,
                "crds" => config.choice.crds = texts()?,
                "apiservices" => config.choice.apiservices = texts()?,
                "services" => {
                    let services = texts()?;
                    let parsed = services.iter().map(|service| service.parse());
                    config.choice.services = parsed.collect::<Result<_, _>>()?;
                }
                _ => bail!("{key:?} is not known; there are {}", FIELDS.join(", ")),
            }
        }
        Ok(config)
    }
}

fn text<'a>(key: &str, value: &'a Value) -> anyhow::Result<&'a str> {
    value
        .as_str()
        .with_context(|| format!("{key} is not a string"))
}

/// A list of strings, or one string of them with commas or white space between.
fn texts(key: &str, value: &Value) -> anyhow::Result<Vec<String>> {
    let wrong = || format!("{key} is not a string or a list of strings");
    match value {
        Value::String(text) => Ok(text
            .split([',', ' ', '\n', '\t'])
            .filter(|word| !word.is_empty())
            .map(str::to_owned)
            .collect()),
        Value::Array(items) => items
            .iter()
            .map(|item| item.as_str().map(str::to_owned).with_context(wrong))
            .collect(),
        _ => bail!(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_config_map_and_an_object_of_ours_say_the_same() {
        let map = json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "data": {"caFile": "my ca.crt", "mode": "replace", "webhooks": "a, b\nc", "services": "hook.shop"},
        });
        let typed = json!({
            "apiVersion": "certtool.dev/v1alpha1", "kind": "CABundle",
            "spec": {"caFile": ["my ca.crt"], "mode": "replace", "webhooks": ["a", "b", "c"], "services": ["hook.shop"]},
        });
        for config in [map, typed] {
            let config = Config::read(Some(&config)).unwrap();
            assert_eq!(config.ca_files, [PathBuf::from("my ca.crt")]);
            assert_eq!(config.mode, BundleMode::Replace);
            assert_eq!(config.choice.webhooks, ["a", "b", "c"]);
            assert_eq!(config.choice.services[0].to_string(), "hook.shop");
        }
    }

    #[test]
    fn what_cannot_be_used_is_an_error_that_says_why() {
        for (config, why) in [
            (Value::Null, "there is no functionConfig"),
            (json!({"apiVersion": "v1", "kind": "Secret"}), "v1 Secret"),
            (
                json!({"apiVersion": "v1", "kind": "ConfigMap"}),
                "has no data",
            ),
            (
                json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"cafile": "x"}}),
                "\"cafile\" is not known",
            ),
            (
                json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"mode": "x"}}),
                "not a mode",
            ),
            (
                json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"services": "hook"}}),
                "has no namespace",
            ),
            (
                json!({"apiVersion": "certtool.dev/v1", "kind": "X", "spec": {"webhooks": [1]}}),
                "not a string or a list of strings",
            ),
        ] {
            let error = format!("{:#}", Config::read(Some(&config)).unwrap_err());
            assert!(error.contains(why), "{error}");
        }
    }
}
