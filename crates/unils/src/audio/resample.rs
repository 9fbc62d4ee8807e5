//! Sample-rate conversion with the kernel that the models were trained with.
//!
//! Second stage of the audio path: decoded samples at the file's rate become the models' rate (or Mimi's). The filter
//! is `torchaudio.functional.resample`'s default, `sinc_interp_hann` with `lowpass_filter_width = 6` and
//! `rolloff = 0.99` (J. O. Smith, *Digital Audio Resampling*): rates are divided by their greatest common divisor,
//! output `n` is a Hann-windowed sinc centred on input position `n * from / to`, and the output has
//! `ceil(to * length / from)` samples. torchaudio evaluates that kernel in the waveform's type, so it is evaluated in
//! f32 here too, step by step: for rates like 22.05 kHz that rounding moves the output by 1.5e-5, a hundred times
//! the rounding of the sum. The length of very long outputs, which torchaudio rounds to f32, is exact here.
//!
//! ```
//! use unils::audio::{Resampler, resample};
//! # fn main() -> unils::Result<()> {
//! let input: Vec<f32> = (0..441).map(|i| (i as f32 * 0.05).sin()).collect();
//! let whole = resample(&input, 44_100, 16_000)?;
//! assert_eq!(whole.len(), 160);
//!
//! let mut resampler = Resampler::new(44_100, 16_000)?;
//! let mut streamed = Vec::new();
//! for piece in input.chunks(7) {
//!     resampler.push(piece, &mut streamed);
//! }
//! resampler.finish(&mut streamed);
//! assert_eq!(whole, streamed); // bit for bit
//! # Ok(())
//! # }
//! ```

use crate::{Error, Result};

/// Zero crossings of the sinc on each side (torchaudio's `lowpass_filter_width`).
const LOWPASS_WIDTH: f64 = 6.0;
/// Cut-off as a fraction of the lower Nyquist frequency (torchaudio's `rolloff`).
const ROLLOFF: f64 = 0.99;
/// Taps are summed in this many lanes; filters are padded to a multiple of it.
const LANES: usize = 8;
/// Largest filter table, in taps (32 MiB). Any rate up to 384 kHz to or from the models' 16 kHz stays below it.
const MAX_TABLE: u64 = 8 << 20;
/// Input is taken in pieces of this many samples, so that memory does not grow with the caller's slice.
const PIECE: usize = 4096;

/// Resamples a whole signal: `ceil(to * len / from)` samples.
///
/// # Errors
/// [`Error::Argument`] for a rate of 0 or a pair of rates whose filter table would be too large.
pub fn resample(input: &[f32], from: u32, to: u32) -> Result<Vec<f32>> {
    let mut resampler = Resampler::new(from, to)?;
    let expected = usize::try_from(resampler.output_len(input.len() as u64)).unwrap_or(0);
    let mut output = Vec::with_capacity(expected);
    resampler.push(input, &mut output);
    resampler.finish(&mut output);
    Ok(output)
}

/// A streaming resampler for one channel.
///
/// The output does not depend on how the input is cut, bit for bit. Memory is constant: the filter table (`to / gcd`
/// phases), and 4096 samples of input plus one filter. Equal rates pass samples through unchanged.
#[derive(Debug, Clone)]
pub struct Resampler {
    /// `None` when the rates are equal.
    kernel: Option<Kernel>,
    /// Input that later outputs still need, preceded by the zeros before the signal.
    history: Vec<f32>,
    /// Start of the next output's block of `from / gcd` inputs, relative to `history`; negative once its beginning
    /// is no longer needed.
    block: isize,
    /// Phase of the next output: its number modulo `to / gcd`.
    phase: usize,
    consumed: u64,
    produced: u64,
}

/// Polyphase filters: output `n` is phase `n % to` applied to the block of inputs that starts at `n / to * from`.
#[derive(Debug, Clone)]
struct Kernel {
    /// Rates divided by their greatest common divisor.
    from: usize,
    to: usize,
    /// Zeros in front of the signal: inputs that phase 0 reads before its block.
    lead: usize,
    /// Inputs that an output needs after its own position.
    lookahead: usize,
    /// Taps per phase, a multiple of [`LANES`].
    taps: usize,
    /// First input of each phase, relative to its block's start minus `lead`.
    first: Vec<usize>,
    /// `(phase, tap)`.
    weights: Vec<f32>,
}

