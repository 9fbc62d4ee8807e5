//! What a file says about the samples of one track, gathered while they are written.

use super::h264::ParameterSets;

/// What the samples are.
#[derive(Debug, Clone)]
pub(super) enum Media {
    /// H.264 at a size in pixels.
    Video { width: u16, height: u16, sets: ParameterSets },
    /// Opus with a number of channels.
    Audio { channels: u16 },
}

/// A track: its samples follow each other without gaps, all equally long but for the last.
#[derive(Debug, Clone)]
pub(super) struct Track {
    pub media: Media,
    /// Ticks a second of this track.
    pub scale: u32,
    /// Ticks a sample.
    pub sample_ticks: u32,
    /// Ticks of all samples: the last one is cut there.
    pub length: u64,
    /// Samples a chunk: a second of them. The last chunk may hold fewer.
    pub per_chunk: u32,
    /// Bytes of each sample.
    pub sizes: Vec<u32>,
    /// Numbers, from 1, of the samples that decoding can start at; empty if it can at all of them.
    pub keys: Vec<u32>,
    /// Where each chunk starts in the file.
    pub chunks: Vec<u64>,
}

impl Track {
    /// An empty track.
    pub fn new(media: Media, scale: u32, sample_ticks: u32, per_chunk: u32) -> Self {
        Self {
            media,
            scale,
            sample_ticks,
            length: 0,
            per_chunk,
            sizes: Vec::new(),
            keys: Vec::new(),
            chunks: Vec::new(),
        }
    }

    /// Number of samples. They are counted in 32 bits: the writer ends a file long before.
    pub fn samples(&self) -> u32 {
        self.sizes.len() as u32
    }

    /// Bytes of memory that the tables take, which grow with the file.
    pub fn held_bytes(&self) -> usize {
        4 * (self.sizes.capacity() + self.keys.capacity()) + 8 * self.chunks.capacity()
    }

    /// Most bytes that the index takes for a track of so many samples with so many keys.
    pub fn index_bytes(&self, samples: u64, keys: u64) -> u64 {
        let fixed = match &self.media {
            // The parameter sets are not known before the first picture; they have some 20 bytes.
            Media::Video { .. } => 1024,
            Media::Audio { .. } => 768,
        };
        fixed + 4 * (samples + keys) + 8 * samples.div_ceil(u64::from(self.per_chunk.max(1)))
    }
}
