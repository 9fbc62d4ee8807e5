//! Signals, WAV files built on the spot, and readers for the audio tests.

use std::path::{Path, PathBuf};

use unils::Error;
use unils::audio::{AudioReader, Conversation, ConversationOptions};

/// Files written by flac, lame, opusenc and ffmpeg (Vorbis, AAC) from [`sweep`].
pub const TONES: [(&str, &str, &str, u32); 5] = [
    ("tone.flac", "flac", "flac", 44_100),
    ("tone.mp3", "mp3", "mp3", 44_100),
    ("tone.ogg", "ogg", "vorbis", 44_100),
    ("tone.opus", "ogg", "opus", 48_000),
    ("tone.m4a", "m4a", "aac", 44_100),
];

pub fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures")
}

pub fn tone(name: &str) -> Vec<u8> {
    std::fs::read(fixtures().join("audio").join(name)).unwrap()
}

/// 0.4 s from 300 to 2300 Hz at half scale, with 10 ms fades: the contents of the files in `fixtures/audio`.
pub fn sweep(rate: u32) -> Vec<f32> {
    let count = rate * 2 / 5;
    (0..count)
        .map(|index| {
            let t = f64::from(index) / f64::from(rate);
            let fade = (t.min(0.4 - t) / 0.01).min(1.0);
            (0.5 * (std::f64::consts::TAU * (300.0 * t + 2500.0 * t * t)).sin() * fade) as f32
        })
        .collect()
}

/// Deterministic noise in [-0.5, 0.5].
pub fn noise(count: usize, mut seed: u32) -> Vec<f32> {
    (0..count)
        .map(|_| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 8) as f32 / (1 << 24) as f32 - 0.5
        })
        .collect()
}

/// A WAV file: `tag` 1 = integers, 3 = floats, 7 = mu-law.
pub fn wav(tag: u16, bits: u16, rate: u32, channels: u16, data: &[u8]) -> Vec<u8> {
    let align = u32::from(channels) * u32::from(bits / 8);
    let mut file = b"RIFF".to_vec();
    file.extend((36 + data.len() as u32).to_le_bytes());
    file.extend(b"WAVEfmt \x10\0\0\0");
    file.extend(tag.to_le_bytes());
    file.extend(channels.to_le_bytes());
    file.extend(rate.to_le_bytes());
    file.extend(rate.wrapping_mul(align).to_le_bytes());
    file.extend((align as u16).to_le_bytes());
    file.extend(bits.to_le_bytes());
    file.extend(b"data");
    file.extend((data.len() as u32).to_le_bytes());
    file.extend(data);
    file
}

/// The same as `WAVE_FORMAT_EXTENSIBLE`.
pub fn wav_extensible(tag: u16, bits: u16, rate: u32, channels: u16, data: &[u8]) -> Vec<u8> {
    let plain = wav(tag, bits, rate, channels, data);
    let mut file = plain[..16].to_vec();
    file.extend(40_u32.to_le_bytes());
    file.extend(0xfffe_u16.to_le_bytes());
    file.extend(&plain[22..36]);
    file.extend(22_u16.to_le_bytes());
    file.extend(bits.to_le_bytes());
    file.extend(((1_u32 << channels) - 1).to_le_bytes());
    file.extend(tag.to_le_bytes());
    file.extend(b"\0\0\0\0\x10\0\x80\0\0\xaa\0\x38\x9b\x71");
    file.extend(&plain[36..]);
    file
}

pub fn wav16(rate: u32, channels: u16, samples: &[f32]) -> Vec<u8> {
    let data: Vec<u8> = samples
        .iter()
        .flat_map(|x| ((x * 32768.0).round().clamp(-32768.0, 32767.0) as i16).to_le_bytes())
        .collect();
    wav(1, 16, rate, channels, &data)
}

pub fn wav_f32(rate: u32, channels: u16, samples: &[f32]) -> Vec<u8> {
    wav(3, 32, rate, channels, &samples.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>())
}

pub fn open(bytes: Vec<u8>) -> unils::Result<AudioReader> {
    AudioReader::from_bytes(bytes, "test")
}

/// All channels of a reader, checking that blocks follow each other.
pub fn read_all(reader: &mut AudioReader) -> unils::Result<Vec<Vec<f32>>> {
    let mut planes = vec![Vec::new(); reader.info().channels];
    while let Some(block) = reader.next_block()? {
        assert_eq!(block.start_frame(), planes[0].len() as u64);
        assert!(block.frames() > 0);
        for (channel, plane) in planes.iter_mut().enumerate() {
            plane.extend_from_slice(block.channel(channel));
        }
    }
    Ok(planes)
}

/// Both tracks, cut at the end of the longer recording.
pub fn read_tracks(conversation: &mut Conversation, window: usize) -> [Vec<f32>; 2] {
    let mut tracks = [Vec::new(), Vec::new()];
    while let Some(piece) = conversation.read(window).unwrap() {
        assert_eq!(piece.start_sample, tracks[0].len() as u64);
        for (track, samples) in tracks.iter_mut().zip(&piece.tracks) {
            assert_eq!(samples.len(), window);
            assert!(samples[piece.valid..].iter().all(|x| *x == 0.0));
            track.extend_from_slice(&samples[..piece.valid]);
        }
    }
    assert!(conversation.read(window).unwrap().is_none(), "stays at its end");
    tracks
}

pub fn conversation(files: Vec<Vec<u8>>, options: &ConversationOptions) -> unils::Result<Conversation> {
    let names = ["a.wav", "b.wav", "c.wav"];
    let readers = files
        .into_iter()
        .zip(names)
        .map(|(file, name)| AudioReader::from_bytes(file, name))
        .collect::<unils::Result<_>>();
    Conversation::from_readers(readers?, options)
}

pub fn expect_error<T>(result: unils::Result<T>, what: &str) -> Error {
    let Err(error) = result else { panic!("expected an error with {what:?}") };
    assert!(error.to_string().contains(what), "{error} should contain {what:?}");
    assert!(error.hint().is_some(), "{error} should have a hint");
    error
}

pub fn has(notices: &[String], what: &str) -> bool {
    notices.iter().any(|notice| notice.contains(what))
}

pub fn max_difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

/// Cosine between `a` and `b` delayed by `lag` samples.
pub fn correlation(a: &[f32], b: &[f32], lag: isize) -> f64 {
    let (mut ab, mut aa, mut bb) = (0.0, 0.0, 0.0);
    for (index, a) in a.iter().enumerate() {
        let shifted = index.checked_add_signed(-lag).and_then(|index| b.get(index)).copied().unwrap_or(0.0);
        ab += f64::from(*a) * f64::from(shifted);
        aa += f64::from(*a).powi(2);
        bb += f64::from(shifted).powi(2);
    }
    ab / (aa * bb).sqrt().max(1e-12)
}
