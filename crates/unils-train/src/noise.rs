//! Noise that is added to what is heard in training: rooms, streets and machines that no recording of the corpus has.
//!
//! White noise through a low-pass of any height, steady or swelling, 0 to 30 dB below the voice. A corpus has a few noises
//! for each of its recordings; these are new each time a clip is heard, so that what is learnt of a voice is what noise
//! leaves of it.

use std::f64::consts::TAU;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use unils::motion::SAMPLE_RATE;

/// The voice's level over the noise's, decibels.
const RATIO_DB: [f64; 2] = [0.0, 30.0];
/// Height of the low-pass, Hz.
const CUT_HZ: [f64; 2] = [150.0, 8000.0];
/// Swells a second.
const SWELLS_HZ: [f64; 2] = [0.3, 5.0];
/// Where nobody speaks louder than this root mean square, there is noise below a [`USUAL`] voice.
const SILENCE: f64 = 0.003;
/// A voice's root mean square.
const USUAL: f64 = 0.03;
/// Samples that a level is measured over: 40 ms.
const FRAME: usize = 640;

/// One clip's noise.
#[derive(Debug, Clone, PartialEq)]
pub struct Noise {
    ratio_db: f64,
    /// Share of the low-pass's output that a sample leaves to the next.
    keeps: f64,
    swells_hz: f64,
    /// From 0, steady, to 1, silent between two swells.
    depth: f64,
    seed: u64,
}

impl Noise {
    /// Numbers that a noise is drawn from.
    pub const DRAWS: usize = 5;

    /// The noise of [`Noise::DRAWS`] numbers, each uniform in 0..1.
    pub fn of(draws: &[f64]) -> Self {
        let within = |[low, high]: [f64; 2], draw: f64| low + (high - low) * draw;
        let cut_hz = within(CUT_HZ.map(f64::ln), draws[1]).exp();
        Self {
            ratio_db: within(RATIO_DB, draws[0]),
            keeps: (-TAU * cut_hz / f64::from(SAMPLE_RATE)).exp(),
            swells_hz: within(SWELLS_HZ, draws[2]),
            // Half of them steady.
            depth: (2.0 * draws[3] - 1.0).max(0.0),
            seed: draws[4].to_bits(),
        }
    }

    /// Adds it to a voice at 16 kHz.
    pub fn add(&self, voice: &mut [f32]) {
        let mut random = ChaCha8Rng::seed_from_u64(self.seed);
        let mut passed = 0.0;
        let step = TAU * self.swells_hz / f64::from(SAMPLE_RATE);
        let noise = (0..voice.len()).map(|at| {
            // The sum of two uniform numbers: near enough to a bell.
            let bits = random.next_u64();
            let white = ((bits >> 32) as f64 + (bits & 0xffff_ffff) as f64) / f64::from(u32::MAX) - 1.0;
            passed = self.keeps * passed + (1.0 - self.keeps) * white;
            passed * (1.0 - self.depth * (0.5 - 0.5 * (step * at as f64).cos()))
        });
        let noise: Vec<f64> = noise.collect();
        let power = noise.iter().map(|sample| sample * sample).sum::<f64>() / noise.len().max(1) as f64;
        let wanted = level(voice) * 10.0_f64.powf(-self.ratio_db / 20.0);
        let gain = wanted / power.sqrt().max(1e-12);
        voice.iter_mut().zip(noise).for_each(|(sample, noise)| *sample += (gain * noise) as f32);
    }
}

/// Root mean square of a voice where it is loud, or of a usual one where there is none.
fn level(voice: &[f32]) -> f64 {
    let power = |frame: &[f32]| {
        frame.iter().map(|&sample| f64::from(sample).powi(2)).sum::<f64>() / frame.len() as f64
    };
    let mut powers: Vec<f64> = voice.chunks(FRAME).map(power).collect();
    powers.sort_by(f64::total_cmp);
    let loud = powers.get(powers.len() * 9 / 10).copied().unwrap_or_default().sqrt();
    if loud > SILENCE { loud } else { USUAL }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: usize = SAMPLE_RATE as usize;

    fn rms(samples: &[f32]) -> f64 {
        (samples.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>() / samples.len() as f64).sqrt()
    }

    /// What is added to a voice of a level.
    fn added(voice_rms: f32, draws: [f64; Noise::DRAWS]) -> Vec<f32> {
        let voice: Vec<f32> =
            (0..4 * SECOND).map(|i| voice_rms * std::f32::consts::SQRT_2 * (i as f32 * 0.1).sin()).collect();
        let mut heard = voice.clone();
        Noise::of(&draws).add(&mut heard);
        heard.iter().zip(&voice).map(|(heard, voice)| heard - voice).collect()
    }

    #[test]
    fn it_lies_as_far_below_the_voice_as_drawn() {
        for (draw, ratio) in [(0.0, 1.0), (0.5, 10.0_f64.powf(-0.75)), (1.0, 10.0_f64.powf(-1.5))] {
            let noise = added(0.05, [draw, 0.7, 0.5, 0.9, 0.3]);
            assert!((rms(&noise) / (0.05 * ratio) - 1.0).abs() < 0.02, "{}", rms(&noise));
        }
        // Where nobody speaks it is as loud as below a usual voice.
        assert!((rms(&added(0.0, [0.0, 0.7, 0.5, 0.2, 0.3])) / USUAL - 1.0).abs() < 0.02);
        assert_eq!(added(0.1, [0.5, 0.5, 0.5, 0.5, 0.1]), added(0.1, [0.5, 0.5, 0.5, 0.5, 0.1]));
        assert_ne!(added(0.1, [0.5, 0.5, 0.5, 0.5, 0.1]), added(0.1, [0.5, 0.5, 0.5, 0.5, 0.2]));
    }

    #[test]
    fn it_falls_with_frequency_and_swells_as_drawn() {
        // Differences of neighbours are what is high in it.
        let high = |cut: f64| {
            let noise = added(0.05, [0.3, cut, 0.0, 0.0, 0.4]);
            let steps: Vec<f32> = noise.windows(2).map(|pair| pair[1] - pair[0]).collect();
            rms(&steps) / rms(&noise)
        };
        assert!(high(0.0) < 0.4 && high(1.0) > 1.0, "{} {}", high(0.0), high(1.0));
        let loudest_to_softest = |depth: f64| {
            let noise = added(0.05, [0.3, 1.0, 1.0, depth, 0.4]);
            let levels: Vec<f64> = noise.chunks(FRAME).map(rms).collect();
            levels.iter().copied().fold(0.0, f64::max) / levels.iter().copied().fold(f64::MAX, f64::min)
        };
        assert!(loudest_to_softest(0.4) < 1.5 && loudest_to_softest(1.0) > 5.0);
    }
}
