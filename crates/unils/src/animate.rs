//! From two voices to motion: the released model's way, window by window, in bounded memory.
//!
//! [`Animator`] takes windows of both tracks and gives frames; [`animate`] runs it over a whole
//! [`Conversation`]. Each window of each track is encoded once and serves both participants, who are generated
//! as one batch.
//!
//! ```no_run
//! use std::ops::ControlFlow;
//! use unils::animate::{AnimateOptions, animate};
//! use unils::audio::{Conversation, ConversationOptions};
//! # fn model() -> unils::model::Model { unimplemented!() }
//! let model = model();
//! let mut conversation = Conversation::open(&["talk.wav"], &ConversationOptions::default())?;
//! let motion = animate(&model, &mut conversation, &AnimateOptions::of(&model), &mut |progress| {
//!     println!("{} frames", progress.frames_done);
//!     ControlFlow::Continue(())
//! })?;
//! # Ok::<(), unils::Error>(())
//! ```

use std::ops::ControlFlow;

use crate::audio::Conversation;
use crate::error::{Error, Result};
use crate::model::{Model, Network};
use crate::motion::{FPS, Motion, MotionMeta, SAMPLES_PER_FRAME};
pub use crate::session::StageTimes;
use crate::session::{Chunk, Controls, Due, Output, Stream, StreamOptions, Timing, Window, step};

/// How a conversation is animated.
#[derive(Debug, Clone)]
pub struct AnimateOptions {
    /// How bits are drawn and frames are shaped.
    pub controls: Controls,
    /// Same seed, same motion.
    pub seed: u64,
    /// A clip whose manner the motion takes on: of one participant for all, or of each. At least a window long;
    /// of a longer one the release's evaluation clip is used: from the middle, but early enough to be whole.
    pub style: Option<Motion>,
    /// The motion before the start: its last window counts, zeros fill up a shorter one.
    pub previous: Option<Motion>,
    /// Smooths with the release's Savitzky-Golay filter (window 9, order 3).
    pub smooth: bool,
    /// Participants to animate, 1 or 2; `None` = as many as there are voices.
    pub participants: Option<usize>,
}

impl AnimateOptions {
    /// What suits a model: its own sampling, and smoothing where windows meet in seams.
    pub fn of(model: &Model) -> Self {
        Self {
            controls: Controls { sampling: model.config().sampling, ..Controls::default() },
            smooth: matches!(model.network(), Network::Windowed(_)),
            ..Self::default()
        }
    }
}

impl Default for AnimateOptions {
    /// The release's.
    fn default() -> Self {
        Self {
            controls: Controls::default(),
            seed: 0,
            style: None,
            previous: None,
            smooth: true,
            participants: None,
        }
    }
}

/// How far [`animate`] has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Frames generated for each participant.
    pub frames_done: u64,
    /// Frames that the audio will give, where its length is known.
    pub frames_expected: Option<u64>,
}

/// Generates motion for windows of two tracks.
#[derive(Debug)]
pub struct Animator<'a> {
    model: &'a Model,
    stream: Stream,
    timing: Timing,
    times: StageTimes,
}

impl<'a> Animator<'a> {
    /// An animator at the start of a conversation of `participants` people, 1 or 2.
    ///
    /// # Errors
    /// [`Error::Argument`] or [`Error::Motion`] when an option does not fit the model.
    pub fn new(model: &'a Model, participants: usize, options: &AnimateOptions) -> Result<Self> {
        let start = StreamOptions {
            participants,
            sampling: options.controls.sampling,
            seed: options.seed,
            style: options.style.as_ref(),
            previous: options.previous.as_ref(),
        };
        Ok(Self {
            model,
            stream: Stream::begin(model, &start)?,
            timing: Timing::of(model),
            times: StageTimes::default(),
        })
    }

    /// Samples that a window is made from: its own, and those of the model's look-ahead behind it.
    pub fn heard_samples(&self) -> usize {
        self.timing.heard_samples()
    }

    /// Samples from one window to the next.
    pub fn window_samples(&self) -> usize {
        self.timing.window_frames * SAMPLES_PER_FRAME
    }

    /// Frames of a window.
    pub fn window_frames(&self) -> usize {
        self.timing.window_frames
    }

    /// Time spent so far.
    pub fn times(&self) -> StageTimes {
        self.times
    }

    /// The next window's motion, (participants, frames, channels) row-major, from both tracks at 16 kHz:
    /// [`Animator::heard_samples`] each, which go on [`Animator::window_samples`] after those of the window before.
    ///
    /// # Errors
    /// [`Error::Argument`] for tracks of another length, [`Error::Device`] when the device fails.
    pub fn window(&mut self, tracks: [&[f32]; 2]) -> Result<Vec<f32>> {
        Ok(self.next(tracks)?.motion)
    }

    fn next(&mut self, tracks: [&[f32]; 2]) -> Result<Window> {
        let due = vec![Due { stream: &mut self.stream, tracks }];
        let mut windows = step(self.model, due, &mut self.times)?;
        Ok(windows.pop().unwrap_or_default())
    }
}

