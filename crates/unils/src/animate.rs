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
//! let motion = animate(&model, &mut conversation, &AnimateOptions::default(), &mut |progress| {
//!     println!("{} frames", progress.frames_done);
//!     ControlFlow::Continue(())
//! })?;
//! # Ok::<(), unils::Error>(())
//! ```

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use burn::tensor::{Tensor, TensorData};
use serde::Serialize;

use crate::audio::Conversation;
use crate::error::{Error, Result};
use crate::generator::{GenerationState, Sampling, Start};
use crate::model::Model;
use crate::nn::values;
use crate::motion::{FPS, Motion, MotionMeta, SAMPLES_PER_FRAME, SmoothStream, Smoother};

/// How a conversation is animated.
#[derive(Debug, Clone)]
pub struct AnimateOptions {
    /// How bits are drawn.
    pub sampling: Sampling,
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

impl Default for AnimateOptions {
    fn default() -> Self {
        Self {
            sampling: Sampling::default(),
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

/// Where the time of an animation went.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct StageTimes {
    /// Speech encoder.
    pub encoder: Duration,
    /// Generator: transformer and sampling.
    pub generator: Duration,
    /// Codec: decoding, and encoding what the next window is conditioned on.
    pub codec: Duration,
}

/// Generates motion for windows of two tracks.
#[derive(Debug)]
pub struct Animator<'a> {
    model: &'a Model,
    state: GenerationState,
    sampling: Sampling,
    participants: usize,
    /// The encoder's features of a silent window, `(1, S, A)`.
    silence: Option<Tensor<3>>,
    times: StageTimes,
}

impl<'a> Animator<'a> {
    /// An animator at the start of a conversation of `participants` people, 1 or 2.
    ///
    /// # Errors
    /// [`Error::Argument`] or [`Error::Motion`] when an option does not fit the model.
    pub fn new(model: &'a Model, participants: usize, options: &AnimateOptions) -> Result<Self> {
        options.sampling.validate()?;
        if !(1..=2).contains(&participants) {
            let what = format!("expected 1 or 2, got {participants}");
            return Err(Error::argument("participants", what));
        }
        let window = model.generator().codec().window();
        let clip = |name, motion: &Option<Motion>, cut: fn(&[f32], usize, usize) -> Option<Vec<f32>>| {
            motion.as_ref().map(|motion| clip(model, name, motion, participants, window, cut)).transpose()
        };
        let start = Start {
            style: clip("style", &options.style, style_window)?,
            previous: clip("previous motion", &options.previous, last_window)?,
            previous_is_unconditional: false,
            seed: options.seed,
        };
        Ok(Self {
            model,
            state: model.generator().begin(participants, &start),
            sampling: options.sampling,
            participants,
            silence: None,
            times: StageTimes::default(),
        })
    }

    /// Samples of a window.
    pub fn window_samples(&self) -> usize {
        self.window_frames() * SAMPLES_PER_FRAME
    }

    /// Frames of a window.
    pub fn window_frames(&self) -> usize {
        self.model.generator().codec().window()
    }

    /// Time spent so far.
    pub fn times(&self) -> StageTimes {
        self.times
    }

    /// The next window's motion, (participants, frames, channels) row-major, from its two tracks at 16 kHz.
    ///
    /// # Errors
    /// [`Error::Argument`] for tracks of another length, [`Error::Device`] when the device fails.
    pub fn window(&mut self, tracks: &[Vec<f32>; 2]) -> Result<Vec<f32>> {
        let samples = self.window_samples();
        if let Some(wrong) = tracks.iter().find(|track| track.len() != samples) {
            let what = format!("expected windows of {samples} samples, got {}", wrong.len());
            return Err(Error::argument("audio", what));
        }
        let voices = self.listen(tracks);
        let started = Instant::now();
        let generator = self.model.generator();
        let bits = generator.sample_bits(&mut self.state, voices.as_ref(), &self.sampling, &mut |_| ())?;
        let sampled = Instant::now();
        self.times.generator += sampled - started;
        let window = generator.close_window(&mut self.state, bits);
        let motion = values(window.motion)?;
        self.times.codec += sampled.elapsed();
        Ok(motion)
    }

