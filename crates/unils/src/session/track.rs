//! One voice of a session: samples of any rate on their source's clock become samples at the models' rate on the
//! session's.
//!
//! Both clocks count from the session's start: sample `i` at rate `r` is heard at `i / r` seconds.

use super::{Pushed, SessionLimits};
use crate::audio::{MODEL_RATE, Resampler};
use crate::error::{Error, Result};

/// Rates that voices may have.
const RATES: std::ops::RangeInclusive<u32> = 8_000..=48_000;

/// Samples of one voice that wait for their window.
#[derive(Debug, Clone)]
pub(super) struct Track {
    name: &'static str,
    source: Option<Source>,
    /// From `start` on, at the models' rate.
    samples: Vec<f32>,
    start: u64,
    /// Nobody is waited for: what is not there is silence.
    pub is_idle: bool,
}

/// The source's clock since its rate was set, or since it last stopped.
#[derive(Debug, Clone)]
struct Source {
    rate: u32,
    resampler: Resampler,
    /// Where its first sample stands on the session's clock, models' rate.
    anchor: u64,
    taken: u64,
    /// Number of the sample expected next, on the source's own clock.
    next: u64,
}

impl Source {
    fn new(rate: u32, anchor: u64) -> Result<Self> {
        let resampler = Resampler::new(rate, MODEL_RATE)?;
        Ok(Self { rate, resampler, anchor, taken: 0, next: source_sample(anchor, rate) })
    }

    /// Where the next sample will stand on the session's clock.
    fn position(&self) -> u64 {
        self.anchor + self.resampler.output_len(self.taken)
    }

    fn take(&mut self, samples: &[f32], output: &mut Vec<f32>) {
        self.resampler.push(samples, output);
        self.taken += samples.len() as u64;
        self.next += samples.len() as u64;
    }
}

/// The first sample of a source that does not begin before a place on the session's clock.
fn source_sample(position: u64, rate: u32) -> u64 {
    scaled(position, rate, MODEL_RATE)
}

/// `ceil(count * to / from)`.
fn scaled(count: u64, to: u32, from: u32) -> u64 {
    let scaled = (u128::from(count) * u128::from(to)).div_ceil(u128::from(from));
    u64::try_from(scaled).unwrap_or(u64::MAX)
}

impl Track {
    pub(super) fn new(name: &'static str) -> Self {
        Self { name, source: None, samples: Vec::new(), start: 0, is_idle: false }
    }

    /// One after the last sample that is there.
    pub(super) fn end(&self) -> u64 {
        self.start + self.samples.len() as u64
    }

    /// Samples that wait.
    pub(super) fn waiting(&self) -> usize {
        self.samples.len()
    }

    /// Takes samples: at number `first` of the source's clock, or right behind what came before.
    pub(super) fn push(
        &mut self,
        rate: u32,
        first: Option<u64>,
        samples: &[f32],
        limits: &SessionLimits,
    ) -> Result<Pushed> {
        let name = self.name;
        let fault = |what: String, hint: &str| Err(Error::audio(name, what).with_hint(hint));
        if !RATES.contains(&rate) {
            let (low, high) = RATES.into_inner();
            return fault(format!("{rate} Hz, expected {low} to {high}"), "resample before sending");
        }
        if let Some(bad) = samples.iter().position(|sample| !sample.is_finite()) {
            return fault(format!("sample {bad} is {}", samples[bad]), "full scale is -1 to 1");
        }
        if self.source.as_ref().is_none_or(|source| source.rate != rate) {
            self.rest();
            self.source = Some(Source::new(rate, self.end())?);
        }
        let Some(source) = &mut self.source else { return Ok(Pushed::default()) };
        let first = first.unwrap_or(source.next);
        let late = source.next.saturating_sub(first).min(samples.len() as u64);
        let samples = samples.get(late as usize..).unwrap_or_default();
        let gap = if samples.is_empty() { 0 } else { first.saturating_sub(source.next) };
        if gap > u64::from(rate) * u64::from(limits.gap_s) {
            let what = format!("sample {first} came where {} was expected", source.next);
            let hint =
                format!("gaps of up to {} s are filled with silence: start a new session", limits.gap_s);
            return fault(what, &hint);
        }
        let added = scaled(gap + samples.len() as u64, MODEL_RATE, rate);
        if self.samples.len() as u64 + added > u64::from(limits.queue_s) * u64::from(MODEL_RATE) {
            let waiting = self.samples.len() as f64 / f64::from(MODEL_RATE);
            let what = format!("{waiting:.1} s wait already, at most {} s may", limits.queue_s);
            return fault(what, "send less ahead: what does not fit is not taken");
        }
        if !samples.is_empty() {
            self.is_idle = false;
        }
        source.take(&vec![0.0; gap as usize], &mut self.samples);
        let start_sample = source.position();
        source.take(samples, &mut self.samples);
        Ok(Pushed { start_sample, taken: samples.len() as u64, late, filled: gap })
    }

    /// The speaker says no more for now: what the resampler holds comes out, and nobody waits for this track.
    pub(super) fn flush(&mut self) {
        self.rest();
        self.is_idle = true;
    }

    /// Ends the source's signal; more of it is taken as a new one right behind.
    fn rest(&mut self) {
        let Some(source) = &mut self.source else { return };
        source.resampler.finish(&mut self.samples);
        (source.anchor, source.taken) = (self.start + self.samples.len() as u64, 0);
    }

    /// Drops what waits from a place on.
    pub(super) fn cut(&mut self, from: u64) -> u64 {
        self.rest();
        let kept = usize::try_from(from.saturating_sub(self.start)).unwrap_or(usize::MAX);
        let dropped = self.samples.len().saturating_sub(kept);
        self.samples.truncate(kept);
        self.begin_source_at(self.end());
        dropped as u64
    }

    /// `[start, start + out.len())`, zeros where nothing is.
    pub(super) fn read(&self, start: u64, out: &mut Vec<f32>, count: usize) {
        let first = usize::try_from(start.saturating_sub(self.start)).unwrap_or(usize::MAX);
        let there = self.samples.get(first..).unwrap_or_default();
        let there = &there[..there.len().min(count)];
        out.clear();
        out.extend_from_slice(there);
        out.resize(count, 0.0);
    }

    /// Forgets what lies before `kept`, and goes on at `heard` at the earliest: up to there a window was made, with
    /// silence for what was not there. Returns how much was not.
    pub(super) fn advance(&mut self, kept: u64, heard: u64) -> u64 {
        let missing = heard.saturating_sub(self.end());
        if missing > 0 {
            let filled = self.samples.len() + missing as usize;
            self.samples.resize(filled, 0.0);
            self.begin_source_at(heard);
        }
        let used = usize::try_from(kept.saturating_sub(self.start)).unwrap_or(usize::MAX);
        self.samples.drain(..used.min(self.samples.len()));
        self.start = kept.max(self.start);
        missing
    }

    fn begin_source_at(&mut self, position: u64) {
        if let Some(source) = &mut self.source {
            source.resampler.reset();
            (source.anchor, source.taken) = (position, 0);
            source.next = source_sample(position, source.rate);
        }
    }
}
