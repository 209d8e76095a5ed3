//! Writing DER front to back, into one buffer.
//!
//! For what is made by the thousand: rcgen's layout, by yasna, took three times the
//! instructions, most of them for allocations.

use time::OffsetDateTime;

use super::der;

/// DER as it grows.
#[derive(Debug, Default)]
pub(super) struct Encoder(Vec<u8>);

impl Encoder {
    /// A buffer that takes `octets` without growing.
    pub(super) fn with_capacity(octets: usize) -> Self {
        Self(Vec::with_capacity(octets))
    }

    pub(super) fn into_der(self) -> Vec<u8> {
        self.0
    }

    /// An element whose content `write` writes.
    pub(super) fn constructed(&mut self, identifier: u8, write: impl FnOnce(&mut Self)) {
        self.0.push(identifier);
        let start = self.0.len();
        write(self);
        let (octets, count) = length(self.0.len() - start);
        self.0.splice(start..start, octets.into_iter().take(count));
    }

    /// SEQUENCE.
    pub(super) fn sequence(&mut self, write: impl FnOnce(&mut Self)) {
        self.constructed(der::SEQUENCE, write);
    }

    /// An element with this content.
    pub(super) fn primitive(&mut self, identifier: u8, content: &[u8]) {
        self.0.push(identifier);
        let (octets, count) = length(content.len());
        self.0.extend(octets.into_iter().take(count));
        self.0.extend_from_slice(content);
    }

    /// Elements that are encoded already.
    pub(super) fn encoded(&mut self, der: &[u8]) {
        self.0.extend_from_slice(der);
    }

    /// BOOLEAN TRUE; FALSE is the default wherever it occurs, and is left out.
    pub(super) fn yes(&mut self) {
        self.primitive(der::BOOLEAN, &[0xff]);
    }

    /// BIT STRING whose last octet has `unused` bits (X.690, section 8.6).
    pub(super) fn bits(&mut self, unused: u8, octets: &[u8]) {
        self.constructed(der::BIT_STRING, |content| {
            content.0.push(unused);
            content.encoded(octets);
        });
    }

    /// UTCTime through 2049, GeneralizedTime after (RFC 5280, section 4.1.2.5). For years
    /// from 1950 to 9999, in UTC.
    pub(super) fn time(&mut self, at: OffsetDateTime) {
        let year = at.year().unsigned_abs();
        let two = |number: u32| [digit(number / 10), digit(number)];
        let short = (1950..2050).contains(&year);
        let identifier = if short {
            der::UTC_TIME
        } else {
            der::GENERALIZED_TIME
        };
        self.constructed(identifier, |content| {
            if !short {
                content.encoded(&two(year / 100));
            }
            for number in [
                year % 100,
                u32::from(u8::from(at.month())),
                u32::from(at.day()),
                u32::from(at.hour()),
                u32::from(at.minute()),
                u32::from(at.second()),
            ] {
                content.encoded(&two(number));
            }
            content.0.push(b'Z');
        });
    }
}

fn digit(number: u32) -> u8 {
    b'0' + (number % 10) as u8
}

/// The octets of a length, and how many of them count (X.690, section 8.1.3).
fn length(length: usize) -> ([u8; 5], usize) {
    // No buffer here comes near 4 GiB.
    let length = u32::try_from(length).unwrap_or(u32::MAX);
    let [a, b, c, d] = length.to_be_bytes();
    match length {
        0..=0x7f => ([d, 0, 0, 0, 0], 1),
        0x80..=0xff => ([0x81, d, 0, 0, 0], 2),
        0x100..=0xffff => ([0x82, c, d, 0, 0], 3),
        0x1_0000..=0xff_ffff => ([0x83, b, c, d, 0], 4),
        _ => ([0x84, a, b, c, d], 5),
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn what_is_written_is_read_by_the_strict_reader() {
        for content in [0, 1, 0x7f, 0x80, 0xff, 0x100, 0xffff, 0x1_0000, 0x100_0000] {
            let mut encoder = Encoder::default();
            encoder.sequence(|list| list.primitive(der::OCTET_STRING, &vec![7; content]));
            let written = encoder.into_der();
            let list = der::single(&written, der::SEQUENCE).unwrap();
            let octets = der::single(list.content, der::OCTET_STRING).unwrap();
            assert_eq!(octets.content.len(), content);
        }
    }

    #[test]
    fn times_are_short_through_2049() {
        for (at, written) in [
            (datetime!(1950-01-01 0:00 UTC), "\x17\x0d500101000000Z"),
            (datetime!(2049-12-31 23:59:59 UTC), "\x17\x0d491231235959Z"),
            (datetime!(2050-01-01 0:00 UTC), "\x18\x0f20500101000000Z"),
            (
                datetime!(9999-12-31 23:59:59 UTC),
                "\x18\x0f99991231235959Z",
            ),
        ] {
            let mut encoder = Encoder::default();
            encoder.time(at);
            assert_eq!(encoder.into_der(), written.as_bytes(), "{at}");
        }
    }
}
