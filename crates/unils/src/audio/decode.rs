//! Audio files to blocks of samples.
//!
//! First stage of the audio path. Formats are told apart by their contents, never by the file's name: WAV (8 to 32-bit
//! integers, 32 and 64-bit floats, A-law, mu-law, extensible, RF64), FLAC, MP3, Ogg with Vorbis or Opus, M4A and ADTS
//! with AAC-LC. Containers and codecs are Symphonia's (MPL-2.0, used unmodified), Opus is `ropus`.
//!
//! Encoder delay and padding are cut wherever the file states them (LAME tag, Opus pre-skip, Ogg granules, MPEG-4
//! edit lists), so that sample 0 is the recording's first.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use symphonia::core::errors::Error as DecodeError;
use symphonia::core::formats::probe::Hint;
use symphonia::core::formats::{FormatOptions, FormatReader, Track, TrackType};
use symphonia::core::io::{MediaSource, MediaSourceStream, ReadOnlySource};
use symphonia::core::meta::MetadataOptions;
use symphonia::core::packet::Packet;

use super::block::{AudioBlock, AudioInfo};
use super::codec::{self, Decoder};
use super::opus::OPUS_RATE;
use super::source::{Findings, Source};
use crate::{Error, Result};

/// Longest block of silence put in place of what is damaged or missing, in frames.
const MAX_CONCEALED: u64 = 1 << 16;
/// Packets in a row that do not decode before the rest is given up: more than a minute in any codec here.
const MAX_DAMAGED_RUN: u32 = 30_000;
/// Time stamps that jump ahead by less than this (10 ms) are jitter, not a hole.
const HOLES_PER_SECOND: u64 = 100;
/// Silence put into all the holes of a file, in seconds: beyond that its time stamps are not believed.
const MAX_HOLE_SECONDS: u64 = 60;

/// Decodes an audio file block by block; memory does not grow with the recording.
///
/// ```
/// use unils::audio::AudioReader;
/// # fn main() -> unils::Result<()> {
/// // A WAV file of four 16-bit samples at 16 kHz.
/// let mut wav = b"RIFF\x2c\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0\x80\x3e\0\0\0\x7d\0\0\x02\0\x10\0data\x08\0\0\0".to_vec();
/// wav.extend([0, 0, 0, 0x40, 0, 0xc0, 0, 0]);
/// let mut reader = AudioReader::from_bytes(wav, "four.wav")?;
/// assert_eq!((reader.info().sample_rate, reader.info().frames), (16_000, Some(4)));
/// while let Some(block) = reader.next_block()? {
///     assert_eq!(block.channel(0), [0.0, 0.5, -0.5, 0.0]);
/// }
/// # Ok(())
/// # }
/// ```
pub struct AudioReader {
    name: String,
    path: Option<PathBuf>,
    format: Box<dyn FormatReader>,
    decoder: Decoder,
    track_id: u32,
    info: AudioInfo,
    /// Frames that the file must hold unless it is cut short.
    promised: Option<u64>,
    warnings: Vec<String>,
    block: AudioBlock,
    /// The first block is decoded on opening; it waits here for its reader.
    pending: bool,
    done: bool,
    /// Decoded frames so far, delay included.
    decoded: u64,
    /// First frame to keep, and the one after the last.
    keep: (u64, Option<u64>),
    /// A packet behind a hole that is being filled.
    held: Option<Packet>,
    /// Time stamp after the last packet, and frames of holes filled so far.
    next_stamp: Option<i64>,
    filled: u64,
    /// Frames of the current hole filled so far.
    hole: u64,
    /// Number of damaged packets and holes, and the first one's frame.
    damaged: Option<(u64, u64)>,
    /// Damaged packets in a row.
    damaged_run: u32,
    /// Whether any packet did decode.
    sound: bool,
}

impl std::fmt::Debug for AudioReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AudioReader")
            .field("name", &self.name)
            .field("info", &self.info)
            .finish_non_exhaustive()
    }
}

