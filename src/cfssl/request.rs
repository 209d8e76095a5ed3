//! The CSR JSON: `{"CN": …, "hosts": […], "names": […], "key": {…}, "ca": {…}}`.

use time::{Duration, OffsetDateTime};

use crate::pki::{
    Attribute, BACKDATE, CaConstraint, DistinguishedName, Grant, KeyAlgorithm, NameConstraints,
    San, Usage, Validity,
};

use super::error::{At, Error};
use super::hosts;
use super::json::{Key, Node, Object, closest};
use super::settings::{path_length, span};
use super::subject::{self, Parts};

/// A request for a key and a certificate, as cfssl's JSON describes it.
#[derive(Debug, Clone)]
pub struct CsrJson {
    at: At,
    common_name: String,
    subject: DistinguishedName,
    /// Whether every entry of `names` says something (`initca.validator`).
    has_names: bool,
    names: Vec<San>,
    key: KeyAlgorithm,
    ca: Option<CaSection>,
    crl: Option<(At, String)>,
}

/// The `ca` section: what a new root is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaSection {
    at: At,
    /// From `notBefore` to `notAfter`.
    pub expiry: Duration,
    /// From `notBefore` to the moment of signing.
    pub backdate: Duration,
    /// How many intermediate CAs may follow; `None`, cfssl's default, for any number.
    pub path_length: Option<u8>,
}

/// Five years of 365 days (`initca.CAPolicy`).
const CA_EXPIRY: Duration = Duration::hours(43_800);

const KEYS: &[Key] = &[
    Key::AnyCase("CN"),
    Key::AnyCase("names"),
    Key::AnyCase("hosts"),
    Key::AnyCase("key"),
    Key::AnyCase("ca"),
    Key::AnyCase("serialnumber"),
    Key::AnyCase("delegation_enabled"),
    Key::AnyCase("extensions"),
    Key::AnyCase("crl_url"),
];

const NAME: &[Key] = &[
    Key::AnyCase("C"),
    Key::AnyCase("ST"),
    Key::AnyCase("L"),
    Key::AnyCase("O"),
    Key::AnyCase("OU"),
    Key::AnyCase("E"),
    Key::AnyCase("SerialNumber"),
    Key::AnyCase("OID"),
];

const KEY: &[Key] = &[Key::AnyCase("algo"), Key::AnyCase("size")];

const CA: &[Key] = &[
    Key::AnyCase("pathlen"),
    Key::AnyCase("pathlenzero"),
    Key::AnyCase("expiry"),
    Key::AnyCase("backdate"),
];

