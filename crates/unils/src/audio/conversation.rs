//! One or two voices as two tracks on one clock.
//!
//! Last stage of the audio path: everything behind it (encoders, sessions) sees two mono tracks of equal length at
//! [`MODEL_RATE`], windows of them addressed by absolute sample index, the only clock there is. Track 0 is the first
//! participant's own voice, track 1 the second's; with one voice the partner is silent.

use std::path::Path;

use super::decode::AudioReader;
use super::track::{Pick, Track, TrackSummary};
use super::{MODEL_RATE, codec};
use crate::{Error, Result};

/// Largest window, in samples: 1 GiB a track.
const MAX_WINDOW: usize = 1 << 28;
/// Samples in memory are taken in pieces of this many.
const PIECE: usize = 4096;
/// Tracks whose lengths differ by at least this many seconds get a notice.
const NOTABLE_SECONDS: f64 = 0.01;
/// Two channels whose difference is this much weaker than their sum (-40 dB) are one voice recorded twice.
const SAME_VOICE: f64 = 1e-4;
/// A peak this far above full scale means samples that were never scaled.
const UNSCALED_PEAK: f32 = 4.0;

/// How inputs become voices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConversationOptions {
    /// One file: the two channels that are the voices, counted from 0. Two files: the channel to use of each, in
    /// place of the mean of all.
    pub channels: Option<[usize; 2]>,
    /// Mix all channels of a single file to one voice.
    pub mixdown: bool,
    /// Rate of the tracks in Hz; [`MODEL_RATE`] unless something else than a model listens.
    pub sample_rate: u32,
}

impl Default for ConversationOptions {
    fn default() -> Self {
        Self { channels: None, mixdown: false, sample_rate: MODEL_RATE }
    }
}

/// Equally long pieces of both tracks.
#[derive(Debug, Clone, PartialEq)]
pub struct TrackWindow {
    /// Index of the first sample, counted from the start of the conversation.
    pub start_sample: u64,
    /// Own and partner's voice; zeros from `valid` on, and where one recording is shorter.
    pub tracks: [Vec<f32>; 2],
    /// Samples before the end of the longer recording.
    pub valid: usize,
}

/// Where samples come from, and which tracks they feed.
#[derive(Debug)]
struct Input {
    source: Source,
    /// First and one-past-last track.
    feeds: std::ops::Range<usize>,
    done: bool,
    /// Energy of difference and of sum of two channels that are taken for two voices.
    likeness: Option<(f64, f64)>,
}

#[derive(Debug)]
enum Source {
    Reader(Box<AudioReader>),
    Memory { samples: Vec<f32>, position: usize },
}

/// Streams one or two voices from files or memory.
///
/// Memory is bounded by the window and a decoder block, however long the recordings are.
///
/// ```
/// use unils::audio::Conversation;
/// # fn main() -> unils::Result<()> {
/// let own = vec![0.25; 1000];
/// let partner = vec![-0.25; 1500];
/// let mut conversation = Conversation::from_samples(own, Some(partner), 16_000)?;
/// assert_eq!((conversation.voices(), conversation.expected_samples()), (2, Some(1500)));
/// let mut total = 0;
/// while let Some(window) = conversation.read(640)? {
///     assert_eq!(window.start_sample, total);
///     assert_eq!(window.tracks[0].len(), 640);
///     total += window.valid as u64;
/// }
/// assert_eq!(total, 1500);
/// assert_eq!(conversation.notices(), ["own is 0.03 s shorter than partner: padded with silence"]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Conversation {
    inputs: Vec<Input>,
    tracks: Vec<Track>,
    expected: Option<u64>,
    position: u64,
    notices: Vec<String>,
    /// Nothing more to read: the end's notices are written, or an error was returned.
    ended: bool,
    sample_rate: u32,
}

impl Conversation {
    /// Opens one file (mono: one voice; stereo: a voice a channel) or two files (a voice each; several channels are
    /// averaged unless [`ConversationOptions::channels`] picks one).
    ///
    /// # Errors
    /// [`Error::Argument`] for no or more than two files and for contradictory options; [`Error::Audio`] and
    /// [`Error::Io`] as [`AudioReader::open`], and for a single file with more than two channels and no choice.
    pub fn open(paths: &[impl AsRef<Path>], options: &ConversationOptions) -> Result<Self> {
        check_count(paths.len())?;
        let readers = paths.iter().map(AudioReader::open).collect::<Result<Vec<_>>>()?;
        Self::from_readers(readers, options)
    }

