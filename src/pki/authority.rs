//! Authorities: a CA certificate with its key, and what they issue.

use time::{Duration, OffsetDateTime};

use super::assemble::{self, AssembleError, IssuerSide};
use super::certificate::hex;
use super::pem_blocks;
use super::{
    AuthorityError, AuthorityPemError, CaConstraint, Certificate, DistinguishedName, Grant,
    IssueError, NameConstraints, PrivateKey, PublicKey, Serial, Usage, Validity, check_size,
};

/// A CA certificate, the chain above it, and the key that belongs to it.
#[derive(Debug)]
pub struct Authority {
    /// The issuing certificate.
    certificate: Certificate,
    /// What certifies it, in order; empty for a root.
    above: Vec<Certificate>,
    key: PrivateKey,
    leaf_limit: Option<Duration>,
}

/// What a new self-signed CA is to be.
#[derive(Debug, Clone)]
pub struct CaSpec {
    /// The subject; not empty, since it becomes the issuer of every leaf.
    pub subject: DistinguishedName,
    /// The dates.
    pub validity: Validity,
    /// How many intermediate CAs may follow; `Some(0)` unless there is a reason.
    pub path_length: Option<u8>,
    /// Names that it may issue for.
    pub name_constraints: NameConstraints,
}

/// A certificate as issued, not read again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issued {
    der: Vec<u8>,
    /// The dates that it has.
    pub validity: Validity,
}

impl Issued {
    /// The DER encoding.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The PEM text, one block.
    #[must_use]
    pub fn to_pem(&self) -> String {
        pem_blocks::encode("CERTIFICATE", &self.der)
    }
}

impl From<AssembleError> for IssueError {
    fn from(error: AssembleError) -> Self {
        Self::Content(error.to_string())
    }
}

fn check_is_ca(certificate: &Certificate) -> Result<(), AuthorityError> {
    let subject = || certificate.subject.to_string();
    if certificate.ca.is_none() {
        return Err(AuthorityError::NotCa {
            subject: subject(),
            version: certificate.version,
        });
    }
    if !certificate.may_sign_certificates() {
        return Err(AuthorityError::MayNotSign(subject()));
    }
    Ok(())
}

/// Whether `next` certifies `child`: by name, and by its key.
fn check_link(child: &Certificate, next: &Certificate) -> Result<(), AuthorityError> {
    if child.issuer != next.subject {
        return Err(AuthorityError::Chain {
            child: child.subject.to_string(),
            issuer: child.issuer.to_string(),
            next: next.subject.to_string(),
        });
    }
    child
        .check_signed_by(next)
        .map_err(|why| AuthorityError::ChainSignature {
            child: child.subject.to_string(),
            next: next.subject.to_string(),
            why,
        })
}

impl Authority {
    /// An authority from PEM texts: the issuing certificate, its chain after it, and the key.
    /// Errors call the texts `cert_name` and `key_name`.
    ///
    /// # Errors
    /// See [`AuthorityPemError`].
    pub fn from_pem(
        cert: &[u8],
        cert_name: &str,
        key: &[u8],
        key_name: &str,
    ) -> Result<Self, AuthorityPemError> {
        let chain = Certificate::all_from_pem(cert).map_err(|source| {
            let cert = cert_name.to_owned();
            AuthorityPemError::Certificate { cert, source }
        })?;
        let key = PrivateKey::from_pem(key).map_err(|source| {
            let key = key_name.to_owned();
            AuthorityPemError::Key { key, source }
        })?;
        Self::new(chain, key).map_err(|source| AuthorityPemError::Pair {
            cert: cert_name.to_owned(),
            key: key_name.to_owned(),
            source: Box::new(source),
        })
    }

