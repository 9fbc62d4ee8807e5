//! A voice's loudness over time, and when it talks.

use std::ops::Range;

use unils::{Error, Result};

/// Levels a second.
const LEVELS: usize = 100;

/// The lowest level that is shown, decibels below full scale.
pub(super) const FLOOR_DB: f32 = -60.0;

/// Talk is at most this much below a voice's loud moments, and never below the other.
const TALK_BELOW_LOUD_DB: f32 = 30.0;
const LEAST_TALK_DB: f32 = -50.0;

/// Pauses shorter than this belong to the talk around them, and shorter talk is a click: seconds.
const SHORT_PAUSE_S: f32 = 0.3;
const SHORT_TALK_S: f32 = 0.15;

/// A voice's level in steps of 10 ms, gathered from its samples as they come.
///
/// ```
/// use unils_render::plot::Voice;
/// let mut voice = Voice::new(16_000)?;
/// voice.push(&[0.5; 16_000]);
/// voice.push(&[0.0; 16_000]);
/// assert_eq!(voice.talk(), [0.0..1.0]);
/// # Ok::<(), unils::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Voice {
    rate: u64,
    /// Samples so far, and the sum of squares of those of the level under way.
    samples: u64,
    sum: f64,
    count: u32,
    levels: Vec<f32>,
}

impl Voice {
    /// A voice of that many samples a second.
    ///
    /// # Errors
    /// [`Error::Argument`] for fewer than 1000.
    pub fn new(rate: u32) -> Result<Self> {
        if (rate as usize) < 10 * LEVELS {
            return Err(Error::argument("sample rate", format!("expected 1000 or more, got {rate}")));
        }
        Ok(Self { rate: u64::from(rate), samples: 0, sum: 0.0, count: 0, levels: Vec::new() })
    }

    /// Takes samples, full scale being 1.
    pub fn push(&mut self, samples: &[f32]) {
        for &sample in samples {
            // A sample that is no number says nothing about loudness.
            self.sum += if sample.is_finite() { f64::from(sample) * f64::from(sample) } else { 0.0 };
            self.count += 1;
            self.samples += 1;
            if self.samples * LEVELS as u64 >= (self.levels.len() as u64 + 1) * self.rate {
                self.levels.push(decibels(self.sum / f64::from(self.count)));
                (self.sum, self.count) = (0.0, 0);
            }
        }
    }

    /// Level of each 10 ms in decibels below full scale, at least -60.
    pub fn levels(&self) -> &[f32] {
        &self.levels
    }

    /// When it talks: spans in seconds.
    pub fn talk(&self) -> Vec<Range<f32>> {
        let mut sorted = self.levels.clone();
        sorted.sort_by(f32::total_cmp);
        let Some(&loud) = sorted.get(sorted.len() * 95 / 100) else { return Vec::new() };
        let threshold = (loud - TALK_BELOW_LOUD_DB).max(LEAST_TALK_DB);
        let mut spans: Vec<Range<f32>> = Vec::new();
        let second = |index: usize| index as f32 / LEVELS as f32;
        for (index, _) in self.levels.iter().enumerate().filter(|(_, level)| **level > threshold) {
            match spans.last_mut().filter(|span| second(index) - span.end <= SHORT_PAUSE_S) {
                Some(span) => span.end = second(index + 1),
                None => spans.push(second(index)..second(index + 1)),
            }
        }
        spans.retain(|span| span.end - span.start >= SHORT_TALK_S);
        spans
    }
}

fn decibels(power: f64) -> f32 {
    (10.0 * power.max(1e-12).log10()).max(f64::from(FLOOR_DB)) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_do_not_depend_on_the_cuts() {
        let samples: Vec<f32> = (0..11_025).map(|i| (i as f32 * 0.05).sin() * 0.25).collect();
        let mut whole = Voice::new(11_025).unwrap();
        whole.push(&samples);
        let mut cut = Voice::new(11_025).unwrap();
        samples.chunks(77).for_each(|chunk| cut.push(chunk));
        assert_eq!(whole, cut);
        assert_eq!(whole.levels().len(), 100);
        // A sine's mean square is half its peak's: -12.04 - 3.01 dB.
        let mean = whole.levels().iter().sum::<f32>() / 100.0;
        assert!((mean + 15.05).abs() < 0.1, "{mean}");
    }

    #[test]
    fn pauses_are_bridged_and_clicks_left_out() {
        let mut voice = Voice::new(8000).unwrap();
        for (level, ms) in [(0.3, 500), (0.0, 200), (0.3, 500), (0.0, 600), (0.3, 50), (0.0, 600)] {
            voice.push(&vec![level; ms * 8]);
        }
        assert_eq!(voice.talk(), [0.0..1.2]);
        assert!(Voice::new(8000).unwrap().talk().is_empty());
        assert!(Voice::new(100).is_err());
    }
}
