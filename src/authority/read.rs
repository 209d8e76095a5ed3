//! The strict reader of a CA's Secret.

use std::collections::BTreeMap;
use std::sync::Arc;

use time::Duration;

use super::problem::{Broken, Problem};
use super::record::{self, ReasonRecord, Record, Timestamp};
use super::state::{CaState, Current, Former, Next, Owner, Policy, Reason, Request, Retired};
use super::{ROTATE_ANNOTATION, entry};
use crate::pki::{Authority, Certificate, PrivateKey, TrustBundle};

/// cert-manager writes this on every Secret that it keeps.
const CERT_MANAGER: &str = "cert-manager.io/certificate-name";

type Data = BTreeMap<String, Vec<u8>>;

/// Reads the state of a CA from its Secret; `secret` is `NAMESPACE/NAME`, for errors.
///
/// A Secret without a record, as `certtool ca init`, cert-manager or a person makes it
/// (`tls.crt`, `tls.key`, and `ca.crt` perhaps), is a CA of which nothing else is known.
///
/// # Errors
/// See [`Problem`]: whatever does not add up.
pub fn read(
    secret: &str,
    data: &Data,
    annotations: &BTreeMap<String, String>,
) -> Result<CaState, Broken> {
    let mut state = match data.get(entry::RECORD) {
        Some(text) => recorded(data, text),
        None => found(data),
    }
    .map_err(|problem| problem.of(secret))?;
    state.request = annotations
        .get(ROTATE_ANNOTATION)
        .map(|value| match value.trim() {
            "now" => Request::Now,
            // Whoever writes anything else there wants a rotation.
            _ => Request::Rotate,
        });
    state.owner = annotations
        .get(CERT_MANAGER)
        .map(|certificate| Owner::CertManager(certificate.clone()));
    Ok(state)
}

/// A CA without a record.
fn found(data: &Data) -> Result<CaState, Problem> {
    for stray in [entry::NEXT_CERT, entry::NEXT_KEY, entry::RETIRED] {
        if data.contains_key(stray) {
            return Err(Problem::Stray(stray));
        }
    }
    let mut chain = certificates(data, entry::CERT)?;
    let key = key(data, entry::KEY)?;
    let roots = match data.get(entry::BUNDLE) {
        // cert-manager leaves it empty when it does not know the issuer.
        Some(text) if !text.is_empty() => {
            TrustBundle::from_pem(text).map_err(Problem::Bundle)?;
            certificates(data, entry::BUNDLE)?
        }
        _ => Vec::new(),
    };
    // An intermediate's issuers may be in ca.crt instead of following it.
    let is_root = chain.last().is_some_and(Certificate::is_self_issued);
    if !is_root {
        let issuer = chain.last().and_then(|last| {
            let issued = |root: &&Certificate| {
                root.subject == last.issuer && last.check_signed_by(root).is_ok()
            };
            roots.iter().find(issued)
        });
        chain.extend(issuer.cloned());
    }
    let authority = make(chain, key, entry::CERT, None)?;
    if !roots.is_empty() && !authority.chain().any(|ca| roots.contains(ca)) {
        let what = "the CA of tls.crt, or what certified it:";
        return Err(not_in_bundle(what, authority.certificate()));
    }
    let mut state = CaState::of(authority);
    // Whoever made it wants these trusted too: CAs that signed before, most likely.
    let own: Vec<_> = state.current.authority.chain().cloned().collect();
    let others = roots.into_iter().filter(|root| root.ca.is_some());
    for certificate in others.filter(|root| !own.contains(root)) {
        state.retired.push(Retired {
            since: certificate.validity.not_before,
            leaf_life: None,
            stopped: None,
            leaves_end: certificate.validity.not_after,
            certificate,
            reason: Reason::Repair,
        });
    }
    Ok(state)
}

