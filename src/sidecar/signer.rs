//! A pair through the CertificateSigningRequest API: whoever signs for the signer.
//!
//! The key is made here and stays in this process until it is written beside its certificate.
//! One request is made for each key; one that is not answered is waited for further, so that a
//! signer that never answers does not find a heap of them. Requests are left to Kubernetes,
//! which removes them an hour after they were decided, and after a day otherwise: the right to
//! delete requests cannot be limited to one's own.

use std::time::Duration;

use tokio::time::Instant;

use super::failure::Failure;
use super::issuer::{Issued, Order};
use crate::cluster::{self, Cluster};
use crate::pki::{
    Certificate, DistinguishedName, KeyAlgorithm, PrivateKey, San, Usage, create_csr,
};
use crate::request::{NewRequest, RequestObject, State};

/// Pauses between looks at a request: short at first, since a controller answers at once.
const FIRST_LOOK: Duration = Duration::from_millis(10);
const LAST_LOOK: Duration = Duration::from_secs(5);
/// When whoever waits is told so.
const PATIENCE: Duration = Duration::from_secs(3);
/// Names of requests are object names (`apis/meta/v1`, at most 253 characters).
const PREFIX: usize = 200;

/// How to ask.
#[derive(Debug, Clone)]
pub struct Signer {
    /// `spec.signerName`
    pub name: String,
    /// `spec.usages`
    pub usages: Vec<Usage>,
    /// `spec.expirationSeconds`
    pub validity: Option<time::Duration>,
    /// What the requests' names begin with: the pod's name.
    pub prefix: String,
    /// How long one attempt waits for an answer.
    pub timeout: Duration,
}

impl Signer {
    /// A signer that is asked for serving certificates; `prefix` begins the requests' names.
    #[must_use]
    pub fn new(name: &str, prefix: &str) -> Self {
        Self {
            name: name.to_owned(),
            usages: Usage::SERVING.to_vec(),
            validity: None,
            prefix: prefix.to_owned(),
            timeout: Duration::from_secs(60),
        }
    }
}

/// A signer that is asked through the API server.
#[derive(Debug)]
pub(super) struct SignerIssuer {
    cluster: Cluster,
    signer: Signer,
    pending: Option<Pending>,
}

/// A request under way.
struct Pending {
    key: PrivateKey,
    names: Vec<San>,
    algorithm: KeyAlgorithm,
    request: RequestObject,
    /// Its state when it was looked at last.
    state: State,
}

impl std::fmt::Debug for Pending {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pending")
            .field("request", &self.request.name)
            .finish_non_exhaustive()
    }
}

impl SignerIssuer {
    pub(super) fn new(cluster: Cluster, signer: Signer) -> Self {
        Self {
            cluster,
            signer,
            pending: None,
        }
    }

    pub(super) fn label(&self) -> &str {
        &self.signer.name
    }

    pub(super) fn usages(&self) -> &[Usage] {
        &self.signer.usages
    }

    pub(super) fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// Submits a request with a new key, unless one for the same is under way.
    pub(super) async fn prepare(&mut self, order: &Order<'_>) -> Result<(), Failure> {
        let is_current = |pending: &Pending| {
            pending.names == order.names && pending.algorithm == order.algorithm
        };
        if !self.pending.as_ref().is_some_and(is_current) {
            self.pending = None;
            self.submit(order).await?;
        }
        Ok(())
    }

    /// The certificate for the request under way, unchecked. Dropped half-way it goes on with
    /// the same request the next time.
    pub(super) async fn issue(
        &mut self,
        waiting: &(dyn Fn(String) + Send + Sync),
    ) -> Result<Issued, Failure> {
        let answer = self.answer(waiting).await;
        // Every answer but "not yet" ends the request, a broken connection does not.
        let goes_on = match &answer {
            Err(Failure::Unanswered { .. }) => true,
            Err(Failure::Cluster(error)) => !matches!(error, cluster::Error::NotFound { .. }),
            Ok(_) | Err(_) => false,
        };
        let pending = if goes_on { None } else { self.pending.take() };
        let request = answer?;
        let Some(Pending { key, .. }) = pending else {
            return Err(Failure::Gone { name: request.name });
        };
        let by = format!("signer {} for {:?}", self.signer.name, request.name);
        let pem = request.certificate.unwrap_or_default();
        let chain = Certificate::all_from_pem(&pem).map_err(|error| Failure::Unreadable {
            by: by.clone(),
            why: error.to_string(),
        })?;
        Ok(Issued { chain, key, by })
    }

