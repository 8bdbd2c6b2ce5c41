//! Chance that can be had again: all that is random in a run comes from its seed.

/// Random numbers from a seed (SplitMix64, Steele, Lea and Flood 2014). Not for secrets.
#[derive(Clone, Debug)]
pub struct Chance(u64);

impl Chance {
    /// The numbers of this seed, always the same.
    pub fn new(seed: u64) -> Chance {
        Chance(seed)
    }

    /// The next number.
    fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from 0 up to and without `end`, which is more than 0.
    pub fn below(&mut self, end: u64) -> u64 {
        self.draw() % end
    }

    /// Whether one of `in_so_many` times happens.
    pub fn once_in(&mut self, in_so_many: u64) -> bool {
        self.below(in_so_many) == 0
    }

    /// One of these.
    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len() as u64) as usize]
    }
}