    /// As [`open`](Self::open), from readers, for example of bytes in memory.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn from_readers(readers: Vec<AudioReader>, options: &ConversationOptions) -> Result<Self> {
        check_count(readers.len())?;
        let picks = match readers.as_slice() {
            [reader] => picks_of_one(reader, options)?,
            _ => readers
                .iter()
                .enumerate()
                .map(|(index, reader)| {
                    pick_of_several(reader, options.channels.map(|channels| channels[index]))
                })
                .collect::<Result<Vec<_>>>()?,
        };
        let split = readers.len() == 1 && picks.len() == 2;
        let mut conversation = Self::empty(options.sample_rate);
        let mut expected = Some(0);
        for (index, reader) in readers.into_iter().enumerate() {
            let first = conversation.tracks.len();
            let info = reader.info();
            for &pick in if split { picks.as_slice() } else { &picks[index..=index] } {
                if pick == Pick::Mean {
                    let notice = format!("{}: {} channels mixed to one voice", reader.name(), info.channels);
                    conversation.notices.push(notice);
                }
                let track =
                    Track::new(reader.name(), info.sample_rate, info.channels, pick, options.sample_rate)?;
                let length = info.frames.map(|frames| track.resampled(frames));
                expected = expected.zip(length).map(|(longest, length): (u64, u64)| longest.max(length));
                conversation.tracks.push(track);
            }
            conversation.inputs.push(Input {
                source: Source::Reader(Box::new(reader)),
                feeds: first..conversation.tracks.len(),
                done: false,
                likeness: split.then_some((0.0, 0.0)),
            });
        }
        conversation.expected = expected;
        conversation.note_silent_partner();
        Ok(conversation)
    }

    /// Voices from samples in memory, full scale at -1 and 1, both at `sample_rate` Hz. The tracks have
    /// [`MODEL_RATE`].
    ///
    /// # Errors
    /// [`Error::Audio`] for an absurd rate, an empty voice, and (here, before anything is read) NaN and infinite
    /// samples.
    pub fn from_samples(own: Vec<f32>, partner: Option<Vec<f32>>, sample_rate: u32) -> Result<Self> {
        let mut conversation = Self::empty(MODEL_RATE);
        let mut expected = 0;
        for (index, samples) in [Some(own), partner].into_iter().flatten().enumerate() {
            let name = ["own", "partner"][index];
            codec::check_layout(name, sample_rate, 1)?;
            if samples.is_empty() {
                return Err(
                    Error::audio(name, "holds no samples").with_hint("pass no partner for a silent one")
                );
            }
            if let Some(bad) = samples.iter().position(|sample| !sample.is_finite()) {
                return Err(codec::not_finite(name, bad as u64, 0, samples[bad]));
            }
            let track = Track::new(name, sample_rate, 1, Pick::Channel(0), MODEL_RATE)?;
            expected = track.resampled(samples.len() as u64).max(expected);
            conversation.tracks.push(track);
            conversation.inputs.push(Input {
                source: Source::Memory { samples, position: 0 },
                feeds: index..index + 1,
                done: false,
                likeness: None,
            });
        }
        conversation.expected = Some(expected);
        conversation.note_silent_partner();
        Ok(conversation)
    }

    fn empty(sample_rate: u32) -> Self {
        Self {
            inputs: Vec::new(),
            tracks: Vec::new(),
            expected: None,
            position: 0,
            notices: Vec::new(),
            ended: false,
            sample_rate,
        }
    }

    /// Voices that are recorded: 2, or 1 when the partner is silent.
    pub fn voices(&self) -> usize {
        self.tracks.len()
    }

    /// Rate of the tracks in Hz.
    pub fn sample_rate(&self) -> u32 {
        self.sample_rate
    }

    /// Length in samples of the tracks, if the files say it: for progress bars. The true length is where
    /// [`read`](Self::read) ends.
    pub fn expected_samples(&self) -> Option<u64> {
        self.expected
    }

    /// One entry per voice; complete after the end.
    pub fn summary(&self) -> Vec<TrackSummary> {
        self.tracks.iter().map(Track::summary).collect()
    }

    /// What was done to the recordings (mixed, padded) and what is odd about them (truncated, silent, clipped), in
    /// sentences for the user. Complete after the end.
    pub fn notices(&self) -> &[String] {
        &self.notices
    }

    /// The next `samples` samples of both tracks, or `None` after the end of the longer recording. Windows follow
    /// each other without gaps and may differ in size; the samples do not depend on how they are cut.
    ///
    /// # Errors
    /// [`Error::Argument`] for a window of no or more than 2^28 samples; [`Error::Audio`] and [`Error::Io`] as
    /// [`AudioReader::next_block`], after which there is nothing more to read.
    pub fn read(&mut self, samples: usize) -> Result<Option<TrackWindow>> {
        if !(1..=MAX_WINDOW).contains(&samples) {
            let what = format!("a window of {samples} samples; expected 1 to {MAX_WINDOW}");
            return Err(Error::argument("conversation", what));
        }
        if self.ended {
            return Ok(None);
        }
        for input in &mut self.inputs {
            let fed = &mut self.tracks[input.feeds.clone()];
            while !input.done && fed.iter().any(|track| track.waiting() < samples) {
                if let Err(error) = input.advance(fed) {
                    self.ended = true;
                    return Err(error);
                }
            }
        }
        let valid = self.tracks.iter().map(Track::waiting).max().unwrap_or(0).min(samples);
        if valid == 0 {
            self.ended = true;
            self.note_findings();
            return Ok(None);
        }
        let mut tracks = self.tracks.iter_mut().map(|track| track.take(samples));
        let own = tracks.next().unwrap_or_default();
        let partner = tracks.next().unwrap_or_else(|| vec![0.0; samples]);
        let window = TrackWindow { start_sample: self.position, tracks: [own, partner], valid };
        self.position += valid as u64;
        Ok(Some(window))
    }

    fn note_silent_partner(&mut self) {
        if let [track] = self.tracks.as_slice() {
            self.notices.push(format!("{}: one voice, so the partner is silent", track.name()));
        }
    }

    /// Writes the notices that only the end can tell.
    fn note_findings(&mut self) {
        for input in &self.inputs {
            if let Source::Reader(reader) = &input.source {
                let warnings =
                    reader.warnings().iter().map(|warning| format!("{}: {warning}", reader.name()));
                self.notices.extend(warnings);
            }
            if input.likeness.is_some_and(|(difference, sum)| sum > 0.0 && difference < SAME_VOICE * sum) {
                let name = self.tracks[input.feeds.start].name();
                self.notices.push(format!(
                    "{name}: both channels hold the same voice; mix them down if only one person speaks"
                ));
            }
        }
        for summary in self.summary() {
            let place = match summary.channel.filter(|_| summary.channels > 1) {
                Some(channel) => format!("{}, channel {channel}", summary.name),
                None => summary.name.clone(),
            };
            if summary.silent {
                self.notices.push(format!("{place}: silent; is this the right file and channel?"));
            }
            if summary.peak > UNSCALED_PEAK {
                self.notices.push(format!(
                    "{place}: samples reach {:.1}, far above full scale (1.0); export it again as 16-bit WAV",
                    summary.peak
                ));
            } else if summary.clipped_samples > 0 {
                let percent = 100.0 * summary.clipped_samples as f64
                    / (summary.seconds * f64::from(summary.source_rate));
                self.notices.push(format!(
                    "{place}: {} clipped samples ({percent:.2} %); record at a lower level",
                    summary.clipped_samples
                ));
            }
        }
        if let [first, second] = self.summary().as_slice() {
            let difference = (first.seconds - second.seconds).abs();
            let (short, long) =
                if first.seconds < second.seconds { (first, second) } else { (second, first) };
            if difference >= NOTABLE_SECONDS {
                self.notices.push(format!(
                    "{} is {difference:.2} s shorter than {}: padded with silence",
                    short.name, long.name
                ));
            }
        }
    }
}

