//! `policies`: the certificate policies extension (RFC 5280, section 4.2.1.4).

use crate::pki::{Extension, Oid};

use super::error::Error;
use super::json::{Key, Node};

/// id-ce-certificatePolicies
const CERTIFICATE_POLICIES: [u64; 4] = [2, 5, 29, 32];
/// id-qt-cps and id-qt-unotice
const CPS: [u64; 9] = [1, 3, 6, 1, 5, 5, 7, 2, 1];
const USER_NOTICE: [u64; 9] = [1, 3, 6, 1, 5, 5, 7, 2, 2];

const POLICY: &[Key] = &[Key::AnyCase("id"), Key::AnyCase("qualifiers")];
const QUALIFIER: &[Key] = &[Key::AnyCase("type"), Key::AnyCase("value")];

enum Qualifier {
    Cps(String),
    UserNotice(String),
}

/// The extension for a list of policies; nothing for an empty one.
pub(super) fn read(node: &Node<'_>) -> Result<Option<Extension>, Error> {
    let mut policies = Vec::new();
    for policy in node.list()? {
        let object = policy.object(POLICY)?;
        let Some(id) = object.get("id") else {
            return Err(policy.value("a policy needs an \"id\", such as \"1.2.3.4\""));
        };
        let oid = read_oid(id)?;
        let qualifiers = object
            .get("qualifiers")
            .map_or(Ok(Vec::new()), Node::list)?;
        let qualifiers = qualifiers
            .iter()
            .map(read_qualifier)
            .collect::<Result<Vec<_>, _>>()?;
        policies.push((oid, qualifiers));
    }
    if policies.is_empty() {
        return Ok(None);
    }
    let oid = Oid::new(&CERTIFICATE_POLICIES).map_err(|error| node.value(error.to_string()))?;
    Extension::new(oid, false, encode(&policies))
        .map(Some)
        .map_err(|error| node.value(error.to_string()))
}

/// An object identifier in dotted text.
pub(super) fn read_oid(node: &Node<'_>) -> Result<Oid, Error> {
    let text = node.string()?;
    text.parse()
        .map_err(|error: crate::pki::OidError| node.value(error.to_string()))
}

fn read_qualifier(node: &Node<'_>) -> Result<Qualifier, Error> {
    let object = node.object(QUALIFIER)?;
    let kind = object
        .text("type")?
        .map(|(text, _)| text)
        .unwrap_or_default();
    let value = object
        .get("value")
        .map_or(Ok(String::new()), Node::string)?;
    match kind.as_str() {
        "id-qt-cps" if value.is_ascii() => Ok(Qualifier::Cps(value)),
        "id-qt-cps" => Err(node.value("the value of an id-qt-cps is a URL in ASCII")),
        "id-qt-unotice" => Ok(Qualifier::UserNotice(value)),
        other => Err(node.value(format!(
            "unknown qualifier type {other:?}: use id-qt-cps or id-qt-unotice"
        ))),
    }
}

/// As cfssl does (`signer/signer.go`, `addPolicies`).
fn encode(policies: &[(Oid, Vec<Qualifier>)]) -> Vec<u8> {
    let oid = |arcs: &[u64]| yasna::models::ObjectIdentifier::from_slice(arcs);
    yasna::construct_der(|writer| {
        writer.write_sequence(|writer| {
            for (id, qualifiers) in policies {
                writer.next().write_sequence(|writer| {
                    writer.next().write_oid(&oid(id.arcs()));
                    if qualifiers.is_empty() {
                        return;
                    }
                    writer.next().write_sequence(|writer| {
                        for qualifier in qualifiers {
                            writer.next().write_sequence(|writer| match qualifier {
                                Qualifier::Cps(url) => {
                                    writer.next().write_oid(&oid(&CPS));
                                    writer.next().write_ia5_string(url);
                                }
                                Qualifier::UserNotice(text) => {
                                    writer.next().write_oid(&oid(&USER_NOTICE));
                                    writer.next().write_sequence(|writer| {
                                        writer.next().write_utf8_string(text);
                                    });
                                }
                            });
                        }
                    });
                });
            }
        });
    })
}
