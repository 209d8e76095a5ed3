//! The serving pair: one, in the Secret and in the directory.

use anyhow::{Context, bail};
use time::OffsetDateTime;

use super::authority::Kept;
use super::report::{Ledger, What};
use super::{Bootstrap, Job, RENEW_AT};
use crate::cli::UsageError;
use crate::cli::local_dev::certs::read_existing;
use crate::cli::pair::{self, NewPair};
use crate::cluster::{Cluster, Mode, SecretData, SecretName};
use crate::pki::{Certificate, Grant, Lifetime, TrustBundle};
use crate::plan::{Existing, Holder, Reason, ServingPlan, Wanted, holder, plan_serving};
use crate::store::{self, CertDir, Contents, Force, Pair};

/// How often a Secret that somebody else writes at the same time is read again.
const PERSISTENCE: u32 = 20;

/// The entries of the Secret.
#[derive(Debug, Clone)]
pub(super) struct KeyNames {
    cert: String,
    key: String,
    ca: String,
}

impl KeyNames {
    pub(super) fn new(args: &Bootstrap) -> Result<Self, UsageError> {
        let names = Self {
            cert: args.cert_name.clone(),
            key: args.key_name.clone(),
            ca: args.ca_name.clone(),
        };
        if names.cert == names.key || names.cert == names.ca || names.key == names.ca {
            return Err(UsageError(
                "--cert-name, --key-name and --ca-name have to differ".to_owned(),
            ));
        }
        Ok(names)
    }

    /// `kubernetes.io/tls` demands `tls.crt` and `tls.key`
    /// (`pkg/apis/core/validation/validation.go`, `ValidateSecret`).
    fn secret_type(&self) -> &'static str {
        if self.cert == store::CERT && self.key == store::KEY {
            "kubernetes.io/tls"
        } else {
            "Opaque"
        }
    }

    fn entries<'a>(&'a self, pair: &'a Pair) -> Vec<(&'a str, &'a [u8])> {
        let mut entries: Vec<(&str, &[u8])> =
            vec![(&self.cert, &pair.cert), (&self.key, &pair.key)];
        if let Some(ca) = &pair.ca {
            entries.push((&self.ca, ca));
        }
        entries
    }
}

/// A Secret's pair as it was read.
struct Held {
    data: SecretData,
    existing: Existing,
}

impl Held {
    fn read(data: SecretData, keys: &KeyNames) -> Self {
        let entry = |name: &String| data.data.get(name).filter(|value| !value.is_empty());
        let existing = match (entry(&keys.cert), entry(&keys.key)) {
            (Some(cert), Some(key)) => {
                Existing::read(cert, key, entry(&keys.ca).map(Vec::as_slice))
            }
            (None, None) => Existing::Nothing,
            (Some(_), None) => Existing::Unusable(format!("{} without {}", keys.cert, keys.key)),
            (None, Some(_)) => Existing::Unusable(format!("{} without {}", keys.key, keys.cert)),
        };
        Self { data, existing }
    }

    fn pair(&self, keys: &KeyNames) -> Option<Pair> {
        Some(Pair {
            cert: self.data.data.get(&keys.cert)?.clone(),
            key: self.data.data.get(&keys.key)?.clone(),
            ca: self.data.data.get(&keys.ca).cloned(),
        })
    }
}

/// A pair that is to be everywhere.
struct Chosen {
    pair: Pair,
    leaf: Certificate,
    /// Why it was made, if it was.
    reason: Option<Reason>,
}

