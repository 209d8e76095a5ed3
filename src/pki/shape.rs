//! The outline of certificates and requests, checked strictly before they are read.
//!
//! x509-parser takes what other readers refuse: elements after the signature, an
//! algorithm identifier that is no OBJECT IDENTIFIER, octets that are no UTF-8. What
//! one reader takes and the next refuses, or reads otherwise, is not to be trusted, so
//! that only what all of them (OpenSSL, Go, webpki) can decode is accepted.

use super::der::{self, Element, NotDer};

/// What the values of a name are: a DirectoryString or one of its like (RFC 5280,
/// section 4.1.2.4), a unique identifier, or a structure of the attribute's own.
const STRINGS: [u8; 9] = [
    der::UTF8_STRING,
    der::PRINTABLE_STRING,
    der::IA5_STRING,
    der::NUMERIC_STRING,
    der::T61_STRING,
    der::BMP_STRING,
    der::UNIVERSAL_STRING,
    der::BIT_STRING,
    der::SEQUENCE,
];

/// How deep elements may nest; an honest certificate has nine levels.
const DEPTH: usize = 24;

/// Whether `input` has the outline of a certificate (RFC 5280, section 4.1).
pub(super) fn certificate(input: &[u8]) -> Result<(), NotDer> {
    let fields = signed(input)?;
    let mut rest = fields.as_slice();
    if let [version, after @ ..] = rest
        && version.identifier == 0xa0
    {
        let [version] = der::exactly(version.content)?;
        is(version, der::INTEGER)?;
        rest = after;
    }
    let [serial, signature, issuer, validity, subject, key, rest @ ..] = rest else {
        return Err(NotDer);
    };
    is(*serial, der::INTEGER)?;
    algorithm(*signature)?;
    name(*issuer)?;
    is(*validity, der::SEQUENCE)?;
    for time in der::exactly::<2>(validity.content)? {
        if !matches!(time.identifier, der::UTC_TIME | der::GENERALIZED_TIME) {
            return Err(NotDer);
        }
    }
    name(*subject)?;
    public_key(*key)?;
    // Unique identifiers and extensions, each once at most and in this order.
    let mut last = 0;
    for element in rest {
        let number = element.identifier & 0x1f;
        if !matches!(element.identifier, 0x81 | 0x82 | 0xa3) || number <= last {
            return Err(NotDer);
        }
        last = number;
        if element.identifier == 0xa3 {
            extensions(*element)?;
        } else {
            bits(element.content)?;
        }
    }
    Ok(())
}

/// Whether `input` has the outline of a request (RFC 2986, section 4), its attributes
/// aside.
pub(super) fn request(input: &[u8]) -> Result<(), NotDer> {
    match signed(input)?.as_slice() {
        [version, subject, key] | [version, subject, key, _] => {
            is(*version, der::INTEGER)?;
            name(*subject)?;
            public_key(*key)
        }
        _ => Err(NotDer),
    }
}

/// `SEQUENCE { SEQUENCE toBeSigned, algorithm, BIT STRING }`: what is to be signed.
fn signed(input: &[u8]) -> Result<Vec<Element<'_>>, NotDer> {
    let outer = der::single(input, der::SEQUENCE)?;
    well_formed(outer, DEPTH)?;
    let [signed, used, signature] = der::exactly(outer.content)?;
    is(signed, der::SEQUENCE)?;
    algorithm(used)?;
    is(signature, der::BIT_STRING)?;
    der::elements(signed.content)
}

fn is(element: Element<'_>, identifier: u8) -> Result<(), NotDer> {
    (element.identifier == identifier)
        .then_some(())
        .ok_or(NotDer)
}

fn algorithm(element: Element<'_>) -> Result<(), NotDer> {
    is(element, der::SEQUENCE)?;
    match der::elements(element.content)?.as_slice() {
        [oid] | [oid, _] => is(*oid, der::OID),
        _ => Err(NotDer),
    }
}

fn public_key(element: Element<'_>) -> Result<(), NotDer> {
    is(element, der::SEQUENCE)?;
    let [used, key] = der::exactly(element.content)?;
    algorithm(used)?;
    is(key, der::BIT_STRING)
}

/// The values of a name are strings of a type that may be in one; its structure is for [`DistinguishedName`](super::DistinguishedName) to check.
fn name(element: Element<'_>) -> Result<(), NotDer> {
    is(element, der::SEQUENCE)?;
    for rdn in der::elements(element.content)? {
        for attribute in der::elements(rdn.content)? {
            let [_, value] = der::exactly(attribute.content)?;
            if !STRINGS.contains(&value.identifier) {
                return Err(NotDer);
            }
        }
    }
    Ok(())
}

