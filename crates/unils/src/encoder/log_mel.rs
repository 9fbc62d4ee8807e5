//! Log-mel energies as speech features: no weights, nothing to fetch. 50 features a second of 160 channels.
//!
//! The third kind of audio encoder, beside wav2vec 2.0 and Mimi, for models that learn to hear by themselves and
//! must answer soon: features know the past only and are computed in well under a millisecond for each second.
//!
//! 1. Every 10 ms (160 samples at 16 kHz) the last 25 ms are weighted with a periodic Hann window and transformed
//!    (512 points). Power is divided by the sum of the squared window: white noise of variance `v` gives `v` in
//!    each bin.
//! 2. 80 triangles of height 1, evenly spaced on Slaney's mel scale from 20 to 7600 Hz, sum the power of their bins.
//!    (On the HTK scale the lowest triangles would be narrower than the 31 Hz between two bins.) High bands are
//!    wider and thus louder, which counters the fall of speech towards high frequencies.
//! 3. `(ln(power + 1e-9) + 10) / 5`: both numbers are constants, so that a window, a whole recording and a stream
//!    give the same features. Digital silence is -2.14; recorded speech has a mean between 0 and 1 and a deviation
//!    near 0.7 where somebody speaks, and stays below 3.
//! 4. Two steps stand in one feature, the earlier first.
//!
//! Feature `j` is made when sample `320 (j + 1)` comes: it covers samples `320 j .. 320 (j + 1)` and looks back at
//! [`LogMel::LOOK_BACK`] samples before them, zeros before the start. A row of `n` samples has `n / 320` features,
//! rounded down.
//!
//! Computed on the CPU, rows in parallel, and then put on the tensor's device. No gradient passes.
//!
//! ```
//! use burn::tensor::{Device, Tensor};
//! use unils::encoder::LogMel;
//! let features = LogMel::new().forward(Tensor::zeros([2, 64_000], &Device::flex()));
//! assert_eq!(features.dims(), [2, 200, 160]);
//! ```

use std::f64::consts::TAU;
use std::fmt;
use std::sync::Arc;

use burn::tensor::{Tensor, TensorData};
use rayon::prelude::*;
use realfft::{RealFftPlanner, RealToComplex};

use crate::audio::MODEL_RATE;

/// Samples from one step to the next: 10 ms.
const HOP: usize = 160;
/// Samples that a step is computed from: 25 ms.
const WINDOW: usize = 400;
/// Points of the transform; zeros follow the window.
const POINTS: usize = 512;
/// Mel bands.
pub(super) const BANDS: usize = LogMel::BANDS;
/// Lower edge of the first band and upper edge of the last, Hz.
const EDGES_HZ: [f64; 2] = [20.0, 7600.0];
/// Steps in a feature.
const STACKED: usize = 2;
/// Power of about the noise of 16 bits: what is below is not heard.
const FLOOR: f32 = 1e-9;
/// Taken away from the logarithm, which is then divided.
const CENTRE: f32 = -10.0;
const SPREAD: f32 = 5.0;

/// The features. Cheap to make and to clone.
#[derive(Clone)]
pub struct LogMel {
    transform: Arc<dyn RealToComplex<f32>>,
    /// Hann, divided by the root of its squares' sum.
    window: Vec<f32>,
    bands: Vec<Band>,
}

/// A triangle over the bins of the transform.
#[derive(Debug, Clone)]
struct Band {
    first: usize,
    weights: Vec<f32>,
}

impl LogMel {
    /// Mel bands of a step.
    pub const BANDS: usize = 80;
    /// Channels of a feature.
    pub const FEATURE_DIM: usize = STACKED * BANDS;
    /// Samples that a feature covers: 20 ms.
    pub const SAMPLES_PER_FEATURE: usize = STACKED * HOP;
    /// Samples before a feature's own that it depends on.
    pub const LOOK_BACK: usize = WINDOW - HOP;

