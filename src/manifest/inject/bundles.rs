//! Bundles are few and large: each is kept once, and encoded once.

use std::collections::HashMap;
use std::sync::Arc;

use crate::injectable::encode;

/// The bundles that occur, each with its base64 once it was needed.
#[derive(Debug, Default)]
pub(super) struct Bundles {
    all: HashMap<Arc<[u8]>, Option<Arc<str>>>,
    /// The last one: mostly it is the next one too.
    last: Option<(Arc<[u8]>, Arc<str>)>,
}

impl Bundles {
    /// Where every object has a bundle of its own, remembering them is of no use.
    const LIMIT: usize = 256;

    /// The one copy of a bundle.
    pub(super) fn shared(&mut self, pem: &[u8]) -> Arc<[u8]> {
        if let Some((last, _)) = &self.last
            && **last == *pem
        {
            return Arc::clone(last);
        }
        if let Some((known, _)) = self.all.get_key_value(pem) {
            return Arc::clone(known);
        }
        if self.all.len() >= Self::LIMIT {
            self.all.clear();
        }
        let pem: Arc<[u8]> = pem.into();
        self.all.insert(Arc::clone(&pem), None);
        pem
    }

    /// Its base64.
    pub(super) fn encoded(&mut self, pem: &Arc<[u8]>) -> Arc<str> {
        if let Some((last, base64)) = &self.last
            && Arc::ptr_eq(last, pem)
        {
            return Arc::clone(base64);
        }
        let entry = self.all.entry(Arc::clone(pem)).or_default();
        let base64 = Arc::clone(entry.get_or_insert_with(|| encode(pem).into()));
        self.last = Some((Arc::clone(pem), Arc::clone(&base64)));
        base64
    }
}
