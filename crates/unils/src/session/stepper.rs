//! The one seam between sessions and the layouts of generators: what a layout needs of the audio, and due windows of
//! several sessions to motion as one batch.
//!
//! A layout is a variant of [`Stream`] with its [`Timing`]; nothing else in `session` knows which one runs.

use super::causal::{CausalSession, step_causal};
use super::windowed::{StreamOptions, WindowStream, step_windows};
use super::{StageTimes, Voices};
use crate::device::on_pool;
use crate::error::{Error, Result};
use crate::generator::Sampling;
use crate::model::{Model, Network};
use crate::motion::{Motion, SAMPLES_PER_FRAME};

/// What a model's layout means for time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// Frames that are made at once.
    pub window_frames: usize,
    /// Frames after a window whose sound must be there before the window can be made.
    pub look_ahead_frames: usize,
}

impl Timing {
    /// The timing of a model's layout.
    pub fn of(model: &Model) -> Self {
        let look_ahead_frames = match model.network() {
            Network::Windowed(_) => 0,
            Network::Causal(generator) => generator.layout().config().look_ahead,
        };
        Self { window_frames: model.codec().window(), look_ahead_frames }
    }

    /// Samples that a window is made from: its own and those looked ahead.
    pub fn heard_samples(self) -> usize {
        (self.window_frames + self.look_ahead_frames) * SAMPLES_PER_FRAME
    }
}

/// What a stream carries from window to window, in its model's layout.
#[derive(Debug, Clone)]
#[allow(clippy::large_enum_variant, reason = "a few of them exist at a time")]
pub(crate) enum Stream {
    /// The paper's layout: a window is heard and made as a whole.
    Windowed(WindowStream),
    /// The block-causal layout.
    Causal(CausalSession),
}

impl Stream {
    /// The stream before its first window.
    ///
    /// # Errors
    /// [`Error::Argument`] or [`Error::Motion`] when an option does not fit the model.
    pub(crate) fn begin(model: &Model, options: &StreamOptions<'_>) -> Result<Self> {
        options.validate()?;
        match model.network() {
            Network::Windowed(generator) => {
                WindowStream::begin(model, generator, options).map(Self::Windowed)
            }
            Network::Causal(generator) => CausalSession::begin(model, generator, options).map(Self::Causal),
        }
    }

    /// How the next windows' bits are drawn.
    pub(super) fn set_sampling(&mut self, sampling: Sampling) -> Result<()> {
        match self {
            Self::Windowed(stream) => stream.set_sampling(sampling),
            Self::Causal(stream) => stream.set_sampling(sampling)?,
        }
        Ok(())
    }

    /// The manner of the next windows; `None` for none.
    pub(super) fn set_style(&mut self, model: &Model, style: Option<&Motion>) -> Result<()> {
        match (self, model.network()) {
            (Self::Windowed(stream), Network::Windowed(generator)) => {
                stream.set_style(model, generator, style)
            }
            (Self::Causal(stream), Network::Causal(generator)) => stream.set_style(model, generator, style),
            _ => Err(another_model()),
        }
    }
}

/// A window that is due.
pub(crate) struct Due<'a> {
    pub(crate) stream: &'a mut Stream,
    /// Own and partner's samples from the window's start to its end and the look-ahead behind it
    /// ([`Timing::heard_samples`]).
    pub(crate) tracks: [&'a [f32]; 2],
}

/// A window that was made.
#[derive(Debug, Clone, Default)]
pub(crate) struct Window {
    /// (participants, frames, channels), row-major.
    pub(crate) motion: Vec<f32>,
    /// Who is heard in each frame.
    pub(crate) voices: Vec<Voices>,
}

/// Each due window, in their order. All are of one model.
///
/// # Errors
/// [`Error::Argument`] for tracks of another length, [`Error::Device`] when the device fails.
pub(crate) fn step(model: &Model, due: Vec<Due<'_>>, times: &mut StageTimes) -> Result<Vec<Window>> {
    let (mut windowed, mut causal) = (Vec::new(), Vec::new());
    for Due { stream, tracks } in due {
        match stream {
            Stream::Windowed(stream) => windowed.push((stream, tracks)),
            Stream::Causal(stream) => causal.push((stream, tracks)),
        }
    }
    on_pool(|| match model.network() {
        Network::Windowed(generator) if causal.is_empty() => {
            step_windows(model, generator, &mut windowed, times)
        }
        Network::Causal(generator) if windowed.is_empty() => {
            step_causal(model, generator, &mut causal, times)
        }
        _ => Err(another_model()),
    })
}

fn another_model() -> Error {
    Error::argument("stream", "it was begun with a model of another layout")
}