impl CsrJson {
    /// Reads a CSR JSON.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn parse(text: &str) -> Result<Self, Error> {
        let document = Node::parse(text)?;
        let object = document.object(KEYS)?;
        let common_name = object.text("CN")?.map(|(text, _)| text).unwrap_or_default();
        let mut parts = Parts::default();
        let entries = object.get("names").map_or(Ok(Vec::new()), Node::list)?;
        let mut has_names = !entries.is_empty();
        for entry in &entries {
            has_names &= read_name(entry, &mut parts)?;
        }
        parts.push(Attribute::CommonName, common_name.clone());
        if let Some((serial, _)) = object.text("serialnumber")? {
            parts.push(Attribute::SerialNumber, serial);
        }
        let subject = parts.name();
        if let Some(attribute) = subject.misleading_attribute() {
            return Err(
                document.value(format!("the subject's {attribute} has a control character"))
            );
        }
        let names = object.get("hosts").map_or(Ok(Vec::new()), Node::list)?;
        let names = names
            .iter()
            .map(|host| hosts::read(&host.string()?).map_err(|problem| host.value(problem)))
            .collect::<Result<Vec<_>, Error>>()?;
        refuse_unsupported(&object)?;
        Ok(Self {
            at: document.at(),
            common_name,
            subject,
            has_names,
            names: hosts::in_order(names),
            key: object
                .get("key")
                .map_or(Ok(KeyAlgorithm::EcdsaP256), read_key)?,
            ca: object.get("ca").map(read_ca).transpose()?,
            crl: object.text("crl_url")?.map(|(url, node)| (node.at(), url)),
        })
    }

    /// The subject, byte for byte as cfssl writes it into a request.
    #[must_use]
    pub fn subject(&self) -> &DistinguishedName {
        &self.subject
    }

    /// The common name; empty when there is none.
    #[must_use]
    pub fn common_name(&self) -> &str {
        &self.common_name
    }

    /// The hosts as subject alternative names, in the order in which they are written.
    #[must_use]
    pub fn names(&self) -> &[San] {
        &self.names
    }

    /// The key to make.
    #[must_use]
    pub fn key_algorithm(&self) -> KeyAlgorithm {
        self.key
    }

    /// The `ca` section.
    #[must_use]
    pub fn ca(&self) -> Option<&CaSection> {
        self.ca.as_ref()
    }

    /// Refuses what has no place in a mere request, as `cfssl genkey` does.
    ///
    /// # Errors
    /// [`Error::Value`].
    pub fn check_for_request(&self) -> Result<(), Error> {
        let refused = |at: &At, key| {
            Err(Error::Value {
                at: at.clone(),
                problem: format!(
                    "{key:?} is for a new CA only (ca init); remove it to make a request"
                ),
            })
        };
        match (&self.ca, &self.crl) {
            (Some(ca), _) => refused(&ca.at, "ca"),
            (None, Some((at, _))) => refused(at, "crl_url"),
            (None, None) => Ok(()),
        }
    }

    /// What the root that `cfssl genkey -initca` makes says, signed at `now`.
    ///
    /// # Errors
    /// [`Error::Value`] without a common name and names, for a subject that would change
    /// on the way, or for dates that make no validity.
    pub fn root(&self, now: OffsetDateTime) -> Result<Grant, Error> {
        let value = |at: &At, problem: String| Error::Value {
            at: at.clone(),
            problem,
        };
        if self.common_name.is_empty() && !self.has_names {
            let problem = "a CA needs a \"CN\", or \"names\" each with one of C, ST, L, O and OU";
            return Err(value(&self.at, problem.to_owned()));
        }
        let subject = subject::as_signed(&self.subject)
            .map_err(|why| value(&self.at, format!("the subject cannot be a CA's: {why}")))?;
        let at = self.ca.as_ref().map_or(&self.at, |ca| &ca.at);
        let (expiry, backdate, path_length) =
            self.ca.as_ref().map_or((CA_EXPIRY, BACKDATE, None), |ca| {
                (ca.expiry, ca.backdate, ca.path_length)
            });
        let not_before = now.saturating_sub(backdate);
        let validity = Validity::new(not_before, not_before.saturating_add(expiry));
        if validity.not_before >= validity.not_after {
            return Err(value(at, "\"expiry\" must be longer than zero".to_owned()));
        }
        Ok(Grant {
            subject,
            // cfssl drops all but the addresses (`local.go`, `sign`).
            names: self
                .names
                .iter()
                .filter(|name| matches!(name, San::Ip(_)))
                .cloned()
                .collect(),
            usages: vec![Usage::CertSign, Usage::CrlSign],
            validity,
            ca: Some(CaConstraint { path_length }),
            name_constraints: NameConstraints::default(),
            crl_urls: self.crl.iter().map(|(_, url)| url.clone()).collect(),
            extensions: Vec::new(),
        })
    }
}

fn refuse_unsupported(object: &Object<'_>) -> Result<(), Error> {
    let unsupported = |node: &Node<'_>, feature, instead| {
        Err(Error::Unsupported {
            at: node.at(),
            feature,
            instead,
        })
    };
    if object.flag("delegation_enabled")?
        && let Some(node) = object.get("delegation_enabled")
    {
        return unsupported(
            node,
            "delegation_enabled",
            "delegated credentials are not issued; remove it",
        );
    }
    if let Some(node) = object.get("extensions")
        && !node.list()?.is_empty()
    {
        return unsupported(
            node,
            "extensions",
            "a request of certtool's asks for names alone; remove it",
        );
    }
    Ok(())
}

/// Adds one entry of `names`; whether it says something (`csr.IsNameEmpty`).
fn read_name(node: &Node<'_>, parts: &mut Parts) -> Result<bool, Error> {
    let object = node.object(NAME)?;
    let mut says_something = false;
    for (key, attribute) in [
        ("C", Attribute::Country),
        ("ST", Attribute::Province),
        ("L", Attribute::Locality),
        ("O", Attribute::Organization),
        ("OU", Attribute::OrganizationalUnit),
    ] {
        if let Some((text, _)) = object.text(key)? {
            says_something |= !text.trim().is_empty();
            parts.push(attribute, text);
        }
    }
    if let Some(oids) = object.get("OID") {
        for (key, value) in oids.map()? {
            let oid = key
                .parse()
                .map_err(|error: crate::pki::OidError| value.value(error.to_string()))?;
            parts.push_extra(
                &oid,
                if value.is_null() {
                    String::new()
                } else {
                    value.string()?
                },
            );
        }
    }
    if let Some((email, _)) = object.text("E")? {
        parts.push_extra(&Attribute::EmailAddress.oid(), email);
    }
    if let Some((_, serial)) = object.text("SerialNumber")? {
        return Err(Error::Unsupported {
            at: serial.at(),
            feature: "SerialNumber in names",
            instead: "cfssl ignores it; write \"serialnumber\" beside \"CN\"",
        });
    }
    Ok(says_something)
}

