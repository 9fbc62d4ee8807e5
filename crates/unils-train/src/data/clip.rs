//! The release's rules for training clips, with the lengths as parameters.
//!
//! * Recordings of at most `max(shortest, clip, style) + 1` frames are left out.
//! * Training: a clip may start at frame 0, 50, 100 ... below `frames - clip`; each time it is used the start moves on
//!   by up to 49 random frames, but not past `frames - clip`.
//! * The previous window is the motion before the clip, with zeros before the recording's first frame.
//! * Style is a random clip of the same person in the same recording, drawn for each participant; in validation and
//!   test the one that starts at `min(frames / 2, frames - style)`.
//! * Validation and test take whole recordings.
//! * Audio is cut or padded with zeros to 640 samples a frame.

use std::ops::Range;

use unils::motion::SAMPLES_PER_FRAME;
use unils::{Error, Result};

use super::chance::Chance;
use super::sounds::sounds_of;
use super::store::{Entry, Recording, Samples, Split, Track};

/// Lengths of clips and where they start, in frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClipRule {
    /// Length of a clip: what a model predicts.
    pub clip: usize,
    /// Length of the window before it; may be 0.
    pub previous: usize,
    /// Length of the style clip; may be 0.
    pub style: usize,
    /// In place of a style clip, the three rows of the person's manner over the whole recording: `style` is 3, and the
    /// store is [`Calibrated`](super::Calibrated).
    pub manner: bool,
    /// Distance between the starts of a recording's clips.
    pub stride: usize,
    /// A start moves on by a random number of frames below this.
    pub jitter: usize,
    /// Recordings of at most this many frames and one are left out, whatever the clip's length.
    pub shortest: usize,
}

impl ClipRule {
    /// The release's rule for clips of that length: previous window and style as long as the clip.
    pub fn release(clip: usize) -> Self {
        Self { clip, previous: clip, style: clip, manner: false, stride: 50, jitter: 50, shortest: 100 }
    }

    /// Whether a recording of that length is used.
    pub fn keeps(&self, frames: usize) -> bool {
        frames > self.shortest.max(self.clip).max(self.style).saturating_add(1)
    }

    /// What a training epoch (or a validation) goes through, in the store's order: for training the clips' starts,
    /// otherwise start 0 of each recording.
    pub fn items(&self, entries: &[Entry], split: Split, view: View) -> Vec<Item> {
        let used =
            entries.iter().enumerate().filter(|(_, entry)| entry.split == split && self.keeps(entry.frames));
        let mut items = Vec::new();
        for (index, entry) in used {
            let last = if split == Split::Train { entry.frames - self.clip } else { 1 };
            let people = entry.participants.len();
            let views: Vec<Range<usize>> = match view {
                View::Voice if !entry.has_audio => Vec::new(),
                View::Motion | View::Voice => (0..people).map(|person| person..person + 1).collect(),
                View::Dyad if people == 2 => std::iter::once(0..2).collect(),
                View::Dyad => Vec::new(),
            };
            for people in views {
                let starts = (0..last).step_by(self.stride.max(1));
                items.extend(starts.map(|start| Item { entry: index, people: people.clone(), start }));
            }
        }
        items
    }

    /// The starts for one use of an item whose recording has `frames` frames.
    pub(super) fn draw(&self, item: &Item, frames: usize, chance: &mut Chance) -> Draw {
        let start = (item.start + chance.below(self.jitter)).min(frames.saturating_sub(self.clip));
        let styles = item.people.len();
        let style = (0..styles).map(|_| chance.below(frames.saturating_sub(self.style) + 1)).collect();
        Draw { start, style }
    }

    /// Cuts a clip at explicit starts. `recording` has at least `frames` frames, `people` names its participants.
    ///
    /// # Errors
    /// [`Error::Argument`] if the clip or a style does not lie in the recording; [`Error::Audio`] if audio is wanted
    /// and a track has none.
    pub fn cut(&self, recording: &Recording, people: Range<usize>, draw: &Draw, view: View) -> Result<Clip> {
        let frames = recording.frames();
        let inside = |start: usize, length: usize| start.checked_add(length).is_some_and(|end| end <= frames);
        let tracks = recording.tracks.get(people.clone()).filter(|tracks| tracks.len() == draw.style.len());
        let Some(tracks) = tracks else {
            let what = format!(
                "{} participants, wanted are {people:?} with {} styles",
                recording.tracks.len(),
                draw.style.len()
            );
            return Err(Error::argument(&recording.name, what));
        };
        if !(inside(draw.start, self.clip) && draw.style.iter().all(|&start| inside(start, self.style))) {
            let what = format!(
                "{frames} frames, a clip of {} at {} or a style at {:?} does not fit",
                self.clip, draw.start, draw.style
            );
            return Err(Error::argument(&recording.name, what));
        }
        let width = recording.space.width();
        let mut clip = Clip { people: tracks.len(), ..Clip::default() };
        for (track, &style) in tracks.iter().zip(&draw.style) {
            clip.motion.extend_from_slice(rows(track, draw.start, self.clip, width));
            let before = self.previous.min(draw.start);
            clip.previous.resize(clip.previous.len() + (self.previous - before) * width, 0.0);
            clip.previous.extend_from_slice(rows(track, draw.start - before, before, width));
            if self.manner {
                let person = track.person.as_ref().ok_or_else(|| uncalibrated(&recording.name))?;
                clip.style.extend_from_slice(&person.manner);
            } else {
                clip.style.extend_from_slice(rows(track, style, self.style, width));
            }
            if view.audio() {
                append_audio(&mut clip.audio, track, draw.start, self.clip, &recording.name)?;
            }
            if view == View::Voice {
                clip.sounds.extend(sounds_of(track, draw.start, self.clip));
            }
        }
        Ok(clip)
    }

