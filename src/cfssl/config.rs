//! The signing config: `{"signing": {"default": …, "profiles": {…}}}`.

use super::error::Error;
use super::json::{Key, Node};
use super::profile::Profile;

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
        // What the server and other tools read, secrets among it, stays unread.
        let signing = top
            .get("signing")
            .ok_or_else(|| {
                document.value("there is no \"signing\": {\"default\": …, \"profiles\": …}")
            })?
            .object(SIGNING)?;
        let default = signing.get("default");
        let default_is_built_in = default.is_none();
        let default =
            default.map_or_else(|| Ok(Profile::built_in()), |node| Profile::read(node, None))?;
        let profiles = signing.get("profiles").map_or(Ok(Vec::new()), Node::map)?;
        let profiles = profiles
            .iter()
            .map(|(name, node)| {
                let mut profile = Profile::read(node, Some(name))?;
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