impl Resampler {
    /// A resampler from `from` Hz to `to` Hz.
    ///
    /// # Errors
    /// [`Error::Argument`] for a rate of 0, or when the rates share so small a divisor that the filter table would
    /// need more than 32 MiB.
    pub fn new(from: u32, to: u32) -> Result<Self> {
        let kernel = if from == to && from > 0 { None } else { Some(Kernel::new(from, to)?) };
        let mut resampler =
            Self { kernel, history: Vec::new(), block: 0, phase: 0, consumed: 0, produced: 0 };
        resampler.reset();
        Ok(resampler)
    }

    /// Forgets the signal so far; the next [`push`](Self::push) begins a new one.
    pub fn reset(&mut self) {
        self.history.clear();
        self.history.resize(self.kernel.as_ref().map_or(0, |kernel| kernel.lead), 0.0);
        (self.block, self.phase, self.consumed, self.produced) = (0, 0, 0, 0);
    }

    /// Delay in input samples: an output at input position `p` appears once input `floor(p) + lookahead` is pushed.
    /// 7 for 8 to 16 kHz, 17 for 44.1 to 16 kHz, 19 for 48 to 16 kHz, 0 for equal rates: always below 0.9 ms from
    /// 8 kHz upwards.
    pub fn lookahead(&self) -> usize {
        self.kernel.as_ref().map_or(0, |kernel| kernel.lookahead)
    }

    /// Length of the output for `input_len` samples of input: `ceil(to * input_len / from)`.
    pub fn output_len(&self, input_len: u64) -> u64 {
        self.kernel.as_ref().map_or(input_len, |kernel| {
            let length = (u128::from(input_len) * kernel.to as u128).div_ceil(kernel.from as u128);
            u64::try_from(length).unwrap_or(u64::MAX)
        })
    }

    /// Takes `input` and appends to `output` every sample that is now determined.
    pub fn push(&mut self, input: &[f32], output: &mut Vec<f32>) {
        self.consumed += input.len() as u64;
        if self.kernel.is_none() {
            output.extend_from_slice(input);
            return;
        }
        for piece in input.chunks(PIECE) {
            self.history.extend_from_slice(piece);
            self.produce(u64::MAX, output);
        }
    }

    /// Ends the signal (zeros follow it), appends the remaining samples and resets.
    pub fn finish(&mut self, output: &mut Vec<f32>) {
        let total = self.output_len(self.consumed);
        if let Some(kernel) = &self.kernel {
            // The last output's position lies inside the signal: its filter ends less than its length beyond.
            self.history.resize(self.history.len() + kernel.taps, 0.0);
            self.produce(total, output);
        }
        self.reset();
    }

    /// Appends outputs whose filters lie inside `history`, up to output number `limit`, and drops what they used.
    fn produce(&mut self, limit: u64, output: &mut Vec<f32>) {
        let Some(kernel) = &self.kernel else { return };
        while self.produced < limit {
            let start = kernel.start(self.block, self.phase);
            let Some(window) = self.history.get(start..start + kernel.taps) else { break };
            let filter = &kernel.weights[self.phase * kernel.taps..][..kernel.taps];
            output.push(dot(window, filter));
            self.produced += 1;
            self.phase += 1;
            if self.phase == kernel.to {
                self.phase = 0;
                self.block += kernel.from as isize;
            }
        }
        // Windows only move forward. The next one can start beyond what has arrived when `from` is far above `to`.
        let used = kernel.start(self.block, self.phase).min(self.history.len());
        self.history.drain(..used);
        self.block -= used as isize;
    }
}

