//! The paper's layout as a stream: whole windows of both tracks in, whole windows of motion out, many streams as one
//! batch.
//!
//! Below [`Session`](super::Session) and [`Animator`](crate::animate::Animator), which differ in how audio reaches them.

use std::time::{Duration, Instant};

use burn::tensor::{Tensor, TensorData};
use serde::Serialize;

use super::output::Talk;
use super::stepper::Window;
use crate::error::{Error, Result};
use crate::generator::{GenerationState, Generator, Sampling, Start};
use crate::model::Model;
use crate::motion::{FPS, Motion, SAMPLES_PER_FRAME, Space};
use crate::nn::values;

/// Where the time of a generation went.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct StageTimes {
    /// Speech encoder.
    pub encoder: Duration,
    /// Generator: transformer and sampling.
    pub generator: Duration,
    /// Codec: decoding, and encoding what the next window is conditioned on.
    pub codec: Duration,
}

/// How a stream of either layout begins.
#[derive(Debug, Clone)]
pub(crate) struct StreamOptions<'a> {
    pub participants: usize,
    pub sampling: Sampling,
    pub seed: u64,
    pub style: Option<&'a Motion>,
    pub previous: Option<&'a Motion>,
}

impl StreamOptions<'_> {
    /// Checks the ranges.
    pub(super) fn validate(&self) -> Result<()> {
        self.sampling.validate()?;
        if !(1..=2).contains(&self.participants) {
            let what = format!("expected 1 or 2, got {}", self.participants);
            return Err(Error::argument("participants", what));
        }
        Ok(())
    }
}

/// What one stream carries from window to window.
#[derive(Debug, Clone)]
pub(crate) struct WindowStream {
    state: GenerationState,
    sampling: Sampling,
    talk: Talk,
}

impl WindowStream {
    /// The stream before its first window.
    ///
    /// # Errors
    /// [`Error::Argument`] or [`Error::Motion`] when an option does not fit the model.
    pub(crate) fn begin(model: &Model, generator: &Generator, start: &StreamOptions<'_>) -> Result<Self> {
        let participants = start.participants;
        let clip = |name, motion: Option<&Motion>, cut: Cut| {
            motion.map(|motion| clip(model, name, motion, participants, cut)).transpose()
        };
        let begin = Start {
            style: clip("style", start.style, style_window)?,
            previous: clip("previous motion", start.previous, last_window)?,
            previous_is_unconditional: false,
            seed: start.seed,
        };
        let state = generator.begin(participants, &begin);
        Ok(Self { state, sampling: start.sampling, talk: Talk::default() })
    }

    /// How the next windows' bits are drawn.
    pub(crate) fn set_sampling(&mut self, sampling: Sampling) {
        self.sampling = sampling;
    }

    /// The manner of the next windows; `None` for none.
    pub(crate) fn set_style(
        &mut self,
        model: &Model,
        generator: &Generator,
        style: Option<&Motion>,
    ) -> Result<()> {
        let participants = self.state.participants();
        let motion = match style {
            Some(style) => clip(model, "style", style, participants, style_window)?,
            None => {
                let codec = generator.codec();
                Tensor::zeros([participants, codec.window(), codec.motion_dim()], model.device())
            }
        };
        self.state.set_style(generator.codec().features(motion));
        Ok(())
    }
}

/// The next window of several streams, each with its own and its partner's samples of the window, in their order.
///
/// # Errors
/// [`Error::Argument`] for tracks of another length, [`Error::Device`] when the device fails; no stream has moved then.
pub(crate) fn step_windows(
    model: &Model,
    generator: &Generator,
    due: &mut [(&mut WindowStream, [&[f32]; 2])],
    times: &mut StageTimes,
) -> Result<Vec<Window>> {
    let samples = generator.codec().window() * SAMPLES_PER_FRAME;
    let lengths = due.iter().flat_map(|(_, tracks)| tracks.iter().map(|track| track.len()));
    if let Some(wrong) = lengths.into_iter().find(|&length| length != samples) {
        let what = format!("expected windows of {samples} samples, got {wrong}");
        return Err(Error::argument("audio", what));
    }
    let mut windows = vec![Window::default(); due.len()];
    let mut waiting: Vec<usize> = (0..due.len()).collect();
    while let Some(&first) = waiting.first() {
        // One pass has one guidance and one temperature.
        let sampling = due[first].0.sampling;
        let (group, rest): (Vec<_>, Vec<_>) =
            waiting.into_iter().partition(|&index| due[index].0.sampling == sampling);
        step_group((model, generator), due, &group, times, &mut windows)?;
        waiting = rest;
    }
    Ok(windows)
}

