//! Pictures and samples in, an MP4 file out.

use std::io::{self, Seek, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;
use unils::file::AtomicFile;
use unils::{Error, Result};

use super::container::Container;
use super::h264::H264Encoder;
use super::movie::MOVIE_SCALE;
use super::opus::{OPUS_RATE, OpusEncoder, PACKET};
use super::track::{Media, Track};
use super::{AudioOptions, VideoOptions};

/// Ticks a frame: players that round to their own clock lose nothing that matters.
const FRAME_TICKS: u32 = 512;
/// Ticks of any clock of the file, kept in 32 bits: a day of sound.
const MOST_TICKS: u64 = u32::MAX as u64 - 2 * OPUS_RATE as u64;
/// Tracks in their order.
const VIDEO: usize = 0;
const AUDIO: usize = 1;

/// What was written.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct VideoSummary {
    /// Number of pictures.
    pub frames: u64,
    /// Length of the pictures in seconds.
    pub seconds: f64,
    /// Length of the sound in seconds; 0 without sound.
    pub audio_seconds: f64,
    /// Size of the file.
    pub bytes: u64,
    /// Whether the index is at the front, so that a browser can play before it has all of the file.
    pub index_first: bool,
    /// Memory at the end that had grown with the video.
    pub table_bytes: usize,
}

/// Encodes pictures and sound, and writes them as they come.
///
/// Push them in turns, a picture and the sound of its 40 ms: they then lie side by side in the file, as players like
/// it. Memory is bounded by the picture's size and a coded second, but for the tables: 8 bytes a frame with sound.
///
/// The writer may be sent to a thread of its own, to encode while the next picture is rendered.
///
/// ```no_run
/// use unils::audio::ConversationOptions;
/// use unils_render::video::{AudioOptions, MixOptions, Mp4Writer, VideoOptions, VoiceMix};
/// # fn main() -> unils::Result<()> {
/// # let pictures: Vec<Vec<u8>> = Vec::new();
/// let mut voices =
///     VoiceMix::open(&["alice.wav", "bob.wav"], &ConversationOptions::default(), &MixOptions::default())?;
/// let options = VideoOptions { expected_frames: Some(pictures.len() as u64), ..VideoOptions::new(1024, 512) };
/// let mut video = Mp4Writer::create("talk.mp4", &options, Some(&AudioOptions::new(voices.channels())))?;
/// for rgba in &pictures {
///     video.push_frame(rgba)?;
///     video.push_audio(&voices.read(1920)?)?;
/// }
/// let summary = video.commit()?;
/// println!("{} frames, {} bytes", summary.frames, summary.bytes);
/// # Ok(())
/// # }
/// ```
#[must_use = "a video is only there once it is finished"]
pub struct Mp4Writer<W> {
    /// The file's name, for messages.
    path: PathBuf,
    options: VideoOptions,
    container: Container<W>,
    video: H264Encoder,
    audio: Option<Sound>,
    sample: Vec<u8>,
    frames: u64,
    /// An encoder or the file failed: what follows would not fit to what is there.
    failed: bool,
}

struct Sound {
    encoder: OpusEncoder,
    channels: usize,
    /// Samples a channel that were pushed.
    samples: u64,
}

impl Mp4Writer<AtomicFile> {
    /// Begins a file, which appears under its name when [`commit`](Self::commit) has completed it.
    ///
    /// # Errors
    /// As [`new`](Self::new), and [`Error::Io`] if nothing can be created there.
    pub fn create(
        path: impl AsRef<Path>,
        options: &VideoOptions,
        audio: Option<&AudioOptions>,
    ) -> Result<Self> {
        options.check()?;
        audio.map_or(Ok(()), AudioOptions::check)?;
        let file = AtomicFile::create(&path)?;
        Self::begin(file, path.as_ref().to_owned(), options, audio)
    }

    /// Completes the file and gives it its name.
    ///
    /// # Errors
    /// As [`finish`](Self::finish), and as [`AtomicFile::commit`]; no file is left behind.
    pub fn commit(self) -> Result<VideoSummary> {
        let (file, summary) = self.finish()?;
        file.commit()?;
        Ok(summary)
    }
}