/// The key: ECDSA with 256 bits where nothing else is said, as `csr.NewKeyRequest`; but
/// RSA alone is 2048 bits, where cfssl takes the 256 for it and fails.
fn read_key(node: &Node<'_>) -> Result<KeyAlgorithm, Error> {
    let object = node.object(KEY)?;
    let algorithm = object.get("algo").map(Node::string).transpose()?;
    let size = object.get("size").map(Node::integer).transpose()?;
    match (algorithm.as_deref().unwrap_or("ecdsa"), size) {
        ("ecdsa", None | Some(256)) => Ok(KeyAlgorithm::EcdsaP256),
        ("ecdsa", Some(384)) => Ok(KeyAlgorithm::EcdsaP384),
        ("ecdsa", Some(521)) => Ok(KeyAlgorithm::EcdsaP521),
        ("ecdsa", Some(size)) => Err(node.value(format!(
            "there is no ECDSA key of {size} bits: use 256, 384 or 521"
        ))),
        ("rsa", None | Some(2048)) => Ok(KeyAlgorithm::Rsa2048),
        ("rsa", Some(3072)) => Ok(KeyAlgorithm::Rsa3072),
        ("rsa", Some(4096)) => Ok(KeyAlgorithm::Rsa4096),
        ("rsa", Some(8192)) => Ok(KeyAlgorithm::Rsa8192),
        ("rsa", Some(size)) if size < 2048 => Err(node.value(format!(
            "an RSA key of {size} bits is too weak: use 2048 or more"
        ))),
        ("rsa", Some(size)) => Err(node.value(format!(
            "RSA keys of {size} bits are not made: use 2048, 3072, 4096 or 8192"
        ))),
        ("ed25519", _) => Ok(KeyAlgorithm::Ed25519),
        (other, _) => {
            let meant = closest(other, ["ecdsa", "rsa", "ed25519"].into_iter());
            let meant =
                meant.map_or_else(String::new, |meant| format!("; did you mean {meant:?}?"));
            Err(node.value(format!(
                "unknown algorithm {other:?}: use ecdsa, rsa or ed25519{meant}"
            )))
        }
    }
}