impl AudioReader {
    /// Opens a file. Pipes work too, for formats that can be read from front to back.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be read; [`Error::Audio`] if it is empty, not audio, in a format that is not
    /// supported, has an absurd rate or channel count, or holds no sample.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let name = path.display().to_string();
        let file = File::open(path).map_err(|error| Error::io("open", path, error))?;
        let metadata = file.metadata().map_err(|error| Error::io("read", path, error))?;
        if metadata.is_dir() {
            return Err(Error::io("open", path, io::ErrorKind::IsADirectory.into()));
        }
        if metadata.is_file() {
            Self::from_source(Source::from_file(file, metadata.len()), name, Some(path.to_owned()))
        } else {
            let source = Box::new(ReadOnlySource::new(file));
            Self::probe(source, &[], Findings::default(), name, Some(path.to_owned()))
        }
    }

    /// Reads a file that is already in memory. `name` is what errors and summaries call it.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn from_bytes(bytes: impl Into<Arc<[u8]>>, name: impl Into<String>) -> Result<Self> {
        Self::from_source(Source::from_bytes(bytes.into()), name.into(), None)
    }

    fn from_source(mut source: Source, name: String, path: Option<PathBuf>) -> Result<Self> {
        let failed = |error| read_error(error, &name, path.as_deref());
        let head = source.head().map_err(failed)?;
        if head.is_empty() {
            return Err(Error::audio(&name, "the file is empty (0 bytes)")
                .with_hint("was the recording saved, and the copy finished?"));
        }
        let findings = source.examine(&head).map_err(failed)?;
        if let Some(what) = findings.unusable {
            return Err(Error::audio(&name, what).with_hint(
                "the recording was not finished or the copy is cut short: copy it again, or repair it with a tool such as untrunc",
            ));
        }
        Self::probe(Box::new(source), &head, findings, name, path)
    }

    fn probe(
        source: Box<dyn MediaSource>,
        head: &[u8],
        findings: Findings,
        name: String,
        path: Option<PathBuf>,
    ) -> Result<Self> {
        let stream = MediaSourceStream::new(source, Default::default());
        let probe = symphonia::default::get_probe();
        let open = || probe.probe(&Hint::new(), stream, FormatOptions::default(), MetadataOptions::default());
        let format = guarded(&name, open)?.map_err(|error| match error {
            DecodeError::IoError(error) if error.kind() != io::ErrorKind::UnexpectedEof => {
                read_error(error, &name, path.as_deref())
            }
            error => match codec::foreign_format(head) {
                Some(kind) => {
                    Error::audio(&name, format!("{kind} is not supported")).with_hint(codec::CONVERT)
                }
                None => Error::audio(&name, format!("no audio that can be read ({error})"))
                    .with_hint(codec::CONVERT),
            },
        })?;
        let Some(track) = format.default_track(TrackType::Audio).cloned() else {
            return Err(Error::audio(&name, "holds no audio track").with_hint(codec::CONVERT));
        };
        let Some(parameters) = track.codec_params.as_ref().and_then(|parameters| parameters.audio()).cloned()
        else {
            return Err(
                Error::audio(&name, "the audio track does not say its codec").with_hint(codec::CONVERT)
            );
        };
        codec::check_header(&name, &parameters)?;
        let (decoder, codec_name) = guarded(&name, || codec::make_decoder(&name, &parameters))??;
        let container = codec::container_name(format.format_info().short_name);
        let keep = kept_frames(&track, &findings, parameters.sample_rate, &decoder);
        let frames = match keep {
            (start, Some(end)) => Some(end.saturating_sub(start)),
            // Fragmented MPEG-4 files say 0.
            (start, None) => {
                track.num_frames.filter(|frames| *frames > 0).map(|frames| frames.saturating_sub(start))
            }
        };
        let info = AudioInfo {
            format: container.to_owned(),
            codec: codec_name,
            sample_rate: parameters.sample_rate.unwrap_or(0),
            channels: parameters.channels.as_ref().map_or(0, |channels| channels.count()),
            frames,
            bits_per_sample: codec::bits_per_sample(&parameters),
        };
        let mut reader = Self {
            name,
            path,
            format,
            decoder,
            track_id: track.id,
            info,
            // The length of an MP3 without a LAME tag and of ADTS is an estimate.
            promised: frames.filter(|_| !matches!(container, "mp3" | "aac") || track.delay.is_some()),
            warnings: findings.warnings,
            block: AudioBlock::default(),
            pending: false,
            done: false,
            decoded: 0,
            keep,
            held: None,
            next_stamp: None,
            filled: 0,
            hole: 0,
            damaged: None,
            damaged_run: 0,
            sound: false,
        };
        reader.pending = reader.fill()?;
        if !reader.pending {
            return Err(reader.nothing_decoded());
        }
        Ok(reader)
    }

    /// What the file holds.
    pub fn info(&self) -> &AudioInfo {
        &self.info
    }

    /// The path, or the name given for bytes.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What is wrong with the file without making it unusable: truncation, damage. Grows while reading;
    /// complete after the end.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// The next block, never empty, or `None` at the end. Blocks follow each other without gaps: what is
    /// damaged is replaced by silence of the same length, where the file tells it.
    ///
    /// # Errors
    /// [`Error::Audio`] naming the sample and channel for NaN and infinite samples, and when the rate or the number
    /// of channels changes; [`Error::Io`] if reading fails. After an error the reader is at its end.
    pub fn next_block(&mut self) -> Result<Option<&AudioBlock>> {
        if !std::mem::take(&mut self.pending) && !self.fill()? {
            return Ok(None);
        }
        Ok(Some(&self.block))
    }

    /// Decodes until the block holds a frame to keep; `false` at the end.
    fn fill(&mut self) -> Result<bool> {
        while !self.done {
            self.done = true; // until the packet has proved to be good: after an error there is nothing more
            let Some(packet) = self.next_packet()? else {
                self.summarise_damage();
                return Ok(false);
            };
            let first = self.decoded;
            match self.hole_before(&packet) {
                0 => self.decode(&packet)?,
                frames => {
                    self.note_damage();
                    if let Decoder::Opus(opus) = &mut self.decoder {
                        opus.skip();
                    }
                    self.silence(frames.min(MAX_CONCEALED));
                    self.hole += self.block.frames() as u64;
                    self.filled += self.block.frames() as u64;
                    self.held = Some(packet);
                }
            }
            self.decoded += self.block.frames() as u64;
            self.cut(first);
            let complete = self.keep.1.is_some_and(|end| self.decoded >= end);
            self.done = complete || self.damaged_run > MAX_DAMAGED_RUN;
            self.check_finite()?;
            if self.done {
                self.summarise_damage();
            }
            if self.block.frames() > 0 {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Frames that are missing before `packet`, by its time stamp: demuxers drop what fails its checksum. The packet
    /// moves the expected time stamp only once nothing is missing.
    fn hole_before(&mut self, packet: &Packet) -> u64 {
        let stamp = packet.pts.get();
        let rate = u64::from(self.info.sample_rate);
        let believed = (MAX_HOLE_SECONDS * rate).saturating_sub(self.filled);
        if let Some(expected) = self.next_stamp.filter(|expected| self.sound && stamp > *expected) {
            let missing = self.frames_of(stamp.abs_diff(expected)).saturating_sub(self.hole);
            let hole = missing > 0 && (self.hole > 0 || missing.saturating_mul(HOLES_PER_SECOND) >= rate);
            if hole && missing <= believed {
                return missing;
            }
        }
        self.hole = 0;
        self.next_stamp =
            i64::try_from(packet.block_dur().get()).ok().and_then(|length| stamp.checked_add(length));
        0
    }

    /// Ticks of the track's clock in frames.
    fn frames_of(&self, ticks: u64) -> u64 {
        let track = self.format.tracks().iter().find(|track| track.id == self.track_id);
        let frames = track.and_then(|track| track.time_base).and_then(|base| {
            let scaled = u128::from(ticks).checked_mul(u128::from(base.numer.get()))?;
            Some(scaled.checked_mul(u128::from(self.info.sample_rate))? / u128::from(base.denom.get()))
        });
        frames.map_or(0, |frames| u64::try_from(frames).unwrap_or(u64::MAX))
    }

    /// The next packet of the audio track.
    fn next_packet(&mut self) -> Result<Option<Packet>> {
        if let Some(packet) = self.held.take() {
            return Ok(Some(packet));
        }
        loop {
            match guarded(&self.name, || self.format.next_packet())? {
                Ok(Some(packet)) if packet.track_id == self.track_id => return Ok(Some(packet)),
                Ok(Some(_)) => {}
                Ok(None) => return Ok(None),
                Err(DecodeError::IoError(error)) if error.kind() != io::ErrorKind::UnexpectedEof => {
                    return Err(read_error(error, &self.name, self.path.as_deref()));
                }
                Err(DecodeError::ResetRequired) => {
                    self.warnings
                        .push("several recordings joined in one file: only the first is used".to_owned());
                    return Ok(None);
                }
                Err(error) => {
                    self.warn_truncated(&error.to_string());
                    return Ok(None);
                }
            }
        }
    }

    /// Decodes a packet into the block, or silence of its length if it is damaged.
    fn decode(&mut self, packet: &Packet) -> Result<()> {
        let planes = &mut self.block.planes;
        let heard = match &mut self.decoder {
            Decoder::Opus(opus) => {
                let heard = guarded(&self.name, || opus.decode(&packet.data, planes))?
                    .then_some((OPUS_RATE, opus.channels()));
                let end = usize::try_from(packet.trim_end.get()).unwrap_or(usize::MAX);
                planes.iter_mut().for_each(|plane| plane.truncate(plane.len().saturating_sub(end)));
                heard
            }
            Decoder::Symphonia(decoder) => match guarded(&self.name, || decoder.decode(packet))? {
                Ok(buffer) => {
                    buffer.copy_to_vecs_planar(planes);
                    Some((buffer.spec().rate(), buffer.spec().channels().count()))
                }
                Err(DecodeError::DecodeError(_) | DecodeError::IoError(_)) => None,
                Err(error) => {
                    return Err(Error::audio(&self.name, format!("cannot be decoded: {error}"))
                        .with_hint(codec::CONVERT));
                }
            },
        };
        match heard {
            Some((rate, channels)) => {
                self.damaged_run = 0;
                self.check_layout(rate, channels)
            }
            None => {
                self.conceal(packet);
                Ok(())
            }
        }
    }

    /// The first decoded packet settles rate and channels (AAC headers can be vague); later ones must agree.
    fn check_layout(&mut self, rate: u32, channels: usize) -> Result<()> {
        if !std::mem::replace(&mut self.sound, true) && self.decoded == 0 {
            codec::check_layout(&self.name, rate, channels)?;
            (self.info.sample_rate, self.info.channels) = (rate, channels);
        }
        if (rate, channels) == (self.info.sample_rate, self.info.channels) {
            return Ok(());
        }
        let what = format!(
            "changes from {} Hz, {} channels to {rate} Hz, {channels} channels at sample {}",
            self.info.sample_rate, self.info.channels, self.decoded
        );
        Err(Error::audio(&self.name, what).with_hint(codec::CONVERT))
    }

    /// Silence in place of a damaged packet keeps everything after it in time.
    fn conceal(&mut self, packet: &Packet) {
        self.damaged_run += 1;
        self.note_damage();
        self.silence(self.frames_of(packet.dur.get()).min(MAX_CONCEALED));
    }

    fn note_damage(&mut self) {
        if self.hole == 0 {
            let (count, first) = self.damaged.unwrap_or((0, self.decoded));
            self.damaged = Some((count + 1, first));
        }
    }

    fn silence(&mut self, frames: u64) {
        self.block.planes.resize_with(self.info.channels, Vec::new);
        for plane in &mut self.block.planes {
            plane.clear();
            plane.resize(frames as usize, 0.0);
        }
    }

    /// Drops what lies outside the frames to keep from a block whose first decoded frame is `first`.
    fn cut(&mut self, first: u64) {
        let frames = self.block.frames() as u64;
        let (start, end) = self.keep;
        let from = start.saturating_sub(first).min(frames);
        let to = end.unwrap_or(u64::MAX).saturating_sub(first).clamp(from, frames);
        for plane in &mut self.block.planes {
            plane.truncate(to as usize);
            plane.drain(..from as usize);
        }
        self.block.start_frame = (first + from).saturating_sub(start);
    }

    fn check_finite(&mut self) -> Result<()> {
        for (channel, plane) in self.block.planes.iter().enumerate() {
            if let Some(index) = plane.iter().position(|sample| !sample.is_finite()) {
                self.done = true;
                return Err(codec::not_finite(
                    &self.name,
                    self.block.start_frame + index as u64,
                    channel,
                    plane[index],
                ));
            }
        }
        Ok(())
    }

    /// At the end: fewer samples than promised, and packets that did not decode.
    fn summarise_damage(&mut self) {
        let kept = self.decoded.min(self.keep.1.unwrap_or(u64::MAX)).saturating_sub(self.keep.0);
        if let Some(promised) = self.promised.filter(|promised| kept < *promised) {
            self.warn_truncated(&format!("{kept} of {promised} samples are there and used"));
        }
        if let Some((count, first)) = self.damaged {
            let seconds = first as f64 / f64::from(self.info.sample_rate.max(1));
            self.warnings
                .push(format!("damaged: {count} parts replaced by silence, the first at {seconds:.2} s"));
        }
    }

    /// Says once that the file ends too early.
    fn warn_truncated(&mut self, how: &str) {
        if !self.warnings.iter().any(|warning| warning.starts_with("truncated")) {
            self.warnings.push(format!("truncated: {how}"));
        }
    }

    fn nothing_decoded(&self) -> Error {
        let what = match self.damaged {
            Some((count, _)) => format!("none of its {count} parts could be decoded"),
            None => "holds no samples".to_owned(),
        };
        Error::audio(&self.name, what).with_hint("was the recording saved, and the copy finished?")
    }
}

/// First frame to keep and the one after the last, counted in decoded frames. Symphonia trims MP3 and Vorbis itself.
fn kept_frames(
    track: &Track,
    findings: &Findings,
    rate: Option<u32>,
    decoder: &Decoder,
) -> (u64, Option<u64>) {
    let edit = findings.edits.iter().find(|(number, _)| *number == track.id);
    match (edit, decoder) {
        (Some((_, edit)), _) => edit.frames(track.duration.map(|total| total.get()), rate.unwrap_or(0)),
        (None, Decoder::Opus(opus)) => (opus.pre_skip, None),
        (None, Decoder::Symphonia(_)) => (0, None),
    }
}

/// Runs a step of a decoder. Where overflow checks are on, Symphonia 0.6.1 panics on some damaged files (absurd
/// channel masks in WAV, fragments in MPEG-4); that becomes an error, after which the reader is at its end.
fn guarded<T>(name: &str, step: impl FnOnce() -> T) -> Result<T> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(step)).map_err(|_| {
        Error::audio(name, "is damaged in a way that stopped the decoder").with_hint(codec::CONVERT)
    })
}

fn read_error(error: io::Error, name: &str, path: Option<&Path>) -> Error {
    Error::io("read", path.unwrap_or(Path::new(name)), error)
}
