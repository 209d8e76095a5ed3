//! The file's fields, their defaults, and what is refused in it as a whole.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde::Deserialize;
use time::Duration;

use super::selector::Selector;
use super::value::{algorithm, fraction, optional_span, span};
use crate::namespaced::{NamespacedName, is_name};
use crate::pki::{KeyAlgorithm, Usage};
use crate::policy::{InlinePolicy, Key, MaximumLifetime, Policy, SignerName, UsageName};

/// What the controller is to do. A value of this type has passed every check.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(try_from = "Document")]
pub struct Config {
    /// The signers, each with its authority, policy and limits.
    pub signers: Vec<Signer>,
    /// What the injector does.
    pub injection: Injection,
    /// Events.
    pub observability: Observability,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Document {
    #[serde(rename = "apiVersion")]
    _api_version: ApiVersion,
    #[serde(rename = "kind")]
    _kind: Kind,
    #[serde(default)]
    signers: Vec<Signer>,
    #[serde(default)]
    injection: Injection,
    #[serde(default)]
    observability: Observability,
}

#[derive(Debug, Clone, Copy, Deserialize)]
enum ApiVersion {
    #[serde(rename = "certtool.dev/v1alpha1")]
    V1Alpha1,
}

#[derive(Debug, Clone, Copy, Deserialize)]
enum Kind {
    ControllerConfig,
}

/// One signer.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(try_from = "UncheckedSigner")]
pub struct Signer {
    pub(super) name: SignerName,
    /// The CA that signs.
    pub authority: AuthoritySource,
    /// Whether requests are approved and denied, or only signed once others approve them.
    pub approve: bool,
    pub(super) policy: Policy,
    /// What a certificate may say, whoever approved its request.
    pub limits: Limits,
    pub(super) wait_for_objects: Duration,
    /// Where the trust bundle is published for clients.
    pub trust_bundle: Option<TrustBundle>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct UncheckedSigner {
    name: SignerName,
    authority: AuthoritySource,
    #[serde(default = "yes")]
    approve: bool,
    policy: Option<InlinePolicy>,
    #[serde(default)]
    limits: Limits,
    #[serde(default, deserialize_with = "optional_span")]
    wait_for_objects: Option<Duration>,
    trust_bundle: Option<TrustBundle>,
}

/// Where a signer's CA comes from.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(try_from = "UncheckedAuthority")]
pub enum AuthoritySource {
    /// A Secret that certtool makes and rotates.
    Managed(Managed),
    /// A Secret of somebody else's: `tls.crt`, `tls.key`.
    Secret(NamespacedName),
    /// Files of somebody else's, such as a mounted Secret.
    Files {
        /// The CA's certificate; its chain may follow it.
        certificate: PathBuf,
        /// Its private key.
        key: PathBuf,
    },
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct UncheckedAuthority {
    managed: Option<Managed>,
    secret: Option<NamespacedName>,
    files: Option<Files>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Files {
    certificate: PathBuf,
    key: PathBuf,
}

/// A CA that certtool makes and rotates.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Managed {
    /// The Secret that holds it.
    pub secret: NamespacedName,
    /// The life of a CA.
    #[serde(default = "one_year", deserialize_with = "span")]
    pub life: Duration,
    /// The fraction of its life after which it is replaced; two thirds unless given.
    #[serde(default, deserialize_with = "fraction")]
    pub rotate_at: Option<f64>,
    /// The algorithm of its key.
    #[serde(default, deserialize_with = "algorithm")]
    pub algorithm: Option<KeyAlgorithm>,
    /// From the read-back of a new CA to its first signature.
    #[serde(default, deserialize_with = "optional_span")]
    pub settle: Option<Duration>,
    /// DNS subtrees that the CA is limited to.
    #[serde(default)]
    pub permitted_dns: Vec<String>,
}

/// What a certificate may say, whoever approved its request.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Limits {
    #[serde(default = "thirty_days")]
    pub(super) maximum: MaximumLifetime,
    #[serde(default)]
    pub(super) default: Option<MaximumLifetime>,
    #[serde(default = "all_keys")]
    pub(super) keys: Vec<Key>,
    #[serde(default = "serving")]
    pub(super) usages: Vec<UsageName>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            maximum: thirty_days(),
            default: None,
            keys: all_keys(),
            usages: serving(),
        }
    }
}

