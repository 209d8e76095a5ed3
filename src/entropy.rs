//! The kernel's randomness, for the pure core that takes it as an argument.

use crate::pki::Serial;

/// A random serial number.
///
/// # Errors
/// When the crypto library has no entropy.
pub fn random_serial() -> Result<Serial, aws_lc_rs::error::Unspecified> {
    let mut bytes = [0; 20];
    aws_lc_rs::rand::fill(&mut bytes)?;
    Ok(Serial::from_random(bytes))
}
