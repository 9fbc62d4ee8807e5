//! What the decoder hands on: a description of the file, and blocks of its samples.

use serde::Serialize;

/// What an audio file holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AudioInfo {
    /// Container: `wav`, `flac`, `mp3`, `ogg`, `m4a` or `aac` (ADTS).
    pub format: String,
    /// Codec: `pcm_s16le`, `flac`, `mp3`, `vorbis`, `opus`, `aac` ...
    pub codec: String,
    /// Samples per second and channel.
    pub sample_rate: u32,
    /// Number of channels.
    pub channels: usize,
    /// Samples per channel, if the container says so. What decodes is what counts: damaged files can hold fewer.
    pub frames: Option<u64>,
    /// Resolution of the stored samples, for codecs that have one.
    pub bits_per_sample: Option<u32>,
}

/// Consecutive samples of every channel, full scale at -1 and 1.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AudioBlock {
    pub(super) start_frame: u64,
    pub(super) planes: Vec<Vec<f32>>,
}

impl AudioBlock {
    /// Index of the first sample, counted from the start of the recording.
    pub fn start_frame(&self) -> u64 {
        self.start_frame
    }

    /// Samples per channel.
    pub fn frames(&self) -> usize {
        self.planes.first().map_or(0, Vec::len)
    }

    /// Number of channels.
    pub fn channels(&self) -> usize {
        self.planes.len()
    }

    /// Samples of one channel, counted from 0; empty if there is no such channel.
    pub fn channel(&self, index: usize) -> &[f32] {
        self.planes.get(index).map_or(&[], Vec::as_slice)
    }
}