    async fn submit(&mut self, order: &Order<'_>) -> Result<(), Failure> {
        let key = PrivateKey::generate(order.algorithm)?;
        let subject = DistinguishedName::empty();
        let csr = create_csr(&subject, order.names, &key)
            .map_err(|error| Failure::Request(error.to_string()))?;
        let new = NewRequest {
            name: self.request_name(&key),
            signer_name: self.signer.name.clone(),
            request: csr.into_bytes(),
            usages: self.signer.usages.clone(),
            expiration: self.signer.validity,
        };
        let created = self.cluster.create_request(&new, false).await?;
        let request = created.ok_or_else(|| {
            // The hash of a fresh key: somebody made it up to be in the way.
            Failure::Request(format!(
                "certificatesigningrequest {:?} exists already",
                new.name
            ))
        })?;
        self.pending = Some(Pending {
            key,
            names: order.names.to_vec(),
            algorithm: order.algorithm,
            state: State::Pending,
            request,
        });
        Ok(())
    }

    /// The pod's name and the beginning of the SHA-256 of the public key: nobody else has it.
    fn request_name(&self, key: &PrivateKey) -> String {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, key.public_key().spki());
        let hash: String = digest
            .as_ref()
            .iter()
            .take(5)
            .map(|b| format!("{b:02x}"))
            .collect();
        let prefix: String = self.signer.prefix.chars().take(PREFIX).collect();
        format!("{prefix}-{hash}")
    }

    /// Who is waited for, if a request is under way.
    pub(super) fn waiting(&self) -> Option<String> {
        let pending = self.pending.as_ref()?;
        let name = &pending.request.name;
        let missing = self.missing(name, pending.state);
        Some(format!(
            "waiting for certificatesigningrequest {name:?}: {missing}"
        ))
    }

    async fn answer(
        &mut self,
        waiting: &(dyn Fn(String) + Send + Sync),
    ) -> Result<RequestObject, Failure> {
        let Some(Pending { request, .. }) = &self.pending else {
            return Err(Failure::Gone {
                name: String::new(),
            });
        };
        let (name, uid) = (request.name.clone(), request.uid.clone());
        let started = Instant::now();
        let deadline = started + self.signer.timeout;
        let mut pause = FIRST_LOOK;
        let mut is_told = false;
        loop {
            let mut unreachable = None;
            match self.cluster.get_request(&name).await {
                Ok(None) => return Err(Failure::Gone { name }),
                Ok(Some(now)) if now.uid != uid => {
                    return Err(Failure::Gone { name });
                }
                Ok(Some(now)) => match now.state() {
                    State::Issued => return Ok(now),
                    state @ (State::Denied | State::Failed) => {
                        return Err(Failure::Refused {
                            name,
                            why: why(&now, state),
                        });
                    }
                    state @ (State::Pending | State::Approved) => {
                        if let Some(pending) = &mut self.pending {
                            pending.state = state;
                        }
                    }
                },
                Err(error) if error.is_transient() => unreachable = Some(error),
                Err(error) => return Err(error.into()),
            }
            let now = Instant::now();
            if now >= deadline {
                return Err(match unreachable {
                    Some(error) => error.into(),
                    None => Failure::Unanswered {
                        missing: self.missing(&name, self.state()),
                        seconds: self.signer.timeout.as_secs(),
                        name,
                    },
                });
            }
            if now - started >= PATIENCE && !is_told {
                is_told = true;
                if let Some(what) = self.waiting() {
                    waiting(what);
                }
            }
            tokio::time::sleep(pause.min(deadline - now)).await;
            pause = (pause * 3 / 2).min(LAST_LOOK);
        }
    }

    fn state(&self) -> State {
        let pending = self.pending.as_ref();
        pending.map_or(State::Pending, |pending| pending.state)
    }

    fn missing(&self, name: &str, state: State) -> String {
        let signer = &self.signer.name;
        if state == State::Approved {
            format!("it is approved, but nobody has signed it: is a signer for {signer} running?")
        } else {
            format!(
                "nobody has approved it: is an approver for {signer} running? By hand: certtool approve {name}"
            )
        }
    }
}

fn why(request: &RequestObject, state: State) -> String {
    let condition = request.condition(state.as_str());
    condition.map_or_else(
        || state.to_string(),
        |condition| format!("{state} ({}: {})", condition.reason, condition.message),
    )
}
