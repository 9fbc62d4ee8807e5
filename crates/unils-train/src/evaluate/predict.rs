//! What turns a recording into motion: a model, the codec alone, and baselines that hear nothing.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use burn::tensor::{Device, Tensor, TensorData};
use unils::animate::{AnimateOptions, Animator};
use unils::codec::Codec;
use unils::device::DeviceKind;
use unils::model::{Model, ModelFiles, Network, open_codec};
use unils::motion::{FPS, Group, Motion, MotionMeta, SAMPLES_PER_FRAME, Smoother, Space};
use unils::session::Controls;
use unils::{Error, Result};

use super::protocol::{Previous, Protocol, Style};
use crate::data::{Split, Store, motion_stats};

/// A recording as a predictor sees it; all motion is row-major, participant by participant.
#[derive(Debug)]
pub struct Take<'a> {
    /// How it is evaluated.
    pub protocol: &'a Protocol,
    /// What the channels C mean.
    pub space: Space,
    /// Participants P whose motion is wanted: one, or the two of a conversation.
    pub people: usize,
    /// Frames T.
    pub frames: usize,
    /// The true motion, (P, T, C): for ceilings only.
    pub truth: &'a [f32],
    /// The middle clip of each participant, (P, S, C).
    pub style: &'a [f32],
    /// The voices at 16 kHz, 640 samples a frame: the first participant's and the partner's. With two participants each
    /// is the other's partner. None if the recording has no audio.
    pub voices: Option<&'a [Vec<f32>; 2]>,
    /// Another recording's motion, (P, T, C); given if [`Predictor::wants_another`].
    pub another: Option<&'a [f32]>,
    /// The recording's own seed.
    pub seed: u64,
}

/// Frames of the clip from which a block-causal model is told a person's manner: 20 s, in which a few blinks happen.
const MANNER_FRAMES: usize = 500;

/// Called with the frames done so far; [`ControlFlow::Break`] stops.
pub type FramesDone<'p> = dyn FnMut(usize) -> ControlFlow<()> + 'p;

/// A system under evaluation.
pub trait Predictor {
    /// What it is, for reports.
    fn name(&self) -> String;

    /// What shapes its motion besides the protocol, by name: results of other settings are not gone on with.
    fn settings(&self) -> BTreeMap<String, String>;

    /// The motion space that it makes; none for any.
    fn space(&self) -> Option<Space>;

    /// Frames of its windows; none if it makes motion in one piece.
    fn window(&self) -> Option<usize>;

    /// Frames of the clip that shows it a person's manner: a window, unless it takes manner from a longer one.
    fn style_frames(&self) -> Option<usize> {
        self.window()
    }

    /// Whether it hears: then a recording without audio is an error.
    fn hears(&self) -> bool {
        false
    }

    /// Whether it is to be shown another recording's motion.
    fn wants_another(&self) -> bool {
        false
    }

    /// Motion of the participants, (P, T, C).
    ///
    /// # Errors
    /// What the system gives; [`Error::Interrupted`] after a break.
    fn predict(&mut self, take: &Take<'_>, done: &mut FramesDone<'_>) -> Result<Vec<f32>>;
}

/// A generator, window by window, from the voices or from nothing.
#[derive(Debug)]
pub struct ModelPredictor<'m> {
    model: &'m Model,
    name: String,
    identity: String,
}

impl<'m> ModelPredictor<'m> {
    /// `name` is for reports; `identity` tells its weights from all others (a checksum), so that results of one
    /// checkpoint are not gone on with by another.
    pub fn new(model: &'m Model, name: impl Into<String>, identity: impl Into<String>) -> Self {
        Self { model, name: name.into(), identity: identity.into() }
    }

    fn options(take: &Take<'_>) -> Result<AnimateOptions> {
        let protocol = take.protocol;
        let clip = |values: Vec<f32>| Motion::new(take.space, FPS, take.people, values, MotionMeta::new());
        let style = match protocol.style {
            Style::Middle => Some(clip(take.style.to_vec())?),
            Style::Zero => None,
        };
        let previous = match protocol.previous {
            Previous::Middle => Some(clip(calmed(take.style, take.space))?),
            Previous::Zero => None,
        };
        Ok(AnimateOptions {
            controls: Controls { sampling: protocol.sampling, ..Controls::default() },
            seed: take.seed,
            style,
            previous,
            smooth: false,
            participants: Some(take.people),
        })
    }
}

/// The clip with a tenth of its head rotation.
fn calmed(clip: &[f32], space: Space) -> Vec<f32> {
    let mut clip = clip.to_vec();
    let head = space.group_indices(Group::Head);
    for row in clip.chunks_exact_mut(space.width()) {
        head.iter().for_each(|&channel| row[channel] *= 0.1);
    }
    clip
}

