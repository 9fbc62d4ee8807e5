//! Which inputs of an adapter are dropped in a training step.
//!
//! Draws come from a stream of the thread that trains, which [`seed_dropout`] starts anew for each step: they depend
//! neither on the steps before nor on the number of threads.

use std::cell::Cell;

use super::cpu::CHUNK;

thread_local! {
    static STREAM: Cell<u64> = const { Cell::new(0) };
}

/// Added from one draw to the next, as in SplitMix64 (Steele et al. 2014).
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// Starts the stream that the dropout of this thread draws from.
pub fn seed_dropout(seed: u64) {
    STREAM.set(seed);
}

/// One layer's draw: follows from a seed, so that nothing else has to be kept for the way back.
#[derive(Debug, Clone, Copy)]
pub(super) struct Dropout {
    seed: u64,
    /// Inputs whose 16 random bits are below this stay.
    keep: u32,
}

impl Dropout {
    /// The next draw of this thread's stream: drops the given share of inputs.
    pub(super) fn next(share: f64) -> Self {
        let seed = STREAM.get().wrapping_add(STEP);
        STREAM.set(seed);
        Self { seed: mix(seed), keep: ((1.0 - share) * 65_536.0).round() as u32 }
    }

    /// Drops some of the values of chunk `index` of [`CHUNK`] and raises the others to the same mean.
    pub(super) fn apply(self, index: usize, values: &mut [f32]) {
        let scale = 65_536.0 / self.keep.max(1) as f32;
        let first = (index * CHUNK / 4) as u64;
        for (number, four) in (first..).zip(values.chunks_mut(4)) {
            let bits = mix(self.seed ^ number.wrapping_mul(STEP));
            for (place, value) in four.iter_mut().enumerate() {
                let draw = (bits >> (16 * place)) as u32 & 0xffff;
                *value *= if draw < self.keep { scale } else { 0.0 };
            }
        }
    }

    /// What `count` inputs are multiplied by.
    pub(super) fn mask(self, count: usize) -> Vec<f32> {
        let mut mask = vec![1.0; count];
        mask.chunks_mut(CHUNK).enumerate().for_each(|(index, values)| self.apply(index, values));
        mask
    }
}

/// The end of SplitMix64: neighbouring numbers give unrelated bits.
fn mix(x: u64) -> u64 {
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_keep_their_share_and_their_seed() {
        let mask = |seed| {
            seed_dropout(seed);
            Dropout::next(0.5).mask(8);
            Dropout::next(0.1).mask(40_001)
        };
        let first = mask(5);
        assert_eq!(first, mask(5));
        assert_ne!(first, mask(6));
        let dropped = first.iter().filter(|&&value| value == 0.0).count() as f64 / first.len() as f64;
        assert!((dropped - 0.1).abs() < 0.006, "{dropped}");
        let mean = first.iter().sum::<f32>() / first.len() as f32;
        assert!((mean - 1.0).abs() < 0.006, "{mean}");
    }
}
