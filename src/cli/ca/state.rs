//! A CA in a Secret as a report: its phase, its CAs, and what happens next.

use std::fmt::Write;

use serde::Serialize;
use time::OffsetDateTime;

use crate::authority::{CaState, Owner, Phase, Request, Settings, warnings};
use crate::cli::report::plain;
use crate::cli::{duration, instant};
use crate::cluster::SecretName;
use crate::pki::Certificate;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct StateReport {
    secret: String,
    /// `Unmanaged` until a controller or a sidecar takes charge of it.
    phase: &'static str,
    current: CurrentReport,
    next: Option<NextReport>,
    retired: Vec<RetiredReport>,
    /// CAs that are trusted no more.
    former: Vec<String>,
    /// A rotation that is asked for: `requested` or `now`.
    request: Option<&'static str>,
    prospects: Vec<ProspectReport>,
    warnings: Vec<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct CaReport {
    subject: String,
    fingerprint: String,
    not_before: String,
    not_after: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct CurrentReport {
    #[serde(flatten)]
    ca: CaReport,
    since: Option<String>,
    published: Option<String>,
    /// The longest life of its leaves; null when nobody knows.
    leaf_life_seconds: Option<i64>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct NextReport {
    #[serde(flatten)]
    ca: CaReport,
    since: String,
    published: Option<String>,
    reason: &'static str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct RetiredReport {
    #[serde(flatten)]
    ca: CaReport,
    since: String,
    trusted_until: String,
    reason: &'static str,
}

#[derive(Debug, Serialize)]
struct ProspectReport {
    at: Option<String>,
    what: String,
}

impl CaReport {
    fn of(ca: &Certificate) -> Self {
        Self {
            subject: plain(&ca.subject.to_string()),
            fingerprint: ca.fingerprint(),
            not_before: instant(ca.validity.not_before),
            not_after: instant(ca.validity.not_after),
        }
    }
}

impl StateReport {
    pub(super) fn of(secret: &SecretName, state: &CaState, now: OffsetDateTime) -> Self {
        let settings = state
            .policy
            .map_or_else(Settings::external, Settings::recorded);
        let phase = state.phase(&settings);
        let unmanaged = state.policy.is_none() && state.owner.is_none();
        let current = &state.current;
        let mut warnings: Vec<_> = warnings(state, &settings, now)
            .iter()
            .map(ToString::to_string)
            .collect();
        if unmanaged && state.request.is_some() {
            warnings = vec![NOBODY.to_owned()];
        }
        Self {
            secret: secret.to_string(),
            phase: match phase {
                Phase::External if unmanaged => "Unmanaged",
                phase => phase.name(),
            },
            current: CurrentReport {
                ca: CaReport::of(current.authority.certificate()),
                since: current.since.map(instant),
                published: current.published.map(instant),
                leaf_life_seconds: current.leaf_life.map(time::Duration::whole_seconds),
            },
            next: state.next.as_ref().map(|next| NextReport {
                ca: CaReport::of(next.authority.certificate()),
                since: instant(next.since),
                published: next.published.map(instant),
                reason: next.reason.as_str(),
            }),
            retired: state
                .retired
                .iter()
                .map(|retired| RetiredReport {
                    ca: CaReport::of(&retired.certificate),
                    since: instant(retired.since),
                    trusted_until: instant(retired.leaves_end),
                    reason: retired.reason.as_str(),
                })
                .collect(),
            former: state
                .former
                .iter()
                .map(|former| former.fingerprint.clone())
                .collect(),
            request: state.request.map(Request::as_str),
            prospects: state
                .prospects(&settings)
                .into_iter()
                .map(|prospect| ProspectReport {
                    at: prospect.at.map(instant),
                    what: plain(&prospect.what),
                })
                .collect(),
            warnings,
        }
    }

    /// The phase and the first thing that is to happen, in a line.
    pub(super) fn waits_for(&self) -> String {
        let first = self.prospects.first();
        let what = first.map_or("", |prospect| prospect.what.as_str());
        format!("{}: {what}", self.phase)
    }

    pub(super) fn warnings(&self) -> &[String] {
        &self.warnings
    }

    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        let mut line = |key: &str, value: &str| {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "  {key:<17}{value}");
        };
        line("Phase:", self.phase);
        if let Some(since) = &self.current.since {
            line("Signs since:", since);
        }
        if let Some(seconds) = self.current.leaf_life_seconds {
            let life = duration::about(time::Duration::seconds(seconds));
            line("Leaves live:", &format!("{life} at most"));
        }
        if let Some(next) = &self.next {
            line("Next CA:", &next.ca.subject);
            line("", &format!("SHA-256 {}", next.ca.fingerprint));
            let made = format!(
                "made {} ({}), valid to {}",
                next.since, next.reason, next.ca.not_after
            );
            line("", &made);
            let published = match &next.published {
                Some(at) => format!("trusted everywhere since {at}"),
                None => "not trusted everywhere yet".to_owned(),
            };
            line("", &published);
        }
        for retired in &self.retired {
            line("Retired CA:", &retired.ca.subject);
            line("", &format!("SHA-256 {}", retired.ca.fingerprint));
            let until = format!(
                "replaced {} ({}), trusted until {}",
                retired.since, retired.reason, retired.trusted_until
            );
            line("", &until);
        }
        if let Some(request) = self.request {
            line("Rotation:", &format!("asked for ({request})"));
        }
        for (index, prospect) in self.prospects.iter().enumerate() {
            let key = if index == 0 { "What is next:" } else { "" };
            match &prospect.at {
                Some(at) => line(key, &format!("{at}: {}", prospect.what)),
                None => line(key, &prospect.what),
            }
        }
        text
    }
}

/// Who would rotate it?
pub(super) const NOBODY: &str = "nobody keeps this CA yet: a rotation begins once a certtool controller or sidecar is configured with this Secret";

/// Why a CA cannot be rotated by certtool, if so.
pub(super) fn unrotatable(state: &CaState) -> Option<String> {
    let ca = state.current.authority.certificate();
    match &state.owner {
        Some(Owner::CertManager(certificate)) => Some(format!(
            "cert-manager keeps it, for the Certificate {certificate}: renew that one (`cmctl renew {certificate}`)"
        )),
        None if !ca.is_self_issued() => Some(format!(
            "it is an intermediate CA: only {} can make the next one",
            ca.issuer
        )),
        None => None,
    }
}
