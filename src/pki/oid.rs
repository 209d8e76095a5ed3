//! Object identifiers, checked once, so that encoding one cannot fail.

use std::fmt;
use std::str::FromStr;

/// An object identifier (X.660): at least two arcs, within the limits of their encoding.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Oid(Vec<u64>);

/// The text or the arcs are no object identifier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not an object identifier: write numbers with dots between them, such as 1.2.840.113549"
)]
pub struct OidError(pub String);

/// Arcs beyond 63 bits are of no use here and would overflow when the first two are
/// packed into one.
const MAX_ARC: u64 = i64::MAX as u64;

impl Oid {
    /// The object identifier with these arcs.
    ///
    /// # Errors
    /// [`OidError`] when there are fewer than two, or the first two are out of range
    /// (X.660, section 6: the first is 0, 1 or 2, the second under 40 below 0 and 1).
    pub fn new(arcs: &[u64]) -> Result<Self, OidError> {
        let valid = match arcs {
            [0 | 1, second, ..] => *second < 40,
            [2, second, ..] => *second < MAX_ARC - 80,
            _ => false,
        };
        if valid && arcs.iter().all(|arc| *arc <= MAX_ARC) {
            Ok(Self(arcs.to_vec()))
        } else {
            Err(OidError(dotted(arcs)))
        }
    }

    /// For the arcs that this crate itself names.
    pub(super) fn known(arcs: &[u64]) -> Self {
        debug_assert!(Self::new(arcs).is_ok());
        Self(arcs.to_vec())
    }

    /// The arcs.
    #[must_use]
    pub fn arcs(&self) -> &[u64] {
        &self.0
    }

    /// From the content octets of an OBJECT IDENTIFIER (X.690, section 8.19).
    pub(super) fn from_content(octets: &[u8]) -> Option<Self> {
        let mut subidentifiers = Vec::new();
        let mut value: u64 = 0;
        let mut started = false;
        for octet in octets {
            if (!started && *octet == 0x80) || value > MAX_ARC >> 7 {
                return None;
            }
            value = value << 7 | u64::from(octet & 0x7f);
            started = octet & 0x80 != 0;
            if !started {
                subidentifiers.push(value);
                value = 0;
            }
        }
        let (first, rest) = subidentifiers.split_first()?;
        if started {
            return None;
        }
        let top = (first / 40).min(2);
        let mut arcs = vec![top, first - top * 40];
        arcs.extend_from_slice(rest);
        Self::new(&arcs).ok()
    }
}

fn dotted(arcs: &[u64]) -> String {
    arcs.iter()
        .map(u64::to_string)
        .collect::<Vec<_>>()
        .join(".")
}

impl fmt::Display for Oid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&dotted(&self.0))
    }
}

impl FromStr for Oid {
    type Err = OidError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || OidError(text.to_owned());
        let arcs: Vec<u64> = text
            .split('.')
            .map(|arc| {
                // `parse` alone would take a leading plus sign.
                let digits = !arc.is_empty() && arc.bytes().all(|byte| byte.is_ascii_digit());
                arc.parse().ok().filter(|_| digits)
            })
            .collect::<Option<_>>()
            .ok_or_else(error)?;
        Self::new(&arcs).map_err(|_| error())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pki::der;

    #[test]
    fn only_encodable_identifiers_are_read() {
        for text in [
            "1.2.3",
            "2.999.1",
            "0.39",
            "2.5.4.3",
            "1.3.6.1.4.1.44363.44",
        ] {
            assert_eq!(text.parse::<Oid>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "1",
            "1.",
            ".1",
            "3.1",
            "1.40",
            "0.40.1",
            "a.b",
            "1.-2",
            "+1.2",
            "1..2",
            "1.2.99999999999999999999",
            "2.9223372036854775807",
        ] {
            assert!(text.parse::<Oid>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn the_encoding_reads_back() {
        for text in [
            "1.2.840.113549.1.9.1",
            "2.999.3",
            "0.9.2342.19200300.100.1.25",
        ] {
            let oid: Oid = text.parse().unwrap();
            let encoded = der::oid(&oid);
            let element = der::single(&encoded, der::OID).unwrap();
            assert_eq!(Oid::from_content(element.content), Some(oid));
        }
        assert_eq!(Oid::from_content(&[]), None);
        assert_eq!(Oid::from_content(&[0x2a, 0x86]), None, "cut off");
        assert_eq!(Oid::from_content(&[0x2a, 0x80, 0x01]), None, "padded");
        assert_eq!(Oid::from_content(&[0xff; 30]), None, "too large");
    }
}
