//! What training leaves out or spoils on purpose: conditions, branches of the network, bits.
//!
//! All of it follows from the seed and the step, so that a run that is taken up again goes on as if it had not
//! stopped.

use burn::tensor::{Device, Tensor, TensorData};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use unils::codec::Schedule;
use unils::generator::BlockPaths;

use crate::data::Shard;
use crate::noise::Noise;
use crate::timbre::Timbre;

/// How much is left out or spoilt; all shares from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Spoiling {
    /// Largest share of a scale's bits that are flipped; the share is drawn in hundredths for each scale.
    pub flips: f64,
    /// Samples whose style clip is taken away.
    pub style: f64,
    /// Samples whose previous window is taken away.
    pub previous: f64,
    /// Samples whose own voice, and whose partner's, is taken away; drawn for each.
    pub voice: f64,
    /// Samples that skip a branch of the last block when there are 24; earlier and fewer blocks less, linearly.
    pub paths: f64,
    /// Samples whose audio is made quieter or louder, the loudest clipped; only the speech stage reads it.
    pub level: f64,
    /// Samples whose voice becomes [another one](crate::timbre): of a preset's own speech encoder.
    pub timbre: f64,
    /// Samples that are heard in [noise](crate::noise): of a preset's own speech encoder.
    pub noise: f64,
    /// Largest share of a sample's windows that later ones see as the generator itself would have made them; the share is
    /// drawn for each sample. Of the block-causal layout: live, all that it sees is its own. This is scheduled sampling
    /// (arXiv 1506.03099) in one pass (arXiv 1906.07651).
    pub own_past: f64,
}

impl Default for Spoiling {
    fn default() -> Self {
        Self {
            flips: 0.3,
            style: 0.1,
            previous: 0.1,
            voice: 0.1,
            paths: 0.1,
            level: 0.0,
            timbre: 0.0,
            noise: 0.0,
            own_past: 0.0,
        }
    }
}

impl Spoiling {
    /// Nothing is spoilt.
    pub const fn none() -> Self {
        Self {
            flips: 0.0,
            style: 0.0,
            previous: 0.0,
            voice: 0.0,
            paths: 0.0,
            level: 0.0,
            timbre: 0.0,
            noise: 0.0,
            own_past: 0.0,
        }
    }

    /// Share of samples that skip a branch of block `block` of `depth`.
    pub fn path_share(&self, block: usize, depth: usize) -> f64 {
        let last = self.paths * depth as f64 / 24.0;
        if depth < 2 { 0.0 } else { last * block as f64 / (depth - 1) as f64 }
    }
}

/// Range of a changed level, in decibels.
const LEVELS_DB: [f64; 2] = [-25.0, 12.0];

/// Sets these draws apart from the data's, which follow from the same seed.
const STREAM: u64 = 0x6d61_736b;

/// One step's draws, in a fixed order.
#[derive(Debug)]
pub struct Masks {
    rng: ChaCha8Rng,
    device: Device,
    people: usize,
    shard: Shard,
}

