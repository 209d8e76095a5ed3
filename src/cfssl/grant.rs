//! From a profile and a verified request to what the certificate will say.

use time::OffsetDateTime;

use crate::pki::{
    DistinguishedName, Extension, ExtensionError, Grant, NameConstraints, San, SanError, Validity,
    VerifiedCsr,
};

use super::hosts;
use super::profile::{FromRequest, Profile};
use super::subject;

/// Why a profile does not grant what a request asks for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GrantError {
    /// Only a default profile can be without; cfssl refuses to sign too.
    #[error("the default profile has no \"usages\", so that nothing can be signed with it")]
    NoUsages,
    /// The request wants to be a CA.
    #[error(
        "the request asks for a CA certificate (basic constraints CA:TRUE), and the profile has no ca_constraint.is_ca"
    )]
    AsksForCa,
    /// The subject is not one that cfssl would sign as it is.
    #[error("the request's subject ({subject}) cannot be signed: {why}")]
    Subject {
        /// The subject.
        subject: String,
        /// What is wrong with it.
        why: String,
    },
    /// A name that a certificate should not carry, or that cfssl would change or drop.
    #[error("the request's name {name} cannot be signed: {why}")]
    Name {
        /// The name.
        name: String,
        /// What is wrong with it.
        why: String,
    },
    /// The name whitelist has no room for a name.
    #[error("{0} does not match the profile's name_whitelist")]
    NotWhitelisted(String),
    /// An extension that `copy_extensions` would copy and that decides what the
    /// certificate is good for, or one that is not supported.
    #[error("the request asks for extension {oid}, {why}")]
    Extension {
        /// Its identifier.
        oid: String,
        /// Why it is refused.
        why: &'static str,
    },
    /// Host names given beside a request whose own names would be copied.
    #[error(
        "the profile's copy_extensions copies the request's own names, so that other hosts cannot be given"
    )]
    HostsAndCopy,
    /// The dates make no validity.
    #[error("the profile's dates make no validity: from {not_before} to {not_after}")]
    Dates {
        /// First instant.
        not_before: String,
        /// Last instant.
        not_after: String,
    },
    /// A URL or an extension that cannot be encoded.
    #[error("the profile cannot be signed with: {0}")]
    Encoding(#[from] ExtensionError),
}

/// cfssl copies this one of every request (`helpers.DelegationUsage`).
const DELEGATION_USAGE: &str = "1.3.6.1.4.1.44363.44";
/// id-ce-subjectAltName and id-ce-basicConstraints, read into fields of their own.
const SUBJECT_ALT_NAME: &str = "2.5.29.17";
const BASIC_CONSTRAINTS: &str = "2.5.29.19";
/// Certificate policies, authority and subject information access: the CA's to decide.
const CA_S_OWN: [&str; 4] = [
    "2.5.29.32",
    "2.5.29.36",
    "1.3.6.1.5.5.7.1.1",
    "1.3.6.1.5.5.7.1.11",
];

impl Profile {
    /// Whether anything at all can be signed with it.
    ///
    /// # Errors
    /// [`GrantError::NoUsages`].
    pub fn check_can_sign(&self) -> Result<(), GrantError> {
        if self.usages.is_empty() {
            return Err(GrantError::NoUsages);
        }
        Ok(())
    }

    /// What a certificate for `csr` says when it is signed at `now`; with `hosts`, these
    /// names take the place of the request's own.
    ///
    /// # Errors
    /// See [`GrantError`]; the request can never be signed with this profile.
    pub fn grant(
        &self,
        csr: &VerifiedCsr<'_>,
        hosts: &[San],
        now: OffsetDateTime,
    ) -> Result<Grant, GrantError> {
        self.check_can_sign()?;
        // A CSRWhitelist leaves the request's basic constraints behind.
        if csr.asks_for_ca && self.ca.is_none() && self.allow.is_none() {
            return Err(GrantError::AsksForCa);
        }
        let mut extensions = self.copied(csr, hosts)?;
        let subject = self.subject(csr)?;
        let mut names = self.names(csr, hosts)?;
        if let Some((_, list)) = &self.name_whitelist
            && let Some(name) =
                list.refused(subject.common_names().first().map(String::as_str), &names)
        {
            return Err(GrantError::NotWhitelisted(name));
        }
        if self.ca.is_some() {
            // `FillTemplate` takes all but the addresses from a CA.
            names.retain(|name| matches!(name, San::Ip(_)));
        }
        extensions.extend(self.own_extensions()?);
        Ok(Grant {
            subject,
            names,
            usages: self.usages.clone(),
            validity: self.validity(now)?,
            ca: self.ca,
            name_constraints: NameConstraints::default(),
            crl_urls: self.crl_url.iter().cloned().collect(),
            extensions,
        })
    }

