//! Whoever issues: a signer behind the CSR API, or a CA of one's own in a Secret.

use super::failure::Failure;
use super::happening::Happening;
use super::own::OwnIssuer;
use super::signer::SignerIssuer;
use crate::cluster::Cluster;
use crate::pki::{Certificate, KeyAlgorithm, PrivateKey, San, Usage};

/// What is ordered.
#[derive(Debug, Clone, Copy)]
pub(super) struct Order<'a> {
    pub(super) names: &'a [San],
    pub(super) algorithm: KeyAlgorithm,
}

/// What was issued, not checked yet.
pub(super) struct Issued {
    /// The leaf first.
    pub(super) chain: Vec<Certificate>,
    pub(super) key: PrivateKey,
    /// By whom, for errors.
    pub(super) by: String,
}

/// One of the two.
#[derive(Debug)]
pub(super) enum Issuer {
    Signer(Box<SignerIssuer>),
    Own(Box<OwnIssuer>),
}

impl Issuer {
    /// What the pair's record calls it.
    pub(super) fn label(&self) -> &str {
        match self {
            Self::Signer(signer) => signer.label(),
            Self::Own(own) => own.label(),
        }
    }

    pub(super) fn cluster(&self) -> &Cluster {
        match self {
            Self::Signer(signer) => signer.cluster(),
            Self::Own(own) => own.cluster(),
        }
    }

    pub(super) fn usages(&self) -> &[Usage] {
        match self {
            Self::Signer(signer) => signer.usages(),
            Self::Own(own) => own.usages(),
        }
    }

    /// Who is waited for, if an answer is.
    pub(super) fn waiting(&self) -> Option<String> {
        match self {
            Self::Signer(signer) => signer.waiting(),
            Self::Own(own) => own.waiting(),
        }
    }

    /// Begins to issue. Must not be dropped half-way.
    pub(super) async fn prepare(&mut self, order: &Order<'_>) -> Result<(), Failure> {
        match self {
            Self::Signer(signer) => signer.prepare(order).await,
            Self::Own(_) => Ok(()),
        }
    }

    /// Issues what was begun. Dropped half-way, it goes on the next time.
    pub(super) async fn issue(
        &mut self,
        order: &Order<'_>,
        tell: &(dyn Fn(&Happening) + Send + Sync),
    ) -> Result<Issued, Failure> {
        match self {
            Self::Signer(signer) => {
                let waiting = |what: String| tell(&Happening::Waiting { what });
                signer.issue(&waiting).await
            }
            Self::Own(own) => own.issue(order, tell).await,
        }
    }
}