impl Masks {
    /// The draws of a step.
    pub fn new(seed: u64, step: u64, device: &Device) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed ^ STREAM);
        rng.set_stream(step);
        Self { rng, device: device.clone(), people: 1, shard: Shard { rank: 0, of: 1 } }
    }

    /// The same draws for the part of a batch that one of several devices has: what the whole batch would draw, of
    /// which the others' rows are left out. The batch's rows are the samples of the first of `people`, then of the next.
    #[must_use]
    pub fn of_shard(self, people: usize, shard: Shard) -> Self {
        Self { people, shard, ..self }
    }

    /// Draws `count` numbers for each row of the whole batch and keeps those of this shard's `batch` rows.
    fn rows<T>(&mut self, batch: usize, count: usize, mut draw: impl FnMut(f64) -> T) -> Vec<T> {
        let Shard { rank, of } = self.shard;
        let samples = batch / self.people;
        let mut kept = Vec::with_capacity(batch * count);
        for row in 0..batch * of {
            let is_kept = row / samples % of == rank;
            for _ in 0..count {
                let value = draw(self.uniform());
                if is_kept {
                    kept.push(value);
                }
            }
        }
        kept
    }

    /// Uniform in 0..1.
    fn uniform(&mut self) -> f64 {
        (self.rng.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// `(B, 1, 1)`: 0 for the share of samples that lose something, 1 for the others.
    pub fn kept(&mut self, batch: usize, share: f64) -> Tensor<3> {
        let kept = self.rows(batch, 1, |draw| if draw < share { 0.0 } else { 1.0 });
        Tensor::from_data(TensorData::new::<f32, _>(kept, [batch, 1, 1]), &self.device)
    }

    /// What each sample's audio is multiplied by: 1 but for the share of samples whose level changes.
    pub fn levels(&mut self, batch: usize, share: f64) -> Vec<f32> {
        let [low, high] = LEVELS_DB;
        let draws = self.rows(batch, 2, |draw| draw);
        let level = |draw: &[f64]| {
            let decibels = low + (high - low) * draw[1];
            if draw[0] < share { 10.0_f64.powf(decibels / 20.0) as f32 } else { 1.0 }
        };
        draws.chunks_exact(2).map(level).collect()
    }

    /// What each sample's voice becomes; none where it stays as it is.
    pub fn timbres(&mut self, batch: usize, share: f64) -> Vec<Option<Timbre>> {
        self.some(batch, share, Timbre::DRAWS, Timbre::of)
    }

    /// Adds noise to a share of the samples of `audio`, which holds `batch` of them, row after row.
    pub fn add_noise(&mut self, audio: &mut [f32], batch: usize, share: f64) {
        if share == 0.0 {
            return;
        }
        let noises = self.some(batch, share, Noise::DRAWS, Noise::of);
        let rows = audio.par_chunks_exact_mut((audio.len() / batch.max(1)).max(1));
        rows.zip(noises).for_each(|(voice, noise)| noise.iter().for_each(|noise| noise.add(voice)));
    }

    /// For a share of the samples something that is made of so many draws.
    fn some<T>(
        &mut self,
        batch: usize,
        share: f64,
        count: usize,
        of: impl Fn(&[f64]) -> T,
    ) -> Vec<Option<T>> {
        let draws = self.rows(batch, 1 + count, |draw| draw);
        draws.chunks_exact(1 + count).map(|draws| (draws[0] < share).then(|| of(&draws[1..]))).collect()
    }

    /// `count` numbers from 0 to 1 for each sample.
    pub fn uniforms(&mut self, batch: usize, count: usize) -> Vec<f32> {
        self.rows(batch, count, |draw| draw as f32)
    }

    /// `(B, N, 1)`: 1 for windows that later ones see as the generator would have made them.
    pub fn own_past(&mut self, batch: usize, windows: usize, most: f64) -> Tensor<3> {
        let draws = self.rows(batch, 1 + windows, |draw| draw);
        let of_sample = |draws: &[f64]| {
            let (share, draws) = (most * draws[0], &draws[1..]);
            draws.iter().map(|&draw| f32::from(draw < share)).collect::<Vec<f32>>()
        };
        let is_made = draws.chunks_exact(1 + windows).flat_map(of_sample).collect();
        Tensor::from_data(TensorData::new::<f32, _>(is_made, [batch, windows, 1]), &self.device)
    }

    /// Which bits of each scale but the last are flipped, `(B, p, C)` each; none at all without flips.
    pub fn flips(&mut self, schedule: &Schedule, batch: usize, bits: usize, most: f64) -> Vec<Tensor<3>> {
        let hundredths = (most * 100.0).round() as u64;
        let scales = schedule.scales();
        if hundredths == 0 {
            return Vec::new();
        }
        let spoilt = scales[..scales.len() - 1].iter().map(|&tokens| {
            let share = (self.uniform() * (hundredths + 1) as f64).floor() / 100.0;
            let flips = self.rows(batch, tokens * bits, |draw| f32::from(draw < share));
            Tensor::from_data(TensorData::new::<f32, _>(flips, [batch, tokens, bits]), &self.device)
        });
        spoilt.collect()
    }

    /// How much each branch of each block counts.
    pub fn paths(&mut self, spoiling: &Spoiling, batch: usize, depth: usize) -> Vec<BlockPaths> {
        if spoiling.paths == 0.0 {
            return Vec::new();
        }
        let blocks = (0..depth).map(|block| {
            let share = spoiling.path_share(block, depth);
            let mut branch = || self.kept(batch, share) / (1.0 - share);
            BlockPaths { self_attention: branch(), own: branch(), partner: branch(), feed_forward: branch() }
        });
        blocks.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_past_of_its_own_is_a_share_of_each_sample() {
        let draw = || Masks::new(3, 5, &Device::flex()).own_past(400, 100, 0.6).into_data();
        let made: Vec<f32> = draw().iter().collect();
        let shares: Vec<f32> = made.chunks(100).map(|sample| sample.iter().sum::<f32>() / 100.0).collect();
        let mean = shares.iter().sum::<f32>() / 400.0;
        assert!((mean - 0.3).abs() < 0.03, "{mean}");
        assert!(shares.iter().all(|share| *share < 0.8), "{shares:?}");
        assert!(shares.iter().any(|share| *share < 0.15) && shares.iter().any(|share| *share > 0.45));
        assert_eq!(made, draw().iter().collect::<Vec<f32>>());
    }
}
