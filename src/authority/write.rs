//! A state as entries of its Secret, as far as they differ from what is there.

use std::collections::BTreeMap;
use std::fmt;

use super::read::record_of;
use super::state::{CaState, Request};
use super::{ROTATE_ANNOTATION, entry};
use crate::pki::{Authority, Certificate, KeyError};

/// What is to change in the Secret; entries and annotations that are not ours are not in it.
/// `None` removes. Redacted in `Debug`.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// Of `data`.
    pub data: BTreeMap<&'static str, Option<Vec<u8>>>,
    /// Of `metadata.annotations`.
    pub annotations: BTreeMap<&'static str, Option<String>>,
}

impl fmt::Debug for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { data, annotations } = self;
        let data: Vec<_> = data
            .iter()
            .map(|(entry, value)| (entry, value.as_ref().map(Vec::len)))
            .collect();
        f.debug_struct("Changes")
            .field("data", &data)
            .field("annotations", annotations)
            .finish()
    }
}

impl Changes {
    /// What makes a Secret with these entries hold `state`. Nothing of what is there is lost
    /// except what `state` says: the entries of a CA that stays are left as they are spelled.
    ///
    /// # Errors
    /// When a key cannot be encoded.
    pub fn to(
        state: &CaState,
        before: Option<&CaState>,
        there: &BTreeMap<String, Vec<u8>>,
        annotations: &BTreeMap<String, String>,
    ) -> Result<Self, KeyError> {
        let mut wanted = Self::default();
        let same = |one: &Authority, other: &Authority| one.certificate() == other.certificate();
        let stays =
            before.is_some_and(|before| same(&before.current.authority, &state.current.authority));
        if !stays {
            wanted.authority(entry::CERT, entry::KEY, Some(&state.current.authority))?;
        }
        let next = state.next.as_ref().map(|next| next.authority.as_ref());
        wanted.authority(entry::NEXT_CERT, entry::NEXT_KEY, next)?;
        let retired: String = state
            .retired
            .iter()
            .map(|retired| retired.certificate.to_pem())
            .collect();
        let retired = Some(retired.into_bytes()).filter(|pem| !pem.is_empty());
        wanted.data.insert(entry::RETIRED, retired);
        let bundle = state.trust().bundle.to_pem().into_bytes();
        wanted.data.insert(entry::BUNDLE, Some(bundle));
        let mut record = serde_json::to_vec_pretty(&record_of(state)).unwrap_or_default();
        record.push(b'\n');
        wanted.data.insert(entry::RECORD, Some(record));
        wanted
            .data
            .retain(|entry, value| there.get(*entry) != value.as_ref());
        let request = state.request.map(|request| request.as_str().to_owned());
        let asked = annotations.get(ROTATE_ANNOTATION);
        // Any text asks for a rotation; it is not spelled anew while that is pending.
        if asked.is_some() != request.is_some() || state.request == Some(Request::Now) {
            wanted.annotations.insert(ROTATE_ANNOTATION, request);
        }
        wanted
            .annotations
            .retain(|key, value| annotations.get(*key) != value.as_ref());
        Ok(wanted)
    }

    /// A request for a rotation, and nothing else.
    #[must_use]
    pub fn requesting(request: Request) -> Self {
        let mut changes = Self::default();
        let value = Some(request.as_str().to_owned());
        changes.annotations.insert(ROTATE_ANNOTATION, value);
        changes
    }

    /// Whether nothing differs.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.data.is_empty() && self.annotations.is_empty()
    }

    fn authority(
        &mut self,
        cert: &'static str,
        key: &'static str,
        authority: Option<&Authority>,
    ) -> Result<(), KeyError> {
        let (chain, pem) = match authority {
            None => (None, None),
            Some(authority) => {
                let chain: String = authority.chain().map(Certificate::to_pem).collect();
                let pem = authority.key().to_pem()?;
                (
                    Some(chain.into_bytes()),
                    Some(pem.expose().as_bytes().to_vec()),
                )
            }
        };
        self.data.insert(cert, chain);
        self.data.insert(key, pem);
        Ok(())
    }
}
