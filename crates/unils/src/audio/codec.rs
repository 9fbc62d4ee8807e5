//! Which container, which codec, and what to tell people whose file is neither.
//!
//! Between demuxer and decoder: checks what the header claims before anything is allocated for it.

use symphonia::core::codecs::audio::{
    AudioCodecId, AudioCodecParameters, AudioDecoder, AudioDecoderOptions, well_known,
};

use super::opus::OpusTrack;
use crate::{Error, Result};

/// Sample rates that are taken for real, in Hz.
const RATES: std::ops::RangeInclusive<u32> = 1000..=384_000;
/// Most channels that are taken for real.
const MAX_CHANNELS: usize = 64;
/// What to do with a file that cannot be read.
pub(super) const CONVERT: &str = "WAV, FLAC, MP3, Ogg Vorbis, Opus and M4A/AAC are read; \
    convert others first, for example: ffmpeg -i INPUT -ar 16000 OUTPUT.wav";

/// The decoder of one track.
pub(super) enum Decoder {
    Symphonia(Box<dyn AudioDecoder>),
    Opus(Box<OpusTrack>),
}

/// A decoder and the codec's name.
pub(super) fn make_decoder(name: &str, parameters: &AudioCodecParameters) -> Result<(Decoder, String)> {
    if parameters.codec == well_known::CODEC_ID_OPUS {
        let opus = OpusTrack::new(parameters.extra_data.as_deref().unwrap_or_default())
            .map_err(|what| Error::audio(name, what).with_hint(CONVERT))?;
        return Ok((Decoder::Opus(Box::new(opus)), "opus".to_owned()));
    }
    let decoder = symphonia::default::get_codecs()
        .make_audio_decoder(parameters, &AudioDecoderOptions::default())
        .map_err(|error| {
            let what = match unsupported_codec(parameters.codec) {
                Some(codec) => format!("the codec {codec} is not supported"),
                None => format!("cannot be decoded: {error}"),
            };
            Error::audio(name, what).with_hint(CONVERT)
        })?;
    let codec = decoder.codec_info().short_name.to_owned();
    Ok((Decoder::Symphonia(decoder), codec))
}

/// Refuses absurd claims. Unknown rates and channel counts pass: the first packet settles them.
pub(super) fn check_header(name: &str, parameters: &AudioCodecParameters) -> Result<()> {
    let channels = parameters.channels.as_ref().map(|channels| channels.count());
    check_layout(name, parameters.sample_rate.unwrap_or(*RATES.start()), channels.unwrap_or(1))
}

/// Refuses an absurd rate or channel count.
pub(super) fn check_layout(name: &str, rate: u32, channels: usize) -> Result<()> {
    let damaged = "the header is damaged, or this is not an audio file: record or export it again";
    if !RATES.contains(&rate) {
        let what = format!("a sample rate of {rate} Hz; expected {} to {} Hz", RATES.start(), RATES.end());
        return Err(Error::audio(name, what).with_hint(damaged));
    }
    if !(1..=MAX_CHANNELS).contains(&channels) {
        let what = format!("{channels} channels; expected 1 to {MAX_CHANNELS}");
        return Err(Error::audio(name, what).with_hint(damaged));
    }
    Ok(())
}

/// The error for a NaN or infinite sample.
pub(super) fn not_finite(name: &str, sample: u64, channel: usize, value: f32) -> Error {
    Error::audio(name, format!("sample {sample} of channel {channel} (counted from 0) is {value}"))
        .with_hint("the program that wrote this file made an error: export the recording again, as 16-bit WAV if possible")
}

/// The container's usual name.
pub(super) fn container_name(short_name: &str) -> &str {
    match short_name {
        "wave" => "wav",
        "isomp4" => "m4a",
        other => other,
    }
}

/// Stored resolution, for codecs that have one.
pub(super) fn bits_per_sample(parameters: &AudioCodecParameters) -> Option<u32> {
    match parameters.codec {
        well_known::CODEC_ID_PCM_F32LE => Some(32),
        well_known::CODEC_ID_PCM_F64LE => Some(64),
        well_known::CODEC_ID_PCM_ALAW | well_known::CODEC_ID_PCM_MULAW => Some(8),
        _ => parameters.bits_per_sample,
    }
}

/// Names of codecs that people meet and that are not read here.
fn unsupported_codec(codec: AudioCodecId) -> Option<&'static str> {
    Some(match codec {
        well_known::CODEC_ID_ALAC => "ALAC (Apple Lossless)",
        well_known::CODEC_ID_AC3 => "AC-3 (Dolby Digital)",
        well_known::CODEC_ID_SPEEX => "Speex",
        well_known::CODEC_ID_ADPCM_MS | well_known::CODEC_ID_ADPCM_IMA_WAV => "ADPCM",
        _ => return None,
    })
}

/// What the first bytes of a file that is not read here give away.
pub(super) fn foreign_format(head: &[u8]) -> Option<&'static str> {
    const SIGNATURES: [(usize, &[u8], &str); 17] = [
        (0, b"\x1a\x45\xdf\xa3", "a WebM or Matroska file"),
        (0, b"#!AMR", "an AMR recording"),
        (0, b"caff", "a Core Audio (CAF) file"),
        (8, b"AIFF", "an AIFF file"),
        (8, b"AIFC", "an AIFF file"),
        (8, b"AVI ", "an AVI video"),
        (0, b"RIFX", "a big-endian WAV file"),
        (0, b"riff", "a Wave64 file"),
        (0, b".snd", "an AU file"),
        (0, b"\x30\x26\xb2\x75", "a Windows Media file"),
        (0, b"MThd", "a MIDI file"),
        (0, b"NIST_1A", "a NIST SPHERE file"),
        (0, b"%PDF", "a PDF document"),
        (0, b"PK\x03\x04", "a ZIP archive"),
        (0, b"\x1f\x8b", "a gzip archive"),
        (0, b"\x89PNG", "a PNG image"),
        (0, b"\xff\xd8\xff", "a JPEG image"),
    ];
    SIGNATURES
        .iter()
        .find(|(at, bytes, _)| head.get(*at..).is_some_and(|rest| rest.starts_with(bytes)))
        .map(|found| found.2)
}
