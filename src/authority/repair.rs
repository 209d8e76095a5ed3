//! What is left of a CA that was lost or damaged.

use std::collections::{BTreeMap, BTreeSet};

use super::entry;
use super::read::parse_record;
use crate::pki::{Certificate, TrustBundle};

/// The CAs that a Secret which does not add up still shows, and that stay trusted when it is
/// repaired. If its record reads, only those that the record knows, and their issuers: what
/// somebody else put there was never trusted, and a repair must not make it so.
#[must_use]
pub fn still_trusted(data: &BTreeMap<String, Vec<u8>>) -> Vec<Certificate> {
    let entries = [entry::CERT, entry::BUNDLE, entry::RETIRED];
    let texts = entries.iter().filter_map(|entry| data.get(*entry));
    let readable: Vec<_> = texts
        .flat_map(|text| TrustBundle::usable(text).0.certificates().to_vec())
        .collect();
    let record = data.get(entry::RECORD).map(|text| parse_record(text));
    let Some(Ok(record)) = record else {
        return readable;
    };
    let retired = record.retired.into_iter().map(|retired| retired.sha256);
    let known: BTreeSet<_> = retired.chain([record.current.sha256]).collect();
    let is_known = |certificate: &Certificate| known.contains(&certificate.fingerprint());
    let issued_known = |issuer: &Certificate| {
        let mut issued = readable.iter().filter(|certificate| is_known(certificate));
        issued.any(|certificate| {
            certificate.issuer == issuer.subject && certificate.check_signed_by(issuer).is_ok()
        })
    };
    let kept = readable
        .iter()
        .filter(|certificate| is_known(certificate) || issued_known(certificate));
    kept.cloned().collect()
}
