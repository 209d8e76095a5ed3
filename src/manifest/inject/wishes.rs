//! What each client config should become: the caller is asked for every one.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::bundles::Bundles;
use super::{InjectedDocument, Injector, Note};
use crate::injectable::{ClientConfig, ClientConfigs, Decision, ObjectId, examine};
use crate::manifest::error::{DocumentError, Reason};
use crate::manifest::read::{candidates, error_at, identify};
use crate::manifest::split::Document;
use crate::manifest::tree::{NodeId, Tree};

/// What a client config should become, and where it is.
pub(super) struct Wish {
    pub(super) object: Arc<ObjectId>,
    pub(super) webhook: Option<String>,
    /// From the root of the document.
    pub(super) pointer: String,
    /// The length of the part of it that leads to the object.
    pub(super) object_at: usize,
    /// The bundle that it should have in the end, when that is a usable one.
    pub(super) wanted: Option<Arc<[u8]>>,
    /// Its text in base64, when it is to be written.
    pub(super) base64: Option<Arc<str>>,
    /// Whether it has another one now.
    pub(super) differs: bool,
    /// Whether `insecureSkipTLSVerify` has to become false.
    pub(super) verify: bool,
    pub(super) line: usize,
}

/// By the mapping that holds the caBundle: several client configs may share one through an alias.
pub(super) type Wishes = BTreeMap<NodeId, Vec<Wish>>;

pub(super) type Errors = Vec<DocumentError>;

impl<D: FnMut(&ClientConfig, &ObjectId) -> Decision> Injector<D> {
    /// Asks for every client config.
    pub(super) fn wishes(
        &mut self,
        document: &Document<'_>,
        tree: &Tree<'_>,
        injected: &mut InjectedDocument,
    ) -> Result<Wishes, Errors> {
        let mut wishes = Wishes::new();
        let mut errors = Errors::new();
        let candidates = candidates(tree).map_err(|fault| vec![document.error(fault)])?;
        for candidate in candidates {
            let line = document.line_at(tree.node(candidate.node).span.start);
            let (object, id) = match identify(document, tree, &candidate) {
                Ok(identified) => identified,
                Err(error) => {
                    errors.push(error);
                    continue;
                }
            };
            let configs = match examine(&object) {
                Ok(ClientConfigs::Some(configs)) => configs,
                Ok(ClientConfigs::Nothing(nothing)) => {
                    injected.notes.push(Note {
                        object: id,
                        document: document.number,
                        line,
                        nothing,
                    });
                    continue;
                }
                Err(error) => {
                    errors.push(error_at(document, line, &id, error.into()));
                    continue;
                }
            };
            drop(object);
            let id = Arc::new(id);
            injected.configs += configs.len();
            for config in configs {
                let place = tree.lookup(candidate.node, &config.pointer);
                let line = place.map_or_else(
                    || webhook_line(document, tree, candidate.node, &config, line),
                    |place| document.line_at(start_of_bundle(tree, place)),
                );
                match decide_one(&config, &id, &mut self.decide) {
                    Ok(decision) => {
                        let Some(place) = place else { continue };
                        let pointer = format!("{}{}", candidate.pointer, config.pointer);
                        let wish = Wish::new(
                            config,
                            &id,
                            (pointer, candidate.pointer.len()),
                            line,
                            decision.as_deref(),
                            &mut self.bundles,
                        );
                        wishes.entry(place).or_default().push(wish);
                    }
                    Err(reason) => errors.push(error_at(document, line, &id, reason)),
                }
            }
        }
        if errors.is_empty() {
            Ok(wishes)
        } else {
            Err(errors)
        }
    }
}

fn decide_one(
    config: &ClientConfig,
    id: &ObjectId,
    decide: &mut impl FnMut(&ClientConfig, &ObjectId) -> Decision,
) -> Result<Option<Vec<u8>>, Reason> {
    let webhook = config.webhook.clone();
    match (decide(config, id), &config.target) {
        // Whatever is wrong with what is not ours.
        (Decision::Keep, _) => Ok(None),
        (_, Err(target)) => Err(Reason::Target {
            webhook,
            target: target.clone(),
        }),
        (Decision::Set(pem), Ok(_)) => Ok(Some(pem)),
        (Decision::Refuse(reason), Ok(_)) => Err(Reason::Refused { webhook, reason }),
    }
}

/// The place of the caBundle, or of the mapping that it is missing from.
fn start_of_bundle(tree: &Tree<'_>, mapping: NodeId) -> usize {
    match tree.entry(mapping, "caBundle") {
        Some((key, _)) => tree.node(key).span.start,
        None => tree.node(mapping).span.start,
    }
}

fn webhook_line(
    document: &Document<'_>,
    tree: &Tree<'_>,
    object: NodeId,
    config: &ClientConfig,
    otherwise: usize,
) -> usize {
    config
        .index
        .and_then(|index| tree.lookup(object, &format!("/webhooks/{index}")))
        .map_or(otherwise, |node| {
            document.line_at(tree.node(node).span.start)
        })
}

impl Wish {
    fn new(
        config: ClientConfig,
        id: &Arc<ObjectId>,
        (pointer, object_at): (String, usize),
        line: usize,
        new: Option<&[u8]>,
        bundles: &mut Bundles,
    ) -> Self {
        let old = config.ca_bundle.pem();
        let differs = new.is_some() && new != old;
        let wanted = new.or(old).map(|pem| bundles.shared(pem));
        Self {
            object: Arc::clone(id),
            webhook: config.webhook,
            pointer,
            object_at,
            base64: wanted
                .as_ref()
                .filter(|_| differs)
                .map(|pem| bundles.encoded(pem)),
            differs,
            verify: new.is_some() && config.insecure_skip_tls_verify,
            wanted,
            line,
        }
    }

    /// For people.
    pub(super) fn name(&self) -> String {
        self.webhook
            .clone()
            .unwrap_or_else(|| self.object.to_string())
    }
}
