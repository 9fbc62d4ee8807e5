//! The block-causal layout as a stream: the next frames of both voices in, a short window of motion out.
//!
//! Beside [`windowed`](super::windowed). A stream hears each frame once: the speech encoder of both tracks and the
//! generator of each participant keep what they need of the past.

use std::collections::VecDeque;
use std::time::Instant;

use burn::tensor::Tensor;

use super::Voices;
use super::output::Talk;
use super::stepper::Window;
use super::windowed::{StageTimes, StreamOptions, check_clip};
use crate::encoder::{Encoder, PairState, Speech};
use crate::error::{Error, Result};
use crate::generator::{CausalGenerator, CausalStream, Sampling, StreamStart};
use crate::model::Model;
use crate::motion::{
    FPS, Group, Join, LowPass, Motion, SAMPLES_PER_FRAME, Space, Unit, manner, remove_rest, rest_pose,
};

/// What one stream of one or two participants carries from window to window.
#[derive(Debug, Clone)]
pub(crate) struct CausalSession {
    /// Own voice's and partner's.
    ears: Option<PairState>,
    participants: Vec<CausalStream>,
    /// Each participant's rest pose, added to what the model makes.
    rests: Vec<Vec<f32>>,
    /// What smooths each participant's channels.
    smoothings: Vec<Smoothing>,
    sampling: Sampling,
    talk: Talk,
    /// Who is heard in each frame from the next window's first to the end of the look-ahead.
    voices: VecDeque<Voices>,
}

impl CausalSession {
    /// The stream before its first window.
    ///
    /// # Errors
    /// [`Error::Argument`] or [`Error::Motion`] when an option does not fit the model.
    pub(crate) fn begin(
        model: &Model,
        generator: &CausalGenerator,
        start: &StreamOptions<'_>,
    ) -> Result<Self> {
        if start.previous.is_some() {
            return Err(Error::argument("previous motion", "this model begins from rest")
                .with_hint("only models of long windows begin from other motion"));
        }
        let mut participants = Vec::new();
        let mut rests = Vec::new();
        for participant in 0..start.participants {
            let (style, rest) = style_of(model, start.style, participant, start.participants)?;
            let begin = StreamStart {
                style,
                is_guided: start.sampling.is_guided(),
                seed: start.seed,
                participant: participant as u64,
            };
            participants.push(generator.begin_stream(&begin)?);
            rests.push(rest);
        }
        let ears = speech(model)?.map(Speech::begin_pair);
        let smoothings = vec![Smoothing::of(model, generator); start.participants];
        Ok(Self {
            ears,
            participants,
            rests,
            smoothings,
            sampling: start.sampling,
            talk: Talk::default(),
            voices: VecDeque::new(),
        })
    }

    /// How the next windows' bits are drawn.
    ///
    /// # Errors
    /// [`Error::Argument`] for guidance of a stream that began without.
    pub(crate) fn set_sampling(&mut self, sampling: Sampling) -> Result<()> {
        if sampling.is_guided() && !self.participants.iter().all(CausalStream::is_guided) {
            return Err(Error::argument("cfg", "the stream was begun without guidance")
                .with_hint("guidance is decided when a stream begins; its strength may change later"));
        }
        self.sampling = sampling;
        Ok(())
    }

    /// The manner of the next windows; `None` for an average one.
    pub(crate) fn set_style(
        &mut self,
        model: &Model,
        generator: &CausalGenerator,
        style: Option<&Motion>,
    ) -> Result<()> {
        let people = self.participants.len();
        for participant in 0..people {
            let (style, rest) = style_of(model, style, participant, people)?;
            generator.restyle(&mut self.participants[participant], style.as_deref())?;
            self.rests[participant] = rest;
        }
        Ok(())
    }
}

/// The encoder that a causal generator hears through.
fn speech(model: &Model) -> Result<Option<&Speech>> {
    match model.encoder() {
        None => Ok(None),
        Some(Encoder::Speech(speech)) => Ok(Some(speech)),
        Some(_) => {
            Err(Error::config("encoder.kind", "a block-causal generator hears through a causal encoder")
                .with_hint("kind = \"speech\""))
        }
    }
}

