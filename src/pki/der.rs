//! Splitting DER into its elements, by reference.
//!
//! Only what `x509-parser` does not offer: the exact bytes of an element, which a
//! signature or a name comparison depends on, and lengths in no form but DER's.

use yasna::models::ObjectIdentifier;

use super::oid::Oid;

/// One element: its whole encoding, its content and its identifier octet's meaning.
#[derive(Debug, Clone, Copy)]
pub(super) struct Element<'a> {
    /// Header and content.
    pub(super) whole: &'a [u8],
    /// Content alone.
    pub(super) content: &'a [u8],
    /// The identifier octet (class, constructed bit, low tag number).
    pub(super) identifier: u8,
}

/// The bytes are not DER, or not one whole element.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not valid DER")]
pub(super) struct NotDer;

/// The first element of `input` and what follows it.
pub(super) fn first(input: &[u8]) -> Result<(Element<'_>, &[u8]), NotDer> {
    let [identifier, length, after @ ..] = input else {
        return Err(NotDer);
    };
    // Tag numbers above 30 take several identifier octets; nothing here has them.
    if identifier & 0x1f == 0x1f {
        return Err(NotDer);
    }
    let (length, after) = match length {
        0..=0x7f => (usize::from(*length), after),
        // Definite, and in the fewest octets (X.690, section 10.1). Nothing here has 4 GiB.
        0x81..=0x84 => long_length(after, usize::from(length & 0x7f))?,
        _ => return Err(NotDer),
    };
    let (content, rest) = after.split_at_checked(length).ok_or(NotDer)?;
    let element = Element {
        whole: &input[..input.len() - rest.len()],
        content,
        identifier: *identifier,
    };
    Ok((element, rest))
}

/// A length of `count` octets, and what follows it.
fn long_length(input: &[u8], count: usize) -> Result<(usize, &[u8]), NotDer> {
    let (octets, after) = input.split_at_checked(count).ok_or(NotDer)?;
    let length = octets
        .iter()
        .fold(0, |length, octet| length << 8 | usize::from(*octet));
    if octets.first() == Some(&0) || length < 0x80 {
        return Err(NotDer);
    }
    Ok((length, after))
}

/// `input` as exactly one element with identifier octet `identifier`.
pub(super) fn single(input: &[u8], identifier: u8) -> Result<Element<'_>, NotDer> {
    match first(input)? {
        (element, []) if element.identifier == identifier => Ok(element),
        _ => Err(NotDer),
    }
}

/// All elements of `content`, which they must fill.
pub(super) fn elements(content: &[u8]) -> Result<Vec<Element<'_>>, NotDer> {
    let mut rest = content;
    let mut all = Vec::new();
    while !rest.is_empty() {
        let (element, after) = first(rest)?;
        all.push(element);
        rest = after;
    }
    Ok(all)
}

/// Exactly `N` elements that fill `content`.
pub(super) fn exactly<const N: usize>(content: &[u8]) -> Result<[Element<'_>; N], NotDer> {
    let nothing = Element {
        whole: &[],
        content: &[],
        identifier: 0,
    };
    let (mut all, mut rest) = ([nothing; N], content);
    for element in &mut all {
        (*element, rest) = first(rest)?;
    }
    rest.is_empty().then_some(all).ok_or(NotDer)
}

/// SEQUENCE, constructed (X.690, section 8.9).
pub(super) const SEQUENCE: u8 = 0x30;
/// SET, constructed.
pub(super) const SET: u8 = 0x31;
/// OBJECT IDENTIFIER.
pub(super) const OID: u8 = 0x06;
/// OCTET STRING.
pub(super) const OCTET_STRING: u8 = 0x04;
/// BIT STRING.
pub(super) const BIT_STRING: u8 = 0x03;
/// INTEGER.
pub(super) const INTEGER: u8 = 0x02;
/// UTCTime.
pub(super) const UTC_TIME: u8 = 0x17;
/// GeneralizedTime.
pub(super) const GENERALIZED_TIME: u8 = 0x18;
/// BOOLEAN.
pub(super) const BOOLEAN: u8 = 0x01;