    fn subject(&self, csr: &VerifiedCsr<'_>) -> Result<DistinguishedName, GrantError> {
        if self.allow.is_some_and(|allow| !allow.subject) {
            return Ok(DistinguishedName::empty());
        }
        subject::as_signed(&csr.subject).map_err(|why| GrantError::Subject {
            subject: csr.subject.to_string(),
            why,
        })
    }

    fn names(&self, csr: &VerifiedCsr<'_>, hosts: &[San]) -> Result<Vec<San>, GrantError> {
        let own = csr
            .names
            .iter()
            .filter(|name| self.allow.is_none_or(|allow| allow.lets(name)));
        let names: Vec<San> = if hosts.is_empty() {
            own.cloned().collect()
        } else {
            hosts.to_vec()
        };
        for name in &names {
            let refused = |why: String| GrantError::Name {
                name: name.to_string(),
                why,
            };
            name.check()
                .map_err(|error: SanError| refused(error.to_string()))?;
            if let San::Uri(uri) = name
                && !hosts::is_plain_uri(uri)
            {
                return Err(refused(
                    "cfssl would write this URI in another way".to_owned(),
                ));
            }
        }
        if self.copy_extensions.is_some() && self.allow.is_none() {
            // The extension is copied as it is, order and all.
            return Ok(names);
        }
        Ok(hosts::in_order(names))
    }

    /// The extensions that `copy_extensions` copies.
    fn copied(&self, csr: &VerifiedCsr<'_>, hosts: &[San]) -> Result<Vec<Extension>, GrantError> {
        let mut copied = Vec::new();
        for requested in &csr.extensions {
            let oid = requested.oid.to_string();
            let refused = |why| {
                Err(GrantError::Extension {
                    oid: oid.clone(),
                    why,
                })
            };
            if oid == DELEGATION_USAGE && self.allow.is_none() {
                return refused(
                    "which cfssl copies and certtool does not support (delegated credentials)",
                );
            }
            if self.copy_extensions.is_none() || self.allow.is_some() || oid == BASIC_CONSTRAINTS {
                continue;
            }
            if oid == SUBJECT_ALT_NAME {
                if !hosts.is_empty() {
                    return Err(GrantError::HostsAndCopy);
                }
                if self.ca.is_some() {
                    return refused("which copy_extensions would copy into a CA certificate");
                }
                continue;
            }
            if CA_S_OWN.contains(&oid.as_str()) {
                return refused("which is the CA's to decide and not copied");
            }
            match Extension::new(
                requested.oid.clone(),
                requested.critical,
                requested.value.clone(),
            ) {
                Ok(extension) => copied.push(extension),
                Err(_) => {
                    return refused(
                        "which decides what the certificate is good for, or is no DER, and is not copied",
                    );
                }
            }
        }
        Ok(copied)
    }

    /// The extensions of the profile, in the order of `FillTemplate`.
    fn own_extensions(&self) -> Result<Vec<Extension>, GrantError> {
        let mut extensions = Vec::new();
        let issuers = self.issuer_urls.as_deref().unwrap_or_default();
        if self.ocsp_url.is_some() || !issuers.is_empty() {
            extensions.push(Extension::authority_information_access(
                self.ocsp_url.as_slice(),
                issuers,
            )?);
        }
        extensions.extend(self.policies.clone());
        if self.ocsp_no_check {
            extensions.push(Extension::ocsp_no_check());
        }
        Ok(extensions)
    }

    /// `notBefore` is fixed or now less the backdate; `notAfter` is fixed or follows
    /// from it. cfssl rounds now to the minute, which can date a certificate forward;
    /// here it is the second.
    fn validity(&self, now: OffsetDateTime) -> Result<Validity, GrantError> {
        let not_before = self
            .not_before
            .unwrap_or_else(|| now.saturating_sub(self.backdate));
        let not_after = self
            .not_after
            .unwrap_or_else(|| not_before.saturating_add(self.expiry));
        let validity = Validity::new(not_before, not_after);
        if validity.not_before >= validity.not_after {
            return Err(GrantError::Dates {
                not_before: validity.not_before.to_string(),
                not_after: validity.not_after.to_string(),
            });
        }
        Ok(validity)
    }
}

