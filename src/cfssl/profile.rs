//! One signing profile, read and completed with what it takes from the default one.

use time::{Duration, OffsetDateTime};

use crate::pki::{BACKDATE, CaConstraint, Extension, Usage};

use super::error::{At, Error};
use super::json::{Key, Node, Object};
use super::policies;
use super::settings::{ca_constraint, instant, name_whitelist, span, usages};
use super::whitelist::NameWhitelist;

/// What a signing config says about certificates of one kind.
#[derive(Debug, Clone)]
pub struct Profile {
    pub(super) at: At,
    /// Its name; `None` for the default one.
    pub(super) name: Option<String>,
    pub(super) usages: Vec<Usage>,
    /// From `notBefore` to `notAfter`; zero until completed from the default.
    pub(super) expiry: Duration,
    pub(super) backdate: Duration,
    pub(super) not_before: Option<OffsetDateTime>,
    pub(super) not_after: Option<OffsetDateTime>,
    pub(super) ca: Option<CaConstraint>,
    pub(super) issuer_urls: Option<Vec<String>>,
    pub(super) ocsp_url: Option<String>,
    pub(super) crl_url: Option<String>,
    pub(super) ocsp_no_check: bool,
    pub(super) policies: Option<Extension>,
    pub(super) copy_extensions: Option<At>,
    pub(super) allow: Option<FromRequest>,
    pub(super) name_whitelist: Option<(At, NameWhitelist)>,
    pub(super) inert: Vec<Inert>,
    /// What stops it from being used; a config may hold profiles for other tools.
    pub(super) unsupported: Vec<Error>,
}

/// `CSRWhitelist`: what is taken from a request at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FromRequest {
    pub(super) subject: bool,
    pub(super) dns: bool,
    pub(super) ip: bool,
    pub(super) email: bool,
    pub(super) uri: bool,
}

/// A setting that changes nothing when `cfssl sign` signs with this profile.
#[derive(Debug, Clone)]
pub(super) struct Inert {
    pub(super) at: At,
    pub(super) why: &'static str,
}

/// What a profile may refer to in the rest of its config.
#[derive(Debug, Default)]
pub(super) struct Names {
    pub(super) auth_keys: Vec<String>,
    pub(super) remotes: Vec<String>,
}

impl Names {
    fn check_remote(&self, name: &str, node: &Node<'_>) -> Result<(), Error> {
        if self.remotes.iter().any(|remote| remote == name) {
            return Ok(());
        }
        Err(node.value(format!("\"remotes\" has no {name:?}")))
    }

    fn check_auth_key(&self, name: &str, node: &Node<'_>) -> Result<(), Error> {
        if self.auth_keys.iter().any(|key| key == name) {
            return Ok(());
        }
        Err(node.value(format!("\"auth_keys\" has no {name:?}")))
    }
}

/// The keys of `config.SigningProfile`. Go matches them in any case, except where a
/// field without a key has the same name (`Expiry`, `Backdate`).
const KEYS: &[Key] = &[
    Key::AnyCase("usages"),
    Key::AnyCase("issuer_urls"),
    Key::AnyCase("ocsp_url"),
    Key::AnyCase("crl_url"),
    Key::AnyCase("ca_constraint"),
    Key::AnyCase("ocsp_no_check"),
    Key::Exact("expiry"),
    Key::Exact("backdate"),
    Key::AnyCase("auth_key"),
    Key::AnyCase("copy_extensions"),
    Key::AnyCase("prev_auth_key"),
    Key::AnyCase("remote"),
    Key::AnyCase("not_before"),
    Key::AnyCase("not_after"),
    Key::AnyCase("name_whitelist"),
    Key::AnyCase("auth_remote"),
    Key::AnyCase("ct_log_servers"),
    Key::AnyCase("allowed_extensions"),
    Key::AnyCase("cert_store"),
    Key::AnyCase("lint_error_level"),
    Key::AnyCase("ignored_lints"),
    Key::AnyCase("ignored_lint_sources"),
    Key::AnyCase("policies"),
    Key::AnyCase("CSRWhitelist"),
    Key::AnyCase("ClientProvidesSerialNumbers"),
];