    /// A whole recording as validation and test take it.
    ///
    /// # Errors
    /// [`Error::Argument`] if the recording is shorter than a style clip; [`Error::Audio`] if audio is wanted and a
    /// track has none.
    pub fn whole(&self, recording: &Recording, people: Range<usize>, view: View) -> Result<Whole> {
        let frames = recording.frames();
        let room = frames.checked_sub(self.style).ok_or_else(|| {
            let what = format!("{frames} frames, shorter than a style clip of {}", self.style);
            Error::argument(&recording.name, what)
        })?;
        let style = vec![(frames / 2).min(room); people.len()];
        let all = Self { clip: frames, previous: 0, ..*self };
        let clip = all.cut(recording, people.clone(), &Draw { start: 0, style }, view)?;
        let speech = recording.tracks[people].iter().map(|track| track.speech.clone()).collect();
        Ok(Whole {
            name: recording.name.clone(),
            people: clip.people,
            frames,
            motion: clip.motion,
            style: clip.style,
            audio: clip.audio,
            speech,
        })
    }
}

fn rows(track: &Track, start: usize, frames: usize, width: usize) -> &[f32] {
    &track.motion[start * width..(start + frames) * width]
}

fn append_audio(audio: &mut Vec<f32>, track: &Track, start: usize, frames: usize, name: &str) -> Result<()> {
    let samples = track.audio.as_ref().ok_or_else(|| no_audio(name, &track.name))?;
    let from = audio.len();
    audio.resize(from + frames * SAMPLES_PER_FRAME, 0.0);
    Samples::copy_to(samples, start * SAMPLES_PER_FRAME, &mut audio[from..]);
    match audio[from..].iter().position(|sample| !sample.is_finite()) {
        None => Ok(()),
        Some(index) => {
            let at = start * SAMPLES_PER_FRAME + index;
            let what =
                format!("{}: sample {at} is {}, expected a finite number", track.name, audio[from + index]);
            Err(Error::audio(name, what).with_hint("`unils data check` lists all such recordings"))
        }
    }
}

fn uncalibrated(name: &str) -> Error {
    Error::motion(name, "the rule asks for people's manner, which the store does not know")
        .with_hint("read the recordings through a Calibrated store")
}

fn no_audio(name: &str, track: &str) -> Error {
    Error::audio(name, format!("{track} has no audio"))
        .with_hint("take the recording out of the listing, or train on motion only")
}

/// How recordings are taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum View {
    /// Each participant for itself, without audio: codec and audio-free stage.
    Motion,
    /// Both participants of the recordings that have two, with audio: dual-track stage.
    Dyad,
    /// Each participant of the recordings that have audio for itself, with audio and what is said, the rest pose taken
    /// out of the motion: speech stage.
    Voice,
}

impl View {
    /// Participants of a sample.
    pub fn people(self) -> usize {
        match self {
            Self::Motion | Self::Voice => 1,
            Self::Dyad => 2,
        }
    }

    /// Whether samples have audio.
    pub fn audio(self) -> bool {
        self != Self::Motion
    }
}

/// A place in the store where a clip may be taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Number of the recording.
    pub entry: usize,
    /// Its participants that are taken.
    pub people: Range<usize>,
    /// First frame, before the random part.
    pub start: usize,
}

/// The starts of one sample.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draw {
    /// First frame of the clip.
    pub start: usize,
    /// First frame of each participant's style clip.
    pub style: Vec<usize>,
}

/// One training sample; all lists are row-major, participant by participant.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Clip {
    /// Participants P.
    pub people: usize,
    /// (P, clip, channels).
    pub motion: Vec<f32>,
    /// (P, previous, channels).
    pub previous: Vec<f32>,
    /// (P, style, channels).
    pub style: Vec<f32>,
    /// (P, clip * 640); empty without audio.
    pub audio: Vec<f32>,
    /// (P, clip), numbers of [`SOUNDS`](super::SOUNDS); empty but for [`View::Voice`].
    pub sounds: Vec<u8>,
}

/// A whole recording for validation and test; all lists are row-major, participant by participant.
#[derive(Debug, Clone, PartialEq)]
pub struct Whole {
    /// The recording's name.
    pub name: String,
    /// Participants P.
    pub people: usize,
    /// Frames T.
    pub frames: usize,
    /// (P, T, channels).
    pub motion: Vec<f32>,
    /// (P, style, channels).
    pub style: Vec<f32>,
    /// (P, T * 640); empty without audio.
    pub audio: Vec<f32>,
    /// Whether each participant speaks, frame by frame (T values), where that is known.
    pub speech: Vec<Option<Vec<bool>>>,
}
