//! Lists of injectable objects, a page at a time, so that memory does not grow with the cluster.

use std::collections::HashSet;

use kube::api::ListParams;
use kube::core::Request;
use serde::Deserialize;
use serde_json::Value;

use super::call::Call;
use super::client::Cluster;
use super::error::{Error, Result};
use crate::injectable::{Kind, Partial};

/// A page's size in bytes, about: CRDs can have hundreds of kilobytes each.
const PAGE_BYTES: usize = 1 << 20;
/// How many objects the first page has, when their size is not known yet.
const FIRST_PAGE: u32 = 10;
/// kubectl's page.
const LARGEST_PAGE: u32 = 500;

/// Which objects of a kind.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// A label selector, as kubectl's `-l`.
    pub labels: Option<String>,
}

/// The objects of a kind, a page after the other.
#[derive(Debug)]
pub struct Pages<'a> {
    cluster: &'a Cluster,
    kind: Kind,
    call: Call,
    params: ListParams,
    metadata_only: bool,
    largest: u32,
    at_end: bool,
    /// Names that were given out: kept when the list has to begin anew.
    given: HashSet<String>,
}

#[derive(Deserialize)]
struct List {
    /// `null` in an empty list of metadata.
    items: Option<Vec<Partial>>,
    #[serde(default)]
    metadata: ListMeta,
}

#[derive(Deserialize, Default)]
struct ListMeta {
    #[serde(rename = "continue", default)]
    next: Option<String>,
}

impl Cluster {
    /// The objects of a kind, with the fields that a caBundle depends on.
    #[must_use]
    pub fn injectable_pages(&self, kind: Kind, selection: &Selection) -> Pages<'_> {
        let mut params = ListParams::default().limit(FIRST_PAGE);
        params.label_selector.clone_from(&selection.labels);
        Pages {
            cluster: self,
            kind,
            call: Call::cluster_scoped("list", kind.group(), kind.version(), kind.plural()),
            params,
            metadata_only: false,
            largest: LARGEST_PAGE,
            at_end: false,
            given: HashSet::new(),
        }
    }
}

impl Pages<'_> {
    /// Only the object of this name.
    #[must_use]
    pub fn named(mut self, name: &str) -> Self {
        self.params.field_selector = Some(format!("metadata.name={name}"));
        self
    }

    /// At most so many at a time.
    #[must_use]
    pub fn of_at_most(mut self, largest: u32) -> Self {
        self.largest = largest;
        self
    }

    /// With `metadata` alone of each object.
    #[must_use]
    pub(super) fn metadata_only(mut self) -> Self {
        self.metadata_only = true;
        self.params.limit = Some(LARGEST_PAGE);
        self
    }

    /// The next page; `None` after the last. A page may be empty.
    ///
    /// # Errors
    /// When the list is refused, or the answer does not read.
    pub async fn next(&mut self) -> Result<Option<Vec<Value>>> {
        if self.at_end {
            return Ok(None);
        }
        let request = Request::new(self.call.path());
        let request = if self.metadata_only {
            request.list_metadata(&self.params)
        } else {
            request.list(&self.params)
        };
        let text = match self.cluster.send_text(&self.call, request).await {
            Ok(text) => text,
            // The rest of the list is no longer to be had (etcd keeps five minutes of history): it
            // begins anew, without what was there.
            Err(Error::Api { code: 410, .. }) if self.params.continue_token.is_some() => {
                self.params.continue_token = None;
                return Ok(Some(Vec::new()));
            }
            Err(error) => return Err(error),
        };
        let list: List = serde_json::from_str(&text).map_err(|error| Error::Other {
            call: Box::new(self.call.clone()),
            why: format!("the answer does not read: {error}"),
        })?;
        let items = list.items.unwrap_or_default();
        if !self.metadata_only && !items.is_empty() {
            let fitting = PAGE_BYTES * items.len() / text.len();
            let fitting = u32::try_from(fitting).unwrap_or(self.largest);
            self.params.limit = Some(fitting.clamp(1, self.largest));
        }
        self.params.continue_token = list.metadata.next.filter(|token| !token.is_empty());
        self.at_end = self.params.continue_token.is_none();
        let items = items.into_iter().map(|item| with_type(item.0, self.kind));
        let new = items.filter(|item| {
            let name = item.pointer("/metadata/name").and_then(Value::as_str);
            self.given.insert(name.unwrap_or_default().to_owned())
        });
        Ok(Some(new.collect()))
    }
}

/// Items of a list have no type of their own.
pub(super) fn with_type(mut object: Value, kind: Kind) -> Value {
    if let Value::Object(fields) = &mut object {
        fields.insert("apiVersion".to_owned(), kind.api_version().into());
        fields.insert("kind".to_owned(), kind.as_str().into());
    }
    object
}