const CSR_WHITELIST: &[Key] = &[
    Key::AnyCase("Subject"),
    Key::AnyCase("PublicKeyAlgorithm"),
    Key::AnyCase("PublicKey"),
    Key::AnyCase("SignatureAlgorithm"),
    Key::AnyCase("DNSNames"),
    Key::AnyCase("IPAddresses"),
    Key::AnyCase("EmailAddresses"),
    Key::AnyCase("URIs"),
];

impl Profile {
    /// Its name; `None` for the default one.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// What a config without a default has (`config.DefaultConfig`).
    pub(super) fn built_in() -> Self {
        Self {
            at: At::default(),
            name: None,
            usages: vec![
                Usage::DigitalSignature,
                Usage::KeyEncipherment,
                Usage::ServerAuth,
                Usage::ClientAuth,
            ],
            expiry: Duration::hours(8760),
            backdate: BACKDATE,
            not_before: None,
            not_after: None,
            ca: None,
            issuer_urls: None,
            ocsp_url: None,
            crl_url: None,
            ocsp_no_check: false,
            policies: None,
            copy_extensions: None,
            allow: None,
            name_whitelist: None,
            inert: Vec::new(),
            unsupported: Vec::new(),
        }
    }

    pub(super) fn read(node: &Node<'_>, name: Option<&str>, names: &Names) -> Result<Self, Error> {
        let object = node.object(KEYS)?;
        let (ca, ca_inert) = ca_constraint(&object)?;
        let mut profile = Self {
            at: object.at().clone(),
            name: name.map(str::to_owned),
            usages: usages(&object)?,
            expiry: span(&object, "expiry")?.unwrap_or_default(),
            backdate: span(&object, "backdate")?
                .filter(|backdate| !backdate.is_zero())
                .unwrap_or(BACKDATE),
            not_before: instant(&object, "not_before")?,
            not_after: instant(&object, "not_after")?,
            ca,
            issuer_urls: object.get("issuer_urls").map(Node::strings).transpose()?,
            ocsp_url: object.text("ocsp_url")?.map(|(url, _)| url),
            crl_url: object.text("crl_url")?.map(|(url, _)| url),
            ocsp_no_check: object.flag("ocsp_no_check")?,
            policies: object.get("policies").map_or(Ok(None), policies::read)?,
            copy_extensions: object
                .flag("copy_extensions")?
                .then(|| object.get("copy_extensions").map(Node::at))
                .flatten(),
            allow: None,
            name_whitelist: name_whitelist(&object)?,
            inert: ca_inert,
            unsupported: Vec::new(),
        };
        profile.read_allowed(&object)?;
        profile.read_unsupported(&object, names)?;
        profile.check(&object)?;
        Ok(profile)
    }

    /// What a valid local profile has (`SigningProfile.populate`, `validProfile`).
    fn check(&self, object: &Object<'_>) -> Result<(), Error> {
        let is_remote = ["remote", "auth_remote"]
            .iter()
            .any(|key| object.get(key).is_some());
        if is_remote && !self.unsupported.is_empty() {
            return Ok(());
        }
        let problem = |problem: &str| {
            Err(Error::Value {
                at: object.at().clone(),
                problem: problem.to_owned(),
            })
        };
        if object.text("expiry")?.is_none() {
            return problem("a profile needs an \"expiry\", such as \"8760h\"");
        }
        if self.name.is_none() && self.expiry.is_zero() {
            return problem("the default profile needs an \"expiry\" longer than zero");
        }
        if self.name.is_some() && self.usages.is_empty() {
            return problem(
                "a profile needs \"usages\", such as [\"digital signature\", \"server auth\"]",
            );
        }
        if let (Some(from), Some(to)) = (self.not_before, self.not_after)
            && to < from
        {
            return problem("\"not_after\" lies before \"not_before\"");
        }
        Ok(())
    }

