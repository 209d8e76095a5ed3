//! The signing config: `{"signing": {"default": …, "profiles": {…}}}`.

use super::error::Error;
use super::json::{Key, Node};
use super::profile::{Names, Profile};

/// A signing config, all its profiles read.
#[derive(Debug, Clone)]
pub struct SigningConfig {
    pub(super) default: Profile,
    /// Whether the default is cfssl's own, for want of one in the text.
    pub(super) default_is_built_in: bool,
    /// In the order of the text; their names are in them.
    pub(super) profiles: Vec<Profile>,
}

const TOP: &[Key] = &[
    Key::AnyCase("signing"),
    Key::AnyCase("ocsp"),
    Key::AnyCase("auth_keys"),
    Key::AnyCase("remotes"),
];

const SIGNING: &[Key] = &[Key::AnyCase("default"), Key::AnyCase("profiles")];

impl SigningConfig {
    /// Reads a signing config. All profiles are checked, as cfssl does; one that needs
    /// what certtool does not do is an error only when it is asked for.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn parse(text: &str) -> Result<Self, Error> {
        let document = Node::parse(text)?;
        let top = document.object(TOP)?;
        // Only the names: the values are secrets and other programs' business.
        let keys_of = |key| -> Result<Vec<String>, Error> {
            let members = top.get(key).map_or(Ok(Vec::new()), Node::map)?;
            Ok(members.into_iter().map(|(name, _)| name).collect())
        };
        let names = Names {
            auth_keys: keys_of("auth_keys")?,
            remotes: keys_of("remotes")?,
        };
        let signing = top
            .get("signing")
            .ok_or_else(|| {
                document.value("there is no \"signing\": {\"default\": …, \"profiles\": …}")
            })?
            .object(SIGNING)?;
        let default = signing.get("default");
        let default_is_built_in = default.is_none();
        let default = default.map_or_else(
            || Ok(Profile::built_in()),
            |node| Profile::read(node, None, &names),
        )?;
        let profiles = signing.get("profiles").map_or(Ok(Vec::new()), Node::map)?;
        let profiles = profiles
            .iter()
            .map(|(name, node)| {
                let mut profile = Profile::read(node, Some(name), &names)?;
                profile.complete_from(&default);
                Ok(profile)
            })
            .collect::<Result<_, _>>()?;
        Ok(Self {
            default,
            default_is_built_in,
            profiles,
        })
    }

    /// The profile of this name, or the default one for `None`.
    ///
    /// # Errors
    /// [`Error::UnknownProfile`], where cfssl would use the default;
    /// [`Error::Unsupported`] when it needs something that certtool does not do.
    pub fn profile(&self, name: Option<&str>) -> Result<&Profile, Error> {
        let profile = match name {
            None | Some("") => &self.default,
            Some(name) => match self.profiles.iter().find(|p| p.name() == Some(name)) {
                Some(profile) => profile,
                None if name == "default" => &self.default,
                None => {
                    return Err(Error::UnknownProfile {
                        name: name.to_owned(),
                        known: self.names().map(str::to_owned).collect(),
                    });
                }
            },
        };
        profile
            .unsupported
            .first()
            .map_or(Ok(profile), |error| Err(error.clone()))
    }

    /// The names of the profiles, in the order of the text, without the default.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.profiles.iter().filter_map(Profile::name)
    }

    /// The default profile, then the others.
    pub(super) fn all(&self) -> impl Iterator<Item = &Profile> {
        std::iter::once(&self.default).chain(&self.profiles)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECIPE: &str = r#"{"signing": {"default": {
        "usages": ["digital signature", "key encipherment", "server auth"],
        "expiry": "876000h", "ca_constraint": {"is_ca": false}}}}"#;

    fn error(text: &str) -> String {
        SigningConfig::parse(text).unwrap_err().to_string()
    }

    /// A config whose default profile has this in it besides.
    fn with(more: &str) -> String {
        format!(
            "{{\"signing\": {{\"default\": {{\"usages\": [\"any\"], \"expiry\": \"1h\",\n{more}}}}}}}"
        )
    }

    #[test]
    fn the_recipe_s_config_is_read() {
        let config = SigningConfig::parse(RECIPE).unwrap();
        for name in [None, Some(""), Some("default")] {
            assert_eq!(config.profile(name).unwrap().name(), None);
        }
        let error = config.profile(Some("server")).unwrap_err().to_string();
        assert!(
            error.contains("\"server\"") && error.contains("default"),
            "{error}"
        );
    }

    #[test]
    fn a_profile_takes_from_the_default_what_it_leaves_out() {
        let config = SigningConfig::parse(
            r#"{"signing": {
                "default": {"usages": ["any"], "expiry": "2h", "crl_url": "http://c", "issuer_urls": ["http://i"],
                            "backdate": "1h", "ocsp_no_check": true},
                "profiles": {"a": {"usages": ["server auth"], "expiry": "0s"},
                             "b": {"usages": ["server auth"], "expiry": "1h", "issuer_urls": [], "crl_url": "http://d"}}}}"#,
        )
        .unwrap();
        assert_eq!(config.names().collect::<Vec<_>>(), ["a", "b"]);
        let a = config.profile(Some("a")).unwrap();
        assert_eq!(a.expiry, time::Duration::hours(2));
        assert_eq!(a.backdate, crate::pki::BACKDATE, "not the default's");
        assert_eq!(a.crl_url.as_deref(), Some("http://c"));
        assert_eq!(a.issuer_urls.as_deref(), Some(&["http://i".to_owned()][..]));
        assert!(!a.ocsp_no_check, "not the default's");
        let b = config.profile(Some("b")).unwrap();
        assert_eq!(
            b.issuer_urls.as_deref(),
            Some(&[][..]),
            "empty is not left out"
        );
        assert_eq!(b.crl_url.as_deref(), Some("http://d"));
    }

    #[test]
    fn what_cfssl_drops_is_an_error_with_its_place() {
        for (more, expected) in [
            (
                "\"usage\": []",
                "signing.default.usage, line 2, column 1: unknown key; did you mean \"usages\"?",
            ),
            ("\"Expiry\": 5", "did you mean \"expiry\"?"),
            (
                "\"backdate\": \"1d\"",
                "signing.default.backdate, line 2, column 13: \"1d\" is not a duration",
            ),
            ("\"not_before\": \"2026-01-01\"", "2026-01-31T00:00:00Z"),
            (
                "\"not_before\": \"2026-01-02T00:00:00Z\", \"not_after\": \"2026-01-01T00:00:00Z\"",
                "before",
            ),
            ("\"name_whitelist\": \"(\"", "not a regular expression"),
            (
                "\"ca_constraint\": {\"is_ca\": true, \"max_path_len\": 256}",
                "between 0 and 255",
            ),
            (
                "\"ca_constraint\": {\"is_ca\": \"yes\"}",
                "expected true or false, found a string",
            ),
            ("\"policies\": [{\"id\": \"1\"}]", "policies[0].id"),
            ("\"CSRWhitelist\": {\"Subject\": true}", "PublicKey"),
            ("\"auth_key\": \"k\"", "\"auth_keys\" has no \"k\""),
            ("\"lint_error_level\": 3", "expected a string"),
        ] {
            let error = error(&with(more));
            assert!(error.contains(expected), "{more}: {error}");
        }
        for (text, expected) in [
            ("{}", "there is no \"signing\""),
            (
                r#"{"signing": {"default": {"expiry": ""}}}"#,
                "needs an \"expiry\"",
            ),
            (
                r#"{"signing": {"default": {"expiry": "0s"}}}"#,
                "longer than zero",
            ),
            (
                r#"{"signing": {"profiles": {"a": {"expiry": "1h"}}}}"#,
                "needs \"usages\"",
            ),
            (
                r#"{"signing": {"profiles": {"a": null}}}"#,
                "signing.profiles.a",
            ),
            (
                r#"{"signing": {"profiles": {"a": {"expiry": "1h", "usages": ["server_auth"]}}}}"#,
                "signing.profiles.a.usages[0], line 1, column 60: unknown usage \"server_auth\"; did you mean \"server auth\"?",
            ),
        ] {
            let error = error(text);
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    #[test]
    fn a_profile_for_other_tools_stops_only_those_who_ask_for_it() {
        let secret = "0123456789abcdef";
        let text = format!(
            r#"{{"auth_keys": {{"k": {{"type": "standard", "key": "{secret}"}}}}, "remotes": {{"r": "host:1"}},
                "signing": {{"default": {{"usages": ["any"], "expiry": "1h"}}, "profiles": {{
                "auth": {{"usages": ["any"], "expiry": "1h", "auth_key": "k"}},
                "remote": {{"remote": "r"}},
                "ct": {{"usages": ["any"], "expiry": "1h", "ct_log_servers": ["x"]}}}}}}}}"#
        );
        let config = SigningConfig::parse(&text).unwrap();
        config.profile(None).unwrap();
        for (name, feature) in [
            ("auth", "auth_key"),
            ("remote", "remote"),
            ("ct", "ct_log_servers"),
        ] {
            let error = config.profile(Some(name)).unwrap_err().to_string();
            assert!(
                error.contains(&format!("{feature} is not supported")),
                "{error}"
            );
        }
        assert!(!format!("{config:?}").contains(secret));
        let broken = text.replace("\"remotes\"", "\"remote\"");
        assert!(!error(&broken).contains(secret));
    }
}
