//! A signer's bundle, given to every object that takes it, and read back.
//!
//! The loop of the injector reads and writes; here it is said what the bundle is, and waited for.
//! A read-back that counts for a step of a rotation is a reading of every object that was begun
//! after all of them had been brought in order.

use std::sync::Arc;
use std::time::Duration;

use time::OffsetDateTime;
use tokio::time::Instant;

use super::Injector;
use super::index::Supply;
use crate::authority::{ReadBack, Trust};
use crate::cluster::Cluster;
use crate::controller::config::BundleSource;
use crate::controller::injection::{Material, Origin, kinds};
use crate::injectable::Kind;
use crate::rotation::{self, Injectables, Published};

/// How long objects are waited for; those that take longer are lacking until the next tick.
const WAIT: Duration = Duration::from_secs(10);

/// How sure it has to be that the objects hold the bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::controller) enum Proof {
    /// By what the watches tell: nothing depends on it.
    Known,
    /// By reading each of them.
    Read,
}

impl Injector {
    /// Gives the bundle to every object of a signer and tells what they hold. Without a bundle it
    /// only looks.
    ///
    /// # Errors
    /// Without a bundle, when the objects are not known or cannot be read.
    pub(in crate::controller) async fn publish(
        &self,
        cluster: &Cluster,
        signer: &str,
        trust: Option<&Trust>,
        proof: Proof,
    ) -> rotation::Result<Published> {
        let Some(trust) = trust else {
            return self.look(cluster, signer).await;
        };
        let edition = self.offer(signer, trust);
        let lacking = self.proven(signer, edition, proof).await;
        let mut published = Published::nothing();
        if !lacking.is_empty() {
            published.read_back = ReadBack::Lacking(lacking);
        }
        Ok(published)
    }

    /// Says what a signer's bundle is, and waits for nothing.
    pub(in crate::controller) fn offer(&self, signer: &str, trust: &Trust) -> u64 {
        let origin = Origin::Signer(signer.to_owned());
        let material = Arc::new(Material::Signer(trust.clone()));
        let (edition, new) = self.index().supply(&origin, Supply::Good(material, None));
        if new {
            self.order(self.index().objects_of(&origin));
        }
        edition
    }

    async fn look(&self, cluster: &Cluster, signer: &str) -> rotation::Result<Published> {
        let kinds = self.kinds_of(signer);
        let end = Instant::now() + WAIT;
        while Instant::now() < end && !self.index().unlisted(&kinds).is_empty() {
            self.progress(end).await;
        }
        let unlisted = self.index().unlisted(&kinds);
        if !unlisted.is_empty() {
            let why: Vec<_> = unlisted.into_iter().map(|(why, _)| why).collect();
            return Err(rotation::Error::Unseen(why.join("; ")));
        }
        let objects = self.index().objects_of(&Origin::Signer(signer.to_owned()));
        let objects = Injectables::new(objects);
        objects
            .publish(cluster, None, OffsetDateTime::now_utc())
            .await
    }

    /// What is still missing, in words; empty once every object holds this edition.
    async fn proven(&self, signer: &str, edition: u64, proof: Proof) -> Vec<String> {
        let origin = Origin::Signer(signer.to_owned());
        let kinds = self.kinds_of(signer);
        let began = Instant::now();
        let end = began + WAIT;
        // Trouble of before may be over, which only another attempt shows.
        let tried = (proof == Proof::Read).then_some(began);
        // First in order, then read.
        let mut since = None;
        loop {
            let now = Instant::now();
            let (unlisted, lacking) = {
                let index = self.index();
                let lacking = index.lacking(&origin, edition, since, tried, now);
                (index.unlisted(&kinds), lacking)
            };
            if unlisted.is_empty() && lacking.is_empty() {
                if proof == Proof::Known || since.is_some() {
                    return Vec::new();
                }
                since = Some(now);
                self.order(self.index().objects_of(&origin));
                continue;
            }
            let lacking_in_words = lacking.iter().map(|(id, trouble)| match trouble {
                Some(why) => format!("{id}: {why}"),
                None => format!("{id}: it does not hold it yet"),
            });
            let hopeless = unlisted.iter().all(|(_, trouble)| *trouble)
                && lacking.iter().all(|(_, trouble)| trouble.is_some());
            if hopeless || now >= end {
                let unlisted = unlisted.iter().map(|(why, _)| why.clone());
                return unlisted.chain(lacking_in_words).collect();
            }
            self.progress(end).await;
        }
    }

    /// The kinds of which an object may take this signer's bundle.
    fn kinds_of(&self, signer: &str) -> Vec<Kind> {
        let injection = &self.injection;
        if injection.annotations {
            return kinds(injection);
        }
        let targets = injection.targets.iter();
        let targets = targets.filter(
            |target| matches!(&target.source, BundleSource::Signer(name) if name == signer),
        );
        let mut kinds: Vec<_> = targets.map(|target| Kind::from(target.kind)).collect();
        kinds.sort();
        kinds.dedup();
        kinds
    }
}
