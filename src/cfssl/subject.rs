//! Subjects as Go's `crypto/x509/pkix` writes them, byte for byte.

use crate::pki::{Attribute, DistinguishedName, Oid};

/// The order of `pkix.Name.ToRDNSequence`: all values of one type in one set.
const ORDER: [Attribute; 9] = [
    Attribute::Country,
    Attribute::Province,
    Attribute::Locality,
    Attribute::StreetAddress,
    Attribute::PostalCode,
    Attribute::Organization,
    Attribute::OrganizationalUnit,
    Attribute::CommonName,
    Attribute::SerialNumber,
];

/// What goes into a subject: values of the usual types in any order, and others after
/// them in theirs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Parts {
    usual: Vec<(Attribute, String)>,
    extra: Vec<(Attribute, String)>,
}

impl Parts {
    /// A value of one of the usual types; nothing when it is empty.
    pub(super) fn push(&mut self, attribute: Attribute, value: String) {
        if !value.is_empty() {
            self.usual.push((attribute, value));
        }
    }

    /// A value by its identifier, which replaces those of the same type.
    pub(super) fn push_extra(&mut self, oid: &Oid, value: String) {
        self.extra.push((Attribute::from_oid(oid), value));
    }

    pub(super) fn name(&self) -> DistinguishedName {
        let replaced = |wanted: &Attribute| self.extra.iter().any(|(extra, _)| extra == wanted);
        let sets = ORDER
            .iter()
            .filter(|wanted| !replaced(wanted))
            .map(|wanted| {
                self.usual
                    .iter()
                    .filter(|(attribute, _)| attribute == wanted)
                    .cloned()
                    .collect::<Vec<_>>()
            });
        let extra = self.extra.iter().cloned().map(|value| vec![value]);
        DistinguishedName::from_rdns(&sets.chain(extra).collect::<Vec<_>>())
    }
}

/// The subject that cfssl writes into a certificate for a request with `subject`: the
/// usual types first and in Go's order, every text encoded anew.
///
/// # Errors
/// What cfssl would drop or refuse: several common names or serial numbers (the last
/// one would count), text that is no string, or not one that Go reads.
pub(super) fn as_signed(subject: &DistinguishedName) -> Result<DistinguishedName, String> {
    let mut parts = Parts::default();
    for value in subject.attributes() {
        let attribute = value.attribute;
        let text = value
            .text
            .filter(|text| go_reads(value.identifier, text))
            .ok_or_else(|| format!("its {attribute} is not a text that cfssl reads"))?;
        let single = matches!(attribute, Attribute::CommonName | Attribute::SerialNumber);
        if single && parts.usual.iter().any(|(before, _)| *before == attribute) {
            return Err(format!(
                "it has more than one {attribute}, of which cfssl keeps the last"
            ));
        }
        if !ORDER.contains(&attribute) {
            parts.extra.push((attribute, text));
        } else if single {
            parts.push(attribute, text);
        } else {
            parts.usual.push((attribute, text));
        }
    }
    Ok(parts.name())
}

/// Whether `encoding/asn1` reads a text of this string type as itself: T61 is raw octets
/// there, and UniversalString and VisibleString are dropped.
fn go_reads(identifier: u8, text: &str) -> bool {
    match identifier {
        // UTF8String, BMPString
        0x0c | 0x1e => true,
        // PrintableString, with the two characters that Go tolerates
        0x13 => text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b" '()+,-./:=?*&".contains(&byte)),
        // IA5String, T61String
        0x16 | 0x14 => text.is_ascii(),
        // NumericString
        0x12 => text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b' '),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_and_the_sets_are_those_of_go() {
        let mut parts = Parts::default();
        for (attribute, value) in [
            (Attribute::CommonName, "cn"),
            (Attribute::Organization, "b"),
            (Attribute::Country, "DE"),
            (Attribute::Organization, "a"),
            (Attribute::SerialNumber, "1"),
            (Attribute::Locality, ""),
        ] {
            parts.push(attribute, value.to_owned());
        }
        assert_eq!(
            parts.name().to_string(),
            "C=DE, O=a + O=b, CN=cn, serialNumber=1"
        );
        parts.push_extra(&"2.5.4.3".parse().unwrap(), "other".to_owned());
        parts.push_extra(&"1.2.3".parse().unwrap(), "x".to_owned());
        assert_eq!(
            parts.name().to_string(),
            "C=DE, O=a + O=b, serialNumber=1, CN=other, 1.2.3=x"
        );
    }

    #[test]
    fn a_request_s_subject_is_put_into_order() {
        let subject = DistinguishedName::from_rdns(&[
            vec![(Attribute::CommonName, "cn".to_owned())],
            vec![(Attribute::EmailAddress, "a@b".to_owned())],
            vec![(Attribute::Organization, "o".to_owned())],
            vec![(Attribute::Organization, "n".to_owned())],
        ]);
        let signed = as_signed(&subject).unwrap();
        assert_eq!(signed.to_string(), "O=n + O=o, CN=cn, emailAddress=a@b");
        assert_eq!(as_signed(&signed).unwrap(), signed);
        assert_eq!(
            as_signed(&DistinguishedName::empty()).unwrap(),
            DistinguishedName::empty()
        );
    }

    #[test]
    fn names_of_which_cfssl_keeps_one_are_refused() {
        let subject = DistinguishedName::from_rdns(&[
            vec![(Attribute::CommonName, "a".to_owned())],
            vec![(Attribute::CommonName, "b".to_owned())],
        ]);
        assert!(
            as_signed(&subject)
                .unwrap_err()
                .contains("more than one CN")
        );
    }
}