    /// An authority from a chain (the issuing certificate first) and its key.
    ///
    /// # Errors
    /// See [`AuthorityError`]. Dates are checked when it issues.
    pub fn new(chain: Vec<Certificate>, key: PrivateKey) -> Result<Self, AuthorityError> {
        let mut chain = chain.into_iter();
        let certificate = chain.next().ok_or(AuthorityError::Empty)?;
        let above: Vec<_> = chain.collect();
        if certificate.public_key != *key.public_key() {
            return Err(AuthorityError::KeyMismatch {
                subject: certificate.subject.to_string(),
                fingerprint: certificate.fingerprint(),
            });
        }
        check_is_ca(&certificate)?;
        let mut child = &certificate;
        for (below, next) in (1..).zip(&above) {
            check_is_ca(next)?;
            check_link(child, next)?;
            if let Some(allowed) = next.ca.and_then(|ca| ca.path_length)
                && usize::from(allowed) < below
            {
                return Err(AuthorityError::ChainPathLength {
                    subject: next.subject.to_string(),
                    allowed,
                    below,
                });
            }
            child = next;
        }
        Ok(Self {
            certificate,
            above,
            key,
            leaf_limit: None,
        })
    }

    /// The same authority, which from now on signs nothing that ends later than `limit` after
    /// it is signed: a CA that rotates has to know when the last of its leaves has ended.
    #[must_use]
    pub fn with_leaf_limit(mut self, limit: Option<Duration>) -> Self {
        self.leaf_limit = limit;
        self
    }

    /// The longest life that it gives, counted from the signature; `None` for its own.
    #[must_use]
    pub fn leaf_limit(&self) -> Option<Duration> {
        self.leaf_limit
    }

    /// The last instant of whatever it signs at `now`.
    #[must_use]
    pub fn latest_end(&self, now: OffsetDateTime) -> OffsetDateTime {
        let own = self.certificate.validity.not_after;
        self.leaf_limit
            .map_or(own, |limit| own.min(now.saturating_add(limit)))
    }

    /// A new self-signed authority.
    ///
    /// # Errors
    /// [`AuthorityError::Creation`].
    pub fn self_signed(
        spec: &CaSpec,
        key: PrivateKey,
        serial: Serial,
    ) -> Result<Self, AuthorityError> {
        let grant = Grant {
            subject: spec.subject.clone(),
            names: Vec::new(),
            usages: vec![Usage::CertSign, Usage::CrlSign],
            validity: spec.validity,
            ca: Some(CaConstraint {
                path_length: spec.path_length,
            }),
            name_constraints: spec.name_constraints.clone(),
            crl_urls: Vec::new(),
            extensions: Vec::new(),
        };
        Self::self_signed_as(&grant, key, serial)
    }

    /// A new self-signed authority whose certificate says all that `grant` says.
    ///
    /// # Errors
    /// [`AuthorityError::Creation`]; [`AuthorityError::NotCa`] or
    /// [`AuthorityError::MayNotSign`] when the grant makes no CA.
    pub fn self_signed_as(
        grant: &Grant,
        key: PrivateKey,
        serial: Serial,
    ) -> Result<Self, AuthorityError> {
        let failed = |error: String| AuthorityError::Creation(error);
        if grant.subject.is_empty() {
            return Err(failed(
                "a CA needs a subject (RFC 5280, section 4.1.2.4)".to_owned(),
            ));
        }
        let issuer = IssuerSide {
            name: grant.subject.as_der(),
            key_identifier: None,
            key: &key,
        };
        let der = assemble::certificate(grant, grant.validity, key.public_key(), serial, &issuer)
            .map_err(|error| failed(error.to_string()))?;
        let certificate = Certificate::from_der(&der).map_err(|error| failed(error.to_string()))?;
        Self::new(vec![certificate], key)
    }

    /// The issuing certificate.
    #[must_use]
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// The issuing certificate and what certifies it.
    pub fn chain(&self) -> impl Iterator<Item = &Certificate> {
        std::iter::once(&self.certificate).chain(&self.above)
    }

    /// The CA's private key, for storing it.
    #[must_use]
    pub fn key(&self) -> &PrivateKey {
        &self.key
    }

    /// The certificates that a server sends after its leaf: the chain without a root,
    /// which the peer has or does not trust.
    pub fn intermediates(&self) -> impl Iterator<Item = &Certificate> {
        self.chain()
            .filter(|certificate| !certificate.is_self_issued())
    }

    /// The certificate that peers are to trust: the top of the chain.
    #[must_use]
    pub fn trust_anchor(&self) -> &Certificate {
        self.above.last().unwrap_or(&self.certificate)
    }

