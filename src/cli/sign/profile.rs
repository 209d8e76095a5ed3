//! What certificates are to say: cfssl's profile, or the options.

use anyhow::Context;
use time::{Duration, OffsetDateTime};

use super::TermArgs;
use crate::cfssl::{self, SigningConfig};
use crate::cli::{Printer, input};
use crate::pki::{Grant, Host, Lifetime, San, Usage, VerifiedCsr};
use crate::plan;

/// A year, as kube-controller-manager's `--cluster-signing-duration`.
const DEFAULT_LIFE: Duration = Duration::days(365);

/// The terms, resolved.
#[derive(Debug)]
pub(in crate::cli) struct Profile {
    hosts: Vec<San>,
    terms: Terms,
}

#[derive(Debug)]
enum Terms {
    Cfssl(Box<cfssl::Profile>),
    Options { life: Duration, usages: Vec<Usage> },
}

/// Why a grant is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(in crate::cli) enum Refusal {
    #[error(transparent)]
    Cfssl(#[from] cfssl::GrantError),
    #[error(transparent)]
    Request(#[from] plan::Unsignable),
    #[error("it asks for the usage {0}, which the profile does not grant")]
    Usage(Usage),
}

impl Profile {
    /// Reads `--config` and says what in it is different from cfssl on purpose.
    pub(in crate::cli) fn read(args: &TermArgs, printer: &Printer) -> anyhow::Result<Self> {
        let terms = match &args.config {
            Some(path) => {
                let (name, text) = input::read(path)?;
                let text =
                    String::from_utf8(text).with_context(|| format!("{name} is not UTF-8"))?;
                let config = SigningConfig::parse(&text).with_context(|| name.clone())?;
                let profile = config
                    .profile(args.profile.as_deref())
                    .with_context(|| name.clone())?
                    .clone();
                // Once and with the file's name, not once for every request.
                profile.check_can_sign().with_context(|| name.clone())?;
                for lint in cfssl::lint(&config) {
                    printer.warning(&format!("{name}: {lint}"));
                }
                Terms::Cfssl(Box::new(profile))
            }
            None => Terms::Options {
                life: args.validity.unwrap_or(DEFAULT_LIFE),
                usages: if args.usages.is_empty() {
                    Usage::SERVING.to_vec()
                } else {
                    args.usages.clone()
                },
            },
        };
        Ok(Self {
            hosts: args.hosts.iter().map(Host::to_san).collect(),
            terms,
        })
    }

    /// The grant for a CSR file.
    pub(in crate::cli) fn grant_file(
        &self,
        csr: &VerifiedCsr<'_>,
        now: OffsetDateTime,
    ) -> Result<Grant, Refusal> {
        match &self.terms {
            Terms::Cfssl(profile) => Ok(profile.grant(csr, &self.hosts, now)?),
            Terms::Options { life, usages } => Ok(plan::grant(
                csr,
                &self.hosts,
                usages.clone(),
                Lifetime::of(*life),
                now,
            )?),
        }
    }

    /// The grant for a request in the cluster: its own usages and life, within the terms.
    pub(in crate::cli) fn grant_object(
        &self,
        csr: &VerifiedCsr<'_>,
        usages: &[String],
        asked: Option<Duration>,
        now: OffsetDateTime,
    ) -> Result<Grant, Refusal> {
        let maximum = match &self.terms {
            Terms::Options { life, .. } => *life,
            Terms::Cfssl(_) => Duration::MAX,
        };
        let own = plan::grant_as_controller_manager(csr, &self.hosts, usages, asked, maximum, now)?;
        let Terms::Cfssl(profile) = &self.terms else {
            return Ok(own);
        };
        let mut grant = profile.grant(csr, &self.hosts, now)?;
        if let Some(usage) = own
            .usages
            .iter()
            .find(|usage| !grant.usages.contains(usage))
        {
            return Err(Refusal::Usage(*usage));
        }
        grant.usages = own.usages;
        grant.validity.not_after = grant.validity.not_after.min(own.validity.not_after);
        Ok(grant)
    }
}
