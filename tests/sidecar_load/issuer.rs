//! Who issues the replicas' pairs: the sidecars themselves, or a controller. Every scenario is run
//! with both.

use std::fmt::Write as _;

use crate::{controllers::Controllers, operator, world::World};

/// What the sidecars are told, but for the directory and the issuer. `%N` is the namespace.
const OPTIONS: &str = "--service operator-webhook-service.%N --listen 127.0.0.1:0";

/// An issuer, and what its CA is trusted by.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    issuer: Issuer,
    /// Configurations of other webhooks that hold the same CA.
    pub others: usize,
}

#[derive(Clone, Copy, Debug)]
enum Issuer {
    /// The sidecars, with a CA in a Secret.
    Own {
        validity: &'static str,
        ca_validity: &'static str,
    },
    /// Two controllers, one of which leads.
    Signer,
}

impl Setup {
    /// Pairs are renewed long before they end: a process that gets no time on a machine that
    /// others use is not what is tested. A CA that lives for less than a minute is replaced again
    /// and again.
    pub const fn own_ca(validity: &'static str, ca_validity: &'static str) -> Self {
        Self {
            issuer: Issuer::Own {
                validity,
                ca_validity,
            },
            others: 0,
        }
    }

    /// The API takes no shorter life than ten minutes: pairs are renewed, and the CA is replaced
    /// because somebody asks for it, long before they end.
    pub const fn signer() -> Self {
        Self {
            issuer: Issuer::Signer,
            others: 0,
        }
    }

    pub const fn with_others(self, others: usize) -> Self {
        Self { others, ..self }
    }

    /// Whether a CA lives so long that it is replaced only because somebody asks for it.
    pub fn rotates_when_asked(&self) -> bool {
        match self.issuer {
            Issuer::Own { ca_validity, .. } => !ca_validity.ends_with('s'),
            Issuer::Signer => true,
        }
    }

    /// What a sidecar is told, but for the directory.
    pub fn words(&self) -> String {
        match self.issuer {
            Issuer::Own {
                validity,
                ca_validity,
            } => {
                let mut words = format!(
                    "{OPTIONS} --ca-secret %N/webhook-ca --validity {validity} --renew-at 0.07 \
                     --ca-validity {ca_validity} --webhook {} --webhook {} --crd {}",
                    operator::MUTATING,
                    operator::VALIDATING,
                    operator::CRD,
                );
                for number in 0..self.others {
                    let _ = write!(
                        words,
                        " --webhook validatingwebhookconfiguration/%N-{number}"
                    );
                }
                words
            }
            Issuer::Signer => format!(
                "{OPTIONS} --signer %S --validity 10m --renew-at 0.0025 --trust-bundle %N/trust"
            ),
        }
    }

    /// What has to be there before a sidecar starts.
    pub async fn prepare(&self, world: &World<'_>) -> Option<Controllers> {
        let namespace = &world.namespace;
        if self.others > 0 {
            let others = operator::others(namespace, self.others, namespace, "{}");
            world.cluster.apply(&others);
        }
        match self.issuer {
            Issuer::Own { .. } => None,
            Issuer::Signer => Some(Controllers::start(world).await),
        }
    }
}
