//! Random numbers that depend on nothing but a seed and what they are for.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

/// What numbers are drawn for: uses of one seed must not repeat each other's numbers.
#[derive(Debug, Clone, Copy)]
pub(super) enum Purpose {
    /// Where a clip and its style begin; numbered by sample.
    Clip,
    /// The order of an epoch; numbered by epoch.
    Order,
}

/// One stream of random numbers.
#[derive(Debug)]
pub(super) struct Chance(ChaCha8Rng);

impl Chance {
    /// The stream of that number.
    pub(super) fn new(seed: u64, purpose: Purpose, number: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        // 2^63 samples are more than any training sees.
        rng.set_stream(number << 1 | purpose as u64);
        Self(rng)
    }

    /// Uniform in `0..bound`; 0 if the bound is 0. Exact: D. Lemire, "Fast Random Integer Generation in an
    /// Interval" (2019).
    pub(super) fn below(&mut self, bound: usize) -> usize {
        let bound = bound as u64;
        if bound == 0 {
            return 0;
        }
        let rejected = bound.wrapping_neg() % bound;
        loop {
            let product = u128::from(self.0.next_u64()) * u128::from(bound);
            if product as u64 >= rejected {
                return (product >> 64) as usize;
            }
        }
    }

    /// The numbers `0..count` in random order.
    pub(super) fn order(&mut self, count: u32) -> Vec<u32> {
        let mut order: Vec<u32> = (0..count).collect();
        for last in (1..order.len()).rev() {
            let other = self.below(last + 1);
            order.swap(last, other);
        }
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_differ_and_repeat() {
        let draw = |seed, purpose, number| {
            let mut chance = Chance::new(seed, purpose, number);
            (0..8).map(|_| chance.below(1 << 40)).collect::<Vec<_>>()
        };
        let first = draw(1, Purpose::Clip, 0);
        assert_eq!(first, draw(1, Purpose::Clip, 0));
        for other in [draw(2, Purpose::Clip, 0), draw(1, Purpose::Order, 0), draw(1, Purpose::Clip, 1)] {
            assert_ne!(first, other);
        }
    }

    #[test]
    fn numbers_are_uniform_and_orders_complete() {
        let mut chance = Chance::new(3, Purpose::Clip, 0);
        let mut counts = [0_u32; 5];
        (0..50_000).for_each(|_| counts[chance.below(5)] += 1);
        // Standard deviation 89.
        assert!(counts.iter().all(|&count| count.abs_diff(10_000) < 400), "{counts:?}");
        assert_eq!(chance.below(0), 0);
        let mut order = chance.order(1000);
        assert!(order.iter().enumerate().filter(|&(at, &number)| at == number as usize).count() < 10);
        order.sort_unstable();
        assert!(order.into_iter().eq(0..1000));
        assert!(chance.order(0).is_empty());
    }
}