/// A participant's manner and rest pose in a style clip.
fn style_of(
    model: &Model,
    style: Option<&Motion>,
    participant: usize,
    participants: usize,
) -> Result<(Option<Vec<f32>>, Vec<f32>)> {
    let space = model.config().space;
    let Some(motion) = style else { return Ok((None, vec![0.0; space.width()])) };
    check_clip("style", motion, space, participants)?;
    let mut clip = motion.participant(participant % motion.participants()).unwrap_or_default().to_vec();
    let rest = rest_pose(&clip, space);
    remove_rest(&mut clip, &rest);
    // Where the head points is the recording's, not the person's.
    let keep = |(rest, channel): (f32, &crate::motion::Channel)| match channel.unit {
        Unit::Coefficient => rest,
        Unit::Radian => 0.0,
    };
    let rest = rest.into_iter().zip(space.channels()).map(keep).collect();
    Ok((Some(manner(&clip, space.width())), rest))
}

/// The next window of several streams, each with the samples of its window and of the look-ahead behind it, in their order.
///
/// # Errors
/// [`Error::Argument`] for tracks of another length, [`Error::Device`] when the device fails.
pub(crate) fn step_causal(
    model: &Model,
    generator: &CausalGenerator,
    due: &mut [(&mut CausalSession, [&[f32]; 2])],
    times: &mut StageTimes,
) -> Result<Vec<Window>> {
    let window = generator.codec().window();
    let frames = window + generator.layout().config().look_ahead;
    let samples = frames * SAMPLES_PER_FRAME;
    let lengths = due.iter().flat_map(|(_, tracks)| tracks.iter().map(|track| track.len()));
    if let Some(wrong) = lengths.into_iter().find(|&length| length != samples) {
        let what = format!("expected {samples} samples of a window and what is behind it, got {wrong}");
        return Err(Error::argument("audio", what));
    }
    let started = Instant::now();
    let speech = speech(model)?;
    // At a stream's start the look-ahead is new too.
    let begins: Vec<bool> = due.iter().map(|(session, _)| session.voices.is_empty()).collect();
    for (is_first, new) in [(true, frames), (false, window)] {
        let mut group: Vec<_> = due
            .iter_mut()
            .zip(&begins)
            .filter_map(|(due, begins)| (*begins == is_first).then_some(due))
            .collect();
        if !group.is_empty() {
            hear(speech, generator, &mut group, new)?;
        }
    }
    times.encoder += started.elapsed();
    let started = Instant::now();
    let mut samplings = Vec::new();
    for (session, _) in due.iter() {
        // A mouth that says nothing is drawn as the rest of the face is: smiles come by chance.
        let silent = Sampling { mouth_temperature: 1.0, ..session.sampling };
        let Voices { speaks } = session.voices.back().copied().unwrap_or_default();
        let people = speaks.iter().take(session.participants.len());
        samplings.extend(people.map(|&speaks| if speaks { session.sampling } else { silent }));
    }
    let mut streams: Vec<&mut CausalStream> =
        due.iter_mut().flat_map(|(session, _)| &mut session.participants).collect();
    let motion = generator.step(&mut streams, &samplings)?;
    times.generator += started.elapsed();
    let space = model.config().space;
    let row = window * space.width();
    let mut rows = motion.chunks_exact(row);
    let config = generator.layout().config();
    let gains =
        [(space.blink_indices(), config.blink_gain), (space.group_indices(Group::Head), config.head_gain)];
    let mut finish = |(session, _): &mut (&mut CausalSession, [&[f32]; 2])| {
        let mut motion = Vec::with_capacity(session.rests.len() * row);
        for (smoothing, rest) in session.smoothings.iter_mut().zip(&session.rests) {
            let mut made = rows.next().unwrap_or_default().to_vec();
            smoothing.gaze.apply(&mut made, space.width());
            for frame in made.chunks_exact_mut(space.width()) {
                for (channels, gain) in &gains {
                    channels.iter().for_each(|&channel| frame[channel] *= gain);
                }
                frame.iter_mut().zip(rest).for_each(|(value, rest)| *value += rest);
                smoothing.filters.iter_mut().for_each(|filter| filter.apply(frame));
                keep_in_range(frame, space);
            }
            motion.extend(made);
        }
        Window { motion, voices: session.voices.drain(..window).collect() }
    };
    Ok(due.iter_mut().map(&mut finish).collect())
}

