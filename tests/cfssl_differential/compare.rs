//! Whether two requests or certificates say the same.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use certtool::pki::{Certificate, Csr, Usage};
use time::{Duration, OffsetDateTime};
use x509_parser::prelude::FromDer;

fn same<T: PartialEq + Debug>(what: &str, ours: &T, theirs: &T) -> Result<(), String> {
    if ours == theirs {
        return Ok(());
    }
    Err(format!("{what}: ours {ours:?}, cfssl's {theirs:?}"))
}

pub(crate) fn requests(ours: &Csr, theirs: &Csr) -> Result<(), String> {
    same("subject", &ours.subject, &theirs.subject)?;
    same("names", &ours.names, &theirs.names)?;
    same("key", ours.public_key.kind(), theirs.public_key.kind())?;
    // A SAN beside an empty subject is critical in ours (RFC 5280, section 4.2.1.6).
    let values = |csr: &Csr| -> Vec<Vec<u8>> {
        csr.extensions
            .iter()
            .map(|extension| extension.value.clone())
            .collect()
    };
    same("extensions", &values(ours), &values(theirs))
}

pub(crate) fn certificate_pem(ours: &Certificate, theirs: &[u8]) -> Result<(), String> {
    let theirs = Certificate::all_from_pem(theirs).map_err(|error| error.to_string())?;
    certificates(ours, &theirs[0])
}

fn certificates(ours: &Certificate, theirs: &Certificate) -> Result<(), String> {
    same("subject", &ours.subject.as_der(), &theirs.subject.as_der())?;
    same("names", &ours.names, &theirs.names)?;
    same("path length", &ours.ca, &theirs.ca)?;
    let set = |usages: &Option<Vec<Usage>>| -> Option<BTreeSet<Usage>> {
        usages.clone().map(|usages| usages.into_iter().collect())
    };
    same(
        "key usages",
        &set(&ours.key_usages),
        &set(&theirs.key_usages),
    )?;
    same(
        "purposes",
        &set(&ours.extended_usages),
        &set(&theirs.extended_usages),
    )?;
    let near = |what: &str, ours: OffsetDateTime, theirs: OffsetDateTime| {
        let apart = (ours - theirs).abs();
        // cfssl rounds to the nearest minute.
        (apart <= Duration::seconds(31))
            .then_some(())
            .ok_or_else(|| format!("{what}: ours {ours}, cfssl's {theirs}"))
    };
    near(
        "notBefore",
        ours.validity.not_before,
        theirs.validity.not_before,
    )?;
    near(
        "notAfter",
        ours.validity.not_after,
        theirs.validity.not_after,
    )?;
    same("extensions", &extensions(ours), &extensions(theirs))
}

/// The extensions byte for byte, without those that depend on the keys and those whose
/// meaning has been compared.
fn extensions(certificate: &Certificate) -> BTreeMap<String, (bool, Vec<u8>)> {
    let (_, parsed) =
        x509_parser::certificate::X509Certificate::from_der(certificate.der()).unwrap();
    let compared = ["2.5.29.14", "2.5.29.15", "2.5.29.35", "2.5.29.37"];
    parsed
        .extensions()
        .iter()
        .map(|extension| {
            let oid = extension.oid.to_id_string();
            // Copied by copy_extensions as it was asked for; ours follows from the subject.
            let critical = extension.critical && oid != "2.5.29.17";
            (oid, (critical, extension.value.to_vec()))
        })
        .filter(|(oid, _)| !compared.contains(&oid.as_str()))
        .collect()
}

/// What certtool refuses and cfssl does not, by words of the message.
const REFUSED_ON_PURPOSE: &[&str] = &[
    "unknown key",
    "unknown usage",
    "given twice",
    "has no profile",
    "not supported",
    "matches nothing",
    "URI",
    "of URIs",
    "common name has",
    "RSA keys of",
    "longer than zero",
    "make no validity",
    "name nobody",
    "does not match the profile's name_whitelist",
    "read differently",
    "asks for extension",
    "other hosts cannot be given",
    "cfssl keeps the last",
    "characters that a certificate cannot carry",
    "has a control character",
    "not a text that cfssl reads",
    "path length",
    "names of this kind are not issued",
    "lies outside the years",
    "SerialNumber in names",
    "is for a new CA only",
];

/// What cfssl refuses and certtool does not, by words of cfssl's message.
const ACCEPTED_ON_PURPOSE: &[&str] = &["RSA key is too weak"];

#[derive(Default)]
pub(crate) struct Tally {
    same: usize,
    both_refuse: usize,
    we_refuse: BTreeMap<String, usize>,
    wrong: Vec<String>,
}

impl Tally {
    pub(crate) fn add<T>(
        &mut self,
        input: &str,
        ours: Result<T, String>,
        theirs: Result<Vec<u8>, String>,
        compare: impl Fn(&T, &[u8]) -> Result<(), String>,
    ) {
        match (ours, theirs) {
            (Ok(ours), Ok(theirs)) => match compare(&ours, &theirs) {
                Ok(()) => self.same += 1,
                Err(why) => self.wrong.push(format!("{why}\n  {input}")),
            },
            (Err(_), Err(_)) => self.both_refuse += 1,
            (Err(error), Ok(_)) => {
                match REFUSED_ON_PURPOSE
                    .iter()
                    .find(|words| error.contains(**words))
                {
                    Some(words) => *self.we_refuse.entry((*words).to_owned()).or_default() += 1,
                    None => self.wrong.push(format!("we refuse: {error}\n  {input}")),
                }
            }
            (Ok(_), Err(error)) => {
                if !ACCEPTED_ON_PURPOSE
                    .iter()
                    .any(|words| error.contains(words))
                {
                    self.wrong
                        .push(format!("cfssl refuses: {error}\n  {input}"));
                }
            }
        }
    }

    pub(crate) fn judge(&self, what: &str, at_least: usize) {
        eprintln!(
            "{what}: {} the same, {} refused by both, refused by certtool alone: {:?}",
            self.same, self.both_refuse, self.we_refuse
        );
        let shown = self
            .wrong
            .iter()
            .take(8)
            .cloned()
            .collect::<Vec<_>>()
            .join("\n\n");
        assert!(
            self.wrong.is_empty(),
            "{} differ in {what}:\n{shown}",
            self.wrong.len()
        );
        assert!(
            self.same >= at_least,
            "only {} {what} are the same",
            self.same
        );
    }
}