/// Where clients find what to trust.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TrustBundle {
    /// The ConfigMap's name, the same in every namespace.
    pub config_map: String,
    /// Its key.
    #[serde(default = "ca_crt")]
    pub key: String,
    /// The namespaces.
    pub namespaces: Vec<String>,
}

impl TrustBundle {
    /// `NAMESPACE/NAME KEY` of each entry.
    fn entries(&self) -> impl Iterator<Item = String> {
        self.namespaces
            .iter()
            .map(|namespace| format!("{namespace}/{} {}", self.config_map, self.key))
    }
}

/// `staging/src/k8s.io/apimachinery/pkg/util/validation/validation.go`, `IsConfigMapKey`
fn is_key(text: &str) -> bool {
    let letter = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    !text.is_empty()
        && text.len() <= 253
        && text.bytes().all(letter)
        && text != "."
        && !text.starts_with("..")
}

/// What the injector does.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Injection {
    /// Whether objects choose their CA by certtool's annotations.
    #[serde(default)]
    pub annotations: bool,
    /// Whether objects choose their CA by cert-manager's annotations.
    #[serde(default)]
    pub cert_manager_annotations: bool,
    /// Objects that this file chooses.
    #[serde(default)]
    pub targets: Vec<Target>,
    /// How often each object and each Secret is looked at though nothing has changed.
    #[serde(default = "ten_minutes", deserialize_with = "span")]
    pub check_every: Duration,
}

impl Injection {
    /// Whether anything is injected at all.
    #[must_use]
    pub fn is_wanted(&self) -> bool {
        self.annotations || self.cert_manager_annotations || !self.targets.is_empty()
    }
}

impl Default for Injection {
    fn default() -> Self {
        Self {
            annotations: false,
            cert_manager_annotations: false,
            targets: Vec::new(),
            check_every: ten_minutes(),
        }
    }
}

/// Objects that get the bundle of a signer or of a Secret.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "UncheckedTarget")]
pub struct Target {
    /// Their kind.
    pub kind: TargetKind,
    /// Their names; all of the kind if empty and a selector is given.
    pub names: Vec<String>,
    /// A label selector.
    pub selector: Option<Selector>,
    /// What they are to trust.
    pub source: BundleSource,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct UncheckedTarget {
    kind: TargetKind,
    #[serde(default)]
    names: Vec<String>,
    selector: Option<Selector>,
    signer: Option<SignerName>,
    secret: Option<NamespacedName>,
}

/// A kind that carries a `caBundle`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[allow(missing_docs)] // they are Kubernetes' own names
pub enum TargetKind {
    MutatingWebhookConfiguration,
    ValidatingWebhookConfiguration,
    CustomResourceDefinition,
    #[serde(rename = "APIService")]
    ApiService,
}

/// What a target is to trust.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BundleSource {
    /// The bundle of a signer of this file.
    Signer(String),
    /// `ca.crt` of a Secret.
    Secret(NamespacedName),
}

/// What the controller says about itself beyond metrics and logs.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Observability {
    /// Whether Events are written on the objects concerned.
    #[serde(default = "yes")]
    pub events: bool,
}

impl Default for Observability {
    fn default() -> Self {
        Self { events: true }
    }
}

fn yes() -> bool {
    true
}

fn ten_minutes() -> Duration {
    Duration::minutes(10)
}

fn ca_crt() -> String {
    "ca.crt".to_owned()
}

fn one_year() -> Duration {
    Duration::days(365)
}