impl<W: Write + Seek> Mp4Writer<W> {
    /// Begins a video at the start of an empty writer, without sound if there are no options for it.
    ///
    /// # Errors
    /// [`Error::Argument`] for a size or option that cannot be encoded, [`Error::Io`] if the writer fails.
    pub fn new(writer: W, options: &VideoOptions, audio: Option<&AudioOptions>) -> Result<Self> {
        Self::begin(writer, PathBuf::from("video"), options, audio)
    }

    fn begin(writer: W, path: PathBuf, options: &VideoOptions, audio: Option<&AudioOptions>) -> Result<Self> {
        options.check()?;
        audio.map_or(Ok(()), AudioOptions::check)?;
        let refused = |what| Error::io("encode", &path, io::Error::other(what));
        let video = H264Encoder::new(options).map_err(refused)?;
        let rate = options.frames_per_second;
        let media = Media::Video {
            // Sizes are checked: they have 12 bits.
            width: options.width as u16,
            height: options.height as u16,
            sets: Default::default(),
        };
        let mut tracks = vec![Track::new(media, rate * FRAME_TICKS, FRAME_TICKS, rate)];
        let audio = match audio {
            Some(options) => {
                let encoder = OpusEncoder::new(options).map_err(refused)?;
                let media = Media::Audio { channels: options.channels as u16 };
                tracks.push(Track::new(media, OPUS_RATE, PACKET as u32, OPUS_RATE / PACKET as u32));
                Some(Sound { encoder, channels: options.channels, samples: 0 })
            }
            None => None,
        };
        let index_bytes = options.expected_frames.map_or(0, |frames| index_bytes(&tracks, options, frames));
        let container =
            Container::new(writer, tracks, index_bytes).map_err(|error| Error::io("write", &path, error))?;
        let options = options.clone();
        Ok(Self { path, options, container, video, audio, sample: Vec::new(), frames: 0, failed: false })
    }

    /// Encodes the next picture: rows from top to bottom, four bytes a pixel (red, green, blue, alpha), sRGB. Alpha
    /// is not looked at: render onto a background.
    ///
    /// # Errors
    /// [`Error::Argument`] for another number of bytes than the size needs, for a video longer than a day, and after
    /// an earlier failure; [`Error::Io`] if the encoder or the writer fails.
    pub fn push_frame(&mut self, rgba: &[u8]) -> Result<()> {
        self.check_usable()?;
        let VideoOptions { width, height, frames_per_second, .. } = self.options;
        let expected = 4 * width as usize * height as usize;
        if rgba.len() != expected {
            let what = format!(
                "frame {} has {} bytes; expected {expected} for {width}x{height} RGBA",
                self.frames,
                rgba.len()
            );
            return Err(Error::argument(self.path.display(), what));
        }
        let rate = u64::from(frames_per_second);
        let ticks = (self.frames + 1) * u64::from(FRAME_TICKS.max(MOVIE_SCALE / frames_per_second + 1));
        if ticks > MOST_TICKS {
            return Err(self.too_long(self.frames / rate));
        }
        self.failed = true; // until all of it went well
        let key = self.video.encode(rgba, &mut self.sample);
        let key = key.map_err(|what| Error::io("encode", &self.path, io::Error::other(what)))?;
        let written = self.container.push(VIDEO, &self.sample, key);
        written.map_err(|error| Error::io("write", &self.path, error))?;
        self.frames += 1;
        self.failed = false;
        Ok(())
    }