/// A CA with its record: every part is there and belongs to it.
fn recorded(data: &Data, text: &[u8]) -> Result<CaState, Problem> {
    let record = parse_record(text)?;
    let current_life = record.current.leaf_life_seconds.map(record::life);
    let current = authority(
        data,
        (entry::CERT, entry::KEY),
        &record.current.sha256,
        current_life,
    )?;
    let next = match &record.next {
        None => {
            for stray in [entry::NEXT_CERT, entry::NEXT_KEY] {
                if data.contains_key(stray) {
                    return Err(Problem::Record(format!(
                        "it knows of no next CA, but there is {stray}"
                    )));
                }
            }
            None
        }
        Some(next) => {
            let leaf_life = record::life(next.leaf_life_seconds);
            let entries = (entry::NEXT_CERT, entry::NEXT_KEY);
            Some(Next {
                authority: authority(data, entries, &next.sha256, Some(leaf_life))?,
                since: next.since.0,
                published: next.published.map(|at| at.0),
                leaf_life,
                reason: next.reason.into(),
            })
        }
    };
    let state = CaState {
        current: Current {
            authority: current,
            since: record.current.since.map(|at| at.0),
            published: record.current.published.map(|at| at.0),
            leaf_life: current_life,
        },
        next,
        retired: retired(data, &record)?,
        former: record
            .former
            .into_iter()
            .map(|former| Former {
                fingerprint: former.sha256,
                not_after: former.not_after.0,
            })
            .collect(),
        policy: record.policy.map(|policy| Policy {
            ca_life: Duration::seconds(policy.ca_life_seconds),
            leaf_life: Duration::seconds(policy.leaf_life_seconds),
            settle: Duration::seconds_f64(policy.settle_seconds.clamp(0.0, 1e9)),
            rotate_at: policy.rotate_at,
        }),
        is_recorded: true,
        request: None,
        owner: None,
    };
    check_bundle(data, &state)?;
    Ok(state)
}

pub(super) fn parse_record(text: &[u8]) -> Result<Record, Problem> {
    #[derive(serde::Deserialize)]
    struct Versioned {
        version: u32,
    }
    let damaged = |error: serde_json::Error| Problem::Record(error.to_string());
    let Versioned { version } = serde_json::from_slice(text).map_err(damaged)?;
    if version > record::VERSION {
        return Err(Problem::Newer(version));
    }
    serde_json::from_slice(text).map_err(damaged)
}

fn retired(data: &Data, record: &Record) -> Result<Vec<Retired>, Problem> {
    let certificates = match data.contains_key(entry::RETIRED) {
        true => certificates(data, entry::RETIRED)?,
        false if record.retired.is_empty() => Vec::new(),
        false => return Err(Problem::Missing(entry::RETIRED)),
    };
    let known = |certificate: &&Certificate| {
        let fingerprint = certificate.fingerprint();
        record.retired.iter().any(|r| r.sha256 == fingerprint)
    };
    if let Some(stranger) = certificates.iter().find(|certificate| !known(certificate)) {
        return Err(Problem::Record(format!(
            "it does not know {} of retired.crt",
            stranger.subject
        )));
    }
    let find = |sha256: &str| {
        let mut certificates = certificates.iter();
        certificates
            .find(|certificate| certificate.fingerprint() == sha256)
            .cloned()
            .ok_or_else(|| {
                Problem::Record(format!(
                    "retired.crt does not hold the CA with SHA-256 {sha256}"
                ))
            })
    };
    let retired = record.retired.iter().map(|retired| {
        Ok(Retired {
            certificate: find(&retired.sha256)?,
            since: retired.since.0,
            leaf_life: retired.leaf_life_seconds.map(record::life),
            stopped: retired.stopped.map(|at| at.0),
            leaves_end: retired.leaves_end.0,
            reason: retired.reason.into(),
        })
    });
    retired.collect()
}

fn check_bundle(data: &Data, state: &CaState) -> Result<(), Problem> {
    let text = data
        .get(entry::BUNDLE)
        .ok_or(Problem::Missing(entry::BUNDLE))?;
    let bundle = TrustBundle::from_pem(text).map_err(Problem::Bundle)?;
    let lacks = |certificate: &Certificate| !bundle.certificates().contains(certificate);
    let current = state.current.authority.trust_anchor();
    if lacks(current) {
        return Err(not_in_bundle("the CA that signs,", current));
    }
    let next = state
        .next
        .as_ref()
        .map(|next| next.authority.trust_anchor());
    if let Some(next) = next.filter(|next| lacks(next)) {
        return Err(not_in_bundle("the next CA,", next));
    }
    let mut retired = state.retired.iter().map(|retired| &retired.certificate);
    match retired.find(|certificate| lacks(certificate)) {
        Some(retired) => Err(not_in_bundle("the CA that signed before,", retired)),
        None => Ok(()),
    }
}