    /// Makes window, bands and the transform's plan.
    pub fn new() -> Self {
        let hann: Vec<f64> =
            (0..WINDOW).map(|i| 0.5 - 0.5 * (TAU * i as f64 / WINDOW as f64).cos()).collect();
        let length = hann.iter().map(|w| w * w).sum::<f64>().sqrt();
        Self {
            transform: RealFftPlanner::new().plan_fft_forward(POINTS),
            window: hann.iter().map(|w| (w / length) as f32).collect(),
            bands: bands(),
        }
    }

    /// Features that [`LogMel::forward`] gives for `samples` samples.
    pub fn features(samples: usize) -> usize {
        samples / Self::SAMPLES_PER_FEATURE
    }

    /// Waveforms `(B, N)` at 16 kHz to features `(B, features(N), 160)` on the same device.
    pub fn forward(&self, waves: Tensor<2>) -> Tensor<3> {
        let ([rows, samples], device) = (waves.dims(), waves.device());
        let waves: Vec<f32> = waves.into_data().convert::<f32>().iter().collect();
        let count = Self::features(samples);
        let values = self.rows(&waves, samples, 0);
        Tensor::from_data(TensorData::new(values, [rows, count, Self::FEATURE_DIM]), &device)
    }

    /// Features of rows of `samples` samples, row-major, of which the first `heard` had their features earlier.
    pub(super) fn rows(&self, waves: &[f32], samples: usize, heard: usize) -> Vec<f32> {
        let row_values = Self::features(samples - heard) * Self::FEATURE_DIM;
        let mut values = vec![0.0; waves.len() / samples.max(1) * row_values];
        if row_values > 0 {
            let rows = values.par_chunks_exact_mut(row_values).zip(waves.par_chunks_exact(samples));
            rows.for_each(|(values, wave)| self.write(wave, heard, values));
        }
        values
    }

    /// Frequency of a band's peak, Hz.
    pub fn centre_hz(band: usize) -> f64 {
        edge_hz(band + 1)
    }

    /// What a gain in decibels adds to a value.
    pub fn of_decibels(decibels: f64) -> f32 {
        (decibels / 10.0 * std::f64::consts::LN_10) as f32 / SPREAD
    }

    /// The logarithm of the power that a value stands for.
    pub(super) fn log_power(value: f32) -> f32 {
        value * SPREAD + CENTRE
    }

    /// The value that stands for the logarithm of a power.
    pub(super) fn of_log_power(log_power: f32) -> f32 {
        (log_power - CENTRE) / SPREAD
    }

    /// The steps of one wave behind its first `heard` samples: 80 numbers each.
    fn write(&self, wave: &[f32], heard: usize, values: &mut [f32]) {
        let mut input = self.transform.make_input_vec();
        let mut spectrum = self.transform.make_output_vec();
        let mut scratch = self.transform.make_scratch_vec();
        for (step, values) in values.chunks_exact_mut(BANDS).enumerate() {
            let end = heard + (step + 1) * HOP;
            let part = &wave[end.saturating_sub(WINDOW)..end];
            // The transform leaves rubbish in its input.
            input.fill(0.0);
            let before = WINDOW - part.len();
            for ((input, sample), weight) in input[before..].iter_mut().zip(part).zip(&self.window[before..])
            {
                *input = sample * weight;
            }
            let done = self.transform.process_with_scratch(&mut input, &mut spectrum, &mut scratch);
            debug_assert!(done.is_ok(), "the plan made its own buffers");
            for (value, band) in values.iter_mut().zip(&self.bands) {
                let bins = band.weights.iter().zip(&spectrum[band.first..]);
                let power: f32 = bins.map(|(weight, bin)| weight * bin.norm_sqr()).sum();
                *value = Self::of_log_power((power + FLOOR).ln());
            }
        }
    }
}

impl Default for LogMel {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for LogMel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogMel").field("bands", &self.bands.len()).finish_non_exhaustive()
    }
}

