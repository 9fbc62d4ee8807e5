//! Opus packets to samples: the one codec here that the demuxer's library cannot decode.
//!
//! Identification header after RFC 7845, section 5.1. The codec itself is `ropus` (BSD-3-Clause), a Rust port of the
//! fixed-point reference decoder, bit-exact with it; against the floating-point reference the difference is 72 to
//! 91 dB below the signal.

use ropus::{Channels, DecodeMode, Decoder};

/// Opus always decodes at this rate; the header's input rate is only a remark.
pub(super) const OPUS_RATE: u32 = 48_000;
/// Longest packet: 120 ms.
const MAX_FRAMES: usize = 5760;
/// A usual packet, 20 ms: the unit of loss.
const LOST_FRAMES: usize = 960;

/// Decoder state of one Opus track.
pub(super) struct OpusTrack {
    decoder: Decoder,
    channels: usize,
    /// Samples at the start that the encoder added.
    pub pre_skip: u64,
    interleaved: Vec<f32>,
}

impl OpusTrack {
    /// Reads the identification header (`OpusHead`); the error says what is wrong with it.
    pub(super) fn new(header: &[u8]) -> Result<Self, String> {
        let [
            b'O',
            b'p',
            b'u',
            b's',
            b'H',
            b'e',
            b'a',
            b'd',
            version,
            channels,
            skip0,
            skip1,
            _,
            _,
            _,
            _,
            gain0,
            gain1,
            ..,
        ] = header
        else {
            return Err("the Opus header is cut short".to_owned());
        };
        if version >> 4 != 0 {
            return Err(format!("Opus header version {version} is unknown"));
        }
        let layout = match channels {
            1 => Channels::Mono,
            2 => Channels::Stereo,
            n => return Err(format!("Opus with {n} channels is not supported, only one or two")),
        };
        // MPEG-4 stores the same fields in the other byte order and calls its version 0.
        let read = |bytes: [u8; 2]| {
            if *version == 0 { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) }
        };
        let mut decoder = Decoder::new(OPUS_RATE, layout).map_err(|error| error.to_string())?;
        let gain = i32::from(read([*gain0, *gain1]).cast_signed()); // in 1/256 dB
        decoder.set_gain(gain).map_err(|error| error.to_string())?;
        let channels = usize::from(*channels);
        Ok(Self {
            decoder,
            channels,
            pre_skip: u64::from(read([*skip0, *skip1])),
            interleaved: vec![0.0; MAX_FRAMES * channels],
        })
    }

    pub(super) fn channels(&self) -> usize {
        self.channels
    }

    /// Tells the decoder that packets are missing, so that it predicts with care: without it, the packets behind a
    /// hole can grow to full scale.
    pub(super) fn skip(&mut self) {
        let lost = &mut self.interleaved[..LOST_FRAMES * self.channels];
        // The concealed sound itself is not used: a hole is silent.
        let _ = self.decoder.decode_float(&[], lost, DecodeMode::Normal);
    }

    /// Decodes a packet into one plane per channel. `false` if the packet is damaged; the planes are then empty.
    pub(super) fn decode(&mut self, packet: &[u8], planes: &mut Vec<Vec<f32>>) -> bool {
        planes.resize_with(self.channels, Vec::new);
        planes.iter_mut().for_each(Vec::clear);
        // An empty packet would ask for concealment of the whole buffer.
        if packet.is_empty() {
            return false;
        }
        let Ok(frames) = self.decoder.decode_float(packet, &mut self.interleaved, DecodeMode::Normal) else {
            return false;
        };
        for (channel, plane) in planes.iter_mut().enumerate() {
            plane.extend(self.interleaved.iter().skip(channel).step_by(self.channels).take(frames));
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(version: u8, channels: u8) -> Vec<u8> {
        let mut header = b"OpusHead".to_vec();
        header.extend([version, channels, 0x38, 0x01, 0x80, 0xbb, 0, 0, 0, 0, 0]);
        header
    }

    #[test]
    fn header_fields() {
        let track = OpusTrack::new(&header(1, 2)).unwrap();
        assert_eq!((track.channels(), track.pre_skip), (2, 0x138));
        assert_eq!(OpusTrack::new(&header(0, 1)).unwrap().pre_skip, 0x3801);
        for bad in [&header(1, 8)[..], &header(1, 0), &header(0x10, 1), b"OpusHead", b""] {
            assert!(OpusTrack::new(bad).is_err());
        }
    }

    #[test]
    fn damaged_packets_are_reported_not_concealed() {
        let mut track = OpusTrack::new(&header(1, 1)).unwrap();
        let mut planes = Vec::new();
        assert!(!track.decode(&[], &mut planes));
        assert!(!track.decode(&[0xff], &mut planes));
        assert_eq!(planes, [Vec::<f32>::new()]);
    }
}