fn not_in_bundle(what: &'static str, certificate: &Certificate) -> Problem {
    Problem::NotInBundle {
        what,
        subject: certificate.subject.to_string(),
        fingerprint: certificate.fingerprint(),
    }
}

fn authority(
    data: &Data,
    (cert, key_entry): (&'static str, &'static str),
    sha256: &str,
    leaf_limit: Option<Duration>,
) -> Result<Arc<Authority>, Problem> {
    let chain = certificates(data, cert)?;
    if let Some(certificate) = chain.first()
        && certificate.fingerprint() != sha256
    {
        return Err(Problem::OtherCa {
            entry: cert,
            subject: certificate.subject.to_string(),
            found: certificate.fingerprint(),
            recorded: sha256.to_owned(),
        });
    }
    make(chain, key(data, key_entry)?, cert, leaf_limit)
}

fn make(
    chain: Vec<Certificate>,
    key: PrivateKey,
    entry: &'static str,
    leaf_limit: Option<Duration>,
) -> Result<Arc<Authority>, Problem> {
    Authority::new(chain, key)
        .map(|authority| Arc::new(authority.with_leaf_limit(leaf_limit)))
        .map_err(|why| Problem::NoAuthority { entry, why })
}

fn certificates(data: &Data, entry: &'static str) -> Result<Vec<Certificate>, Problem> {
    let text = data.get(entry).ok_or(Problem::Missing(entry))?;
    Certificate::all_from_pem(text).map_err(|why| Problem::Certificate { entry, why })
}

fn key(data: &Data, entry: &'static str) -> Result<PrivateKey, Problem> {
    let text = data.get(entry).ok_or(Problem::Missing(entry))?;
    PrivateKey::from_pem(text).map_err(|why| Problem::Key { entry, why })
}

impl From<ReasonRecord> for Reason {
    fn from(reason: ReasonRecord) -> Self {
        match reason {
            ReasonRecord::Scheduled => Self::Scheduled,
            ReasonRecord::Requested => Self::Requested,
            ReasonRecord::Forced => Self::Forced,
            ReasonRecord::Repair => Self::Repair,
        }
    }
}

impl From<Reason> for ReasonRecord {
    fn from(reason: Reason) -> Self {
        match reason {
            Reason::Scheduled => Self::Scheduled,
            Reason::Requested => Self::Requested,
            Reason::Forced => Self::Forced,
            Reason::Repair => Self::Repair,
        }
    }
}

/// The record of a state.
pub(super) fn record_of(state: &CaState) -> Record {
    let fingerprint = |authority: &Authority| authority.certificate().fingerprint();
    Record {
        version: record::VERSION,
        current: record::CurrentRecord {
            sha256: fingerprint(&state.current.authority),
            since: state.current.since.map(Timestamp::of),
            published: state.current.published.map(Timestamp::of),
            leaf_life_seconds: state.current.leaf_life.map(record::seconds),
        },
        next: state.next.as_ref().map(|next| record::NextRecord {
            sha256: fingerprint(&next.authority),
            since: Timestamp::of(next.since),
            published: next.published.map(Timestamp::of),
            leaf_life_seconds: record::seconds(next.leaf_life),
            reason: next.reason.into(),
        }),
        retired: state
            .retired
            .iter()
            .map(|retired| record::RetiredRecord {
                sha256: retired.certificate.fingerprint(),
                since: Timestamp::of(retired.since),
                leaf_life_seconds: retired.leaf_life.map(record::seconds),
                stopped: retired.stopped.map(Timestamp::of),
                leaves_end: Timestamp::of(retired.leaves_end),
                reason: retired.reason.into(),
            })
            .collect(),
        former: state
            .former
            .iter()
            .map(|former| record::FormerRecord {
                sha256: former.fingerprint.clone(),
                not_after: Timestamp::of(former.not_after),
            })
            .collect(),
        policy: state.policy.map(|policy| record::PolicyRecord {
            ca_life_seconds: record::seconds(policy.ca_life),
            leaf_life_seconds: record::seconds(policy.leaf_life),
            settle_seconds: policy.settle.as_seconds_f64(),
            rotate_at: policy.rotate_at,
        }),
    }
}