impl Input {
    /// Moves one block into the tracks that this input feeds, or ends them.
    fn advance(&mut self, tracks: &mut [Track]) -> Result<()> {
        match &mut self.source {
            Source::Reader(reader) => {
                if let Some(block) = reader.next_block()? {
                    tracks.iter_mut().for_each(|track| track.push_block(block));
                    if let (Some((difference, sum)), [first, second]) = (&mut self.likeness, &*tracks) {
                        let pair = block.channel(first.channel()).iter().zip(block.channel(second.channel()));
                        for (a, b) in pair {
                            *difference += f64::from(a - b).powi(2);
                            *sum += f64::from(a + b).powi(2);
                        }
                    }
                    return Ok(());
                }
            }
            Source::Memory { samples, position } => {
                let end = samples.len().min(*position + PIECE);
                if *position < end {
                    tracks.iter_mut().for_each(|track| track.push(&samples[*position..end]));
                    *position = end;
                    return Ok(());
                }
                samples.clear();
            }
        }
        self.done = true;
        tracks.iter_mut().for_each(Track::finish);
        Ok(())
    }
}

fn check_count(count: usize) -> Result<()> {
    if (1..=2).contains(&count) {
        return Ok(());
    }
    Err(Error::argument("conversation", format!("{count} recordings; expected one or two"))
        .with_hint("give one file per speaker, or one stereo file with a speaker a channel"))
}