fn read_ca(node: &Node<'_>) -> Result<CaSection, Error> {
    let object = node.object(CA)?;
    let length = object.get("pathlen");
    let number = length.map_or(Ok(0), Node::integer)?;
    let zero = object.flag("pathlenzero")?;
    Ok(CaSection {
        at: node.at(),
        expiry: span(&object, "expiry")?.unwrap_or(CA_EXPIRY),
        backdate: span(&object, "backdate")?
            .filter(|backdate| !backdate.is_zero())
            .unwrap_or(BACKDATE),
        path_length: path_length(length.unwrap_or(node), number, zero)?,
    })
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    const NOW: OffsetDateTime = datetime!(2026-11-21 12:00 UTC);

    fn parse(text: &str) -> CsrJson {
        CsrJson::parse(text).unwrap()
    }

    fn error(text: &str) -> String {
        CsrJson::parse(text).unwrap_err().to_string()
    }

    #[test]
    fn the_recipe_s_request_is_read() {
        let request = parse(
            r#"{"hosts": ["172.22.109.184", "hook.default.svc"], "CN": "hook.default.svc",
                "key": {"algo": "ecdsa", "size": 256}}"#,
        );
        assert_eq!(request.subject().to_string(), "CN=hook.default.svc");
        let names: Vec<_> = request.names().iter().map(ToString::to_string).collect();
        assert_eq!(names, ["DNS:hook.default.svc", "IP:172.22.109.184"]);
        assert_eq!(request.key_algorithm(), KeyAlgorithm::EcdsaP256);
        request.check_for_request().unwrap();
    }

    #[test]
    fn keys_are_those_of_cfssl_but_for_rsa_alone() {
        let key =
            |key: &str| CsrJson::parse(&format!("{{\"key\": {key}}}")).map(|r| r.key_algorithm());
        for (text, algorithm) in [
            ("null", KeyAlgorithm::EcdsaP256),
            ("{}", KeyAlgorithm::EcdsaP256),
            ("{\"size\": 384}", KeyAlgorithm::EcdsaP384),
            (
                "{\"algo\": \"ecdsa\", \"size\": 521}",
                KeyAlgorithm::EcdsaP521,
            ),
            ("{\"algo\": \"ed25519\"}", KeyAlgorithm::Ed25519),
            ("{\"algo\": \"rsa\"}", KeyAlgorithm::Rsa2048),
            ("{\"algo\": \"rsa\", \"size\": 8192}", KeyAlgorithm::Rsa8192),
        ] {
            assert_eq!(key(text), Ok(algorithm), "{text}");
        }
        for (text, expected) in [
            ("{\"algo\": \"rsa\", \"size\": 1024}", "too weak"),
            (
                "{\"algo\": \"rsa\", \"size\": 2560}",
                "2048, 3072, 4096 or 8192",
            ),
            ("{\"size\": 2048}", "256, 384 or 521"),
            ("{\"algo\": \"RSA\"}", "did you mean \"rsa\"?"),
            ("{\"algo\": \"\"}", "unknown algorithm"),
            (
                "{\"size\": \"256\"}",
                "key.size, line 1, column 18: expected a whole number, found a string",
            ),
        ] {
            let error = key(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    #[test]
    fn what_cfssl_drops_or_certtool_lacks_is_an_error_with_its_place() {
        for (text, expected) in [
            (
                r#"{"names": [{"SerialNumber": "1"}]}"#,
                "names[0].SerialNumber",
            ),
            (
                r#"{"names": [{"OID": {"1": "x"}}]}"#,
                "not an object identifier",
            ),
            (
                r#"{"names": [{"0": "x"}]}"#,
                "names[0].0, line 1, column 13: unknown key",
            ),
            (r#"{"host": ["a"]}"#, "did you mean \"hosts\"?"),
            (
                r#"{"hosts": ["a", "localhost:8080"]}"#,
                "hosts[1], line 1, column 17",
            ),
            (r#"{"hosts": [null]}"#, "expected a string, found null"),
            (r#"{"hosts": "a"}"#, "expected a list, found a string"),
            (r#"{"CN": "a\u0000b"}"#, "CN has a control character"),
            (
                r#"{"delegation_enabled": true}"#,
                "delegation_enabled is not supported",
            ),
            (
                r#"{"extensions": [{"Id": [1, 2]}]}"#,
                "extensions is not supported",
            ),
            (r#"{"ca": {"pathlen": -2}}"#, "between 0 and 255"),
            (r#"{"ca": {"expiry": "10y"}}"#, "did you mean 87600h?"),
        ] {
            let error = error(text);
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    #[test]
    fn a_root_has_the_defaults_of_cfssl() {
        let root = parse(r#"{"CN": "ca", "hosts": ["a", "10.0.0.1"]}"#)
            .root(NOW)
            .unwrap();
        assert_eq!(root.validity.not_before, NOW - BACKDATE);
        assert_eq!(root.validity.not_after, NOW - BACKDATE + CA_EXPIRY);
        assert_eq!(root.ca, Some(CaConstraint { path_length: None }));
        assert_eq!(root.names, [San::Ip("10.0.0.1".parse().unwrap())]);
        let ca = r#"{"CN": "ca", "crl_url": "http://c",
            "ca": {"pathlen": 0, "pathlenzero": true, "expiry": "1h", "backdate": "10m"}}"#;
        let root = parse(ca).root(NOW).unwrap();
        assert_eq!(root.validity.not_after, NOW + Duration::minutes(50));
        assert_eq!(
            root.ca,
            Some(CaConstraint {
                path_length: Some(0)
            })
        );
        assert_eq!(root.crl_urls, ["http://c"]);
        let error = parse(ca).check_for_request().unwrap_err().to_string();
        assert!(error.contains("\"ca\" is for a new CA"), "{error}");
    }

    #[test]
    fn a_root_needs_a_name_and_a_life() {
        for text in [
            "{}",
            r#"{"names": []}"#,
            r#"{"names": [{"O": "a"}, {"E": "a@b"}]}"#,
            r#"{"names": [{"O": " "}]}"#,
            r#"{"CN": "a", "ca": {"expiry": "-1h"}}"#,
            r#"{"CN": "a", "names": [{"OID": {"2.5.4.3": "a"}}, {"OID": {"2.5.4.3": "b"}}]}"#,
        ] {
            assert!(parse(text).root(NOW).is_err(), "{text}");
        }
        assert!(parse(r#"{"names": [{"O": "a"}]}"#).root(NOW).is_ok());
    }
}