impl Kernel {
    fn new(from: u32, to: u32) -> Result<Self> {
        if from == 0 || to == 0 {
            return Err(Error::argument("resampler", format!("cannot convert {from} Hz to {to} Hz"))
                .with_hint("sample rates are positive, for example 16000"));
        }
        let divisor = gcd(from, to);
        let (from_reduced, to_reduced) = (from / divisor, to / divisor);
        let base = f64::from(from_reduced.min(to_reduced)) * ROLLOFF;
        let half = LOWPASS_WIDTH * f64::from(from_reduced) / base;
        let width = half.ceil() as i64;
        let filled = (2.0 * half).floor() as u64 + 1;
        let taps = filled.next_multiple_of(LANES as u64);
        if taps * u64::from(to_reduced) > MAX_TABLE {
            return Err(Error::argument(
                "resampler",
                format!(
                    "{from} Hz to {to} Hz needs {} filter taps, at most {MAX_TABLE} fit",
                    taps * u64::from(to_reduced)
                ),
            )
            .with_hint("choose rates with a common divisor, for example 48000 or 44100 to 16000"));
        }
        let phases = to_reduced as usize;
        let mut relative = Vec::with_capacity(phases);
        let mut weights = Vec::with_capacity(phases * taps as usize);
        for phase in 0..i64::from(to_reduced) {
            let centre = phase as f64 * f64::from(from_reduced) / f64::from(to_reduced);
            // The padding taps go in front, where they cost no delay.
            let last = (centre + half).floor() as i64;
            let first = last + 1 - taps as i64;
            relative.push(first);
            weights.extend((first..=last).map(|index| weight(index, phase, from_reduced, to_reduced, base)));
        }
        let lead = relative.iter().map(|first| -first).max().unwrap_or(0).max(0);
        let first = relative.iter().map(|first| (first + lead) as usize).collect();
        Ok(Self {
            from: from_reduced as usize,
            to: phases,
            lead: lead as usize,
            lookahead: width as usize,
            taps: taps as usize,
            first,
            weights,
        })
    }

    /// Index of a phase's first input, given its block's start relative to the same origin minus `lead`.
    fn start(&self, block: isize, phase: usize) -> usize {
        usize::try_from(block + self.first[phase] as isize).unwrap_or(0)
    }
}

/// Weight of input `index` (relative to the block) for output `phase`, in torchaudio's order of f32 operations.
fn weight(index: i64, phase: i64, from: u32, to: u32, base: f64) -> f32 {
    use std::f32::consts::PI;
    let width = LOWPASS_WIDTH as f32;
    let mut t = -(phase as f32) / to as f32 + index as f32 / from as f32;
    t *= base as f32;
    if t.abs() >= width {
        return 0.0;
    }
    let window = f64::from(t * PI / width / 2.0).cos() as f32;
    let angle = t * PI;
    let sinc = if angle == 0.0 { 1.0 } else { f64::from(angle).sin() as f32 / angle };
    sinc * (window * window * (base / f64::from(from)) as f32)
}

/// Inner product in a fixed order, whatever the surrounding code: lanes first, then a tree.
fn dot(samples: &[f32], weights: &[f32]) -> f32 {
    let mut lanes = [0.0_f32; LANES];
    for (x, w) in samples.as_chunks::<LANES>().0.iter().zip(weights.as_chunks::<LANES>().0) {
        for lane in 0..LANES {
            lanes[lane] += x[lane] * w[lane];
        }
    }
    ((lanes[0] + lanes[4]) + (lanes[2] + lanes[6])) + ((lanes[1] + lanes[5]) + (lanes[3] + lanes[7]))
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delay_is_as_documented() {
        for (from, to, delay) in
            [(8000, 16_000, 7), (44_100, 16_000, 17), (48_000, 16_000, 19), (16_000, 16_000, 0)]
        {
            let mut resampler = Resampler::new(from, to).unwrap();
            assert_eq!(resampler.lookahead(), delay);
            let mut output = Vec::new();
            for pushed in 1..2000_u64 {
                resampler.push(&[1.0], &mut output);
                // Every output whose position plus the delay has been pushed is there.
                let due = resampler.output_len(pushed.saturating_sub(delay as u64));
                assert!(
                    output.len() as u64 >= due,
                    "{from} -> {to}: {} of {due} after {pushed}",
                    output.len()
                );
            }
        }
    }

    #[test]
    fn history_stays_small() {
        for (from, to) in [(384_000, 16_000), (383_999, 16_000), (16_000, 383_999), (8000, 16_000)] {
            let mut resampler = Resampler::new(from, to).unwrap();
            let mut output = Vec::new();
            for _ in 0..10 {
                output.clear();
                resampler.push(&[0.25; 5000], &mut output);
                assert!(resampler.history.len() < 8192, "{from} -> {to}: {}", resampler.history.len());
            }
        }
    }

    #[test]
    fn absurd_rates_are_refused() {
        assert!(Resampler::new(0, 16_000).is_err());
        assert!(Resampler::new(16_000, 0).is_err());
        assert!(Resampler::new(0, 0).is_err());
        let error = Resampler::new(u32::MAX, u32::MAX - 1).unwrap_err();
        assert!(error.hint().is_some_and(|hint| hint.contains("common divisor")));
        assert!(Resampler::new(1, u32::MAX).is_err());
        assert!(Resampler::new(u32::MAX, 1).is_err());
    }
}
