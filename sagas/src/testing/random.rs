//! Where a run's accidents come from: numbers drawn from a seed, so many and no more. After the last
//! every choice is 0, which always means that nothing goes wrong: the faults have stopped.

/// SplitMix64 (Steele, Lea, Flood 2014): small, and the same everywhere.
#[derive(Debug, Clone)]
pub(crate) struct SplitMix64(u64);

impl SplitMix64 {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// 0 to `below` - 1.
    pub(crate) fn pick(&mut self, below: usize) -> usize {
        let below = u64::try_from(below).unwrap_or(u64::MAX).max(1);
        usize::try_from(self.next() % below).unwrap_or(0)
    }

    /// True once in `of` times.
    #[cfg(test)]
    pub(crate) fn chance(&mut self, of: usize) -> bool {
        self.pick(of) == 0
    }
}

/// So many accidents.
#[derive(Debug, Clone)]
pub(crate) struct AccidentSource {
    random: SplitMix64,
    left: u32,
}

impl AccidentSource {
    pub(crate) const fn new(seed: u64, accidents: u32) -> Self {
        Self { random: SplitMix64::new(seed), left: accidents }
    }

    /// 0 to `below` - 1.
    pub(crate) fn pick(&mut self, below: usize) -> usize {
        if self.left == 0 {
            return 0;
        }
        self.left -= 1;
        self.random.pick(below)
    }

    /// True once in `of` times, never after the end.
    pub(crate) fn chance(&mut self, of: usize) -> bool {
        self.pick(of) + 1 == of
    }
}