/// The voices of a single file.
fn picks_of_one(reader: &AudioReader, options: &ConversationOptions) -> Result<Vec<Pick>> {
    let count = reader.info().channels;
    match (options.channels, options.mixdown) {
        (Some(_), true) => Err(Error::argument(
            "conversation",
            "channels were chosen, but also mixing all of them to one voice",
        )
        .with_hint("leave one of the two out")),
        (Some([own, partner]), false) if own == partner => {
            Err(Error::argument("conversation", format!("channel {own} was chosen for both voices"))
                .with_hint("for a single voice give a mono file, or mix the channels down"))
        }
        (Some([own, partner]), false) => {
            Ok(vec![check_channel(reader, own)?, check_channel(reader, partner)?])
        }
        (None, _) if count == 1 => Ok(vec![Pick::Channel(0)]),
        (None, true) => Ok(vec![Pick::Mean]),
        (None, false) if count == 2 => Ok(vec![Pick::Channel(0), Pick::Channel(1)]),
        (None, false) => Err(Error::audio(
            reader.name(),
            format!("has {count} channels; which of them are the two voices?"),
        )
        .with_hint(
            "choose two, counted from 0 (--channels 0,1), or mix all of them down to one voice (--mix)",
        )),
    }
}

/// The voice of one of two files.
fn pick_of_several(reader: &AudioReader, chosen: Option<usize>) -> Result<Pick> {
    match chosen {
        Some(channel) => check_channel(reader, channel),
        None if reader.info().channels == 1 => Ok(Pick::Channel(0)),
        None => Ok(Pick::Mean),
    }
}

fn check_channel(reader: &AudioReader, channel: usize) -> Result<Pick> {
    let count = reader.info().channels;
    if channel < count {
        return Ok(Pick::Channel(channel));
    }
    Err(Error::audio(reader.name(), format!("channel {channel} was chosen, but there are {count}"))
        .with_hint("channels are counted from 0"))
}

#[cfg(test)]
mod tests {
    use std::io::{Seek, SeekFrom, Write};

    use super::*;

    /// An hour of 8 kHz audio (less without optimisation) as a sparse file: silence but for one second at the end.
    #[test]
    fn an_hour_streams_in_bounded_memory() {
        let seconds = if cfg!(debug_assertions) { 300 } else { 3600_u32 };
        let path = std::env::temp_dir().join(format!("unils-hour-{}.wav", std::process::id()));
        let mut file = std::fs::File::create(&path).unwrap();
        let bytes = seconds * 8000 * 2;
        file.write_all(b"RIFF").unwrap();
        file.write_all(&(bytes + 36).to_le_bytes()).unwrap();
        file.write_all(b"WAVEfmt \x10\0\0\0\x01\0\x01\0\x40\x1f\0\0\x80\x3e\0\0\x02\0\x10\0data").unwrap();
        file.write_all(&bytes.to_le_bytes()).unwrap();
        file.seek(SeekFrom::Start(44 + u64::from(bytes) - 16_000)).unwrap();
        file.write_all(&[0x11; 16_000]).unwrap();
        drop(file);

        let window = 64_000;
        let mut conversation = Conversation::open(&[&path], &ConversationOptions::default()).unwrap();
        assert_eq!(conversation.expected_samples(), Some(u64::from(seconds) * 16_000));
        let (mut total, mut last) = (0, 0.0);
        while let Some(piece) = conversation.read(window).unwrap() {
            assert_eq!(piece.start_sample, total);
            total += piece.valid as u64;
            last = piece.tracks[0][piece.valid - 100];
            // All that a track holds is the window, a block of 1152 samples resampled and the resampler's own input.
            assert!(
                conversation.tracks[0].held() <= 2 * (window + 4096 + 2 * 1152),
                "{}",
                conversation.tracks[0].held()
            );
        }
        std::fs::remove_file(&path).unwrap();
        assert_eq!(total, u64::from(seconds) * 16_000);
        assert!((last - f32::from(0x1111_i16) / 32768.0).abs() < 2e-3, "{last}");
        assert_eq!(conversation.summary()[0].seconds, f64::from(seconds));
    }
}