    /// Whether `certificate` names this authority as its issuer, by name and, where both
    /// have one, by key identifier.
    #[must_use]
    pub fn issued(&self, certificate: &Certificate) -> bool {
        let ca = self.certificate();
        certificate.issuer == ca.subject
            && match (&certificate.authority_key_id, &ca.subject_key_id) {
                (Some(theirs), Some(ours)) => theirs == ours,
                _ => true,
            }
    }

    /// Whether the authority may sign at `now`.
    ///
    /// # Errors
    /// [`IssueError::CaNotValid`].
    pub fn check_valid_at(&self, now: OffsetDateTime) -> Result<(), IssueError> {
        let ca = self.certificate();
        if ca.is_valid_at(now) {
            return Ok(());
        }
        Err(IssueError::CaNotValid {
            subject: ca.subject.to_string(),
            now: now.to_string(),
            not_before: ca.validity.not_before.to_string(),
            not_after: ca.validity.not_after.to_string(),
        })
    }

    /// Issues a certificate for `public_key` that says what `grant` says and no more,
    /// its dates cut to the CA's own and to [`Authority::leaf_limit`].
    ///
    /// # Errors
    /// See [`IssueError`].
    pub fn issue(
        &self,
        public_key: &PublicKey,
        grant: &Grant,
        now: OffsetDateTime,
        serial: Serial,
    ) -> Result<Certificate, IssueError> {
        let issued = self.encode(public_key, grant, now, serial)?;
        Certificate::from_der(&issued.der).map_err(|error| IssueError::Content(error.to_string()))
    }

    /// As [`Authority::issue`], for those who need the encoding alone: the certificate is
    /// read again only when there is something in it that certtool did not lay out itself.
    ///
    /// # Errors
    /// See [`IssueError`].
    pub fn issue_encoded(
        &self,
        public_key: &PublicKey,
        grant: &Grant,
        now: OffsetDateTime,
        serial: Serial,
    ) -> Result<Issued, IssueError> {
        let issued = self.encode(public_key, grant, now, serial)?;
        if !grant.extensions.is_empty() {
            Certificate::from_der(&issued.der)
                .map_err(|error| IssueError::Content(error.to_string()))?;
        }
        Ok(issued)
    }

    fn encode(
        &self,
        public_key: &PublicKey,
        grant: &Grant,
        now: OffsetDateTime,
        serial: Serial,
    ) -> Result<Issued, IssueError> {
        self.check_valid_at(now)?;
        let ca = self.certificate();
        if grant.names.is_empty() && grant.subject.is_empty() {
            return Err(IssueError::NoNames);
        }
        check_size(&grant.names).map_err(|error| IssueError::Content(error.to_string()))?;
        if let (
            Some(asked),
            Some(CaConstraint {
                path_length: Some(own),
            }),
        ) = (grant.ca, ca.ca)
            && (own == 0 || asked.path_length.is_some_and(|asked| asked >= own))
        {
            return Err(IssueError::PathLength {
                subject: ca.subject.to_string(),
                own,
            });
        }
        self.check_names(grant)?;
        let validity = Validity::new(
            grant.validity.not_before.max(ca.validity.not_before),
            grant.validity.not_after.min(self.latest_end(now)),
        );
        if validity.not_before >= validity.not_after {
            return Err(IssueError::EmptyValidity {
                not_before: validity.not_before.to_string(),
                not_after: validity.not_after.to_string(),
            });
        }
        let issuer = IssuerSide {
            name: ca.subject.as_der(),
            key_identifier: ca.subject_key_id.as_deref(),
            key: &self.key,
        };
        let der = assemble::certificate(grant, validity, public_key, serial, &issuer)?;
        Ok(Issued { der, validity })
    }

    fn check_names(&self, grant: &Grant) -> Result<(), IssueError> {
        let forbidden = self.chain().find_map(|ca| {
            let constraints = &ca.constraints;
            constraints.forbids_subject(&grant.subject).or_else(|| {
                grant
                    .names
                    .iter()
                    .find_map(|name| constraints.forbids(name))
            })
        });
        forbidden.map_or(Ok(()), |why| Err(IssueError::NameConstraints(why)))
    }

    /// The key identifier in hexadecimal, for showing.
    #[must_use]
    pub fn key_id(&self) -> String {
        self.certificate()
            .subject_key_id
            .as_deref()
            .map(hex)
            .unwrap_or_default()
    }
}
