//! The audio of a corpus: FLAC at 16 kHz, one channel a participant.
//!
//! Written with the `flacenc` crate (Apache-2.0, pure Rust), read with the library's audio reader. Lossless for
//! samples that are whole steps of 16 or 24 bits.

use std::path::Path;

use flacenc::bitsink::ByteSink;
use flacenc::component::BitRepr;
use flacenc::error::Verify;
use flacenc::source::MemSource;
use unils::audio::{AudioReader, MODEL_RATE};
use unils::{Error, Result};

use super::store::Samples;

/// Samples that are encoded as one block.
const BLOCK: usize = 4096;

/// Encodes tracks of equal length, full scale at -1 and 1, at that many bits a sample. Also gives the number of
/// samples that lay beyond full scale and were cut to it.
pub(super) fn encode(tracks: &[Vec<f32>], bits: u32, place: &str) -> Result<(Vec<u8>, usize)> {
    let scale = f64::from(1_u32 << (bits - 1));
    let length = tracks.iter().map(Vec::len).min().unwrap_or(0);
    let mut clipped = 0;
    let mut samples = Vec::with_capacity(length * tracks.len());
    for index in 0..length {
        for track in tracks {
            let value = f64::from(track[index]) * scale;
            clipped += usize::from(value.abs() > scale);
            samples.push(value.round_ties_even().clamp(-scale, scale - 1.0) as i32);
        }
    }
    let failed =
        |error: &dyn std::fmt::Display| Error::audio(place, format!("cannot be encoded as FLAC: {error}"));
    let config = flacenc::config::Encoder::default().into_verified().map_err(|(_, error)| failed(&error))?;
    let source = MemSource::from_samples(&samples, tracks.len(), bits as usize, MODEL_RATE as usize);
    let mut stream =
        flacenc::encode_with_fixed_block_size(&config, source, BLOCK).map_err(|error| failed(&error))?;
    // The header's smallest block does not count the last one (RFC 9639, 8.2): the encoder counts it, and some decoders
    // then take the stream for one of changing block sizes.
    stream.stream_info_mut().set_block_sizes(BLOCK, BLOCK).map_err(|error| failed(&error))?;
    let mut sink = ByteSink::new();
    stream.write(&mut sink).map_err(|error| failed(&error))?;
    Ok((sink.as_slice().to_vec(), clipped))
}

/// Whether every sample is a whole step of 16 bits.
pub(super) fn fits_16_bits(tracks: &[Vec<f32>]) -> bool {
    let whole = |sample: f32| {
        let steps = sample * 32768.0;
        steps == steps.round_ties_even() && (-32768.0..=32767.0).contains(&steps)
    };
    tracks.iter().flatten().all(|&sample| whole(sample))
}

/// Decodes a file of `channels` channels and `length` samples each.
pub(super) fn decode(path: &Path, channels: usize, length: usize, place: &str) -> Result<Vec<Samples>> {
    let mut reader = AudioReader::open(path)?;
    let info = reader.info().clone();
    if (info.sample_rate, info.channels) != (MODEL_RATE, channels) {
        let what = format!(
            "{} Hz and {} channels, expected {MODEL_RATE} Hz and {channels}",
            info.sample_rate, info.channels
        );
        return Err(
            Error::audio(place, what).with_hint("a corpus holds 16 kHz audio, one channel a participant")
        );
    }
    let narrow = info.bits_per_sample.is_some_and(|bits| bits <= 16);
    let mut tracks = vec![if narrow { Samples::I16(Vec::new()) } else { Samples::F32(Vec::new()) }; channels];
    while let Some(block) = reader.next_block()? {
        for (channel, track) in tracks.iter_mut().enumerate() {
            let samples = block.channel(channel);
            let room = length.saturating_sub(track.len());
            let samples = &samples[..samples.len().min(room)];
            match track {
                Samples::I16(track) => track.extend(samples.iter().map(|sample| (sample * 32768.0) as i16)),
                Samples::F32(track) => track.extend_from_slice(samples),
                Samples::F16(_) => {}
            }
        }
    }
    let decoded = tracks.first().map_or(0, Samples::len);
    if let Some(warning) = reader.warnings().first() {
        return Err(
            Error::audio(place, format!("{}: {warning}", path.display())).with_hint("copy the corpus again")
        );
    }
    if decoded != length {
        let what = format!("{decoded} samples of audio, the motion needs {length} (640 a frame)");
        return Err(Error::audio(place, what).with_hint("index and files do not belong together"));
    }
    Ok(tracks)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip(tracks: &[Vec<f32>], bits: u32) -> Vec<Samples> {
        let (bytes, clipped) = encode(tracks, bits, "x").unwrap();
        assert_eq!(clipped, 0);
        let name =
            format!("unils-flac-{}-{bits}-{}-{}.flac", std::process::id(), tracks.len(), tracks[0].len());
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, bytes).unwrap();
        let decoded = decode(&path, tracks.len(), tracks[0].len(), "x").unwrap();
        assert!(decode(&path, tracks.len() + 1, tracks[0].len(), "x").is_err());
        assert!(decode(&path, tracks.len(), tracks[0].len() + 1, "x").is_err());
        std::fs::remove_file(path).unwrap();
        decoded
    }

    /// Speech-like noise, silence, full scale and steps, in whole steps of `bits`.
    fn tracks(length: usize, bits: u32) -> Vec<Vec<f32>> {
        let scale = (1_i64 << (bits - 1)) as f64;
        let mut state = 1_u64;
        let mut noise = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) as f64 / f64::from(1_u32 << 30) - 1.0
        };
        let first = (0..length).map(|i| match i / 700 % 4 {
            0 => 0.0,
            1 => (0.3 * noise() + 0.5 * (i as f64 * 0.05).sin()) * scale,
            2 => scale - 1.0,
            _ => -scale,
        });
        let first: Vec<f32> = first.map(|value| (value.round() / scale) as f32).collect();
        let second = (0..length).map(|_| ((noise() * 0.9 * scale).round() / scale) as f32).collect();
        vec![first, second]
    }

    #[test]
    fn whole_steps_come_back_exactly() {
        for bits in [16, 24] {
            for length in [1, 15, 640, 4096, 4097, 20_001] {
                let tracks = tracks(length, bits);
                for count in [1, 2] {
                    let decoded = round_trip(&tracks[..count], bits);
                    for (track, decoded) in tracks.iter().zip(&decoded) {
                        assert_eq!(matches!(decoded, Samples::I16(_)), bits == 16);
                        assert!(decoded.to_f32() == *track, "{bits} bits, {length} samples");
                    }
                }
                assert_eq!(fits_16_bits(&tracks), bits == 16 || length == 0);
            }
        }
    }

    #[test]
    fn what_is_beyond_full_scale_is_cut_and_counted() {
        let (_, clipped) = encode(&[vec![1.0, -1.0, 1.5, -2.0, 0.5]], 16, "x").unwrap();
        assert_eq!(clipped, 2);
    }
}