/// What smooths a participant's channels.
#[derive(Debug, Clone)]
struct Smoothing {
    gaze: Join,
    filters: Vec<LowPass>,
}

impl Smoothing {
    /// As the model says.
    fn of(model: &Model, generator: &CausalGenerator) -> Self {
        let (space, config) = (model.config().space, generator.layout().config());
        let mouth = [Group::Jaw, Group::Mouth, Group::CheeksNose, Group::Tongue];
        let filter = |groups: &[Group], cut_off: f32| {
            let channels = groups.iter().flat_map(|&group| space.group_indices(group)).collect();
            (cut_off > 0.0).then(|| LowPass::new(channels, cut_off.into(), FPS))
        };
        let filters = [filter(&[Group::Head], config.head_hz), filter(&mouth, config.mouth_hz)];
        Self {
            gaze: Join::new(space.group_indices(Group::Eyes), config.gaze_join),
            filters: filters.into_iter().flatten().collect(),
        }
    }
}

/// The last `new` frames of both tracks of each stream, heard by each participant.
fn hear(
    speech: Option<&Speech>,
    generator: &CausalGenerator,
    group: &mut [&mut (&mut CausalSession, [&[f32]; 2])],
    new: usize,
) -> Result<()> {
    let samples: Vec<f32> = group.iter().flat_map(|(_, tracks)| newest(*tracks, new).concat()).collect();
    let mut ears: Vec<&mut PairState> =
        group.iter_mut().filter_map(|(session, _)| session.ears.as_mut()).collect();
    let heard = speech.map(|speech| speech.step_pairs(&mut ears, &samples)).transpose()?;
    let (features, shares) = heard.unzip();
    for (index, (session, tracks)) in group.iter_mut().enumerate() {
        let [own, partner] = newest(*tracks, new).map(|track| track.chunks_exact(SAMPLES_PER_FRAME));
        let share = |side: usize, frame: usize| {
            shares.as_ref().map_or(1.0, |shares| shares[(2 * index + side) * new + frame])
        };
        for (frame, pair) in own.zip(partner).enumerate() {
            let voices = session.talk.hear(pair.into(), [share(0, frame), share(1, frame)]);
            session.voices.push_back(voices);
        }
    }
    let Some(features) = features else {
        return Ok(());
    };
    let voice = |side: usize| {
        let rows = group.iter().enumerate().flat_map(|(index, (session, _))| {
            (0..session.participants.len()).map(move |participant| 2 * index + (participant + side) % 2)
        });
        Tensor::cat(rows.map(|row| features.clone().narrow(0, row, 1)).collect(), 0)
    };
    let voices = [voice(0), voice(1)];
    let mut streams: Vec<&mut CausalStream> =
        group.iter_mut().flat_map(|(session, _)| &mut session.participants).collect();
    generator.hear(&mut streams, &voices)
}

/// The last `frames` frames of both tracks.
fn newest(tracks: [&[f32]; 2], frames: usize) -> [&[f32]; 2] {
    tracks.map(|track| &track[track.len() - frames * SAMPLES_PER_FRAME..])
}

/// Keeps a frame's coefficients in their range: rest poses, and filters behind sudden ends, lead out of it.
fn keep_in_range(frame: &mut [f32], space: Space) {
    for (value, channel) in frame.iter_mut().zip(space.channels()) {
        if channel.unit == Unit::Coefficient {
            *value = value.clamp(channel.range.0, channel.range.1);
        }
    }
}