impl Predictor for ModelPredictor<'_> {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn settings(&self) -> BTreeMap<String, String> {
        let config = self.model.config();
        let encoder = self.model.encoder().and(config.encoder.as_ref());
        [
            ("system", "model".to_owned()),
            ("weights", self.identity.clone()),
            ("preset", config.preset.clone()),
            ("encoder", encoder.map_or("none".to_owned(), ToString::to_string)),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
    }

    fn space(&self) -> Option<Space> {
        Some(self.model.config().space)
    }

    fn window(&self) -> Option<usize> {
        Some(self.model.codec().window())
    }

    fn style_frames(&self) -> Option<usize> {
        match self.model.network() {
            Network::Windowed(_) => self.window(),
            Network::Causal(_) => Some(MANNER_FRAMES),
        }
    }

    fn hears(&self) -> bool {
        self.model.encoder().is_some()
    }

    fn predict(&mut self, take: &Take<'_>, done: &mut FramesDone<'_>) -> Result<Vec<f32>> {
        let mut animator = Animator::new(self.model, take.people, &Self::options(take)?)?;
        let (window, samples) = (animator.window_frames(), animator.heard_samples());
        let width = take.space.width();
        let mut people = vec![Vec::with_capacity(take.frames * width); take.people];
        for start in (0..take.frames).step_by(window) {
            let from = start * SAMPLES_PER_FRAME;
            let cut = |voice: usize| -> Vec<f32> {
                let mut part = vec![0.0; samples];
                let rest = take.voices.and_then(|voices| voices[voice].get(from..)).unwrap_or(&[]);
                let count = rest.len().min(samples);
                part[..count].copy_from_slice(&rest[..count]);
                part
            };
            let motion = animator.window([&cut(0), &cut(1)])?;
            let frames = window.min(take.frames - start);
            for (person, motion) in people.iter_mut().zip(motion.chunks_exact(window * width)) {
                person.extend_from_slice(&motion[..frames * width]);
            }
            if done(start + frames).is_break() {
                return Err(Error::Interrupted);
            }
        }
        Ok(people.concat())
    }
}

/// The true motion through the codec and back: what no generator over this codec can surpass.
#[derive(Debug)]
pub struct CodecPredictor {
    codec: Codec,
    device: Device,
    space: Space,
    name: String,
    identity: String,
}

impl CodecPredictor {
    /// Opens the codec of a codec's or a generator's checkpoint; an encoder is not needed. `name` and `identity` as of
    /// [`ModelPredictor::new`].
    ///
    /// # Errors
    /// As [`Model::open`].
    pub fn open(
        files: &ModelFiles,
        kind: DeviceKind,
        name: impl Into<String>,
        identity: impl Into<String>,
    ) -> Result<Self> {
        let (config, codec) = open_codec(files, kind)?;
        Ok(Self {
            codec,
            device: kind.open()?,
            space: config.space,
            name: name.into(),
            identity: identity.into(),
        })
    }
}

impl Predictor for CodecPredictor {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn settings(&self) -> BTreeMap<String, String> {
        [("system", "codec"), ("weights", self.identity.as_str())]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into()
    }

    fn space(&self) -> Option<Space> {
        Some(self.space)
    }

    fn window(&self) -> Option<usize> {
        Some(self.codec.window())
    }

    fn predict(&mut self, take: &Take<'_>, done: &mut FramesDone<'_>) -> Result<Vec<f32>> {
        let (window, width) = (self.codec.window(), take.space.width());
        let mut people = vec![Vec::with_capacity(take.frames * width); take.people];
        // A block-causal codec needs the past: it gets a recording in one piece.
        let piece = if self.codec.is_causal() { take.frames } else { window };
        for start in (0..take.frames).step_by(piece) {
            let end = take.frames.min(start + piece);
            for (person, truth) in people.iter_mut().zip(take.truth.chunks_exact(take.frames * width)) {
                let part = truth[start * width..end * width].to_vec();
                let part = Tensor::from_data(TensorData::new(part, [1, end - start, width]), &self.device);
                let data = self.codec.reconstruct(part).0.try_into_data();
                let values = data.map_err(|error| format!("{error:?}")).and_then(|data| {
                    data.convert::<f32>().try_into_vec::<f32>().map_err(|error| format!("{error:?}"))
                });
                person.extend(values.map_err(|what| Error::device("device", what))?);
            }
            if done(end).is_break() {
                return Err(Error::Interrupted);
            }
        }
        Ok(people.concat())
    }
}