    fn read_allowed(&mut self, object: &Object<'_>) -> Result<(), Error> {
        let Some(node) = object.get("CSRWhitelist") else {
            return Ok(());
        };
        let list = node.object(CSR_WHITELIST)?;
        list.flag("PublicKeyAlgorithm")?;
        for needed in ["PublicKey", "SignatureAlgorithm"] {
            if !list.flag(needed)? {
                return Err(node.value(format!(
                    "no certificate can be made unless {needed:?} is true"
                )));
            }
        }
        self.allow = Some(FromRequest {
            subject: list.flag("Subject")?,
            dns: list.flag("DNSNames")?,
            ip: list.flag("IPAddresses")?,
            email: list.flag("EmailAddresses")?,
            uri: list.flag("URIs")?,
        });
        Ok(())
    }

    fn read_unsupported(&mut self, object: &Object<'_>, names: &Names) -> Result<(), Error> {
        let mut refuse = |node: &Node<'_>, feature, instead| {
            self.unsupported.push(Error::Unsupported {
                at: node.at(),
                feature,
                instead,
            });
        };
        let local = "certtool signs with a CA of its own only";
        if let Some((name, node)) = object.text("remote")? {
            names.check_remote(&name, node)?;
            refuse(node, "remote", local);
        }
        if let Some(node) = object.get("auth_remote") {
            let remote = node.object(&[Key::AnyCase("remote"), Key::AnyCase("auth_key")])?;
            if let Some((name, place)) = remote.text("remote")? {
                names.check_remote(&name, place)?;
                refuse(node, "auth_remote", local);
            } else if let Some((_, place)) = remote.text("auth_key")? {
                return Err(place.value("an auth_remote needs a \"remote\""));
            }
        }
        for key in ["auth_key", "prev_auth_key"] {
            if let Some((name, node)) = object.text(key)? {
                names.check_auth_key(&name, node)?;
                let instead = "it authenticates requests to cfssl's own server; remove it to sign here, or use another profile";
                refuse(node, key, instead);
            }
        }
        for key in ["ct_log_servers", "ignored_lints", "ignored_lint_sources"] {
            if let Some(node) = object.get(key)
                && !node.strings()?.is_empty()
            {
                let instead = "certtool neither logs certificates nor runs zlint; remove it";
                refuse(node, key, instead);
            }
        }
        if let Some((level, node)) = object.text("lint_error_level")? {
            match level.as_str() {
                "reserved" => {}
                "NA" | "NE" | "pass" | "info" | "warn" | "error" | "fatal" => {
                    let instead = "certtool does not run zlint; remove it";
                    refuse(node, "lint_error_level", instead);
                }
                _ => {
                    let problem = "it is none of zlint's: pass, info, warn, error, fatal";
                    return Err(node.value(problem));
                }
            }
        }
        if object.flag("ClientProvidesSerialNumbers")?
            && let Some(node) = object.get("ClientProvidesSerialNumbers")
        {
            let instead = "serial numbers are random";
            refuse(node, "ClientProvidesSerialNumbers", instead);
        }
        if let Some((_, node)) = object.text("cert_store")? {
            self.inert.push(Inert {
                at: node.at(),
                why: "cert_store has no effect: nothing is stored",
            });
        }
        if let Some(node) = object.get("allowed_extensions") {
            for item in node.list()? {
                policies::read_oid(&item)?;
            }
            self.inert.push(Inert {
                at: node.at(),
                why: "allowed_extensions has no effect: it is about extensions given to cfssl's server beside a request",
            });
        }
        Ok(())
    }

    /// Takes from the default profile what is not set here (`signer.FillTemplate`).
    pub(super) fn complete_from(&mut self, default: &Self) {
        if self.expiry.is_zero() {
            self.expiry = default.expiry;
        }
        if self.issuer_urls.is_none() {
            self.issuer_urls.clone_from(&default.issuer_urls);
        }
        if self.ocsp_url.is_none() {
            self.ocsp_url.clone_from(&default.ocsp_url);
        }
        if self.crl_url.is_none() {
            self.crl_url.clone_from(&default.crl_url);
        }
    }
}