impl FromRequest {
    fn lets(self, name: &San) -> bool {
        match name {
            San::Dns(_) => self.dns,
            San::Ip(_) => self.ip,
            San::Email(_) => self.email,
            San::Uri(_) => self.uri,
            // Reported as a name that is not issued.
            San::Other(_) => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use time::Duration;
    use time::macros::datetime;

    use super::*;
    use crate::cfssl::SigningConfig;
    use crate::pki::{Attribute, Csr, KeyAlgorithm, PrivateKey, create_csr};

    const NOW: OffsetDateTime = datetime!(2026-11-21 12:00:20 UTC);

    fn csr(names: &[San]) -> Csr {
        let key = PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap();
        let subject = DistinguishedName::from_rdns(&[
            vec![(Attribute::CommonName, "hook.svc".to_owned())],
            vec![(Attribute::Organization, "o".to_owned())],
        ]);
        Csr::from_pem(create_csr(&subject, names, &key).unwrap().as_bytes()).unwrap()
    }

    fn grant(more: &str, csr: &Csr, hosts: &[San]) -> Result<Grant, GrantError> {
        let text = format!(
            "{{\"signing\": {{\"default\": {{\"usages\": [\"server auth\"], \"expiry\": \"1h\"{more}}}}}}}"
        );
        let config = SigningConfig::parse(&text).unwrap();
        let profile = config.profile(None).unwrap();
        profile.grant(&csr.verified().unwrap(), hosts, NOW)
    }

    fn dns(name: &str) -> San {
        San::Dns(name.to_owned())
    }

    fn ip() -> San {
        San::Ip("10.0.0.1".parse().unwrap())
    }

    #[test]
    fn names_come_from_the_request_or_from_the_hosts() {
        let csr = csr(&[ip(), dns("a.svc")]);
        let granted = grant("", &csr, &[]).unwrap();
        assert_eq!(granted.names, [dns("a.svc"), ip()]);
        assert_eq!(granted.subject.to_string(), "O=o, CN=hook.svc");
        assert_eq!(granted.validity.not_before, NOW - Duration::minutes(5));
        assert_eq!(granted.validity.not_after, NOW + Duration::minutes(55));
        let other = grant("", &csr, &[dns("b")]).unwrap();
        assert_eq!(other.names, [dns("b")]);
        let copied = ", \"copy_extensions\": true";
        assert_eq!(
            grant(copied, &csr, &[]).unwrap().names,
            [ip(), dns("a.svc")]
        );
        let error = grant(copied, &csr, &[dns("b")]).unwrap_err();
        assert_eq!(error, GrantError::HostsAndCopy);
    }

    #[test]
    fn a_ca_keeps_its_addresses_alone() {
        let csr = csr(&[ip(), dns("a.svc")]);
        let granted = grant(", \"ca_constraint\": {\"is_ca\": true}", &csr, &[]).unwrap();
        assert_eq!(granted.names, [ip()]);
        assert!(granted.ca.is_some());
    }

    #[test]
    fn the_name_whitelist_holds_for_addresses_and_the_common_name() {
        let list = ", \"name_whitelist\": \"svc$\"";
        assert!(grant(list, &csr(&[dns("a.svc")]), &[]).is_ok());
        for (names, expected) in [
            (vec![ip()], "IP:10.0.0.1 does not match"),
            (vec![dns("a.com")], "DNS:a.com does not match"),
        ] {
            let error = grant(list, &csr(&names), &[]).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
        let error = grant(", \"name_whitelist\": \"^a\"", &csr(&[dns("a.svc")]), &[]).unwrap_err();
        assert_eq!(error, GrantError::NotWhitelisted("hook.svc".to_owned()));
    }

    #[test]
    fn a_csr_whitelist_lets_only_what_it_names_through() {
        let allow = ", \"CSRWhitelist\": {\"PublicKey\": true, \"SignatureAlgorithm\": true, \"DNSNames\": true}";
        let granted = grant(allow, &csr(&[ip(), dns("a.svc")]), &[]).unwrap();
        assert_eq!(granted.names, [dns("a.svc")]);
        assert!(granted.subject.is_empty());
    }

    #[test]
    fn dates_that_make_no_validity_are_refused() {
        for more in [
            ", \"not_after\": \"2026-01-01T00:00:00Z\"",
            ", \"not_before\": \"2026-01-01T00:00:00Z\", \"not_after\": \"2026-01-01T00:00:00Z\"",
        ] {
            let error = grant(more, &csr(&[dns("a")]), &[]).unwrap_err();
            assert!(matches!(error, GrantError::Dates { .. }), "{error}");
        }
    }
}