fn extensions(element: Element<'_>) -> Result<(), NotDer> {
    let [list] = der::exactly(element.content)?;
    is(list, der::SEQUENCE)?;
    for extension in der::elements(list.content)? {
        is(extension, der::SEQUENCE)?;
        match der::elements(extension.content)?.as_slice() {
            [oid, value] => {
                is(*oid, der::OID)?;
                is(*value, der::OCTET_STRING)?;
            }
            [oid, critical, value] => {
                is(*oid, der::OID)?;
                is(*critical, der::BOOLEAN)?;
                is(*value, der::OCTET_STRING)?;
            }
            _ => return Err(NotDer),
        }
    }
    Ok(())
}

/// Whether the element and all within it are encoded as their types are (X.690,
/// section 8), as far as they are of universal types.
fn well_formed(element: Element<'_>, depth: usize) -> Result<(), NotDer> {
    let content = element.content;
    let is_universal = element.identifier & 0xc0 == 0;
    let is_constructed = element.identifier & 0x20 != 0;
    let number = element.identifier & 0x1f;
    if is_universal && is_constructed != matches!(number, 0x10 | 0x11) {
        return Err(NotDer);
    }
    if is_constructed {
        let depth = depth.checked_sub(1).ok_or(NotDer)?;
        let mut rest = content;
        while !rest.is_empty() {
            let (element, after) = der::first(rest)?;
            well_formed(element, depth)?;
            rest = after;
        }
        return Ok(());
    }
    let valid = !is_universal
        || match element.identifier {
            der::BOOLEAN => content.len() == 1,
            // The first nine bits are not all the same.
            der::INTEGER | 0x0a => match content {
                [] => false,
                [0x00, next, ..] => next & 0x80 != 0,
                [0xff, next, ..] => next & 0x80 == 0,
                _ => true,
            },
            der::BIT_STRING => return bits(content),
            0x05 => content.is_empty(),
            der::OID => is_oid(content),
            der::UTF8_STRING => std::str::from_utf8(content).is_ok(),
            der::BMP_STRING => content.len().is_multiple_of(2),
            der::UNIVERSAL_STRING => content
                .chunks(4)
                .all(|unit| <[u8; 4]>::try_from(unit).is_ok_and(is_scalar)),
            _ => true,
        };
    valid.then_some(()).ok_or(NotDer)
}

fn is_scalar(unit: [u8; 4]) -> bool {
    char::from_u32(u32::from_be_bytes(unit)).is_some()
}

/// The content of a BIT STRING: the number of unused bits in its last octet, then octets.
fn bits(content: &[u8]) -> Result<(), NotDer> {
    match content {
        [0] | [0..=7, _, ..] => Ok(()),
        _ => Err(NotDer),
    }
}

/// Subidentifiers without padding, the last one complete. Arcs may be of any size here.
fn is_oid(content: &[u8]) -> bool {
    let mut starts = true;
    for octet in content {
        if starts && *octet == 0x80 {
            return false;
        }
        starts = octet & 0x80 == 0;
    }
    starts && !content.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn well_formed(encoding: &[u8]) -> bool {
        der::first(encoding).is_ok_and(|(element, _)| super::well_formed(element, DEPTH).is_ok())
    }

    #[test]
    fn each_type_is_encoded_as_it_is_to_be() {
        for good in [
            &[0x01, 1, 0xff][..],
            &[0x02, 2, 0x00, 0x80],
            &[0x02, 1, 0x00],
            &[0x03, 1, 0],
            &[0x03, 2, 7, 0x80],
            &[0x05, 0],
            &[0x06, 3, 0x2a, 0x86, 0x48],
            &[0x0c, 2, 0xc3, 0xbc],
            &[0x30, 2, 0x05, 0],
            // A type of the context's own.
            &[0x82, 1, 0xff],
        ] {
            assert!(well_formed(good), "{good:x?}");
        }
        for bad in [
            &[0x01, 0][..],
            &[0x02, 0],
            &[0x02, 2, 0x00, 0x7f],
            &[0x02, 2, 0xff, 0x80],
            &[0x03, 0],
            &[0x03, 1, 1],
            &[0x03, 2, 8, 0],
            &[0x05, 1, 0],
            &[0x06, 0],
            &[0x06, 2, 0x2a, 0x86],
            &[0x06, 3, 0x2a, 0x80, 0x01],
            &[0x0c, 1, 0xff],
            &[0x10, 0],
            &[0x1c, 4, 0, 0, 0xd8, 0],
            &[0x1e, 1, 0],
            &[0x26, 3, 0x06, 1, 0x2a],
            &[0x30, 1, 0x05],
        ] {
            assert!(!well_formed(bad), "{bad:x?}");
        }
    }

    #[test]
    fn elements_nest_only_so_deep() {
        let nested = |depth| {
            (0..depth).fold(vec![0x05, 0x00], |inner: Vec<u8>, _| {
                der::sequence(&[&inner])
            })
        };
        assert!(well_formed(&nested(DEPTH)));
        assert!(!well_formed(&nested(DEPTH + 1)));
        assert!(!well_formed(&nested(10_000)));
    }
}
