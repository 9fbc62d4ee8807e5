//! One voice: channel choice, resampling, level meter and the queue that [`Conversation`](super::Conversation) reads.

use serde::Serialize;

use super::block::AudioBlock;
use super::resample::Resampler;
use crate::Result;

/// A voice whose peak stays below this (-66 dBFS) counts as silent: dither and electrical hiss, no speech.
const SILENCE_PEAK: f32 = 5e-4;
/// Samples at least this large are at full scale.
const CLIP_LEVEL: f32 = 0.999;
/// This many full-scale samples of one sign in a row are clipping; a single one is only a loud peak.
const CLIP_RUN: u64 = 3;
/// Level reported for digital silence, and the lowest one reported.
const FLOOR_DBFS: f32 = -120.0;

/// What one voice's recording turned out to hold.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TrackSummary {
    /// The file, or the name given for samples in memory.
    pub name: String,
    /// Sample rate of the source, in Hz.
    pub source_rate: u32,
    /// Channels of the source.
    pub channels: usize,
    /// The channel used, counted from 0; `None` if all were mixed.
    pub channel: Option<usize>,
    /// Length of the recording in seconds, without padding.
    pub seconds: f64,
    /// Largest absolute sample; full scale is 1.
    pub peak: f32,
    /// Root mean square level in decibels below full scale, at least -120.
    pub rms_dbfs: f32,
    /// Samples in runs of three or more at full scale.
    pub clipped_samples: u64,
    /// The peak stays below -66 dBFS.
    pub silent: bool,
}

/// Which of a source's channels are the voice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pick {
    Channel(usize),
    Mean,
}

#[derive(Debug)]
pub(super) struct Track {
    name: String,
    source_rate: u32,
    channels: usize,
    pick: Pick,
    resampler: Resampler,
    mixed: Vec<f32>,
    queue: Vec<f32>,
    meter: Meter,
}

impl Track {
    pub(super) fn new(name: &str, source_rate: u32, channels: usize, pick: Pick, rate: u32) -> Result<Self> {
        Ok(Self {
            name: name.to_owned(),
            source_rate,
            channels,
            pick,
            resampler: Resampler::new(source_rate, rate)?,
            mixed: Vec::new(),
            queue: Vec::new(),
            meter: Meter::default(),
        })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The first channel that is the voice.
    pub(super) fn channel(&self) -> usize {
        match self.pick {
            Pick::Channel(channel) => channel,
            Pick::Mean => 0,
        }
    }

    /// Length after resampling of `frames` source samples.
    pub(super) fn resampled(&self, frames: u64) -> u64 {
        self.resampler.output_len(frames)
    }

    /// Takes a block of the source's channels.
    pub(super) fn push_block(&mut self, block: &AudioBlock) {
        match self.pick {
            Pick::Channel(channel) => self.push(block.channel(channel)),
            Pick::Mean => {
                let mut mixed = std::mem::take(&mut self.mixed);
                mixed.clear();
                mixed.extend_from_slice(block.channel(0));
                for channel in 1..block.channels() {
                    mixed.iter_mut().zip(block.channel(channel)).for_each(|(sum, sample)| *sum += sample);
                }
                let scale = 1.0 / block.channels().max(1) as f32;
                mixed.iter_mut().for_each(|sample| *sample *= scale);
                self.push(&mixed);
                self.mixed = mixed;
            }
        }
    }

    /// Takes samples of this voice at the source's rate.
    pub(super) fn push(&mut self, samples: &[f32]) {
        self.meter.add(samples);
        self.resampler.push(samples, &mut self.queue);
    }

    /// Ends the voice.
    pub(super) fn finish(&mut self) {
        self.resampler.finish(&mut self.queue);
    }

    /// Resampled samples that wait to be taken.
    pub(super) fn waiting(&self) -> usize {
        self.queue.len()
    }

    /// Takes `count` samples, with zeros behind the end.
    pub(super) fn take(&mut self, count: usize) -> Vec<f32> {
        let mut taken = vec![0.0; count];
        let there = count.min(self.queue.len());
        taken[..there].copy_from_slice(&self.queue[..there]);
        self.queue.drain(..there);
        taken
    }

    /// Capacity of the buffers that could grow with the recording, in samples.
    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        self.queue.capacity() + self.mixed.capacity()
    }

    pub(super) fn summary(&self) -> TrackSummary {
        let frames = self.meter.frames;
        let mean_square = self.meter.energy / (frames.max(1) as f64);
        TrackSummary {
            name: self.name.clone(),
            source_rate: self.source_rate,
            channels: self.channels,
            channel: match self.pick {
                Pick::Channel(channel) => Some(channel),
                Pick::Mean => None,
            },
            seconds: frames as f64 / f64::from(self.source_rate),
            peak: self.meter.peak,
            rms_dbfs: ((10.0 * mean_square.log10()) as f32).max(FLOOR_DBFS),
            clipped_samples: self.meter.clipped,
            silent: self.meter.peak < SILENCE_PEAK,
        }
    }
}

/// Running level of one voice at the source's rate.
#[derive(Debug, Default)]
struct Meter {
    frames: u64,
    peak: f32,
    energy: f64,
    clipped: u64,
    /// Current run of samples at positive (`true`) or negative full scale.
    run: (bool, u64),
}

impl Meter {
    fn add(&mut self, samples: &[f32]) {
        self.frames += samples.len() as u64;
        for &sample in samples {
            self.peak = self.peak.max(sample.abs());
            self.energy += f64::from(sample) * f64::from(sample);
            if sample.abs() < CLIP_LEVEL {
                self.run.1 = 0;
                continue;
            }
            let positive = sample > 0.0;
            self.run = if self.run.0 == positive { (positive, self.run.1 + 1) } else { (positive, 1) };
            match self.run.1 {
                CLIP_RUN => self.clipped += CLIP_RUN,
                longer if longer > CLIP_RUN => self.clipped += 1,
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clipping_needs_a_run_of_one_sign() {
        let clipped = |samples: &[f32]| {
            let mut whole = Meter::default();
            whole.add(samples);
            let mut cut = Meter::default();
            samples.iter().for_each(|sample| cut.add(&[*sample]));
            assert_eq!(whole.clipped, cut.clipped);
            whole.clipped
        };
        assert_eq!(clipped(&[0.0, 1.0, 1.0, 0.0]), 0);
        assert_eq!(clipped(&[1.0, -1.0, 1.0, -1.0, 1.0]), 0);
        assert_eq!(clipped(&[1.0, 1.0, 1.0]), 3);
        assert_eq!(clipped(&[0.0, -1.0, -1.0, -1.0, -1.0, 1.0, 1.0, 1.0, 0.9, 1.0]), 7);
    }

    #[test]
    fn levels_are_in_decibels() {
        let mut track = Track::new("a", 16_000, 1, Pick::Channel(0), 16_000).unwrap();
        assert_eq!(track.summary().rms_dbfs, FLOOR_DBFS);
        assert!(track.summary().silent);
        track.push(&[0.5; 160]);
        let summary = track.summary();
        assert!((summary.rms_dbfs + 6.0206).abs() < 1e-4);
        assert_eq!((summary.peak, summary.seconds, summary.silent), (0.5, 0.01, false));
    }
}
