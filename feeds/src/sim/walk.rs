//! One seeded random walk in whole numbers: quiet and busy phases, small jumps, and a gentle pull back to zero.
//! Its time is its own count of steps; there is no clock and no floating point.

use rand_pcg::Pcg64Mcg;
use rand_pcg::rand_core::Rng;

/// Standard deviation of [`noise`]: four uniform 16-bit numbers, 65,536 / √3.
const NOISE_SIGMA: i64 = 37_837;
/// Standard deviation of one step in a normal phase. Phases scale by quarters, hence the four.
pub(super) const STEP_SIGMA: i64 = NOISE_SIGMA * 4;
/// The walk is pulled back by one part in this many at each step: over two days at five steps a second.
const REVERSION: i64 = 1 << 20;
/// Far beyond where the pull lets a walk go (16 of its standard deviations); keeps products within an `i64`.
pub(super) const PLACE_MAX: i64 = 1 << 31;
/// One step in this many jumps: about twice an hour at five steps a second.
const STEPS_PER_JUMP: u64 = 8_192;

/// How lively a walk is for some minutes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    Quiet,
    Normal,
    Busy,
}

impl Phase {
    /// What a step's noise is multiplied by, in quarters.
    fn quarters(self) -> i64 {
        match self {
            Self::Quiet => 2,
            Self::Normal => 4,
            Self::Busy => 10,
        }
    }

    /// The phase after this one, and for how many steps.
    fn next(self, draw: u64) -> (Self, u64) {
        let phase = match (self, draw % 5) {
            (Self::Quiet | Self::Busy, _) => Self::Normal,
            (Self::Normal, 0..=2) => Self::Quiet,
            (Self::Normal, _) => Self::Busy,
        };
        // At five steps a second: quiet and normal for two to ten minutes, busy for one to five.
        let (shortest, span) = if phase == Self::Busy { (300, 1_200) } else { (600, 2_400) };
        (phase, shortest + (draw >> 32) % span)
    }
}

/// A walk around zero. Its place is in units where a normal step has a standard deviation of [`STEP_SIGMA`].
///
/// Invariant: the place is within ±[`PLACE_MAX`].
#[derive(Debug)]
pub(super) struct Walk {
    rng: Pcg64Mcg,
    place: i64,
    phase: Phase,
    phase_steps_left: u64,
}

impl Walk {
    /// A walk that depends on the seed and the name, and on nothing else.
    pub(super) fn new(seed: u64, name: &str) -> Self {
        let key = hash(seed, name);
        let state = u128::from(mix(key)) << 64 | u128::from(mix(!key));
        let mut rng = Pcg64Mcg::new(state);
        // A little off zero, so that another seed begins at another price.
        let place = noise(rng.next_u64()) * 512;
        let phase_steps_left = 1 + rng.next_u64() % 1_200;
        Self { rng, place, phase: Phase::Normal, phase_steps_left }
    }

    /// A walk that stands at `place`, for tests of the extremes.
    #[cfg(test)]
    pub(super) fn at(place: i64) -> Self {
        Self { place: place.clamp(-PLACE_MAX, PLACE_MAX), ..Self::new(0, "extreme") }
    }

    pub(super) fn place(&self) -> i64 {
        self.place
    }

    pub(super) fn phase(&self) -> Phase {
        self.phase
    }

    /// Sixty-four fresh bits of this walk's own stream.
    pub(super) fn draw(&mut self) -> u64 {
        self.rng.next_u64()
    }

    /// Goes one step.
    pub(super) fn step(&mut self) {
        if self.phase_steps_left == 0 {
            (self.phase, self.phase_steps_left) = self.phase.next(self.rng.next_u64());
        }
        self.phase_steps_left -= 1;
        let mut quarters = self.phase.quarters();
        let chance = self.rng.next_u64();
        if chance.is_multiple_of(STEPS_PER_JUMP) {
            quarters *= if chance >> 63 == 0 { 12 } else { 24 };
        }
        let moved = self.place - self.place / REVERSION + noise(self.rng.next_u64()) * quarters;
        self.place = moved.clamp(-PLACE_MAX, PLACE_MAX);
    }
}

/// Bits as a nearly normal number around zero: the sum of four uniform ones. Within ±131,070.
pub(super) fn noise(bits: u64) -> i64 {
    (0..4).map(|n| low_16(bits >> (16 * n))).sum::<i64>() - 131_070
}

/// The lowest sixteen bits.
pub(super) fn low_16(bits: u64) -> i64 {
    let [a, b, ..] = bits.to_le_bytes();
    i64::from(u16::from_le_bytes([a, b]))
}

/// A name under a seed as 64 bits, the same on every machine and in every version (std's hashers promise
/// neither). FNV-1a.
pub(super) fn hash(seed: u64, name: &str) -> u64 {
    let seeded = seed.to_le_bytes().into_iter().chain(name.bytes());
    mix(seeded
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)))
}

/// Spreads every bit over all others: names that differ in one letter must not walk alike. `SplitMix64`'s last
/// step.
fn mix(bits: u64) -> u64 {
    let bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ bits >> 31
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_walk_is_fixed_by_seed_and_name_for_good() {
        // A change here changes every recorded demo: it must be meant.
        let mut walk = Walk::new(7, "BTC-USD");
        let places: Vec<i64> = (0..4).map(|_| (walk.step(), walk.place()).1).collect();
        assert_eq!(places, [876_564, 782_952, 738_344, 821_360]);
        assert_ne!(Walk::new(8, "BTC-USD").place(), Walk::new(7, "BTC-USD").place());
        assert_ne!(Walk::new(7, "BTC-USE").place(), Walk::new(7, "BTC-USD").place());
    }

    #[test]
    fn noise_is_centred_and_has_the_stated_deviation() {
        let mut walk = Walk::new(1, "noise");
        let (mut sum, mut squares) = (0_i64, 0_i64);
        for _ in 0..100_000 {
            let value = noise(walk.draw());
            (sum, squares) = (sum + value, squares + value * value);
        }
        assert!((sum / 100_000).abs() < NOISE_SIGMA / 50, "mean {}", sum / 100_000);
        let sigma = (squares / 100_000).isqrt();
        assert!((sigma - NOISE_SIGMA).abs() < NOISE_SIGMA / 50, "sigma {sigma}");
    }

    #[test]
    fn phases_last_minutes_and_all_come_round() {
        let mut walk = Walk::new(3, "phases");
        let (mut steps, mut changes, mut since) = ([0_u32; 3], 0_u32, 0_u32);
        for _ in 0..200_000 {
            let before = walk.phase();
            walk.step();
            since += 1;
            if walk.phase() != before {
                // The first phase was under way when the walk began.
                assert!(since >= 300 || changes == 0, "a phase of {since} steps");
                (changes, since) = (changes + 1, 0);
            }
            steps[walk.phase() as usize] += 1;
        }
        assert!(changes > 80, "{changes} changes");
        assert!(steps.iter().all(|&n| n > 10_000), "{steps:?}");
    }
}
