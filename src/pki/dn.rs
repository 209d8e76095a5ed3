//! Distinguished names, kept as the exact DER that certificates are compared by.

use std::fmt;

use x509_parser::der_parser::asn1_rs::FromDer;
use x509_parser::x509::X509Name;
use yasna::models::ObjectIdentifier;

use super::der;

/// One attribute type that cfssl's and Kubernetes' subjects use.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Attribute {
    /// C
    Country,
    /// O
    Organization,
    /// OU
    OrganizationalUnit,
    /// L
    Locality,
    /// ST
    Province,
    /// STREET
    StreetAddress,
    /// postalCode
    PostalCode,
    /// CN
    CommonName,
    /// serialNumber
    SerialNumber,
    /// emailAddress (PKCS #9), an IA5String
    EmailAddress,
    /// Any other attribute type
    Other(Vec<u64>),
}

impl Attribute {
    fn oid(&self) -> Vec<u64> {
        match self {
            Self::Country => vec![2, 5, 4, 6],
            Self::Organization => vec![2, 5, 4, 10],
            Self::OrganizationalUnit => vec![2, 5, 4, 11],
            Self::Locality => vec![2, 5, 4, 7],
            Self::Province => vec![2, 5, 4, 8],
            Self::StreetAddress => vec![2, 5, 4, 9],
            Self::PostalCode => vec![2, 5, 4, 17],
            Self::CommonName => vec![2, 5, 4, 3],
            Self::SerialNumber => vec![2, 5, 4, 5],
            Self::EmailAddress => vec![1, 2, 840, 113_549, 1, 9, 1],
            Self::Other(oid) => oid.clone(),
        }
    }
}

/// Why bytes are not a distinguished name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// The bytes do not encode a `Name` (RFC 5280, section 4.1.2.4).
    #[error("not a distinguished name")]
    Malformed,
}

/// A distinguished name as its DER encoding; equal names are equal bytes.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct DistinguishedName(Vec<u8>);

impl DistinguishedName {
    /// The empty name: a subject whose identity is in its SANs alone.
    #[must_use]
    pub fn empty() -> Self {
        Self(der::sequence(&[]))
    }

    /// A name with a CN alone.
    #[must_use]
    pub fn common_name_only(common_name: &str) -> Self {
        Self::from_rdns(&[vec![(Attribute::CommonName, common_name.to_owned())]])
    }

    /// A name from relative distinguished names, each a set of attributes.
    ///
    /// Values are encoded as Go's `encoding/asn1` does (PrintableString where the
    /// characters allow it, else UTF8String), so that names equal cfssl's.
    #[must_use]
    pub fn from_rdns(rdns: &[Vec<(Attribute, String)>]) -> Self {
        Self(yasna::construct_der(|writer| {
            writer.write_sequence(|writer| {
                for rdn in rdns.iter().filter(|rdn| !rdn.is_empty()) {
                    writer.next().write_set_of(|writer| {
                        for (attribute, value) in rdn {
                            writer.next().write_sequence(|writer| {
                                let oid = attribute.oid();
                                writer.next().write_oid(&ObjectIdentifier::from_slice(&oid));
                                let writer = writer.next();
                                if *attribute == Attribute::EmailAddress && value.is_ascii() {
                                    writer.write_ia5_string(value);
                                } else if is_printable(value) {
                                    writer.write_printable_string(value);
                                } else {
                                    writer.write_utf8_string(value);
                                }
                            });
                        }
                    });
                }
            });
        }))
    }

    /// A name from its DER encoding.
    ///
    /// # Errors
    /// [`NameError::Malformed`] when the bytes are not exactly one `Name`.
    pub fn from_der(bytes: &[u8]) -> Result<Self, NameError> {
        match X509Name::from_der(bytes) {
            Ok(([], _)) => Ok(Self(bytes.to_vec())),
            _ => Err(NameError::Malformed),
        }
    }

    /// The DER encoding.
    #[must_use]
    pub fn as_der(&self) -> &[u8] {
        &self.0
    }

    /// Whether there is no attribute at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.len() <= 2
    }

    /// The common names, in order; a well-formed subject has at most one.
    #[must_use]
    pub fn common_names(&self) -> Vec<String> {
        self.attribute_values(&x509_parser::oid_registry::OID_X509_COMMON_NAME)
    }

    /// The organizations (`O`), in order.
    #[must_use]
    pub fn organizations(&self) -> Vec<String> {
        self.attribute_values(&x509_parser::oid_registry::OID_X509_ORGANIZATION_NAME)
    }

    /// The attribute types (as short names or dotted OIDs) in order of appearance.
    #[must_use]
    pub fn attribute_types(&self) -> Vec<String> {
        let Ok((_, name)) = X509Name::from_der(&self.0) else {
            return Vec::new();
        };
        let registry = x509_parser::objects::oid_registry();
        name.iter_attributes()
            .map(|attribute| {
                let oid = attribute.attr_type();
                x509_parser::objects::oid2abbrev(oid, registry)
                    .map_or_else(|_| oid.to_id_string(), str::to_owned)
            })
            .collect()
    }

    fn attribute_values(&self, oid: &x509_parser::der_parser::Oid<'_>) -> Vec<String> {
        let Ok((_, name)) = X509Name::from_der(&self.0) else {
            return Vec::new();
        };
        name.iter_by_oid(oid)
            .map(|value| {
                value.as_str().map_or_else(
                    |_| String::from_utf8_lossy(value.as_slice()).into_owned(),
                    str::to_owned,
                )
            })
            .collect()
    }
}

/// The character set of PrintableString as Go writes it (X.680, section 41.4;
/// `encoding/asn1/marshal.go`: neither `*` nor `&` when encoding).
fn is_printable(value: &str) -> bool {
    value
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b" '()+,-./:=?".contains(&byte))
}

impl fmt::Display for DistinguishedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match X509Name::from_der(&self.0) {
            Ok((_, name)) => write!(f, "{name}"),
            Err(_) => f.write_str("(malformed name)"),
        }
    }
}

impl fmt::Debug for DistinguishedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DistinguishedName({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_and_multivalued_attributes_survive() {
        let name = DistinguishedName::from_rdns(&[
            vec![
                (Attribute::Organization, "one".into()),
                (Attribute::Organization, "two".into()),
            ],
            vec![(Attribute::CommonName, "cn".into())],
        ]);
        assert_eq!(name.organizations(), ["one", "two"]);
        assert_eq!(name.common_names(), ["cn"]);
        assert_eq!(DistinguishedName::from_der(name.as_der()).unwrap(), name);
    }

    #[test]
    fn an_empty_name_is_two_octets() {
        assert!(DistinguishedName::empty().is_empty());
        assert!(!DistinguishedName::common_name_only("a").is_empty());
    }

    #[test]
    fn trailing_bytes_are_refused() {
        let mut der = DistinguishedName::common_name_only("a").as_der().to_vec();
        der.push(0);
        assert_eq!(DistinguishedName::from_der(&der), Err(NameError::Malformed));
    }
}
