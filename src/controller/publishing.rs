//! A signer's bundle on its way to everything that takes it: the objects of the injector and the
//! ConfigMaps for clients. A CA signs once all of them hold it.

use std::sync::{Mutex, PoisonError};

use super::config::Signer;
use super::injector::{Injector, Proof};
use super::signer::Context;
use super::trust_bundle::Bundles;
use crate::authority::{Phase, ReadBack, Trust};
use crate::cluster::Cluster;
use crate::pki::TrustBundle;
use crate::rotation::{self, Published};

/// Publishes the bundle of one signer, as the leader.
pub(super) struct Publishing<'a> {
    injector: &'a Injector,
    config_maps: Bundles<'a>,
    cluster: &'a Cluster,
    signer: &'a str,
    /// The phase after the last tick; unknown before the first one.
    phase: Option<Phase>,
    /// The bundle of somebody else's CA that every object was known to hold.
    proven: Mutex<Option<TrustBundle>>,
}

impl<'a> Publishing<'a> {
    /// That of `signer`.
    pub(super) fn of(signer: &'a Signer, context: &'a Context, injector: &'a Injector) -> Self {
        Self {
            injector,
            config_maps: Bundles::of(signer, &context.cluster, &context.reporter),
            cluster: &context.cluster,
            signer: signer.name(),
            phase: None,
            proven: Mutex::default(),
        }
    }

    /// What the last tick found.
    pub(super) fn set_phase(&mut self, phase: Phase) {
        self.phase = Some(phase);
    }

    /// Somebody else may be the leader meanwhile.
    pub(super) fn forget(&mut self) {
        self.phase = None;
        self.proven = Mutex::default();
    }

    /// Gives everything the bundle and says what it holds then; without one, only looks.
    ///
    /// # Errors
    /// Without a bundle, when something cannot be looked at.
    pub(super) async fn publish(&self, trust: Option<&Trust>) -> rotation::Result<Published> {
        let (objects, config_maps) =
            futures::future::join(self.objects(trust), self.config_maps.publish(trust)).await;
        Ok(objects?.and(config_maps?))
    }

    async fn objects(&self, trust: Option<&Trust>) -> rotation::Result<Published> {
        // Where no step hangs on it, the objects are not read each time.
        let proof = match self.phase {
            Some(Phase::Steady { .. } | Phase::Draining { .. } | Phase::External) => Proof::Known,
            Some(Phase::Introducing | Phase::Publishing | Phase::Settling { .. }) | None => {
                Proof::Read
            }
        };
        let (cluster, signer) = (self.cluster, self.signer);
        let mut published = self.injector.publish(cluster, signer, trust, proof).await?;
        if let Some(trust) = trust
            && self.phase == Some(Phase::External)
        {
            self.remember(trust, &mut published.read_back);
        }
        Ok(published)
    }

    /// Once somebody else's CA was proven it stays so: nothing is recorded in their Secret, and
    /// an object that comes later must not stop the signing for all others.
    fn remember(&self, trust: &Trust, read_back: &mut ReadBack) {
        let mut proven = self.proven.lock().unwrap_or_else(PoisonError::into_inner);
        match read_back {
            ReadBack::Holds => *proven = Some(trust.bundle.clone()),
            ReadBack::Lacking(_) if proven.as_ref() == Some(&trust.bundle) => {
                *read_back = ReadBack::Holds;
            }
            ReadBack::Lacking(_) | ReadBack::Unknown => {}
        }
    }
}
