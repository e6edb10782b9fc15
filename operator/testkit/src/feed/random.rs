//! `SplitMix64` (Steele, Lea, Flood 2014): small, seeded, the same everywhere.

/// A stream of numbers that its seed decides.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The stream of a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`; 0 where `bound` is 0.
    pub fn below(&mut self, bound: usize) -> usize {
        let product = u128::from(self.draw()) * bound as u128;
        usize::try_from(product >> 64).unwrap_or(0)
    }

    /// True `percent` times in a hundred.
    pub fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    /// One of a list that is not empty.
    pub fn pick<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[self.below(list.len())]
    }

    /// A number from a distribution that is given by its value at some thousandths, linear in between.
    pub fn from_thousandths(&mut self, points: &[(usize, usize)]) -> usize {
        let at = self.below(1_000);
        Self::at_thousandth(at, points)
    }

    /// The value of a distribution at a thousandth.
    pub fn at_thousandth(at: usize, points: &[(usize, usize)]) -> usize {
        for pair in points.windows(2) {
            let ((from, low), (until, high)) = (pair[0], pair[1]);
            if at < until {
                return low + (high - low) * (at - from) / (until - from).max(1);
            }
        }
        points.last().map_or(0, |&(_, value)| value)
    }

    /// So many words of filler.
    pub fn words(&mut self, count: usize) -> String {
        const WORDS: [&str; 24] = [
            "attacker",
            "remote",
            "buffer",
            "overflow",
            "in",
            "the",
            "parser",
            "of",
            "a",
            "crafted",
            "request",
            "may",
            "allow",
            "memory",
            "use",
            "after",
            "free",
            "denial",
            "service",
            "library",
            "kernel",
            "leads",
            "to",
            "disclosure",
        ];
        let words: Vec<&str> = (0..count).map(|_| *self.pick(&WORDS)).collect();
        words.join(" ")
    }

    /// A name that can be spoken, of two to four syllables.
    pub fn name(&mut self) -> String {
        const SYLLABLES: [&str; 20] = [
            "ba", "co", "dor", "fi", "gam", "hel", "in", "jo", "kel", "lu", "mar", "nos", "or",
            "pa", "qui", "ras", "sel", "tor", "ux", "zen",
        ];
        (0..2 + self.below(3)).map(|_| *self.pick(&SYLLABLES)).collect()
    }
}
