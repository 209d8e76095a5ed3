//! The configuration of the controller: one YAML file, checked as a whole before any of it is
//! in force.
//!
//! Pure: text in, values out. Unknown keys are errors with the line and what was probably
//! meant. A field that is left out has its documented default (`docs/reference/controller.md`).

mod document;
mod error;
mod selector;
mod value;

use time::Duration;

pub use document::{
    AuthoritySource, BundleSource, Config, Injection, Limits, Managed, Observability, Signer,
    Target, TargetKind, TrustBundle,
};
pub use error::ConfigError;
pub use selector::Selector;
pub use value::ValueError;

use crate::authority::{Settings, SettingsError};
use crate::injectable::Kind;
use crate::pki::{KeyAlgorithm, PublicKeyKind, Usage};
use crate::policy::Policy;

impl Config {
    /// Reads a configuration file: one YAML (or JSON) document.
    ///
    /// # Errors
    /// [`ConfigError`], with the line where it is known.
    pub fn from_yaml(text: &str) -> Result<Self, ConfigError> {
        serde_yaml::from_str(text).map_err(|error| ConfigError::of(&error))
    }
}

impl Signer {
    /// The signer's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name.0
    }

    /// What is approved: the policy of the file, or else the shipped one.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// How long a request waits for objects that would let it pass.
    #[must_use]
    pub fn wait_for_objects(&self) -> Duration {
        self.wait_for_objects
    }
}

impl Managed {
    /// How the CA rotates, for leaves of at most `leaf_life`.
    ///
    /// # Errors
    /// When the lives do not fit together.
    pub fn settings(&self, leaf_life: Duration) -> Result<Settings, SettingsError> {
        let mut settings = Settings::new(self.life, leaf_life)?;
        settings.rotate_at = self.rotate_at.unwrap_or(settings.rotate_at);
        settings.algorithm = self.algorithm.unwrap_or(settings.algorithm);
        settings.settle = self.settle.unwrap_or(settings.settle);
        settings
            .name_constraints
            .permitted_dns
            .clone_from(&self.permitted_dns);
        settings.check()?;
        Ok(settings)
    }
}

impl From<TargetKind> for Kind {
    fn from(kind: TargetKind) -> Self {
        match kind {
            TargetKind::MutatingWebhookConfiguration => Self::MutatingWebhookConfiguration,
            TargetKind::ValidatingWebhookConfiguration => Self::ValidatingWebhookConfiguration,
            TargetKind::CustomResourceDefinition => Self::CustomResourceDefinition,
            TargetKind::ApiService => Self::ApiService,
        }
    }
}

impl Limits {
    /// The longest life of a certificate.
    #[must_use]
    pub fn maximum(&self) -> Duration {
        self.maximum.0
    }

    /// The life of a certificate whose request asks for none; at most the maximum.
    #[must_use]
    pub fn default_life(&self) -> Duration {
        self.default.map_or(self.maximum.0, |default| default.0)
    }

    /// Whether a key may be certified.
    #[must_use]
    pub fn allows_key(&self, kind: &PublicKeyKind) -> bool {
        self.keys.iter().any(|key| key.is(kind))
    }

    /// The keys that may be certified.
    pub fn keys(&self) -> impl Iterator<Item = KeyAlgorithm> {
        self.keys.iter().map(|key| key.0)
    }

    /// The usages that may be certified.
    pub fn usages(&self) -> impl Iterator<Item = Usage> {
        self.usages.iter().map(|usage| usage.0)
    }
}

#[cfg(test)]
mod tests;