fn thirty_days() -> MaximumLifetime {
    MaximumLifetime(Duration::days(30))
}

fn all_keys() -> Vec<Key> {
    use KeyAlgorithm as A;
    [
        A::EcdsaP256,
        A::EcdsaP384,
        A::EcdsaP521,
        A::Ed25519,
        A::Rsa2048,
        A::Rsa3072,
        A::Rsa4096,
    ]
    .map(Key)
    .to_vec()
}

fn serving() -> Vec<UsageName> {
    Usage::SERVING.map(UsageName).to_vec()
}

/// How long a request waits for its Service and pod unless the file says otherwise.
const WAIT: Duration = Duration::minutes(5);
/// An undecided request is deleted by the API server's garbage collector after a day.
const LONGEST_WAIT: Duration = Duration::hours(12);

/// What is wrong with a part of the file as a whole.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum WholeError {
    #[error("the file has neither signers nor injection, so there is nothing to do")]
    Nothing,
    #[error("two signers have the name {0}")]
    RepeatedSigner(String),
    #[error("the signers {0} and {1} share the Secret {2}: each rotates a CA of its own")]
    SharedSecret(String, String, NamespacedName),
    #[error("signer {0}: {1}")]
    Policy(String, String),
    #[error("signer {0}: approve is false, so that its policy would decide nothing")]
    PolicyUnused(String),
    #[error("signer {0}: limits.default is longer than limits.maximum")]
    DefaultLife(String),
    #[error("signer {0}: limits.{1} is empty, so nothing would ever be signed")]
    Empty(String, &'static str),
    #[error("signer {0}: waitForObjects is longer than 12h")]
    Wait(String),
    #[error("signer {0}, managed: {1}")]
    Managed(String, String),
    #[error("an authority is one of managed, secret and files: give exactly one")]
    Authority,
    #[error("trustBundle: {0:?} is not a name of an object")]
    Name(String),
    #[error("trustBundle: no namespaces, so it would be published nowhere")]
    NoNamespace,
    #[error("trustBundle: {0:?} is not a key of a ConfigMap: letters, digits, `-`, `_` and `.`")]
    Key(String),
    #[error("the signers {0} and {1} publish into the same entry {2}: each needs its own")]
    SharedEntry(String, String, String),
    #[error("a target has either a signer or a secret: give exactly one")]
    Source,
    #[error("a target has names or a selector: give exactly one")]
    Selection,
    #[error("injection.checkEvery is shorter than 1s")]
    CheckEvery,
    #[error("a target takes the bundle of signer {0}, which is not in this file")]
    UnknownSigner(String),
}

impl TryFrom<UncheckedAuthority> for AuthoritySource {
    type Error = WholeError;

    fn try_from(authority: UncheckedAuthority) -> Result<Self, WholeError> {
        match (authority.managed, authority.secret, authority.files) {
            (Some(managed), None, None) => Ok(Self::Managed(managed)),
            (None, Some(secret), None) => Ok(Self::Secret(secret)),
            (None, None, Some(Files { certificate, key })) => Ok(Self::Files { certificate, key }),
            _ => Err(WholeError::Authority),
        }
    }
}

impl TryFrom<UncheckedTarget> for Target {
    type Error = WholeError;

    fn try_from(target: UncheckedTarget) -> Result<Self, WholeError> {
        let source = match (target.signer, target.secret) {
            (Some(signer), None) => BundleSource::Signer(signer.0),
            (None, Some(secret)) => BundleSource::Secret(secret),
            _ => return Err(WholeError::Source),
        };
        if target.names.is_empty() == target.selector.is_none() {
            return Err(WholeError::Selection);
        }
        Ok(Self {
            kind: target.kind,
            names: target.names,
            selector: target.selector,
            source,
        })
    }
}

impl TryFrom<UncheckedSigner> for Signer {
    type Error = WholeError;

