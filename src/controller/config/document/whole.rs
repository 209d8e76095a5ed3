//! What is refused in the file though each field by itself is right.

use std::collections::{BTreeMap, BTreeSet};

use time::Duration;

use super::{
    AuthoritySource, BundleSource, Config, Document, Files, Signer, Target, TrustBundle,
    UncheckedAuthority, UncheckedSigner, UncheckedTarget,
};
use crate::namespaced::{NamespacedName, is_name};
use crate::policy::Policy;

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

/// How long a request waits for its Service and pod unless the file says otherwise.
const WAIT: Duration = Duration::minutes(5);
/// An undecided request is deleted by the API server's garbage collector after a day.
const LONGEST_WAIT: Duration = Duration::hours(12);

/// What is wrong with a part of the file as a whole.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum WholeError {
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