    /// Encodes the next samples at 48 kHz, interleaved if there are two channels; full scale is -1 and 1, and what
    /// lies beyond is clipped. How they are cut does not matter. The first 6.5 ms of the sound are silent in the file:
    /// they pay for sound that is in its place in every player, whatever it makes of codec delays.
    ///
    /// # Errors
    /// [`Error::Argument`] if the video was begun without sound, for half a stereo sample, for more than a day, and
    /// after an earlier failure; [`Error::Audio`] for samples that are not finite; [`Error::Io`] if the encoder or
    /// the writer fails.
    pub fn push_audio(&mut self, samples: &[f32]) -> Result<()> {
        self.check_usable()?;
        let place = self.path.display().to_string();
        let Some(sound) = &mut self.audio else {
            return Err(Error::argument(place, "samples for a video that was begun without sound")
                .with_hint("begin it with audio options"));
        };
        if !samples.len().is_multiple_of(sound.channels) {
            let what = format!("{} samples; expected pairs for two channels", samples.len());
            return Err(Error::argument(place, what));
        }
        if let Some(bad) = samples.iter().position(|sample| !sample.is_finite()) {
            let number = sound.samples + (bad / sound.channels) as u64;
            return Err(Error::audio(place, format!("sample {number} is {}", samples[bad])));
        }
        let total = sound.samples + (samples.len() / sound.channels) as u64;
        if total > MOST_TICKS {
            let seconds = sound.samples / u64::from(OPUS_RATE);
            return Err(self.too_long(seconds));
        }
        sound.samples = total;
        sound.encoder.push(samples);
        self.encode_sound()
    }

    /// Encodes what is left, and writes the index. The writer comes back at an unspecified position.
    ///
    /// # Errors
    /// [`Error::Motion`] for a video without frames, [`Error::Argument`] after an earlier failure, [`Error::Io`] if an
    /// encoder or the writer fails.
    pub fn finish(mut self) -> Result<(W, VideoSummary)> {
        self.check_usable()?;
        let Some(sets) = self.video.sets().cloned() else {
            return Err(Error::motion(self.path.display(), "0 frames: a video needs at least one")
                .with_hint("is the motion empty?"));
        };
        let mut audio_samples = 0;
        if let Some(sound) = &mut self.audio
            && sound.samples > 0
        {
            audio_samples = sound.samples;
            sound.encoder.pad();
            self.encode_sound()?;
        }
        if let Some(track) = self.container.track_mut(VIDEO) {
            track.length = self.frames * u64::from(FRAME_TICKS);
            if let Media::Video { sets: unknown, .. } = &mut track.media {
                *unknown = sets;
            }
        }
        if let Some(track) = self.container.track_mut(AUDIO) {
            track.length = audio_samples;
        }
        let table_bytes = self.container.table_bytes();
        let (writer, layout) =
            self.container.finish().map_err(|error| Error::io("write", &self.path, error))?;
        let summary = VideoSummary {
            frames: self.frames,
            seconds: self.frames as f64 / f64::from(self.options.frames_per_second),
            audio_seconds: audio_samples as f64 / f64::from(OPUS_RATE),
            bytes: layout.bytes,
            index_first: layout.index_first,
            table_bytes,
        };
        Ok((writer, summary))
    }

    /// Writes all full packets of sound.
    fn encode_sound(&mut self) -> Result<()> {
        let Some(sound) = &mut self.audio else { return Ok(()) };
        self.failed = true; // until all of it went well
        loop {
            match sound.encoder.next_packet() {
                Ok(Some(packet)) => {
                    let written = self.container.push(AUDIO, packet, false);
                    written.map_err(|error| Error::io("write", &self.path, error))?;
                }
                Ok(None) => break,
                Err(what) => return Err(Error::io("encode", &self.path, io::Error::other(what))),
            }
        }
        self.failed = false;
        Ok(())
    }

    fn check_usable(&self) -> Result<()> {
        if self.failed {
            return Err(Error::argument(self.path.display(), "cannot go on after an earlier error"));
        }
        Ok(())
    }

    fn too_long(&self, seconds: u64) -> Error {
        let what = format!("longer than a day ({} h are written)", seconds / 3600);
        Error::argument(self.path.display(), what).with_hint("cut the recording into parts")
    }
}

/// Most bytes that the index takes for so many frames and as much sound.
fn index_bytes(tracks: &[Track], options: &VideoOptions, frames: u64) -> u64 {
    // More than a day is refused anyway.
    let frames = frames.min(MOST_TICKS);
    let keys = frames / u64::from(options.keyframe_interval) + 1;
    let packets = frames * u64::from(OPUS_RATE / PACKET as u32) / u64::from(options.frames_per_second) + 2;
    let bytes = |track: &Track| match track.media {
        Media::Video { .. } => track.index_bytes(frames, keys),
        Media::Audio { .. } => track.index_bytes(packets, 0),
    };
    tracks.iter().map(bytes).sum()
}