impl Job<'_> {
    /// Makes sure that the Secret and the directory hold one good pair.
    pub(super) async fn ensure_pair(
        &self,
        cluster: &Cluster,
        ca: &Kept,
        ledger: &mut Ledger,
        now: OffsetDateTime,
    ) -> anyhow::Result<()> {
        let dir = self
            .args
            .cert_dir
            .as_ref()
            .map(|path| CertDir::new(path).chosen_by("--cert-dir"));
        let chosen = match (&self.secret, &dir) {
            (Some(secret), dir) => {
                let in_dir = match dir {
                    Some(dir) => dir.read()?.into_pair(),
                    None => None,
                };
                let chosen = self
                    .in_serving_secret(cluster, secret, in_dir, ca, ledger, now)
                    .await?;
                if let Some(dir) = dir {
                    self.write_dir(dir, &chosen.pair, ledger)?;
                }
                chosen
            }
            (None, Some(dir)) => self.in_dir_alone(dir, ca, ledger, now)?,
            (None, None) => bail!("there is no place for the pair"),
        };
        ledger.certificate(&chosen.leaf, chosen.reason);
        Ok(())
    }

    /// Refuses a Secret that will not be written, before anything else is.
    pub(super) async fn check_secret(
        &self,
        cluster: &Cluster,
        ca: &Kept,
        ledger: &Ledger,
        now: OffsetDateTime,
    ) -> anyhow::Result<()> {
        let Some(secret) = &self.secret else {
            return Ok(());
        };
        let Some(data) = cluster.get_secret(secret).await? else {
            return Ok(());
        };
        let held = Held::read(data, &self.keys);
        match plan_serving(&[&held.existing], &self.wanted(ledger), &ca.authority, now) {
            ServingPlan::Keep(_) => Ok(()),
            ServingPlan::Issue(_) => self.check_holder(secret, &held, ca),
        }
    }

    /// The Secret decides which pair it is: several of us agree there.
    async fn in_serving_secret(
        &self,
        cluster: &Cluster,
        secret: &SecretName,
        in_dir: Option<Pair>,
        ca: &Kept,
        ledger: &mut Ledger,
        now: OffsetDateTime,
    ) -> anyhow::Result<Chosen> {
        let in_dir = in_dir.map(|pair| (read(&pair), pair));
        for _ in 0..PERSISTENCE {
            let held = cluster.get_secret(secret).await?;
            let held = held.map(|data| Held::read(data, &self.keys));
            let in_secret = held
                .as_ref()
                .map_or(&Existing::Nothing, |held| &held.existing);
            let mut places = vec![in_secret];
            places.extend(in_dir.as_ref().map(|(existing, _)| existing));
            let chosen = match plan_serving(&places, &self.wanted(ledger), &ca.authority, now) {
                ServingPlan::Keep(index) => {
                    let pair = match (index, &held, &in_dir) {
                        (0, Some(held), _) => held.pair(&self.keys),
                        (_, _, Some((_, pair))) => Some(pair.clone()),
                        _ => None,
                    };
                    let leaf = places.get(index).and_then(|existing| leaf_of(existing));
                    let (Some(pair), Some(leaf)) = (pair, leaf) else {
                        bail!("Secret {secret}: its pair was read and is not there");
                    };
                    let (pair, same) = trusting(pair, &ca.anchors);
                    if index == 0 && same {
                        ledger.secret(secret, What::Unchanged);
                        return Ok(Chosen {
                            pair,
                            leaf,
                            reason: None,
                        });
                    }
                    Chosen {
                        pair,
                        leaf,
                        reason: None,
                    }
                }
                ServingPlan::Issue(reason) => {
                    if let Some(held) = &held {
                        self.check_holder(secret, held, ca)?;
                    }
                    self.issue(ca, reason, now)?
                }
            };
            let entries = self.keys.entries(&chosen.pair);
            let (written, what) = match &held {
                None => {
                    let kind = self.keys.secret_type();
                    let created = self.create(cluster, secret, kind, &entries, ledger).await?;
                    (created, What::Created)
                }
                Some(held) => {
                    self.check_holder(secret, held, ca)?;
                    let updated = self.mode == Mode::Plan
                        || cluster
                            .update_secret(secret, &held.data, &entries, self.mode == Mode::Check)
                            .await?;
                    (updated, What::Updated)
                }
            };
            if written {
                ledger.secret(secret, what);
                return Ok(chosen);
            }
            // Somebody else wrote it meanwhile; theirs may do.
        }
        bail!("Secret {secret} is changed by somebody else all the time: nothing was written to it")
    }

    /// Refuses to write over what is not ours.
    fn check_holder(&self, secret: &SecretName, held: &Held, ca: &Kept) -> anyhow::Result<()> {
        let data = &held.data;
        if !matches!(data.kind.as_str(), "kubernetes.io/tls" | "Opaque" | "") {
            bail!(
                "Secret {secret} is of type {}: choose another with --secret, or delete it",
                data.kind
            );
        }
        let empty = data.data.values().all(Vec::is_empty);
        match holder(&held.existing, empty, data.is_ours, &ca.authority) {
            Holder::Nobody | Holder::Us => Ok(()),
            Holder::Authority(subject) => bail!(
                "Secret {secret} holds the CA {subject}, and a CA's key is never replaced: choose another with --secret, or sign with this one by --ca-secret {secret}"
            ),
            Holder::SomebodyElse(_) if self.args.force => Ok(()),
            Holder::SomebodyElse(what) => bail!(
                "Secret {secret} was not made by certtool and holds {what}, not a pair of the CA in {}: choose another with --secret, or replace it with --force",
                ca.place
            ),
        }
    }

    /// Without a Secret the directory decides.
    fn in_dir_alone(
        &self,
        dir: &CertDir,
        ca: &Kept,
        ledger: &mut Ledger,
        now: OffsetDateTime,
    ) -> anyhow::Result<Chosen> {
        let plan = |ledger: &Ledger| -> anyhow::Result<_> {
            let (existing, _) = read_existing(dir)?;
            let plan = plan_serving(&[&existing], &self.wanted(ledger), &ca.authority, now);
            Ok(match (plan, leaf_of(&existing), dir.read()?.into_pair()) {
                (ServingPlan::Keep(_), Some(leaf), Some(pair)) => Ok(Chosen {
                    pair: trusting(pair, &ca.anchors).0,
                    leaf,
                    reason: None,
                }),
                (ServingPlan::Issue(reason), ..) => Err(reason),
                _ => Err(Reason::Missing),
            })
        };
        let reason = match plan(ledger)? {
            Ok(kept) => {
                self.write_dir(dir, &kept.pair, ledger)?;
                return Ok(kept);
            }
            Err(reason) => reason,
        };
        if self.mode != Mode::Apply {
            let chosen = self.issue(ca, reason, now)?;
            self.write_dir(dir, &chosen.pair, ledger)?;
            return Ok(chosen);
        }
        let guard = dir.lock()?;
        // Another process may have made one meanwhile.
        if let Ok(kept) = plan(ledger)? {
            drop(guard);
            self.write_dir(dir, &kept.pair, ledger)?;
            return Ok(kept);
        }
        let chosen = self.issue(ca, reason, now)?;
        let what = changed(&guard.read()?);
        guard.write(&chosen.pair, self.force())?;
        ledger.cert_dir(dir.path(), what);
        Ok(chosen)
    }

    fn write_dir(&self, dir: &CertDir, pair: &Pair, ledger: &mut Ledger) -> anyhow::Result<()> {
        let contents = dir.read()?;
        let mut what = changed(&contents);
        if contents.into_pair().as_ref() == Some(pair) {
            what = What::Unchanged;
        } else if self.mode == Mode::Apply {
            dir.write(pair, self.force())?;
        }
        ledger.cert_dir(dir.path(), what);
        Ok(())
    }

    fn issue(&self, ca: &Kept, reason: Reason, now: OffsetDateTime) -> anyhow::Result<Chosen> {
        let validity = Lifetime::of(self.args.validity).starting(now);
        let common_name = self
            .services
            .first()
            .map(|service| format!("{service}.svc"));
        let grant = Grant::serving(common_name.as_deref(), self.names.clone(), validity);
        let algorithm = self.args.algorithm.unwrap_or_default();
        let NewPair { leaf, mut pair } =
            pair::issue(&ca.authority, &ca.place, &grant, algorithm, now)
                .with_context(|| format!("no pair can be issued by the CA in {}", ca.place))?;
        if leaf.validity.not_after < validity.not_after {
            self.printer
                .warning(&pair::ends_early(&leaf, self.args.validity));
        }
        pair.ca = Some(ca.anchors.to_pem().into_bytes());
        Ok(Chosen {
            pair,
            leaf,
            reason: Some(reason),
        })
    }

    fn wanted(&self, ledger: &Ledger) -> Wanted<'_> {
        Wanted {
            names: &self.names,
            algorithm: self.args.algorithm,
            renew_at: RENEW_AT,
            // Once is enough, however many attempts it takes.
            force: self.args.force && !ledger.has_issued(),
        }
    }

    fn force(&self) -> Force {
        if self.args.force {
            Force::Yes
        } else {
            Force::No
        }
    }
}

fn read(pair: &Pair) -> Existing {
    Existing::read(&pair.cert, &pair.key, pair.ca.as_deref())
}

/// The pair with all that has to be trusted beside it, and whether it was there already.
fn trusting(pair: Pair, anchors: &TrustBundle) -> (Pair, bool) {
    let there = pair.ca.as_deref().map(TrustBundle::from_pem);
    if there.is_some_and(|there| there.is_ok_and(|there| there.contains_all(anchors))) {
        return (pair, true);
    }
    let ca = Some(anchors.to_pem().into_bytes());
    (Pair { ca, ..pair }, false)
}

fn leaf_of(existing: &Existing) -> Option<Certificate> {
    match existing {
        Existing::Pair { leaf, .. } => Some((**leaf).clone()),
        Existing::Nothing | Existing::Unusable(_) => None,
    }
}

/// What a write to a directory of these contents is.
fn changed(contents: &Contents) -> What {
    match contents {
        Contents::Empty => What::Created,
        Contents::Half { .. } | Contents::Pair { .. } => What::Updated,
    }
}
