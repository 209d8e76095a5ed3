//! What a signing config means here that it does not mean in cfssl, or that its author
//! may not have meant.

use time::Duration;

use super::config::SigningConfig;
use super::error::{At, Error};
use super::profile::Profile;
use crate::pki::Usage;

/// A remark about a signing config that is valid all the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lint {
    /// What it is about.
    pub at: At,
    /// The remark.
    pub message: String,
}

impl std::fmt::Display for Lint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.at, self.message)
    }
}

/// The remarks about `config`, the default profile first.
#[must_use]
pub fn lint(config: &SigningConfig) -> Vec<Lint> {
    let mut lints = Vec::new();
    let mut add = |at: &At, message: String| {
        lints.push(Lint {
            at: at.clone(),
            message,
        });
    };
    if config.default_is_built_in {
        let message = "there is no \"default\" profile: cfssl's own is used (digital signature, key encipherment, \
                       server auth, client auth; 8760h)";
        add(
            &At {
                line: 1,
                column: 1,
                ..At::default()
            },
            message.to_owned(),
        );
    }
    for profile in config.all() {
        for (at, message) in about(profile) {
            add(&at, message);
        }
    }
    lints
}

fn about(profile: &Profile) -> Vec<(At, String)> {
    let mut found: Vec<(At, String)> = Vec::new();
    for error in &profile.unsupported {
        if let Error::Unsupported {
            at,
            feature,
            instead,
        } = error
        {
            let message =
                format!("this profile cannot be used: {feature} is not supported: {instead}");
            found.push((at.clone(), message));
        }
    }
    for inert in &profile.inert {
        found.push((inert.at.clone(), inert.why.to_owned()));
    }
    if let Some((at, list)) = &profile.name_whitelist {
        let message = "name_whitelist is applied to IP addresses too; cfssl never looks at them";
        found.push((at.clone(), message.to_owned()));
        if list.is_unanchored() {
            let message = "name_whitelist matches anywhere in a name: begin it with ^ and end it with $ unless that is meant";
            found.push((at.clone(), message.to_owned()));
        }
    }
    if let Some(at) = &profile.copy_extensions {
        let message = "copy_extensions never copies usages, CA constraints, key identifiers, name constraints, policies \
                       and URLs: a request that asks for one is refused; cfssl lets it override the profile";
        found.push((at.clone(), message.to_owned()));
    }
    let mut whole = |message: &str| found.push((profile.at.clone(), message.to_owned()));
    if profile.ca.is_some() {
        whole(
            "ca_constraint.is_ca makes every certificate of this profile a CA; its DNS, e-mail and URI names are dropped",
        );
        if !profile.usages.contains(&Usage::CertSign) {
            whole("a CA without the usage \"cert sign\" can sign nothing");
        }
    } else if profile.usages.contains(&Usage::CertSign) {
        whole("the usage \"cert sign\" has no meaning without ca_constraint.is_ca");
    }
    if profile.name.is_none() && profile.usages.is_empty() {
        whole("the default profile has no \"usages\", so that nothing can be signed with it");
    }
    if profile.expiry > Duration::days(3650) && profile.not_after.is_none() {
        whole(
            "a certificate ends with its CA, however long \"expiry\" is; cfssl lets it outlive the CA",
        );
    }
    if profile.not_after.is_some() || profile.not_before.is_some() {
        whole(
            "\"not_before\" and \"not_after\" are the same for every certificate, whenever it is signed",
        );
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lints(text: &str) -> Vec<String> {
        let config = SigningConfig::parse(text).unwrap();
        lint(&config).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_plain_config_has_no_remarks() {
        let plain = r#"{"signing": {"default": {"usages": ["server auth"], "expiry": "8760h"}}}"#;
        assert_eq!(lints(plain), [""; 0]);
    }

    #[test]
    fn what_differs_or_surprises_is_remarked_on_at_its_place() {
        let found = lints(
            r#"{"auth_keys": {"k": {}}, "signing": {"profiles": {"a": {
                "usages": ["cert sign"], "expiry": "876000h", "name_whitelist": "example", "auth_key": "k",
                "copy_extensions": true, "allowed_extensions": ["1.2.3"], "cert_store": "x",
                "not_before": "2026-01-01T00:00:00Z", "ca_constraint": {"max_path_len": 1}}}}}"#,
        );
        for expected in [
            "line 1, column 1: there is no \"default\"",
            "signing.profiles.a.auth_key, line 2, column",
            "signing.profiles.a.ca_constraint, line 4",
            "allowed_extensions has no effect",
            "cert_store has no effect",
            "applied to IP addresses",
            "matches anywhere",
            "copy_extensions never copies usages",
            "no meaning without ca_constraint.is_ca",
            "however long \"expiry\"",
            "whenever it is signed",
        ] {
            assert!(
                found.iter().any(|lint| lint.contains(expected)),
                "{expected}\n{found:#?}"
            );
        }
        let ca = lints(
            r#"{"signing": {"default": {"expiry": "1h", "ca_constraint": {"is_ca": true}}}}"#,
        );
        assert_eq!(ca.len(), 3, "{ca:?}");
    }
}
