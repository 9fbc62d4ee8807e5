//! The engine: one thread that owns all sessions, makes windows that are due at the same time as one batch, and never
//! waits for a client.
//!
//! Connections send [`Command`]s through a [`Mailbox`] and read what comes of them from an [`Outbox`]. Whole files are
//! made by the same thread, a window at a time while no live window is due.

mod clock;
mod live;
mod mailbox;
mod outbox;
mod run;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use tokio::sync::oneshot;
use unils::model::Model;
use unils::motion::{Motion, Space};
use unils::session::{SessionOptions, Voice};

pub(crate) use self::mailbox::{Mailbox, Share};
pub(crate) use self::outbox::{Out, Outbox};
use crate::metrics::Metrics;
use crate::protocol::{ControlsMessage, Fault, ServerMessage, Started};

/// Number of a session within one run of the server.
pub(crate) type SessionId = u64;

/// Who waits for a session.
pub(crate) type Reply = oneshot::Sender<Result<(SessionId, Started), Fault>>;

/// What connections and requests ask of the engine.
#[derive(Debug)]
pub(crate) enum Command {
    /// Begins a session.
    Open(Box<Open>),
    /// Goes on with a session.
    Resume { name: String, outbox: Arc<Outbox>, reply: Reply },
    /// Samples.
    Audio { session: SessionId, voice: Voice, rate: u32, first: Option<u64>, samples: Vec<f32> },
    /// Anything else that a client says to its session.
    Tell(SessionId, Tell),
    /// The connection is gone; `outbox` tells which one, as another may have taken over.
    Detach { session: SessionId, outbox: Arc<Outbox>, is_final: bool },
    /// A whole file.
    File(Box<FileJob>),
}

/// What a client says to its session beside audio.
#[derive(Debug)]
pub(crate) enum Tell {
    Controls(ControlsMessage),
    Style(Option<Arc<Motion>>),
    Flush(Voice),
    Interrupt(Option<u64>),
    Finish,
    Reset,
    /// An answer that must keep its place among what the engine sends.
    Answer(ServerMessage),
}

/// A session to be.
#[derive(Debug)]
pub(crate) struct Open {
    pub options: SessionOptions,
    pub is_live: bool,
    /// The space that the client wants; `None` for the model's.
    pub space: Option<Space>,
    pub name: String,
    pub outbox: Arc<Outbox>,
    pub reply: Reply,
}

/// A whole recording to be made into motion.
#[derive(Debug)]
pub(crate) struct FileJob {
    pub options: SessionOptions,
    /// At 16 kHz, of equal length.
    pub tracks: [Vec<f32>; 2],
    /// (participants, frames, channels).
    pub reply: oneshot::Sender<Result<Vec<f32>, Fault>>,
}

/// What the engine needs to know.
#[derive(Debug, Clone)]
pub(crate) struct EngineOptions {
    pub max_sessions: usize,
    pub max_load: f64,
    pub max_files: usize,
    pub grace: Duration,
    pub idle: Duration,
    pub styles: Vec<String>,
}

/// The thread's handles for everybody else.
#[derive(Debug)]
pub(crate) struct Engine {
    pub mailbox: Mailbox,
    pub metrics: Arc<Metrics>,
    pub is_stopping: AtomicBool,
}

impl Engine {
    /// Runs until it is told to stop; every session is told then.
    pub(crate) fn run(&self, model: &Arc<Model>, options: &EngineOptions) {
        run::Running::new(self, model, options).run();
    }
}
