//! Numbers drawn at random, the same in every run.

/// Numbers that look random and are the same in every run (SplitMix64).
#[derive(Debug, Clone)]
pub struct Random(pub u64);

impl Random {
    /// 64 bits.
    #[expect(clippy::should_implement_trait, reason = "it never ends")]
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below this one.
    pub fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).expect("below a usize")
    }

    /// A number from this one up to that one, both included.
    pub fn between(&mut self, from: i64, to: i64) -> i64 {
        let length = usize::try_from(to - from).expect("not backwards") + 1;
        from + i64::try_from(self.below(length)).expect("a small number")
    }

    /// True so many times of a hundred.
    pub fn percent(&mut self, times: usize) -> bool {
        self.below(100) < times
    }

    /// One of these.
    pub fn of<'a, T>(&mut self, those: &'a [T]) -> &'a T {
        &those[self.below(those.len())]
    }

    /// Puts them in another order.
    pub fn shuffle<T>(&mut self, those: &mut [T]) {
        for n in (1..those.len()).rev() {
            those.swap(n, self.below(n + 1));
        }
    }
}