/// Both tracks of a conversation from the next window on.
struct Ahead<'c> {
    conversation: &'c mut Conversation,
    tracks: [Vec<f32>; 2],
    /// Samples that are the conversation's own, not silence behind its end.
    valid: usize,
    is_over: bool,
}

impl<'c> Ahead<'c> {
    fn new(conversation: &'c mut Conversation) -> Self {
        Self { conversation, tracks: [Vec::new(), Vec::new()], valid: 0, is_over: false }
    }

    /// Reads until `samples` are there, silence behind the end; false when nothing of the conversation is left.
    fn fill(&mut self, samples: usize) -> Result<bool> {
        while !self.is_over && self.valid < samples {
            match self.conversation.read(samples - self.valid)? {
                None => self.is_over = true,
                Some(part) => {
                    for (track, new) in self.tracks.iter_mut().zip(&part.tracks) {
                        track.truncate(self.valid);
                        track.extend_from_slice(&new[..part.valid]);
                    }
                    self.valid += part.valid;
                }
            }
        }
        self.tracks.iter_mut().for_each(|track| track.resize(samples.max(track.len()), 0.0));
        Ok(self.valid > 0)
    }

    /// Drops the samples of a window.
    fn advance(&mut self, samples: usize) {
        self.valid = self.valid.saturating_sub(samples);
        self.tracks.iter_mut().for_each(|track| drop(track.drain(..samples)));
    }
}

/// Animates a whole conversation. `progress` is called after each window; [`ControlFlow::Break`] stops.
///
/// # Errors
/// [`Error::Audio`] from reading, [`Error::Argument`] or [`Error::Motion`] when an option does not fit,
/// [`Error::Interrupted`] after a break.
pub fn animate(
    model: &Model,
    conversation: &mut Conversation,
    options: &AnimateOptions,
    progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
) -> Result<Motion> {
    animate_timed(model, conversation, options, progress).map(|(motion, _)| motion)
}

/// [`animate`], with where the time went.
///
/// # Errors
/// As [`animate`].
pub fn animate_timed(
    model: &Model,
    conversation: &mut Conversation,
    options: &AnimateOptions,
    progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
) -> Result<(Motion, StageTimes)> {
    let participants = options.participants.unwrap_or(conversation.voices());
    let controls = &options.controls;
    controls.validate()?;
    let mut animator = Animator::new(model, participants, options)?;
    let (space, window) = (model.config().space, animator.window_frames());
    let mut output = Output::new(space, participants, window, options.smooth, controls)?;
    let mut people = vec![Vec::new(); participants];
    let mut keep = |chunk: &Chunk| {
        let frames = (0..participants).map(|participant| chunk.participant(participant).unwrap_or_default());
        people.iter_mut().zip(frames).for_each(|(person, frames)| person.extend_from_slice(frames));
    };
    let mut done = 0u64;
    let expected = conversation.expected_samples();
    let frames_expected = expected.map(|samples| samples.div_ceil(SAMPLES_PER_FRAME as u64));
    let mut ahead = Ahead::new(conversation);
    while ahead.fill(animator.heard_samples())? {
        let made = animator.next(ahead.tracks.each_ref().map(Vec::as_slice))?;
        let frames = ahead.valid.div_ceil(SAMPLES_PER_FRAME).min(window);
        ahead.advance(animator.window_samples());
        keep(&output.push(&made.motion, &made.voices[..frames], controls, false)?);
        done += frames as u64;
        if progress(Progress { frames_done: done, frames_expected }).is_break() {
            return Err(Error::Interrupted);
        }
    }
    keep(&output.push(&[], &[], controls, true)?);
    let names = conversation.summary().into_iter().map(|track| match track.channel {
        Some(channel) => format!("{}, channel {channel}", track.name),
        None => track.name,
    });
    let names: Vec<String> = names.collect();
    let meta = MotionMeta {
        participants: if names.len() == participants { names } else { Vec::new() },
        preset: Some(model.config().preset.clone()),
        seed: Some(options.seed),
        options: facts(options),
        ..MotionMeta::new()
    };
    let motion = Motion::new(space, FPS, participants, people.concat(), meta)?;
    Ok((motion, animator.times()))
}

/// The settings that shaped a motion, for its file.
fn facts(options: &AnimateOptions) -> std::collections::BTreeMap<String, String> {
    let Controls { liveliness, expression, mouth_gate, gaze: [left, up], sampling } = options.controls;
    let own = [
        ("liveliness", liveliness.to_string()),
        ("expression", expression.to_string()),
        ("mouth_gate", mouth_gate.to_string()),
        ("gaze", format!("{left},{up}")),
        ("smooth", options.smooth.to_string()),
    ];
    own.into_iter().chain(sampling.facts()).map(|(name, value)| (name.to_owned(), value)).collect()
}