/// One batch: the streams of `group`, which draw alike.
fn step_group(
    (model, generator): (&Model, &Generator),
    due: &mut [(&mut WindowStream, [&[f32]; 2])],
    group: &[usize],
    times: &mut StageTimes,
    windows: &mut [Window],
) -> Result<()> {
    let states: Vec<&GenerationState> = group.iter().map(|&index| &due[index].0.state).collect();
    let Some(mut batch) = GenerationState::join(&states) else { return Ok(()) };
    let sampling = due[group[0]].0.sampling;
    let heard: Vec<Heard<'_>> =
        group.iter().map(|&index| (due[index].0.state.participants(), due[index].1)).collect();
    let started = Instant::now();
    let voices = listen(model, &heard);
    let heard_at = Instant::now();
    let bits = generator.sample_bits(&mut batch, voices.as_ref(), &sampling, &mut |_| ())?;
    let sampled_at = Instant::now();
    let motion = values(generator.close_window(&mut batch, bits).motion)?;
    times.encoder += heard_at - started;
    times.generator += sampled_at - heard_at;
    times.codec += sampled_at.elapsed();
    let row = motion.len() / batch.participants();
    let mut first = 0;
    for &index in group {
        let (stream, [own, partner]) = &mut due[index];
        stream.state.take_rows(&batch, first);
        let end = first + stream.state.participants();
        let tracks = own.chunks_exact(SAMPLES_PER_FRAME).zip(partner.chunks_exact(SAMPLES_PER_FRAME));
        windows[index] = Window {
            motion: motion[first * row..end * row].to_vec(),
            voices: tracks.map(|pair| stream.talk.hear(pair.into(), [1.0; 2])).collect(),
        };
        first = end;
    }
    Ok(())
}

/// A stream's participants and its own and partner's samples.
type Heard<'a> = (usize, [&'a [f32]; 2]);

/// Own and partner's features for each participant of each stream, `(P, S, A)`.
fn listen(model: &Model, streams: &[Heard<'_>]) -> Option<[Tensor<3>; 2]> {
    let encoder = model.encoder()?;
    let silence = model.silence()?;
    let hearing = model.config().generator.as_ref().map(|g| g.hearing).unwrap_or_default();
    // Each track is encoded once and serves both participants; a silent one is not encoded at all.
    let mut waves: Vec<f32> = Vec::new();
    let mut row_of = |track: Vec<f32>| {
        let is_silent = track.iter().all(|&sample| sample == 0.0);
        (!is_silent).then(|| {
            let row = waves.len() / track.len();
            waves.extend(track);
            row
        })
    };
    let rows: Vec<[Option<usize>; 2]> = streams
        .iter()
        .map(|(_, [own, partner])| {
            [row_of(hearing.own_track(own, partner)), row_of(hearing.own_track(partner, own))]
        })
        .collect();
    let samples = streams.first().map_or(0, |(_, [own, _])| own.len());
    let count = waves.len() / samples.max(1);
    let encoded = (count > 0).then(|| {
        encoder.features(Tensor::from_data(TensorData::new(waves, [count, samples]), model.device()))
    });
    let track = |row: Option<usize>| match (row, &encoded) {
        (Some(row), Some(encoded)) => encoded.clone().narrow(0, row, 1),
        _ => silence.clone(),
    };
    let voice = |side: usize| {
        let of_stream = |(&[own, partner], &(participants, _)): (&[Option<usize>; 2], &Heard<'_>)| {
            let order = if side == 0 { [own, partner] } else { [partner, own] };
            order.into_iter().take(participants).map(track).collect::<Vec<_>>()
        };
        Tensor::cat(rows.iter().zip(streams).flat_map(of_stream).collect(), 0)
    };
    Some([voice(0), voice(1)])
}

/// A window cut from (frames, channels) values: of `window` frames, `channels` wide.
type Cut = fn(&[f32], usize, usize) -> Option<Vec<f32>>;

/// That a clip is of the model's space and rate, and of one person or as many as there are.
pub(super) fn check_clip(name: &str, motion: &Motion, space: Space, participants: usize) -> Result<()> {
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
    Ok(())
}

/// A clip option as `(P, T, M)`.
fn clip(model: &Model, name: &str, motion: &Motion, participants: usize, cut: Cut) -> Result<Tensor<3>> {
    let (space, window) = (model.config().space, model.codec().window());
    check_clip(name, motion, space, participants)?;
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
