//! The Secret of a CA, written by compare-and-swap.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::call::Call;
use super::client::Cluster;
use super::error::{Error, Result};
use super::secrets::{self, SecretData, SecretName};
use crate::authority::Changes;

/// What became of a write of a Secret.
#[derive(Debug, Clone)]
pub enum Written {
    /// It was made; the Secret as it is now.
    Done(SecretData),
    /// Somebody else was faster: created, changed or deleted it. Read it again.
    Outrun,
}

impl Cluster {
    /// Creates the Secret of a CA.
    ///
    /// # Errors
    /// When it is refused for another reason than that it exists.
    pub async fn create_ca_secret(
        &self,
        secret: &SecretName,
        changes: &Changes,
        dry_run: bool,
    ) -> Result<Written> {
        let call = secrets::call("create", secret);
        let entries = changes.data.iter();
        let entries = entries.filter_map(|(entry, value)| Some((*entry, value.as_deref()?)));
        let object = secrets::new(secret, "kubernetes.io/tls", &secrets::encoded(entries));
        written(self.create(&call, &object, dry_run).await?, call)
    }

    /// Changes entries and annotations of a Secret as it was read; everything else in it stays.
    ///
    /// # Errors
    /// When it is refused for another reason than that the Secret has changed.
    pub async fn update_ca_secret(
        &self,
        secret: &SecretName,
        read: &SecretData,
        changes: &Changes,
        dry_run: bool,
    ) -> Result<Written> {
        let call = secrets::call("patch", secret);
        let mut fields = Map::new();
        if !changes.annotations.is_empty() {
            fields.insert(
                "metadata".to_owned(),
                json!({ "annotations": changes.annotations }),
            );
        }
        let entries = changes.data.iter().map(|(entry, value)| {
            let value = value.as_ref().map(|value| STANDARD.encode(value));
            ((*entry).to_owned(), value.into())
        });
        let data: Map<_, _> = entries.collect();
        if !data.is_empty() {
            fields.insert("data".to_owned(), data.into());
        }
        let changed = self.change(&call, read.version(), fields, dry_run).await?;
        written(changed, call)
    }
}

fn written(object: Option<Value>, call: Call) -> Result<Written> {
    let Some(object) = object else {
        return Ok(Written::Outrun);
    };
    secrets::read(&object)
        .map(Written::Done)
        .ok_or_else(|| Error::Other {
            call: Box::new(call),
            why: "the answer's data is not base64".to_owned(),
        })
}
