//! The policy file: its fields, their defaults, and what is refused in it.
//!
//! A field that is left out has its strictest value. What is allowed beyond that is
//! written in the file, where a reviewer sees it. Field by field:
//! `docs/approval-policy.md`; the schema beside it is compared with these types.

use std::collections::BTreeSet;

use serde::Deserialize;
use time::Duration;

use super::error::PolicyError;
use super::facts::Lookups;
use super::ip_range::IpRange;
use super::lifetime::MaximumLifetime;
use super::pattern::{DnsPattern, ServicePattern, TextPattern, WildcardPattern};
use super::requester::is_subdomain;
use super::who::{AccountPattern, UserPattern};
use super::words::{ClusterDomain, GroupName, Key, MaxNames, Organization, SignerName, UsageName};

/// A policy: which requests for which signers are approved. Everything else is denied.
///
/// A value of this type has passed every check, also as a part of another file.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Document")]
pub struct Policy(pub(super) Document);

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Document {
    #[serde(rename = "apiVersion")]
    _api_version: ApiVersion,
    #[serde(rename = "kind")]
    _kind: Kind,
    /// The signers whose requests this policy decides about.
    pub(super) signer_names: Vec<SignerName>,
    /// The cluster's DNS domain.
    #[serde(default)]
    pub(super) cluster_domain: ClusterDomain,
    /// What becomes of requesters that no rule is about.
    #[serde(default)]
    pub(super) other_requesters: OtherRequesters,
    /// A request is approved when one of them allows all of it.
    pub(super) rules: Vec<Rule>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
enum ApiVersion {
    #[serde(rename = "certtool.dev/v1alpha1")]
    V1Alpha1,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
enum Kind {
    ApprovalPolicy,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
pub(super) enum OtherRequesters {
    /// Deny by default.
    #[default]
    Deny,
    /// Leave the request to someone else's decision.
    Ignore,
}

/// What some requesters may get.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "UncheckedRule")]
pub(super) struct Rule(UncheckedRule);

impl std::ops::Deref for Rule {
    type Target = UncheckedRule;

    fn deref(&self) -> &UncheckedRule {
        &self.0
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct UncheckedRule {
    pub(super) name: String,
    #[serde(default)]
    pub(super) description: String,
    pub(super) requester: RequesterRule,
    pub(super) names: NamesRule,
    #[serde(default)]
    pub(super) subject: SubjectRule,
    pub(super) usages: UsagesRule,
    pub(super) keys: Vec<Key>,
    pub(super) lifetime: LifetimeRule,
}

/// Every field that is there must fit; of a list, one entry.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct RequesterRule {
    #[serde(default)]
    pub(super) service_accounts: Vec<AccountPattern>,
    #[serde(default)]
    pub(super) usernames: Vec<UserPattern>,
    #[serde(default)]
    pub(super) groups: Vec<GroupName>,
    #[serde(default)]
    pub(super) access_review: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct NamesRule {
    #[serde(default)]
    pub(super) services: Vec<ServicePattern>,
    #[serde(default)]
    pub(super) service_check: ServiceCheck,
    #[serde(default)]
    pub(super) dns: Vec<DnsPattern>,
    #[serde(default)]
    pub(super) wildcards: Vec<WildcardPattern>,
    #[serde(default)]
    pub(super) ips: Vec<IpRange>,
    #[serde(default)]
    pub(super) uris: Vec<TextPattern>,
    #[serde(default)]
    pub(super) emails: Vec<TextPattern>,
    #[serde(default)]
    pub(super) max_names: MaxNames,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
pub(super) enum ServiceCheck {
    /// The Service exists and selects the pod that asks.
    #[default]
    SelectsPod,
    /// The Service exists.
    Exists,
    None,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct SubjectRule {
    #[serde(default)]
    pub(super) common_name: CommonNameRule,
    #[serde(default)]
    pub(super) organizations: Vec<Organization>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
pub(super) enum CommonNameRule {
    /// None, or one of the request's own names.
    #[default]
    OneOfTheNames,
    Forbidden,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct UsagesRule {
    pub(super) allowed: Vec<UsageName>,
    #[serde(default)]
    pub(super) required: Vec<UsageName>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct LifetimeRule {
    pub(super) maximum: MaximumLifetime,
    #[serde(default)]
    pub(super) when_absent: WhenAbsent,
}

impl LifetimeRule {
    pub(super) fn maximum(&self) -> Duration {
        self.maximum.0
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
pub(super) enum WhenAbsent {
    #[default]
    Deny,
    /// The certificate gets the maximum.
    Maximum,
}

/// What is wrong with a rule as a whole.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum RuleError {
    #[error("the name {0:?} is not lower-case letters, digits, '-' and '.'")]
    Name(String),
    #[error("rule {0}: requester says nobody: give serviceAccounts, usernames or groups")]
    Nobody(String),
    #[error(
        "rule {0}: nobody is both a service account and another user: write two rules, one with \
         serviceAccounts and one with usernames"
    )]
    TwoKinds(String),
    #[error("rule {0}: {1} is empty, so nothing would ever be allowed")]
    Empty(String, &'static str),
    #[error("rule {0}: the usage {1:?} is required but not allowed")]
    NotAllowed(String, &'static str),
    #[error(
        "rule {0}: only a pod can be selected by a Service, and users are none: set serviceCheck \
         to Exists or None"
    )]
    UsersAreNoPods(String),
}

impl TryFrom<UncheckedRule> for Rule {
    type Error = RuleError;

    fn try_from(rule: UncheckedRule) -> Result<Self, Self::Error> {
        let name = || rule.name.clone();
        if !is_subdomain(&rule.name) {
            return Err(RuleError::Name(name()));
        }
        let requester = &rule.requester;
        let (accounts, users) = (&requester.service_accounts, &requester.usernames);
        if accounts.is_empty() && users.is_empty() && requester.groups.is_empty() {
            return Err(RuleError::Nobody(name()));
        }
        if !accounts.is_empty() && !users.is_empty() {
            return Err(RuleError::TwoKinds(name()));
        }
        let names = &rule.names;
        let no_names = names.services.is_empty()
            && names.dns.is_empty()
            && names.wildcards.is_empty()
            && names.ips.is_empty()
            && names.uris.is_empty()
            && names.emails.is_empty();
        for (empty, field) in [
            (no_names, "names"),
            (rule.usages.allowed.is_empty(), "usages.allowed"),
            (rule.keys.is_empty(), "keys"),
        ] {
            if empty {
                return Err(RuleError::Empty(name(), field));
            }
        }
        let usages = &rule.usages;
        if let Some(usage) = usages
            .required
            .iter()
            .find(|usage| !usages.allowed.contains(usage))
        {
            return Err(RuleError::NotAllowed(name(), usage.0.name()));
        }
        let selects = names.service_check == ServiceCheck::SelectsPod;
        if !users.is_empty() && !names.services.is_empty() && selects {
            return Err(RuleError::UsersAreNoPods(name()));
        }
        Ok(Self(rule))
    }
}

/// The policy for webhooks that certtool ships.
pub const DEFAULT_POLICY: &str = include_str!("default.yaml");

impl Policy {
    /// Reads a policy file: one YAML (or JSON) document.
    ///
    /// # Errors
    /// [`PolicyError`], with the line, and what was probably meant.
    pub fn from_yaml(text: &str) -> Result<Self, PolicyError> {
        serde_yaml::from_str(text).map_err(|error| PolicyError::of(&error))
    }

    /// The shipped policy for webhooks ([`DEFAULT_POLICY`]), for these signers.
    ///
    /// # Errors
    /// When a signer's name is none.
    pub fn for_webhooks(signer_names: &[&str]) -> Result<Self, PolicyError> {
        let plain = |error: String| PolicyError::plain(error);
        let Self(mut document) = Self::from_yaml(DEFAULT_POLICY)?;
        document.signer_names = signer_names
            .iter()
            .map(|name| SignerName::try_from((*name).to_owned()))
            .collect::<Result<_, _>>()
            .map_err(|error| plain(error.to_string()))?;
        Self::try_from(document).map_err(|error| plain(error.to_string()))
    }

    /// What its rules may have to find out in the cluster.
    #[must_use]
    pub fn lookups(&self) -> Lookups {
        let mut lookups = Lookups::default();
        for Rule(rule) in &self.0.rules {
            lookups.access |= rule.requester.access_review;
            if !rule.names.services.is_empty() {
                let check = rule.names.service_check;
                lookups.services |= check != ServiceCheck::None;
                lookups.pods |= check == ServiceCheck::SelectsPod;
            }
        }
        lookups
    }

    /// The signers whose requests it decides about.
    pub fn signer_names(&self) -> impl Iterator<Item = &str> {
        self.0.signer_names.iter().map(|name| name.0.as_str())
    }
}

/// A policy within another file, which says itself what it is and for which signer.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct InlinePolicy {
    #[serde(default)]
    cluster_domain: ClusterDomain,
    #[serde(default)]
    other_requesters: OtherRequesters,
    rules: Vec<Rule>,
}

impl InlinePolicy {
    /// The policy for one signer.
    ///
    /// # Errors
    /// When the signer's name is none, or two rules have one name.
    pub fn for_signer(&self, signer_name: &str) -> Result<Policy, PolicyError> {
        let plain = |error: String| PolicyError::plain(error);
        let signer_name = SignerName::try_from(signer_name.to_owned())
            .map_err(|error| plain(error.to_string()))?;
        let document = Document {
            _api_version: ApiVersion::V1Alpha1,
            _kind: Kind::ApprovalPolicy,
            signer_names: vec![signer_name],
            cluster_domain: self.cluster_domain.clone(),
            other_requesters: self.other_requesters,
            rules: self.rules.clone(),
        };
        Policy::try_from(document).map_err(|error| plain(error.to_string()))
    }
}

/// What is wrong with a policy as a whole.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum DocumentError {
    #[error("signerNames is empty, so the policy is about nothing")]
    NoSigner,
    #[error("two rules have the name {0}")]
    RepeatedRule(String),
}

impl TryFrom<Document> for Policy {
    type Error = DocumentError;

    fn try_from(document: Document) -> Result<Self, Self::Error> {
        if document.signer_names.is_empty() {
            return Err(DocumentError::NoSigner);
        }
        let mut seen = BTreeSet::new();
        match document.rules.iter().find(|rule| !seen.insert(&rule.name)) {
            Some(rule) => Err(DocumentError::RepeatedRule(rule.name.clone())),
            None => Ok(Self(document)),
        }
    }
}
