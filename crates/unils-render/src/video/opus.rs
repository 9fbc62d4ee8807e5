//! Samples to Opus packets.
//!
//! `ropus`, which the library also decodes with.
//!
//! The codec delays what it codes by 6.5 ms. A file can say so in two ways, and players disagree about them: of a file
//! with both, as ffmpeg writes it, ffmpeg drops the delay once, Chromium and Firefox twice, VLC not at all. So there is
//! nothing to drop here: the encoder starts that much into the sound, and what comes out is in its place for every
//! player. The price is that the first 6.5 ms are silent.

use std::collections::VecDeque;

use ropus::{Application, Bitrate, Channels, Encoder};

use super::AudioOptions;

/// The one rate of Opus in files.
pub(super) const OPUS_RATE: u32 = 48_000;
/// Samples a packet and channel: 20 ms.
pub(super) const PACKET: usize = 960;
/// Longest packet of one frame in bytes (RFC 6716, 3.2.1).
const PACKET_BYTES: usize = 1275;

/// Cuts a stream of samples into packets.
pub(super) struct OpusEncoder {
    encoder: Encoder,
    channels: usize,
    /// Samples at the start that are still to be left out.
    ahead: usize,
    /// Interleaved samples that wait for a full packet.
    waiting: VecDeque<f32>,
    frame: Vec<f32>,
    packet: Vec<u8>,
}

impl OpusEncoder {
    /// An encoder for checked options; the error is the codec's own.
    pub fn new(options: &AudioOptions) -> Result<Self, String> {
        let layout = if options.channels == 1 { Channels::Mono } else { Channels::Stereo };
        let encoder = Encoder::builder(OPUS_RATE, layout, Application::Audio)
            .bitrate(Bitrate::Bits(options.bits_per_second))
            .vbr(true)
            .build()
            .map_err(|error| error.to_string())?;
        Ok(Self {
            ahead: encoder.lookahead() as usize * options.channels,
            encoder,
            channels: options.channels,
            waiting: VecDeque::new(),
            frame: Vec::with_capacity(PACKET * options.channels),
            packet: vec![0; PACKET_BYTES],
        })
    }

    /// Takes interleaved samples.
    pub fn push(&mut self, samples: &[f32]) {
        let left_out = self.ahead.min(samples.len());
        self.ahead -= left_out;
        self.waiting.extend(&samples[left_out..]);
    }

    /// Encodes the next full packet, or `None` if there are too few samples.
    pub fn next_packet(&mut self) -> Result<Option<&[u8]>, String> {
        let needed = PACKET * self.channels;
        if self.waiting.len() < needed {
            return Ok(None);
        }
        self.frame.clear();
        self.frame.extend(self.waiting.drain(..needed));
        let size = self.encoder.encode_float(&self.frame, &mut self.packet);
        let size = size.map_err(|error| error.to_string())?;
        Ok(self.packet.get(..size))
    }

    /// Silence behind the end: what the start was ahead, and the rest of a packet.
    pub fn pad(&mut self) {
        let ahead = self.encoder.lookahead() as usize * self.channels - self.ahead;
        let length = (self.waiting.len() + ahead).next_multiple_of(PACKET * self.channels);
        self.waiting.resize(length, 0.0);
    }
}
