//! Motion of audio that is still being spoken: sessions that take samples as they come and give frames as soon as they
//! can be made.
//!
//! Behind `model`, beside [`mod@animate`](crate::animate), which does the same with recordings. No threads, no time of
//! its own, nothing asynchronous: a caller pushes samples and steps, and tells the time if it has any.
//!
//! * The only clock is the session's sample index at 16 kHz; frame `k` covers the samples `640 k .. 640 (k + 1)`. Sources
//!   of other rates keep their own index, and sample `i` of one at rate `r` is heard at `i / r` seconds.
//! * A window is made when both voices reach its end and the model's look-ahead behind it ([`Timing`]), or when a voice
//!   is not waited for: after [`Session::flush`] of it, until it speaks again, or once [`Session::elapse`] says that its
//!   samples are overdue ([`SessionOptions::wait_ms`]). What is not there is silence then, and reported.
//! * One voice may be ahead of the other by [`SessionLimits::queue_s`]: synthesised speech comes in bursts.
//! * Frames do not depend on how the samples were cut. All memory is bounded, however long a session lasts.
//! * Sessions of one model share its weights, and [`step_all`] makes the windows that are due as one batch.
//!
//! ```no_run
//! use std::sync::Arc;
//! use unils::session::{Session, SessionOptions, Voice};
//! # fn model() -> unils::model::Model { unimplemented!() }
//! let model = Arc::new(model());
//! let options = SessionOptions::of(&model);
//! let mut session = Session::new(model, options)?;
//! # let microphone: Vec<Vec<f32>> = vec![];
//! session.flush(Voice::Own); // the avatar says nothing yet
//! for samples in microphone {
//!     session.push(Voice::Partner, 48_000, None, &samples)?;
//!     while let Some(chunk) = session.step()? {
//!         println!("frames from {}: {:?}", chunk.start_frame, chunk.values);
//!     }
//! }
//! # Ok::<(), unils::Error>(())
//! ```

mod causal;
mod controls;
mod output;
mod stepper;
mod stream;
mod track;
mod windowed;

pub use controls::Controls;
pub(crate) use output::Output;
pub use stepper::Timing;
pub(crate) use stepper::{Due, Stream, Window, step};
pub use stream::{Session, step_all};
pub use windowed::StageTimes;
pub(crate) use windowed::StreamOptions;

use crate::model::Model;
use crate::motion::Motion;

/// Indices of the two voices.
const OWN: usize = 0;
const PARTNER: usize = 1;

/// One of the two voices of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Voice {
    /// Of the first participant, whose face is always made.
    Own,
    /// Of whom that participant listens to.
    Partner,
}

impl Voice {
    /// Both voices.
    pub const ALL: [Self; 2] = [Self::Own, Self::Partner];

    /// The name: `own`, `partner`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Own => "own",
            Self::Partner => "partner",
        }
    }

    /// Its place in pairs: own, then partner.
    pub fn index(self) -> usize {
        match self {
            Self::Own => OWN,
            Self::Partner => PARTNER,
        }
    }
}

/// How a session is run.
#[derive(Debug, Clone)]
pub struct SessionOptions {
    /// Faces to move: 1 for the one with the own voice, 2 for both.
    pub participants: usize,
    /// Same seed and same samples: same motion.
    pub seed: u64,
    /// A clip whose manner the motion takes on, at least a window long.
    pub style: Option<Motion>,
    /// Smooths with the release's filter, which takes 160 ms more. For windows that meet in seams.
    pub smooth: bool,
    /// How long after a voice's samples should have come they are waited for; only where [`Session::elapse`] tells the
    /// time.
    pub wait_ms: u32,
    /// What may be changed later, at the start.
    pub controls: Controls,
    /// What a session takes at most.
    pub limits: SessionLimits,
}

impl SessionOptions {
    /// What suits a model: its own sampling.
    pub fn of(model: &Model) -> Self {
        let controls = Controls { sampling: model.config().sampling, ..Controls::default() };
        Self { controls, ..Self::default() }
    }
}

impl Default for SessionOptions {
    fn default() -> Self {
        Self {
            participants: 1,
            seed: 0,
            style: None,
            smooth: false,
            wait_ms: 160,
            controls: Controls::default(),
            limits: SessionLimits::default(),
        }
    }
}

/// What a session takes at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionLimits {
    /// Seconds of a voice that may wait for their window; 16 kB each.
    pub queue_s: u16,
    /// Seconds by which a source's index may jump ahead; such gaps are silence.
    pub gap_s: u16,
}

impl Default for SessionLimits {
    fn default() -> Self {
        Self { queue_s: 60, gap_s: 10 }
    }
}

/// What became of pushed samples.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pushed {
    /// Where the first sample that was taken stands on the session's clock, 16 kHz.
    pub start_sample: u64,
    /// Samples taken, at the source's rate.
    pub taken: u64,
    /// Samples dropped because their time had passed, or because they were there already.
    pub late: u64,
    /// Samples of silence put in where the source's index jumped.
    pub filled: u64,
}

/// What an interruption did.
#[derive(Debug, Clone, PartialEq)]
pub struct Interruption {
    /// Where the own voice ends now, 16 kHz.
    pub end_sample: u64,
    /// Own samples that will not be heard, at 16 kHz.
    pub dropped: u64,
    /// Frames that were given out already and are meant otherwise now.
    pub revision: Option<Chunk>,
}

/// Who is heard in a frame.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Voices {
    /// Own and partner: louder than -50 dBFS, without what a causal encoder finds of the other in its track, or was
    /// within 0.3 s.
    pub speaks: [bool; 2],
}

/// Consecutive frames of a session.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Chunk {
    /// Number of the first frame.
    pub start_frame: u64,
    /// Faces.
    pub participants: usize,
    /// Motion, (participants, frames, channels) row-major; empty while a smoother waits for more.
    pub values: Vec<f32>,
    /// Who is heard in each frame.
    pub voices: Vec<Voices>,
    /// Own and partner's samples at 16 kHz that were waited for in vain and counted as silence.
    pub missing: [u64; 2],
    /// These frames replace those of the same numbers.
    pub is_revision: bool,
}

impl Chunk {
    /// Number of frames.
    pub fn frames(&self) -> usize {
        self.voices.len()
    }

    /// One participant's numbers, (frames, channels); `None` past the last.
    pub fn participant(&self, participant: usize) -> Option<&[f32]> {
        let length = self.values.len() / self.participants.max(1);
        (participant < self.participants)
            .then(|| &self.values[participant * length..(participant + 1) * length])
    }
}
