//! Seeded chance: every draw of a corpus comes from here.
//!
//! A [`Dice`] is a stream of ChaCha8 whose key is the corpus's seed, the recording's number and a purpose. What one
//! purpose draws never changes what another one gets, so that a rule can be changed without moving all others.
//!
//! ```
//! use unils_corpus::Dice;
//! let mut blinks = Dice::new(7, 3, "blinks");
//! assert_eq!(blinks.unit(), Dice::new(7, 3, "blinks").unit());
//! assert!(Dice::new(7, 4, "blinks").unit() != Dice::new(7, 3, "nods").unit());
//! ```

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

/// A stream of draws.
#[derive(Debug, Clone)]
pub struct Dice(ChaCha8Rng);

impl Dice {
    /// The stream of one purpose in one recording of a corpus.
    pub fn new(seed: u64, recording: u64, purpose: &str) -> Self {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        key[8..16].copy_from_slice(&recording.to_le_bytes());
        key[16..24].copy_from_slice(&fnv(purpose).to_le_bytes());
        Self(ChaCha8Rng::from_seed(key))
    }

    /// A stream of its own, of a purpose within this one's. It takes one draw.
    #[must_use]
    pub fn split(&mut self, purpose: &str) -> Self {
        Self::new(self.0.next_u64(), 0, purpose)
    }

    /// Evenly from 0 to below 1.
    pub fn unit(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Evenly from `low` to below `high`.
    pub fn range(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    /// True in that share of draws.
    pub fn chance(&mut self, share: f64) -> bool {
        self.unit() < share
    }

    /// Evenly from 0 to `count - 1`; 0 if there are none.
    pub fn below(&mut self, count: usize) -> usize {
        ((self.unit() * count as f64) as usize).min(count.saturating_sub(1))
    }

    /// One of them; none of none.
    pub fn pick<'a, T>(&mut self, choices: &'a [T]) -> Option<&'a T> {
        choices.get(self.below(choices.len()))
    }

    /// The number of one of the weights, in proportion to them.
    pub fn weighted(&mut self, weights: &[f64]) -> usize {
        let mut left = self.unit() * weights.iter().sum::<f64>();
        for (index, weight) in weights.iter().enumerate() {
            left -= weight;
            if left < 0.0 {
                return index;
            }
        }
        weights.len().saturating_sub(1)
    }

    /// Normally distributed (Box & Muller 1958).
    pub fn normal(&mut self, mean: f64, deviation: f64) -> f64 {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        mean + deviation * radius * (std::f64::consts::TAU * self.unit()).cos()
    }

    /// Normally distributed and cut to `mean +- limit`.
    pub fn normal_within(&mut self, mean: f64, deviation: f64, limit: f64) -> f64 {
        self.normal(mean, deviation).clamp(mean - limit, mean + limit)
    }

    /// Log-normally distributed, of that median and that deviation of the logarithm.
    pub fn log_normal(&mut self, median: f64, deviation: f64) -> f64 {
        median * self.normal(0.0, deviation).exp()
    }

    /// Exponentially distributed: times between events that know nothing of each other.
    pub fn exponential(&mut self, mean: f64) -> f64 {
        -mean * (1.0 - self.unit()).ln()
    }

    /// -1 or 1.
    pub fn sign(&mut self) -> f64 {
        if self.chance(0.5) { -1.0 } else { 1.0 }
    }
}

/// FNV-1a, 64 bits.
fn fnv(text: &str) -> u64 {
    text.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_have_their_distributions() {
        let mut dice = Dice::new(1, 2, "test");
        let count = 20_000;
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        let normal: Vec<f64> = (0..count).map(|_| dice.normal(2.0, 3.0)).collect();
        assert!((mean(&normal) - 2.0).abs() < 0.08);
        let variance = mean(&normal.iter().map(|x| (x - 2.0).powi(2)).collect::<Vec<_>>());
        assert!((variance.sqrt() - 3.0).abs() < 0.06, "{variance}");
        let waits: Vec<f64> = (0..count).map(|_| dice.exponential(4.0)).collect();
        assert!((mean(&waits) - 4.0).abs() < 0.12);
        let mut spread: Vec<f64> = (0..count).map(|_| dice.log_normal(5.0, 0.5)).collect();
        spread.sort_by(f64::total_cmp);
        assert!((spread[count / 2] - 5.0).abs() < 0.1);
        let second = (0..count).filter(|_| dice.weighted(&[1.0, 3.0]) == 1).count();
        assert!((second as f64 / count as f64 - 0.75).abs() < 0.012);
        assert_eq!(dice.below(0), 0);
        assert!(dice.pick::<u8>(&[]).is_none());
        assert!(dice.split("a").unit() != dice.split("a").unit());
    }
}
