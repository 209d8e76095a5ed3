//! Certificate serial numbers.

use std::fmt;

/// A serial number of 159 random bits (RFC 5280, section 4.1.2.2: positive, at most
/// 20 octets; CA/Browser baseline requirements: at least 64 random bits).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Serial([u8; 20]);

impl Serial {
    /// The serial made from 20 bytes of randomness: the top bit is cleared, so that
    /// the integer is positive and stays within 20 octets.
    #[must_use]
    pub fn from_random(mut bytes: [u8; 20]) -> Self {
        bytes[0] &= 0x7f;
        // A leading zero octet would be dropped by DER and shorten the number; an
        // all-zero serial would not be positive.
        if bytes[0] == 0 {
            bytes[0] = 1;
        }
        Self(bytes)
    }

    /// The octets, most significant first.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_is_positive_and_has_twenty_octets() {
        for byte in [0x00, 0x01, 0x7f, 0x80, 0xff] {
            let serial = Serial::from_random([byte; 20]);
            assert!(serial.as_bytes()[0] != 0 && serial.as_bytes()[0] < 0x80);
            assert_eq!(serial.to_string().len(), 40);
        }
    }
}