    /// Own and partner's features for each participant, `(P, S, A)`.
    fn listen(&mut self, tracks: &[Vec<f32>; 2]) -> Option<[Tensor<3>; 2]> {
        let encoder = self.model.encoder()?;
        let started = Instant::now();
        let device = self.model.device();
        let samples = tracks[0].len();
        let hearing = self.model.config().generator.as_ref().map(|g| g.hearing).unwrap_or_default();
        let tracks = &[0, 1].map(|track: usize| hearing.own_track(&tracks[track], &tracks[1 - track]));
        let is_silent = [0, 1].map(|track: usize| tracks[track].iter().all(|&sample| sample == 0.0));
        let waves = |tracks: Vec<f32>| {
            let rows = tracks.len() / samples;
            Tensor::from_data(TensorData::new(tracks, [rows, samples]), device)
        };
        // Digital silence sounds the same in every window: the partner of a single voice costs one encoding.
        if is_silent.contains(&true) && self.silence.is_none() {
            self.silence = Some(encoder.features(waves(vec![0.0; samples])));
        }
        let heard: Vec<usize> = (0..2).filter(|&track| !is_silent[track]).collect();
        let encoded = (!heard.is_empty()).then(|| {
            encoder.features(waves(heard.iter().flat_map(|&track| tracks[track].iter().copied()).collect()))
        });
        let track = |track: usize| match (heard.iter().position(|&heard| heard == track), &encoded) {
            (Some(row), Some(encoded)) => encoded.clone().narrow(0, row, 1),
            _ => self.silence.clone().unwrap_or_else(|| encoder.features(waves(tracks[track].clone()))),
        };
        let [own, partner] = [track(0), track(1)];
        let voices = if self.participants == 1 {
            [own, partner]
        } else {
            let pair =
                |first: &Tensor<3>, second: &Tensor<3>| Tensor::cat(vec![first.clone(), second.clone()], 0);
            [pair(&own, &partner), pair(&partner, &own)]
        };
        self.times.encoder += started.elapsed();
        Some(voices)
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
    let mut animator = Animator::new(model, participants, options)?;
    let channels = model.config().space.width();
    let mut tracks = Vec::new();
    for _ in 0..participants {
        tracks.push(Track::new(options.smooth, channels)?);
    }
    let mut done = 0u64;
    let expected = conversation.expected_samples();
    let frames_expected = expected.map(|samples| samples.div_ceil(SAMPLES_PER_FRAME as u64));
    while let Some(window) = conversation.read(animator.window_samples())? {
        let motion = animator.window(&window.tracks)?;
        let frames = window.valid.div_ceil(SAMPLES_PER_FRAME);
        for (track, motion) in tracks.iter_mut().zip(motion.chunks_exact(motion.len() / participants)) {
            track.push(&motion[..frames * channels])?;
        }
        done += frames as u64;
        if progress(Progress { frames_done: done, frames_expected }).is_break() {
            return Err(Error::Interrupted);
        }
    }
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
    let values = tracks.into_iter().flat_map(Track::finish).collect();
    let motion = Motion::new(model.config().space, FPS, participants, values, meta)?;
    Ok((motion, animator.times()))
}

/// The settings that shaped a motion, for its file.
fn facts(options: &AnimateOptions) -> std::collections::BTreeMap<String, String> {
    let Sampling { cfg, temperature, top_p, greedy } = options.sampling;
    [
        ("cfg", cfg.to_string()),
        ("temperature", temperature.to_string()),
        ("top_p", top_p.to_string()),
        ("greedy", greedy.to_string()),
        ("smooth", options.smooth.to_string()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}

/// One participant's frames so far.
struct Track {
    smoother: Option<SmoothStream>,
    values: Vec<f32>,
}

impl Track {
    fn new(smooth: bool, channels: usize) -> Result<Self> {
        let smoother = smooth.then(|| Smoother::default().stream(channels)).transpose()?;
        Ok(Self { smoother, values: Vec::new() })
    }

    fn push(&mut self, frames: &[f32]) -> Result<()> {
        match &mut self.smoother {
            Some(smoother) => smoother.push(frames, &mut self.values),
            None => {
                self.values.extend_from_slice(frames);
                Ok(())
            }
        }
    }

    fn finish(mut self) -> Vec<f32> {
        if let Some(smoother) = self.smoother {
            smoother.finish(&mut self.values);
        }
        self.values
    }
}

/// A clip option as `(P, T, M)`: `cut` takes a window from (frames, channels) values.
fn clip(
    model: &Model,
    name: &str,
    motion: &Motion,
    participants: usize,
    window: usize,
    cut: fn(&[f32], usize, usize) -> Option<Vec<f32>>,
) -> Result<Tensor<3>> {
    let space = model.config().space;
    if motion.space() != space {
        let what = format!("{} motion, but the model makes {space}", motion.space());
        return Err(Error::motion(name, what));
    }
    if motion.fps() != FPS {
        let what = format!("{} frames a second, but the model makes {FPS}", motion.fps());
        return Err(Error::motion(name, what).with_hint("resample the clip first"));
    }
    if ![1, participants].contains(&motion.participants()) {
        let expected = if participants == 1 { "1" } else { "1 or 2" };
        let what = format!("{} participants, expected {expected}", motion.participants());
        return Err(Error::motion(name, what).with_hint("give a clip of one person for all, or of each"));
    }
    let channels = space.width();
    let mut values = Vec::with_capacity(participants * window * channels);
    for participant in 0..participants {
        let source = motion.participant(participant % motion.participants()).unwrap_or_default();
        let cut = cut(source, window, channels).ok_or_else(|| {
            let what = format!("{} frames, expected {window} or more", motion.frames());
            Error::motion(name, what).with_hint("give a longer clip of the same person")
        })?;
        values.extend(cut);
    }
    let data = TensorData::new(values, [participants, window, channels]);
    Ok(Tensor::from_data(data, model.device()))
}

/// The release's evaluation clip: from the middle, but early enough to be whole.
fn style_window(values: &[f32], window: usize, channels: usize) -> Option<Vec<f32>> {
    let frames = values.len() / channels;
    let start = (frames / 2).min(frames.checked_sub(window)?);
    Some(values[start * channels..(start + window) * channels].to_vec())
}

/// The last window, with zeros before a shorter clip.
fn last_window(values: &[f32], window: usize, channels: usize) -> Option<Vec<f32>> {
    let length = window * channels;
    let kept = &values[values.len().saturating_sub(length)..];
    let mut padded = vec![0.0; length - kept.len()];
    padded.extend_from_slice(kept);
    Some(padded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clips_are_cut_as_the_release_does() {
        let frames: Vec<f32> = (0..7).map(|i| i as f32).collect();
        assert_eq!(style_window(&frames, 3, 1), Some(vec![3.0, 4.0, 5.0]));
        assert_eq!(style_window(&frames, 5, 1), Some(vec![2.0, 3.0, 4.0, 5.0, 6.0]));
        assert_eq!(style_window(&frames, 8, 1), None);
        assert_eq!(last_window(&frames, 2, 1), Some(vec![5.0, 6.0]));
        assert_eq!(last_window(&frames[..2], 4, 1), Some(vec![0.0, 0.0, 0.0, 1.0]));
    }
}
