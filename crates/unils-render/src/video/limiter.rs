//! Keeps a signal within bounds without clipping it.
//!
//! A look-ahead peak limiter: the gain that each sample needs, its minimum over 5 ms, a slow way back to 1, and the
//! mean over 5 ms, so that the gain falls smoothly and is low enough when the peak comes. A signal that stays within
//! the bounds passes unchanged, bit for bit.

use std::collections::VecDeque;

/// Samples that the limiter sees ahead: 5 ms at 48 kHz.
const AHEAD: usize = 240;
/// Part of the way back to a gain of 1 that each sample makes: a time constant of 150 ms at 48 kHz.
const RELEASE: f64 = 1.0 / 7200.0;
/// A gain this close to 1 (0.01 dB) is 1.
const SETTLED: f64 = 1e-3;

/// A streaming limiter for interleaved channels, which all get the same gain. A sample comes out when `AHEAD` more
/// are in.
#[derive(Debug, Clone)]
pub(super) struct Limiter {
    ceiling: f32,
    channels: usize,
    /// Samples that wait for their gain.
    delayed: VecDeque<f32>,
    /// Number of the next sample, and the needed gains that can still become the minimum, rising.
    next: u64,
    lowest: VecDeque<(u64, f32)>,
    released: f64,
    /// The last `AHEAD + 1` released gains, their sum, and how many of the newest are 1.
    gains: VecDeque<f64>,
    sum: f64,
    settled: usize,
}

impl Limiter {
    /// A limiter to `-ceiling..=ceiling`.
    pub fn new(ceiling: f32, channels: usize) -> Self {
        Self {
            ceiling,
            channels,
            delayed: VecDeque::with_capacity((AHEAD + 1) * channels),
            next: 0,
            lowest: VecDeque::new(),
            released: 1.0,
            gains: VecDeque::from(vec![1.0; AHEAD + 1]),
            sum: (AHEAD + 1) as f64,
            settled: AHEAD + 1,
        }
    }

    /// Takes interleaved samples and appends those whose gain is now known.
    pub fn push(&mut self, samples: &[f32], output: &mut Vec<f32>) {
        for sample in samples.chunks_exact(self.channels) {
            self.delayed.extend(sample);
            let gain = self.gain(sample.iter().fold(0.0, |peak: f32, x| peak.max(x.abs())));
            if self.delayed.len() > AHEAD * self.channels {
                let known = self.delayed.drain(..self.channels);
                // The bounds only take off what rounding added.
                let limited = |x: f32| (x * gain).clamp(-self.ceiling, self.ceiling);
                output.extend(known.map(|x| if gain < 1.0 { limited(x) } else { x }));
            }
        }
    }

    /// The gain of the sample that leaves when one with this peak arrives.
    fn gain(&mut self, peak: f32) -> f32 {
        let needed = if peak > self.ceiling { self.ceiling / peak } else { 1.0 };
        while self.lowest.back().is_some_and(|(_, gain)| *gain >= needed) {
            self.lowest.pop_back();
        }
        self.lowest.push_back((self.next, needed));
        while self.lowest.front().is_some_and(|(number, _)| *number + (AHEAD as u64) < self.next) {
            self.lowest.pop_front();
        }
        self.next += 1;
        let lowest = self.lowest.front().map_or(needed, |(_, gain)| *gain);
        self.released = f64::from(lowest).min(self.released + (1.0 - self.released) * RELEASE);
        if lowest == 1.0 && 1.0 - self.released < SETTLED {
            self.released = 1.0;
        }
        self.gains.push_back(self.released);
        self.sum += self.released - self.gains.pop_front().unwrap_or(1.0);
        self.settled = if self.released == 1.0 { (self.settled + 1).min(AHEAD + 1) } else { 0 };
        if self.settled == AHEAD + 1 {
            // Takes away what rounding left in the sum.
            self.sum = (AHEAD + 1) as f64;
        }
        (self.sum / (AHEAD + 1) as f64) as f32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limited(signal: &[f32], ceiling: f32) -> Vec<f32> {
        let mut limiter = Limiter::new(ceiling, 1);
        let mut output = Vec::new();
        limiter.push(signal, &mut output);
        limiter.push(&[0.0; AHEAD], &mut output);
        output
    }

    fn tone(amplitude: f32, samples: usize) -> Vec<f32> {
        (0..samples).map(|n| amplitude * (n as f32 * 0.0576).sin()).collect()
    }

    #[test]
    fn what_fits_passes_unchanged() {
        let signal = tone(0.9, 20_000);
        assert!(limited(&signal, 0.9) == signal);
    }

    #[test]
    fn peaks_stay_below_the_ceiling_and_keep_their_shape() {
        for amplitude in [1.0, 1.8, 40.0, 3e4] {
            let signal = tone(amplitude, 48_000);
            let output = limited(&signal, 0.9);
            let peak = output.iter().fold(0.0, |peak: f32, x| peak.max(x.abs()));
            assert!(peak <= 0.9, "{amplitude}: {peak}");
            // In the steady part what is left besides a scaled tone is distortion.
            let (from, to) = (10_000, 40_000);
            let dot = |a: &[f32], b: &[f32]| -> f64 {
                a[from..to].iter().zip(&b[from..to]).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum()
            };
            let scale = dot(&output, &signal) / dot(&signal, &signal);
            let error: f64 =
                (from..to).map(|n| (f64::from(output[n]) - scale * f64::from(signal[n])).powi(2)).sum();
            let distortion = (error / dot(&output, &output)).sqrt();
            assert!(distortion < 2e-3, "{amplitude}: {distortion}");
            assert!(scale * f64::from(amplitude) > 0.88, "{amplitude}: {scale}");
        }
    }

    #[test]
    fn a_single_peak_is_forgotten() {
        let mut signal = tone(0.3, 96_000);
        signal[10_000] = 3.0;
        let output = limited(&signal, 0.9);
        assert!((output[10_000] - 0.9).abs() < 1e-3, "{}", output[10_000]);
        // Up to 5 ms before it nothing happens; 1.2 s behind it the gain is exactly 1 again.
        assert!(output[..10_000 - AHEAD] == signal[..10_000 - AHEAD]);
        assert!(output[70_000..] == signal[70_000..]);
        // The gain never jumps.
        let gains: Vec<f32> =
            (9_000..30_000).filter(|n| signal[*n].abs() > 0.05).map(|n| output[n] / signal[n]).collect();
        assert!(gains.windows(2).all(|pair| (pair[0] - pair[1]).abs() < 0.05));
    }

    #[test]
    fn cuts_do_not_matter_and_channels_share_the_gain() {
        let signal: Vec<f32> = tone(2.0, 4_000).chunks_exact(2).flat_map(|x| [x[0], 0.1]).collect();
        let mut whole = Vec::new();
        Limiter::new(0.9, 2).push(&signal, &mut whole);
        let (mut limiter, mut cut) = (Limiter::new(0.9, 2), Vec::new());
        signal.chunks(14).for_each(|piece| limiter.push(piece, &mut cut));
        assert!(whole == cut);
        let quiet = &whole[1..];
        assert!(quiet.iter().step_by(2).any(|x| *x < 0.06), "the quiet channel follows the loud one");
    }
}
