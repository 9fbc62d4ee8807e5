//! What every source of recordings offers, and a decoded recording.
//!
//! A [`Store`] lists its recordings ([`Entry`]) and reads one at a time, from any thread. [`Store::read`] gives what
//! the models are trained on: finite numbers, cut to the listed length, the head rotation centred over the whole
//! recording if wanted; [`Store::read_raw`] gives what is stored, for the check and for imports.

use std::fmt;
use std::str::FromStr;

use half::f16;
use half::slice::HalfFloatSliceExt;
use serde::{Deserialize, Serialize};
use unils::motion::Space;
use unils::{Error, Result};

use super::centre::centre_head;

/// Which part of an experiment a recording belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Split {
    /// Models learn from it.
    Train,
    /// Watched while training.
    Val,
    /// Looked at once, at the end.
    Test,
}

impl Split {
    /// All splits, in their usual order.
    pub const ALL: [Self; 3] = [Self::Train, Self::Val, Self::Test];

    /// The name in files and options: `train`, `val`, `test`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Val => "val",
            Self::Test => "test",
        }
    }
}

impl fmt::Display for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Split {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|split| split.name() == name).ok_or_else(|| {
            let short: String = name.chars().take(40).collect();
            Error::argument("split", format!("{short:?} is not known"))
                .with_hint("the splits are train, val and test")
        })
    }
}

/// One person in a listed recording.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Participant {
    /// Name of this person's track: the key of the release's record, or the corpus index's name.
    pub name: String,
    /// Who it is, where that is known: the same speaker must not be in two splits.
    pub speaker: Option<String>,
}

/// A recording as a store lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Name, for messages; unique in a corpus, not always in the release's metadata.
    pub name: String,
    /// Part of the experiment.
    pub split: Split,
    /// Frames that are used, at 25 a second.
    pub frames: usize,
    /// One or two people, in order.
    pub participants: Vec<Participant>,
    /// Whether there is audio of them.
    pub has_audio: bool,
}

/// The element type that motion was stored in: the release centres in that type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Element {
    /// float16.
    F16,
    /// float32 or wider.
    F32,
}

/// Audio samples in the type they were stored in, full scale at -1 and 1 (for [`Samples::I16`] at -32768 and 32768):
/// half the memory where that is enough.
#[derive(Debug, Clone, PartialEq)]
pub enum Samples {
    /// float16, as the release stores them.
    F16(Vec<f16>),
    /// float32.
    F32(Vec<f32>),
    /// 16 bit integers.
    I16(Vec<i16>),
}

impl Samples {
    /// Number of samples.
    pub fn len(&self) -> usize {
        match self {
            Self::F16(samples) => samples.len(),
            Self::F32(samples) => samples.len(),
            Self::I16(samples) => samples.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of memory.
    pub fn bytes(&self) -> usize {
        match self {
            Self::F16(samples) => samples.len() * 2,
            Self::F32(samples) => samples.len() * 4,
            Self::I16(samples) => samples.len() * 2,
        }
    }

    /// The samples from `start` on as f32, with zeros behind the end.
    pub fn copy_to(&self, start: usize, out: &mut [f32]) {
        let from = start.min(self.len());
        let count = out.len().min(self.len() - from);
        let (there, behind) = out.split_at_mut(count);
        behind.fill(0.0);
        match self {
            Self::F16(samples) => samples[from..from + count].convert_to_f32_slice(there),
            Self::F32(samples) => there.copy_from_slice(&samples[from..from + count]),
            Self::I16(samples) => {
                there.iter_mut().zip(&samples[from..]).for_each(|(out, &sample)| {
                    *out = f32::from(sample) / 32768.0;
                });
            }
        }
    }

    /// All samples as f32.
    pub fn to_f32(&self) -> Vec<f32> {
        let mut samples = vec![0.0; self.len()];
        self.copy_to(0, &mut samples);
        samples
    }
}

/// A phoneme with its time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Phoneme {
    /// Its symbol.
    pub symbol: String,
    /// Begin, in seconds from the start of the recording.
    pub start_s: f64,
    /// End, in seconds.
    pub end_s: f64,
}

/// One person's part of a recording.
#[derive(Debug, Clone, PartialEq)]
pub struct Track {
    /// Name, as in [`Participant::name`].
    pub name: String,
    /// Who it is, where that is known.
    pub speaker: Option<String>,
    /// (frames, channels), row-major.
    pub motion: Vec<f32>,
    /// The type that the motion was stored in.
    pub element: Element,
    /// 16 kHz, one channel; `None` if there is none or it was not wanted.
    pub audio: Option<Samples>,
    /// Whether the person speaks, frame by frame, where that is known.
    pub speech: Option<Vec<bool>>,
    /// What is said, where that is known; in order of time.
    pub phonemes: Vec<Phoneme>,
    /// The person in numbers, from a [`Calibrated`](super::Calibrated) store, whose motion has no rest pose.
    pub person: Option<Person>,
}

/// A person in numbers, from the whole recording.
#[derive(Debug, Clone, PartialEq)]
pub struct Person {
    /// The rest pose that was taken out, a number a channel.
    pub rest: Vec<f32>,
    /// [`manner`](unils::motion::manner) of the motion without it, (3, channels).
    pub manner: Vec<f32>,
}

impl Track {
    /// A track of float32 motion, (frames, channels) row-major, without audio or labels.
    pub fn new(name: impl Into<String>, motion: Vec<f32>) -> Self {
        Self {
            name: name.into(),
            speaker: None,
            motion,
            element: Element::F32,
            audio: None,
            speech: None,
            phonemes: Vec::new(),
            person: None,
        }
    }

