//! The one seam between sessions and the layouts of generators: what a layout needs of the audio, and due windows of
//! several sessions to motion as one batch.
//!
//! A layout is a variant of [`Stream`] with its [`Timing`]; nothing else in `session` knows which one runs.

use super::windowed::{WindowStart, WindowStream, step_windows};
use super::{SessionOptions, StageTimes};
use crate::error::Result;
use crate::generator::Sampling;
use crate::model::Model;
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
        Self { window_frames: model.generator().codec().window(), look_ahead_frames: 0 }
    }

    /// Samples that a window is made from: its own and those looked ahead.
    pub fn heard_samples(self) -> usize {
        (self.window_frames + self.look_ahead_frames) * SAMPLES_PER_FRAME
    }
}

/// What a session carries from window to window, in its model's layout.
#[derive(Debug, Clone)]
pub(super) enum Stream {
    /// The paper's layout: a window is heard and made as a whole.
    Windowed(WindowStream),
}

impl Stream {
    pub(super) fn begin(model: &Model, options: &SessionOptions) -> Result<Self> {
        let start = WindowStart {
            participants: options.participants,
            sampling: options.controls.sampling,
            seed: options.seed,
            style: options.style.as_ref(),
            previous: None,
        };
        WindowStream::begin(model, &start).map(Self::Windowed)
    }

    pub(super) fn set_sampling(&mut self, sampling: Sampling) {
        match self {
            Self::Windowed(stream) => stream.set_sampling(sampling),
        }
    }

    pub(super) fn set_style(&mut self, model: &Model, style: Option<&Motion>) -> Result<()> {
        match self {
            Self::Windowed(stream) => stream.set_style(model, style),
        }
    }
}

/// A window that is due.
pub(super) struct Due<'a> {
    pub stream: &'a mut Stream,
    /// Own and partner's samples from the window's start to its end and the look-ahead behind it
    /// ([`Timing::heard_samples`]).
    pub tracks: [&'a [f32]; 2],
}

/// The motion of each due window, (participants, frames, channels), in their order. All are of one model.
pub(super) fn step(model: &Model, due: Vec<Due<'_>>, times: &mut StageTimes) -> Result<Vec<Vec<f32>>> {
    let windowed = due.into_iter().map(|Due { stream, tracks }| match stream {
        Stream::Windowed(stream) => (stream, tracks),
    });
    step_windows(model, &mut windowed.collect::<Vec<_>>(), times)
}