/// Motion that needs no model: what a system must beat, and what it cannot.
#[derive(Debug, Clone, PartialEq)]
pub enum Baseline {
    /// The true motion itself: the ceiling of every error and distance, and the human value of the rest.
    Truth,
    /// One pose in every frame: the mean of the training split, C numbers.
    Mean(Vec<f32>),
    /// One pose in every frame: the mean of the person's own style clip.
    Rest,
    /// Another recording's motion of the participant in the same place, from its beginning: human, but not of this
    /// conversation.
    AnotherRecording,
}

impl Baseline {
    /// The mean motion of a split, the head centred as for training. `progress` gets recordings done and in all and
    /// stops by returning `false`.
    ///
    /// # Errors
    /// As [`motion_stats`].
    pub fn mean_of(
        store: &dyn Store,
        split: Split,
        progress: impl FnMut(usize, usize) -> bool,
    ) -> Result<Self> {
        Ok(Self::Mean(motion_stats(store, split, None, progress)?.mean().to_vec()))
    }
}

impl Predictor for Baseline {
    fn name(&self) -> String {
        match self {
            Self::Truth => "truth",
            Self::Mean(_) => "mean motion",
            Self::Rest => "rest pose",
            Self::AnotherRecording => "another recording",
        }
        .to_owned()
    }

    fn settings(&self) -> BTreeMap<String, String> {
        let mut settings = BTreeMap::from([("system".to_owned(), self.name())]);
        if let Self::Mean(mean) = self {
            let bytes = mean.iter().flat_map(|value| value.to_le_bytes());
            settings.insert("weights".to_owned(), format!("{:016x}", super::items::fnv(bytes)));
        }
        settings
    }

    fn space(&self) -> Option<Space> {
        None
    }

    fn window(&self) -> Option<usize> {
        None
    }

    fn wants_another(&self) -> bool {
        *self == Self::AnotherRecording
    }

    fn predict(&mut self, take: &Take<'_>, done: &mut FramesDone<'_>) -> Result<Vec<f32>> {
        let width = take.space.width();
        let motion = match self {
            Self::Truth => take.truth.to_vec(),
            Self::Mean(mean) if mean.len() == width => mean.repeat(take.frames * take.people),
            Self::Mean(mean) => {
                let what = format!("{} channels, the recordings have {width}", mean.len());
                return Err(Error::argument("mean motion", what));
            }
            Self::Rest => {
                let clips = take.style.chunks_exact((take.style.len() / take.people.max(1)).max(1));
                clips.flat_map(|clip| mean_row(clip, width).repeat(take.frames)).collect()
            }
            Self::AnotherRecording => match take.another {
                Some(another) => another.to_vec(),
                None => {
                    return Err(Error::argument("another recording", "there is only one of that split")
                        .with_hint("this baseline needs two recordings or more"));
                }
            },
        };
        match done(take.frames) {
            ControlFlow::Break(()) => Err(Error::Interrupted),
            ControlFlow::Continue(()) => Ok(motion),
        }
    }
}

fn mean_row(clip: &[f32], width: usize) -> Vec<f32> {
    let mut sums = vec![0.0_f64; width];
    for row in clip.chunks_exact(width) {
        sums.iter_mut().zip(row).for_each(|(sum, &value)| *sum += f64::from(value));
    }
    let frames = (clip.len() / width).max(1) as f64;
    sums.into_iter().map(|sum| (sum / frames) as f32).collect()
}

/// The prediction as the protocol wants it scored: finite, of the right length, smoothed if wanted. `place` names the
/// record.
pub(super) fn accept(values: Vec<f32>, take: &Take<'_>, place: &str) -> Result<Motion> {
    let (people, width) = (take.people, take.space.width());
    let expected = take.frames * people * width;
    if values.len() != expected {
        let what = format!("the prediction has {} numbers, expected {expected}", values.len());
        return Err(Error::motion(place, what));
    }
    if let Some(index) = values.iter().position(|value| !value.is_finite()) {
        let (row, channel) = (index / width, take.space.channels()[index % width].name);
        let what = format!(
            "predicted participant {}, frame {}, channel {channel}: {}, expected a finite number",
            row / take.frames,
            row % take.frames,
            values[index]
        );
        return Err(Error::motion(place, what)
            .with_hint("the system makes NaN or infinity: look at its training, or its statistics"));
    }
    let motion = Motion::new(take.space, FPS, people, values, MotionMeta::new())?;
    Ok(if take.protocol.smooth { motion.smoothed(&Smoother::default()) } else { motion })
}
