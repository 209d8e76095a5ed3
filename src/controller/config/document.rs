//! The file's fields and their defaults.

mod whole;

use std::path::PathBuf;

use serde::Deserialize;
use time::Duration;

use super::selector::Selector;
use super::value::{algorithm, fraction, optional_span, span};
use crate::namespaced::NamespacedName;
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
