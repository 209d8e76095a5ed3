//! What a signer grants a CertificateSigningRequest, by kube-controller-manager's rules
//! (`pkg/controller/certificates/signer/signer.go`, `pkg/controller/certificates/authority/policies.go`).

use time::{Duration, OffsetDateTime};

use crate::pki::{
    BACKDATE, Grant, Lifetime, NameConstraints, San, SanError, UnknownUsage, Usage, VerifiedCsr,
};

/// No certificate lives shorter than this.
const FLOOR: Duration = Duration::minutes(10);
/// A certificate with a shorter life keeps all of it: it is dated back, but does not end
/// earlier for that.
const SHORT: Duration = Duration::hours(8);

/// Why a request can never be signed, by anybody: it gets the condition `Failed`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unsignable {
    /// A usage that is not known.
    #[error(transparent)]
    Usage(#[from] UnknownUsage),
    /// A kind of name that certtool never issues.
    #[error("it asks for a name of type {0}, which is not issued")]
    NameKind(&'static str),
    /// A name that no client can ask for.
    #[error(transparent)]
    Name(#[from] SanError),
    /// No name at all.
    #[error("it asks for no name: neither a subject alternative name nor a subject")]
    NoName,
}

/// The life of a certificate: what was asked for, at most `maximum`, at least ten minutes.
#[must_use]
pub fn lifetime(asked: Option<Duration>, maximum: Duration) -> Lifetime {
    let life = asked
        .unwrap_or(maximum)
        .min(maximum)
        .max(FLOOR.min(maximum));
    let duration = if life < SHORT { life } else { life - BACKDATE };
    Lifetime {
        duration,
        backdate: BACKDATE,
    }
}

/// The grant for a request: its subject and names (or `hosts` in their place), the usages
/// of the object, never a CA.
///
/// # Errors
/// See [`Unsignable`].
pub fn grant_as_controller_manager(
    csr: &VerifiedCsr<'_>,
    hosts: &[San],
    usages: &[String],
    asked: Option<Duration>,
    maximum: Duration,
    now: OffsetDateTime,
) -> Result<Grant, Unsignable> {
    let usages = usages
        .iter()
        .map(|usage| usage.parse())
        .collect::<Result<Vec<Usage>, _>>()?;
    grant(csr, hosts, usages, lifetime(asked, maximum), now)
}

/// The grant for a request with its own names, or with `hosts` in their place.
///
/// # Errors
/// See [`Unsignable`].
pub fn grant(
    csr: &VerifiedCsr<'_>,
    hosts: &[San],
    usages: Vec<Usage>,
    lifetime: Lifetime,
    now: OffsetDateTime,
) -> Result<Grant, Unsignable> {
    let names = if hosts.is_empty() {
        csr.names.clone()
    } else {
        hosts.to_vec()
    };
    if let Some(San::Other(kind)) = names.iter().find(|name| matches!(name, San::Other(_))) {
        return Err(Unsignable::NameKind(kind));
    }
    names.iter().try_for_each(San::check)?;
    if names.is_empty() && csr.subject.is_empty() {
        return Err(Unsignable::NoName);
    }
    Ok(Grant {
        subject: csr.subject.clone(),
        names,
        usages,
        validity: lifetime.starting(now),
        ca: None,
        name_constraints: NameConstraints::default(),
        crl_urls: Vec::new(),
        extensions: Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_life_is_bounded_as_the_controller_manager_bounds_it() {
        let maximum = Duration::days(365);
        let life = |asked| lifetime(asked, maximum).duration;
        assert_eq!(life(None), Duration::days(365) - BACKDATE);
        assert_eq!(
            life(Some(Duration::days(9999))),
            Duration::days(365) - BACKDATE
        );
        assert_eq!(
            life(Some(Duration::hours(8))),
            Duration::hours(8) - BACKDATE
        );
        // A short life is kept whole.
        assert_eq!(life(Some(Duration::hours(7))), Duration::hours(7));
        assert_eq!(life(Some(Duration::minutes(1))), Duration::minutes(10));
        assert_eq!(
            lifetime(None, Duration::minutes(5)).duration,
            Duration::minutes(5)
        );
    }
}