    /// The same track with audio: 16 kHz, one channel.
    #[must_use]
    pub fn with_audio(mut self, samples: Samples) -> Self {
        self.audio = Some(samples);
        self
    }

    /// The same track of a named speaker.
    #[must_use]
    pub fn with_speaker(mut self, speaker: impl Into<String>) -> Self {
        self.speaker = Some(speaker.into());
        self
    }
}

/// A recording in memory.
#[derive(Debug, Clone, PartialEq)]
pub struct Recording {
    /// Name, for messages.
    pub name: String,
    /// What the motion's channels mean.
    pub space: Space,
    /// One track a participant. From [`Store::read`] they have the same number of frames.
    pub tracks: Vec<Track>,
}

impl Recording {
    /// A recording of its parts; nothing is checked yet.
    pub fn new(name: impl Into<String>, space: Space, tracks: Vec<Track>) -> Self {
        Self { name: name.into(), space, tracks }
    }

    /// Frames of the shortest track.
    pub fn frames(&self) -> usize {
        let width = self.space.width();
        self.tracks.iter().map(|track| track.motion.len() / width).min().unwrap_or(0)
    }

    /// Bytes of memory that motion and audio take.
    pub fn bytes(&self) -> usize {
        let track = |track: &Track| {
            let labels = track.speech.as_ref().map_or(0, Vec::len) + track.phonemes.len() * 48;
            track.motion.len() * 4 + track.audio.as_ref().map_or(0, Samples::bytes) + labels
        };
        self.tracks.iter().map(track).sum()
    }

    /// Where the first number of the motion that is NaN or infinite stands.
    pub(super) fn first_not_finite(&self) -> Option<String> {
        let width = self.space.width();
        self.tracks.iter().find_map(|track| {
            let index = track.motion.iter().position(|value| !value.is_finite())?;
            let channel = self.space.channels()[index % width].name;
            Some(format!(
                "{}, frame {}, channel {channel}: {}",
                track.name,
                index / width,
                track.motion[index]
            ))
        })
    }

    /// Refuses what no model can learn from, and cuts every track to `frames`.
    fn fit(&mut self, frames: usize, centred: bool, place: &str) -> Result<()> {
        if let Some(what) = self.first_not_finite() {
            return Err(Error::motion(place, format!("{what}, expected a finite number"))
                .with_hint("`unils data check` lists all such recordings"));
        }
        let width = self.space.width();
        for track in &mut self.tracks {
            let there = track.motion.len() / width;
            if there < frames {
                let what = format!("{}: {there} frames of motion, listed with {frames}", track.name);
                return Err(Error::motion(place, what)
                    .with_hint("correct the number in the listing, or take the recording out of it"));
            }
            if centred {
                centre_head(&mut track.motion, self.space, track.element);
            }
            track.motion.truncate(frames * width);
            if let Some(speech) = &mut track.speech {
                // Nobody is taken to speak where a mask ends too early; the check reports it.
                speech.resize(frames, false);
            }
        }
        Ok(())
    }
}

/// What to read of a recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Want {
    /// The audio too.
    pub audio: bool,
    /// The mean head rotation of the whole recording taken out, as for training.
    pub centred: bool,
}

/// A set of recordings. Reading is safe from many threads at once.
pub trait Store: Send + Sync + fmt::Debug {
    /// Where it is, for messages.
    fn place(&self) -> &str;

    /// What the motion's channels mean.
    fn space(&self) -> Space;

    /// All recordings, of all splits, in a fixed order.
    fn entries(&self) -> &[Entry];

    /// The recording number `index` as it is stored: tracks may be of different lengths and hold NaN.
    ///
    /// # Errors
    /// [`Error::Motion`] or [`Error::Audio`] naming the record, for anything that cannot be read; [`Error::Io`];
    /// [`Error::Argument`] if there is no such number.
    fn read_raw(&self, index: usize, audio: bool) -> Result<Recording>;

    /// The recording number `index`, ready for training.
    ///
    /// # Errors
    /// As for [`Store::read_raw`], and [`Error::Motion`] naming the record if it holds NaN or infinity or is shorter
    /// than listed.
    fn read(&self, index: usize, want: Want) -> Result<Recording> {
        let mut recording = self.read_raw(index, want.audio)?;
        let entry = entry_of(self.place(), self.entries(), index)?;
        recording.fit(entry.frames, want.centred, &record_place(self.place(), &entry.name))?;
        Ok(recording)
    }
}

/// The entry of that number.
pub(super) fn entry_of<'e>(place: &str, entries: &'e [Entry], index: usize) -> Result<&'e Entry> {
    entries.get(index).ok_or_else(|| {
        let what = format!("there is no recording number {index}, it has {}", entries.len());
        Error::argument(place, what).with_hint("recordings are counted from 0")
    })
}

/// A record's name for messages.
pub(crate) fn record_place(place: &str, name: &str) -> String {
    format!("{place}: record {name:?}")
}

/// The same fault with a place in front of its own.
pub(crate) fn within(place: &str, error: Error) -> Error {
    match error {
        Error::Motion(mut fault) => {
            fault.place =
                if fault.place.is_empty() { place.to_owned() } else { format!("{place}: {}", fault.place) };
            Error::Motion(fault)
        }
        Error::Audio(mut fault) => {
            fault.place =
                if fault.place.is_empty() { place.to_owned() } else { format!("{place}: {}", fault.place) };
            Error::Audio(fault)
        }
        Error::Argument(mut fault) => {
            fault.place =
                if fault.place.is_empty() { place.to_owned() } else { format!("{place}: {}", fault.place) };
            Error::Argument(fault)
        }
        other => other,
    }
}
