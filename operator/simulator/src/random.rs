//! Chance, all of it from one seed.

/// Splitmix64: small, fast, the same everywhere. Not for secrets.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The stream of a seed.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub const fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `n`; 0 where `n` is 0.
    pub const fn below(&mut self, n: u64) -> u64 {
        if n == 0 { 0 } else { self.bits() % n }
    }

    /// A number from `low` to `high`, both included.
    pub const fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high.saturating_sub(low) + 1)
    }

    /// True in so many of a thousand cases.
    pub const fn permille(&mut self, of: u64) -> bool {
        self.below(1_000) < of
    }

    /// A stream of its own, so that what one part draws does not move another's chances.
    #[must_use]
    pub const fn fork(&mut self) -> Self {
        Self(self.bits())
    }

    /// A uid in the form of the server's.
    pub fn uid(&mut self) -> String {
        let (a, b) = (self.bits(), self.bits());
        let (high, low) = ((a >> 32) & 0xffff_ffff, a & 0xffff);
        format!(
            "{high:08x}-{:04x}-4{:03x}-8{:03x}-{:012x}",
            low,
            (b >> 48) & 0xfff,
            (a >> 20) & 0xfff,
            b & 0xffff_ffff_ffff
        )
    }
}
