//! Distinguished names, kept as the exact DER that certificates are compared by.

use std::fmt;

use yasna::tags::TAG_PRINTABLESTRING;

use super::oid::Oid;
use super::{Attribute, der};

/// One attribute of a name, as read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttributeValue {
    /// Its type.
    pub attribute: Attribute,
    /// Its text, `None` when the value is no string or does not decode as its type.
    pub text: Option<String>,
    /// The ASN.1 type of its value, by its identifier octet.
    pub identifier: u8,
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
    /// characters allow it, else UTF8String, e-mail addresses among them), so that
    /// names equal cfssl's byte for byte.
    #[must_use]
    pub fn from_rdns(rdns: &[Vec<(Attribute, String)>]) -> Self {
        Self(yasna::construct_der(|writer| {
            writer.write_sequence(|writer| {
                for rdn in rdns.iter().filter(|rdn| !rdn.is_empty()) {
                    writer.next().write_set_of(|writer| {
                        for (attribute, value) in rdn {
                            writer.next().write_sequence(|writer| {
                                writer.next().write_der(&der::oid(&attribute.oid()));
                                let writer = writer.next();
                                if is_printable(value) {
                                    // yasna's own writer panics at the `?` that the type has.
                                    writer.write_tagged_implicit(TAG_PRINTABLESTRING, |writer| {
                                        writer.write_bytes(value.as_bytes());
                                    });
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
        parse(bytes).map(|_| Self(bytes.to_vec()))
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

    /// The relative distinguished names, each a set of attributes.
    #[must_use]
    pub fn rdns(&self) -> Vec<Vec<AttributeValue>> {
        // Only well-formed names are ever kept.
        parse(&self.0).unwrap_or_default()
    }

    /// The attributes in order of appearance.
    pub fn attributes(&self) -> impl Iterator<Item = AttributeValue> {
        self.rdns().into_iter().flatten()
    }

    /// The common names, in order; a well-formed subject has at most one.
    #[must_use]
    pub fn common_names(&self) -> Vec<String> {
        self.values(&Attribute::CommonName)
    }

    /// The organizations (`O`), in order.
    #[must_use]
    pub fn organizations(&self) -> Vec<String> {
        self.values(&Attribute::Organization)
    }

    /// The attribute types (as short names or dotted OIDs) in order of appearance.
    #[must_use]
    pub fn attribute_types(&self) -> Vec<String> {
        self.attributes()
            .map(|value| value.attribute.to_string())
            .collect()
    }

    fn values(&self, wanted: &Attribute) -> Vec<String> {
        self.attributes()
            .filter(|value| value.attribute == *wanted)
            .map(|value| value.text.unwrap_or_default())
            .collect()
    }

    /// The first attribute whose text is not what a reader sees: a control character
    /// (a NUL among them), or octets that do not decode.
    #[must_use]
    pub fn misleading_attribute(&self) -> Option<Attribute> {
        self.attributes()
            .find(|value| {
                value
                    .text
                    .as_ref()
                    .is_none_or(|text| text.chars().any(char::is_control))
            })
            .map(|value| value.attribute)
    }
}

/// `Name ::= SEQUENCE OF SET OF SEQUENCE { type, value }`
fn parse(bytes: &[u8]) -> Result<Vec<Vec<AttributeValue>>, NameError> {
    let malformed = |_| NameError::Malformed;
    let name = der::single(bytes, der::SEQUENCE).map_err(malformed)?;
    der::elements(name.content)
        .map_err(malformed)?
        .into_iter()
        .map(|rdn| {
            let attributes = der::elements(rdn.content).map_err(malformed)?;
            if rdn.identifier != der::SET || attributes.is_empty() {
                return Err(NameError::Malformed);
            }
            attributes
                .into_iter()
                .map(|attribute| {
                    let [oid, value] = der::exactly(attribute.content).map_err(malformed)?;
                    if attribute.identifier != der::SEQUENCE || oid.identifier != der::OID {
                        return Err(NameError::Malformed);
                    }
                    let oid = Oid::from_content(oid.content).ok_or(NameError::Malformed)?;
                    Ok(AttributeValue {
                        attribute: Attribute::from_oid(&oid),
                        text: decode(value),
                        identifier: value.identifier,
                    })
                })
                .collect()
        })
        .collect()
}

/// The text of a string of any of the types that names are written in (RFC 5280,
/// section 4.1.2.4). T61 is read as Latin-1, as OpenSSL does.
fn decode(value: der::Element<'_>) -> Option<String> {
    let octets = value.content;
    match value.identifier {
        der::UTF8_STRING => std::str::from_utf8(octets).ok().map(str::to_owned),
        der::PRINTABLE_STRING | der::IA5_STRING | der::NUMERIC_STRING | der::VISIBLE_STRING => {
            octets
                .is_ascii()
                .then(|| octets.iter().copied().map(char::from).collect())
        }
        der::T61_STRING => Some(octets.iter().copied().map(char::from).collect()),
        der::BMP_STRING => {
            let (units, rest) = octets.as_chunks::<2>();
            let units = units.iter().copied().map(u16::from_be_bytes);
            let text: Result<String, _> = char::decode_utf16(units).collect();
            text.ok().filter(|_| rest.is_empty())
        }
        der::UNIVERSAL_STRING => {
            let (units, rest) = octets.as_chunks::<4>();
            units
                .iter()
                .map(|unit| char::from_u32(u32::from_be_bytes(*unit)))
                .collect::<Option<String>>()
                .filter(|_| rest.is_empty())
        }
        _ => None,
    }
}

/// The character set of PrintableString as Go writes it (X.680, section 41.4;
/// `encoding/asn1/marshal.go`: neither `*` nor `&` when encoding).
fn is_printable(value: &str) -> bool {
    value
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b" '()+,-./:=?".contains(&byte))
}

/// `O=one + O=two, CN=name`, in the order of the encoding; characters that a terminal
/// would act on, and separators within a value, are escaped.
impl fmt::Display for DistinguishedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, rdn) in self.rdns().iter().enumerate() {
            if index > 0 {
                f.write_str(", ")?;
            }
            for (index, value) in rdn.iter().enumerate() {
                if index > 0 {
                    f.write_str(" + ")?;
                }
                write!(f, "{}=", value.attribute)?;
                match &value.text {
                    Some(text) => write_escaped(f, text)?,
                    None => f.write_str("(unreadable)")?,
                }
            }
        }
        Ok(())
    }
}

fn write_escaped(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    use fmt::Write;
    text.chars().try_for_each(|c| match c {
        ',' | '+' | '\\' | '"' | '<' | '>' | ';' => write!(f, "\\{c}"),
        c if c.is_control() => write!(f, "{}", c.escape_default()),
        c => f.write_char(c),
    })
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
    fn every_printable_character_is_written() {
        let name = DistinguishedName::common_name_only("a '()+,-./:=?");
        assert_eq!(name.rdns()[0][0].identifier, der::PRINTABLE_STRING);
        assert_eq!(name.common_names(), ["a '()+,-./:=?"]);
    }

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

    /// One RDN with one attribute, its value under this string type.
    fn name(arcs: &[u64], identifier: u8, value: &[u8]) -> DistinguishedName {
        let mut element = vec![identifier, u8::try_from(value.len()).unwrap()];
        element.extend_from_slice(value);
        let attribute = der::sequence(&[&der::oid(&Oid::new(arcs).unwrap()), &element]);
        let mut rdn = vec![der::SET, u8::try_from(attribute.len()).unwrap()];
        rdn.extend_from_slice(&attribute);
        DistinguishedName::from_der(&der::sequence(&[&rdn])).unwrap()
    }

    #[test]
    fn every_string_type_is_read() {
        let cn: &[u64] = &[2, 5, 4, 3];
        let shown = |identifier, value: &[u8]| name(cn, identifier, value).to_string();
        assert_eq!(shown(der::UTF8_STRING, "Zoë".as_bytes()), "CN=Zoë");
        assert_eq!(shown(der::T61_STRING, b"Zo\xeb"), "CN=Zoë");
        assert_eq!(shown(der::BMP_STRING, b"\0Z\0o\0\xeb"), "CN=Zoë");
        assert_eq!(
            shown(der::UNIVERSAL_STRING, b"\0\0\0Z\0\0\0o\0\0\0\xeb"),
            "CN=Zoë"
        );
        for (identifier, value) in [
            (der::UTF8_STRING, &b"\xff"[..]),
            (der::BMP_STRING, b"\0Z\0"),
            (der::BMP_STRING, b"\xd8\0"),
            (der::UNIVERSAL_STRING, b"\0\0\0"),
            (der::IA5_STRING, b"\xeb"),
            (0x02, b"\x05"),
        ] {
            assert_eq!(shown(identifier, value), "CN=(unreadable)");
        }
    }

    #[test]
    fn what_a_terminal_would_act_on_is_escaped_and_reported() {
        let name = name(&[2, 5, 4, 10], der::UTF8_STRING, b"a\x1b[31m, CN=admin\0");
        assert_eq!(name.to_string(), r"O=a\u{1b}[31m\, CN=admin\u{0}");
        assert_eq!(name.misleading_attribute(), Some(Attribute::Organization));
        let plain = DistinguishedName::common_name_only("Zoë");
        assert_eq!(plain.misleading_attribute(), None);
    }

    #[test]
    fn attribute_types_have_their_usual_names() {
        let dc: &[u64] = &[0, 9, 2342, 19_200_300, 100, 1, 25];
        assert_eq!(name(dc, der::IA5_STRING, b"a").to_string(), "DC=a");
        assert_eq!(
            name(&[1, 2, 3], der::IA5_STRING, b"a").to_string(),
            "1.2.3=a"
        );
    }

    #[test]
    fn malformed_names_are_refused() {
        for der in [
            &[][..],
            &[0x31, 0],
            &[0x30, 2, 0x31, 0],
            &[0x30, 4, 0x31, 2, 0x30, 0],
        ] {
            assert_eq!(DistinguishedName::from_der(der), Err(NameError::Malformed));
        }
    }
}