/// UTF8String, and the older string types of names (X.680, section 8.6).
pub(super) const UTF8_STRING: u8 = 0x0c;
pub(super) const NUMERIC_STRING: u8 = 0x12;
pub(super) const PRINTABLE_STRING: u8 = 0x13;
pub(super) const T61_STRING: u8 = 0x14;
pub(super) const IA5_STRING: u8 = 0x16;
pub(super) const VISIBLE_STRING: u8 = 0x1a;
pub(super) const UNIVERSAL_STRING: u8 = 0x1c;
pub(super) const BMP_STRING: u8 = 0x1e;

/// A SEQUENCE around already encoded elements.
pub(super) fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    yasna::construct_der(|writer| {
        writer.write_sequence(|writer| {
            for part in parts {
                writer.next().write_der(part);
            }
        });
    })
}

/// An OBJECT IDENTIFIER.
pub(super) fn oid(oid: &Oid) -> Vec<u8> {
    // An `Oid` is within the limits that this writer asserts.
    yasna::construct_der(|writer| writer.write_oid(&ObjectIdentifier::from_slice(oid.arcs())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sequence_is_split_into_its_elements() {
        let der = sequence(&[&[0x02, 0x01, 0x05], &[0x05, 0x00]]);
        let outer = single(&der, SEQUENCE).unwrap();
        let parts = elements(outer.content).unwrap();
        assert_eq!(parts.len(), 2);
        assert_eq!(parts[0].whole, [0x02, 0x01, 0x05]);
        assert!(parts[1].content.is_empty());
    }

    #[test]
    fn trailing_bytes_are_not_one_element() {
        assert_eq!(single(&[0x30, 0x00, 0x00], SEQUENCE).unwrap_err(), NotDer);
        assert_eq!(single(&[0x30, 0x05, 0x00], SEQUENCE).unwrap_err(), NotDer);
        assert_eq!(single(&[], SEQUENCE).unwrap_err(), NotDer);
    }

    #[test]
    fn only_the_shortest_definite_length_is_read() {
        let element = |length: &[u8], content: usize| {
            let mut der = vec![OCTET_STRING];
            der.extend_from_slice(length);
            der.resize(der.len() + content, 7);
            der
        };
        for (length, content) in [
            (&[0x7f][..], 0x7f),
            (&[0x81, 0x80], 0x80),
            (&[0x82, 1, 0], 0x100),
            (&[0x83, 1, 0, 0], 0x1_0000),
        ] {
            let der = element(length, content);
            let read = single(&der, OCTET_STRING).unwrap();
            assert_eq!((read.content.len(), read.whole), (content, &der[..]));
            assert!(single(&der[..der.len() - 1], OCTET_STRING).is_err(), "cut");
        }
        for (length, content) in [
            (&[][..], 0),
            (&[0x80], 2),
            (&[0x81], 0),
            (&[0x81, 0x7f], 0x7f),
            (&[0x82, 0, 0x80], 0x80),
            (&[0x85, 0, 0, 0, 1, 0], 0x100),
            (&[0x84, 0xff, 0xff, 0xff, 0xff], 9),
            (&[0xff], 9),
        ] {
            assert!(first(&element(length, content)).is_err(), "{length:x?}");
        }
        assert!(first(&[0x1f, 1, 0]).is_err(), "a long tag");
    }

    #[test]
    fn as_many_elements_as_are_asked_for_fill_the_content() {
        let two = [0x05, 0x00, 0x02, 0x01, 0x05];
        let [null, integer] = exactly(&two).unwrap();
        assert_eq!((null.whole, integer.content), (&two[..2], &[5][..]));
        assert!(exactly::<1>(&two).is_err());
        assert!(exactly::<3>(&two).is_err());
    }
}