/// Slaney's scale: linear up to 1000 Hz (15 mel), then 27 steps to a factor of 6.4.
fn mel(hz: f64) -> f64 {
    if hz < 1000.0 { hz * 0.015 } else { 15.0 + 27.0 * (hz / 1000.0).ln() / 6.4f64.ln() }
}

fn hz(mel: f64) -> f64 {
    if mel < 15.0 { mel / 0.015 } else { 1000.0 * ((mel - 15.0) / 27.0 * 6.4f64.ln()).exp() }
}

/// Where the triangles meet: band `index` rises from this edge to the next and falls to the one behind.
fn edge_hz(index: usize) -> f64 {
    let [low, high] = EDGES_HZ.map(mel);
    hz(low + (high - low) * index as f64 / (BANDS + 1) as f64)
}

fn bands() -> Vec<Band> {
    let bin_hz = f64::from(MODEL_RATE) / POINTS as f64;
    let band = |index: usize| {
        let [left, peak, right] = [edge_hz(index), edge_hz(index + 1), edge_hz(index + 2)];
        // A bin on the edge itself weighs nothing.
        let (first, last) = ((left / bin_hz).ceil() as usize, (right / bin_hz).floor() as usize);
        let weight = |bin: usize| {
            let at = bin as f64 * bin_hz;
            ((at - left) / (peak - left)).min((right - at) / (right - peak)) as f32
        };
        Band { first, weights: (first..=last).map(weight).collect() }
    };
    (0..BANDS).map(band).collect()
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;

    fn features(wave: &[f32]) -> Vec<f32> {
        LogMel::new().rows(wave, wave.len(), 0)
    }

    /// A tone that rises, noise, and some samples of a step.
    fn signal(samples: usize) -> Vec<f32> {
        let mut state = 7u32;
        let sample = |i: usize| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let noise = f64::from(state) / f64::from(u32::MAX) - 0.5;
            let time = i as f64 / 16_000.0;
            let step = if (700..900).contains(&i) { 0.1 } else { 0.0 };
            (0.3 * (TAU * (200.0 + 9000.0 * time) * time).sin() + 0.01 * noise + step) as f32
        };
        (0..samples).map(sample).collect()
    }

    /// Channel `band` of step `step` by the definition: sums of cosines and sines, triangles from their edges.
    fn by_definition(wave: &[f32], step: usize, band: usize) -> f64 {
        let heard = |i: usize| {
            let at = (step * 160 + 160 + i) as i64 - 400;
            usize::try_from(at).ok().and_then(|at| wave.get(at)).copied().map_or(0.0, f64::from)
        };
        let hann = |i: usize| (std::f64::consts::PI * i as f64 / 400.0).sin().powi(2);
        let squares: f64 = (0..400).map(|i| hann(i).powi(2)).sum();
        // 20 Hz is 0.3 mel; 7600 Hz is found by doubling back.
        let top = 15.0 + 27.0 * 7.6f64.log2() / 6.4f64.log2();
        let edge = |index: usize| {
            let mel = 0.3 + (top - 0.3) * index as f64 / 81.0;
            if mel < 15.0 { mel * 200.0 / 3.0 } else { 1000.0 * 6.4f64.powf((mel - 15.0) / 27.0) }
        };
        let mut power = 0.0;
        for bin in 0..=256 {
            let at = bin as f64 * 31.25;
            let rising = (at - edge(band)) / (edge(band + 1) - edge(band));
            let falling = (edge(band + 2) - at) / (edge(band + 2) - edge(band + 1));
            let weight = rising.min(falling).max(0.0);
            if weight > 0.0 {
                let sum = |wave: fn(f64) -> f64| -> f64 {
                    (0..400).map(|i| heard(i) * hann(i) * wave(TAU * (bin * i) as f64 / 512.0)).sum()
                };
                power += weight * (sum(f64::cos).powi(2) + sum(f64::sin).powi(2)) / squares;
            }
        }
        ((power + 1e-9).ln() + 10.0) / 5.0
    }

    #[test]
    fn features_are_those_of_the_definition() {
        let wave = signal(2080);
        let ours = features(&wave);
        assert_eq!(ours.len(), 6 * 160);
        let mut worst = 0.0f64;
        for step in 0..12 {
            for band in 0..80 {
                let expected = by_definition(&wave, step, band);
                worst = worst.max((f64::from(ours[step * 80 + band]) - expected).abs());
            }
        }
        assert!(worst < 5e-5, "{worst:.1e}");
    }

    #[test]
    fn every_band_hears_and_none_beyond_its_neighbours() {
        let bands = bands();
        assert!(bands.iter().all(|band| band.weights.iter().sum::<f32>() > 0.5));
        // Between the first and the last peak all triangles together weigh 1 everywhere.
        let mut total = [0.0f32; POINTS / 2 + 1];
        for band in &bands {
            band.weights.iter().zip(&mut total[band.first..]).for_each(|(weight, total)| *total += weight);
        }
        assert!(total[2..232].iter().all(|&total| (total - 1.0).abs() < 1e-5), "{total:?}");
        assert!(total[0] == 0.0 && total[244..].iter().all(|&total| total == 0.0));
    }

    #[test]
    fn an_impulse_is_heard_at_once_and_not_for_longer_than_the_window() {
        let silence = features(&[0.0; 6400]);
        for at in [0, 1, 159, 160, 319, 320, 1000, 3199, 6399] {
            let mut wave = [0.0; 6400];
            wave[at] = 1.0;
            let ours = features(&wave);
            let is_changed = |step: usize| ours[step * 80..][..80] != silence[step * 80..][..80];
            for step in 0..40usize {
                // The window's first weight is 0.
                let reach = (step * 160 + 160).saturating_sub(399)..step * 160 + 160;
                assert_eq!(is_changed(step), reach.contains(&at), "sample {at}, step {step}");
            }
            let first = (0..20).find(|&j| is_changed(2 * j) || is_changed(2 * j + 1));
            assert_eq!(first, Some(at / 320), "sample {at}");
        }
    }

    #[test]
    fn cutting_changes_only_what_looks_back_over_the_cut() {
        let wave = signal(3200);
        let whole = features(&wave);
        let (head, tail) = (features(&wave[..1600]), features(&wave[1600..]));
        assert_eq!(head, whole[..5 * 160]);
        // Steps look back over at most 240 samples, less than two steps.
        assert_eq!(tail[2 * 80..], whole[5 * 160 + 2 * 80..]);
        assert_ne!(tail[..80], whole[5 * 160..][..80]);
        let after = features(&wave[1600 - 320..]);
        assert_eq!(after[160 + 80..], whole[5 * 160 + 80..]);
        // What is left of a feature's samples is not heard.
        assert_eq!(features(&wave[..1919]), head);
    }

    #[test]
    fn rows_silence_and_short_waves_have_their_shapes() {
        let device = Device::flex();
        let wave = signal(1280);
        let two: Vec<f32> = wave.iter().map(|x| x * 0.5).chain(wave.iter().copied()).collect();
        let ours = LogMel::new().forward(Tensor::from_data(TensorData::new(two, [2, 1280]), &device));
        assert_eq!(ours.dims(), [2, 4, LogMel::FEATURE_DIM]);
        let ours: Vec<f32> = ours.into_data().iter().collect();
        assert_eq!(ours[4 * 160..], features(&wave));
        let silence = features(&[0.0; 640]);
        let floor = ((1e-9f64).ln() + 10.0) / 5.0;
        assert!(silence.iter().all(|&x| (f64::from(x) - floor).abs() < 1e-5), "{silence:?}");
        let short = LogMel::new().forward(Tensor::zeros([1, 319], &device));
        assert_eq!(short.dims(), [1, 0, 160]);
    }
}