    fn try_from(signer: UncheckedSigner) -> Result<Self, WholeError> {
        let name = signer.name.0.clone();
        let policy = match &signer.policy {
            Some(_) if !signer.approve => return Err(WholeError::PolicyUnused(name)),
            Some(policy) => policy.for_signer(&name),
            None => Policy::for_webhooks(&[&name]),
        };
        let policy = policy.map_err(|error| WholeError::Policy(name.clone(), error.to_string()))?;
        let limits = &signer.limits;
        if limits.default_life() > limits.maximum() {
            return Err(WholeError::DefaultLife(name));
        }
        for (empty, field) in [
            (limits.keys.is_empty(), "keys"),
            (limits.usages.is_empty(), "usages"),
        ] {
            if empty {
                return Err(WholeError::Empty(name, field));
            }
        }
        let wait_for_objects = signer.wait_for_objects.unwrap_or(WAIT);
        if wait_for_objects > LONGEST_WAIT {
            return Err(WholeError::Wait(name));
        }
        if let AuthoritySource::Managed(managed) = &signer.authority {
            managed
                .settings(limits.maximum())
                .map_err(|error| WholeError::Managed(name.clone(), error.to_string()))?;
        }
        if let Some(bundle) = &signer.trust_bundle {
            let names = std::iter::once(&bundle.config_map).chain(&bundle.namespaces);
            if let Some(wrong) = names.into_iter().find(|name| !is_name(name)) {
                return Err(WholeError::Name(wrong.clone()));
            }
            if bundle.namespaces.is_empty() {
                return Err(WholeError::NoNamespace);
            }
            if !is_key(&bundle.key) {
                return Err(WholeError::Key(bundle.key.clone()));
            }
        }
        Ok(Self {
            name: signer.name,
            authority: signer.authority,
            approve: signer.approve,
            policy,
            limits: signer.limits,
            wait_for_objects,
            trust_bundle: signer.trust_bundle,
        })
    }
}

impl TryFrom<Document> for Config {
    type Error = WholeError;

    fn try_from(document: Document) -> Result<Self, WholeError> {
        let Document {
            signers, injection, ..
        } = document;
        if signers.is_empty() && !injection.is_wanted() {
            return Err(WholeError::Nothing);
        }
        let mut seen = BTreeSet::new();
        if let Some(twice) = signers.iter().find(|signer| !seen.insert(signer.name())) {
            return Err(WholeError::RepeatedSigner(twice.name().to_owned()));
        }
        let managed = |signer: &Signer| match &signer.authority {
            AuthoritySource::Managed(managed) => Some(managed.secret.clone()),
            _ => None,
        };
        for (index, signer) in signers.iter().enumerate() {
            let Some(secret) = managed(signer) else {
                continue;
            };
            let others = signers.iter().skip(index + 1);
            if let Some(other) = others
                .into_iter()
                .find(|other| managed(other).as_ref() == Some(&secret))
            {
                let (one, two) = (signer.name().to_owned(), other.name().to_owned());
                return Err(WholeError::SharedSecret(one, two, secret));
            }
        }
        let mut entries = BTreeMap::new();
        for signer in &signers {
            for entry in signer.trust_bundle.iter().flat_map(TrustBundle::entries) {
                if let Some(other) = entries.insert(entry.clone(), signer.name())
                    && other != signer.name()
                {
                    let (one, two) = (other.to_owned(), signer.name().to_owned());
                    return Err(WholeError::SharedEntry(one, two, entry));
                }
            }
        }
        if injection.check_every < Duration::SECOND {
            return Err(WholeError::CheckEvery);
        }
        for target in &injection.targets {
            if let BundleSource::Signer(name) = &target.source
                && !signers.iter().any(|signer| signer.name() == name)
            {
                return Err(WholeError::UnknownSigner(name.clone()));
            }
        }
        Ok(Self {
            signers,
            injection,
            observability: document.observability,
        })
    }
}
