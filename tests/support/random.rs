//! Moments that nobody chose.

/// Numbers that differ from run to run; good enough for pauses.
pub struct Random(u64);

impl Random {
    pub fn new() -> Self {
        Self(u64::from(std::process::id()))
    }

    /// A number from 0 to below this one.
    pub fn below(&mut self, end: u64) -> u64 {
        // Knuth's MMIX generator.
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}
