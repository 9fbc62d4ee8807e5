//! One session within the engine: its clock, its client, and what both have been told.

use std::sync::Arc;
use std::time::{Duration, Instant};

use unils::model::Model;
use unils::motion::{FPS, Motion, MotionMeta, Space, joints_only};
use unils::session::{Chunk, Session, Timing as ModelTiming, Voice};

use super::clock::LiveClock;
use super::{EngineOptions, Open, Outbox, Reply, Tell};
use crate::metrics::Metrics;
use crate::protocol::{Fault, FaultCode, PlacedMessage, ServerMessage, Started, Timing, VERSION};

/// How often a client is told how its session stands.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// A session and its client.
#[derive(Debug)]
pub(super) struct Live {
    pub session: Session,
    pub name: String,
    pub outbox: Arc<Outbox>,
    /// Since when no client is there.
    pub detached: Option<Instant>,
    participants: usize,
    /// Of what the client gets.
    space: Space,
    clock: Option<LiveClock>,
    missing: [u64; 2],
    late: [u64; 2],
    told: Instant,
    is_finished: bool,
}

impl Live {
    /// A session and who waits for the answer; the session fails if an option does not fit.
    pub(super) fn begin(model: &Arc<Model>, open: Open, now: Instant) -> (Result<Self, Fault>, Reply) {
        let Open { options, is_live, space, name, outbox, reply } = open;
        let participants = options.participants;
        let session = Session::new(Arc::clone(model), options);
        let live = session.map(|session| Self {
            session,
            name,
            outbox,
            detached: None,
            participants,
            space: space.unwrap_or(model.config().space),
            clock: is_live.then(|| LiveClock::new(now)),
            missing: [0; 2],
            late: [0; 2],
            told: now,
            is_finished: false,
        });
        (live.map_err(Fault::from), reply)
    }

    /// The answer to `start`.
    pub(super) fn started(&self, options: &EngineOptions, resumed: bool) -> Started {
        let space = self.space;
        let ModelTiming { window_frames, look_ahead_frames } = self.session.timing();
        let latency_ms = self.session.latency_frames() as f64 * 1000.0 / FPS;
        let seconds = |time: Duration| u32::try_from(time.as_secs()).unwrap_or(u32::MAX);
        Started {
            version: VERSION,
            session: self.name.clone(),
            resumed,
            space: space.name().to_owned(),
            channels: space.channels().iter().map(|channel| channel.name.to_owned()).collect(),
            participants: self.participants,
            fps: FPS,
            sample_rate: unils::audio::MODEL_RATE,
            window_frames,
            look_ahead_frames,
            latency_ms: latency_ms as u32,
            next_frame: self.session.next_frame(),
            next_samples: Voice::ALL.map(|voice| self.session.end_sample(voice)),
            grace_s: seconds(options.grace),
            idle_s: seconds(options.idle),
            queue_s: unils::session::SessionLimits::default().queue_s,
            styles: options.styles.clone(),
        }
    }

    /// The client is gone: time stops.
    pub(super) fn detach(&mut self, now: Instant) {
        self.detached = Some(now);
        if let Some(clock) = &mut self.clock {
            clock.pause(now);
        }
    }

    /// A client goes on.
    pub(super) fn attach(&mut self, outbox: Arc<Outbox>, now: Instant) {
        self.outbox.hand_over(&outbox);
        self.outbox = outbox;
        self.detached = None;
        if let Some(clock) = &mut self.clock {
            clock.resume(now);
        }
    }

    /// Tells the session the time.
    pub(super) fn elapse(&mut self, now: Instant) {
        if let Some(sample) = self.clock.as_ref().and_then(|clock| clock.sample(now)) {
            self.session.elapse(sample);
        }
    }

    /// True if a window can be made for a client that is there.
    pub(super) fn is_due(&self) -> bool {
        self.detached.is_none() && self.session.is_due()
    }

    /// Says something; a client that does not read is given up.
    pub(super) fn say(&self, message: ServerMessage) {
        if !self.outbox.message(message) {
            self.outbox.close();
        }
    }

    fn complain(&self, fault: impl Into<Fault>) {
        self.say(ServerMessage::Error(fault.into()));
    }

    /// Samples from the client.
    pub(super) fn hear(
        &mut self,
        voice: Voice,
        rate: u32,
        first: Option<u64>,
        samples: &[f32],
        now: Instant,
        metrics: &Metrics,
    ) {
        let pushed = match self.session.push(voice, rate, first, samples) {
            Ok(pushed) => pushed,
            Err(error) => return self.complain(error),
        };
        let length = pushed.taken * u64::from(unils::audio::MODEL_RATE) / u64::from(rate);
        if let Some(clock) = self.clock.as_mut().filter(|_| pushed.taken > 0) {
            clock.hear(voice, pushed.start_sample, pushed.start_sample + length, now);
        }
        self.late[voice.index()] += pushed.late;
        Metrics::add(&metrics.samples_late_total, pushed.late);
        if first.is_none() || pushed.late > 0 || pushed.filled > 0 {
            self.say(ServerMessage::Placed(PlacedMessage {
                voice: voice.into(),
                start_sample: pushed.start_sample,
                taken: pushed.taken,
                late: pushed.late,
                filled: pushed.filled,
            }));
        }
    }

    /// Anything else from the client.
    pub(super) fn tell(&mut self, what: Tell, now: Instant) {
        match what {
            Tell::Controls(message) => {
                let controls = message.over(*self.session.controls());
                match self.session.set_controls(controls) {
                    Ok(()) => self.say(ServerMessage::Controls(controls.into())),
                    Err(error) => self.complain(error),
                }
            }
            Tell::Style(style) => {
                if let Err(error) = self.session.set_style(style.as_deref()) {
                    self.complain(error);
                }
            }
            Tell::Flush(voice) => self.session.flush(voice),
            Tell::Interrupt(at) => {
                self.elapse(now);
                let done = self.session.interrupt(at);
                self.say(ServerMessage::Interrupted { end_sample: done.end_sample, dropped: done.dropped });
                if let Some(chunk) = done.revision {
                    self.outbox.motion(self.in_space(chunk));
                }
            }
            Tell::Finish => {
                self.session.finish();
                self.tell_end();
            }
            Tell::Reset => match self.session.reset() {
                Ok(()) => {
                    self.clock = self.clock.as_ref().map(|_| LiveClock::new(now));
                    (self.missing, self.late, self.is_finished) = ([0; 2], [0; 2], false);
                    self.say(ServerMessage::Reset {});
                }
                Err(error) => self.complain(error),
            },
            Tell::Answer(message) => self.say(message),
        }
    }

    /// Gives frames to the client.
    pub(super) fn give(&mut self, chunk: Chunk, metrics: &Metrics) {
        for (sum, missing) in self.missing.iter_mut().zip(chunk.missing) {
            *sum += missing;
            Metrics::add(&metrics.samples_missing_total, missing);
        }
        if chunk.frames() > 0 {
            Metrics::add(&metrics.frames_dropped_total, self.outbox.motion(self.in_space(chunk)));
        }
        self.tell_end();
    }

    /// The chunk in the space that the client wants.
    fn in_space(&self, mut chunk: Chunk) -> Chunk {
        let space = self.session.model().config().space;
        if space != self.space {
            let values = std::mem::take(&mut chunk.values);
            let motion = Motion::new(space, FPS, chunk.participants, values, MotionMeta::default());
            // Frames of a model are whole and finite; if they ever are not, nothing is shown rather than something else.
            let converted = motion.and_then(|motion| joints_only(&motion, self.space));
            chunk.values = converted.map(Motion::into_values).unwrap_or_default();
        }
        chunk
    }

    fn tell_end(&mut self) {
        if self.session.is_done() && !self.is_finished {
            self.is_finished = true;
            self.say(ServerMessage::Finished { frames: self.session.next_frame() });
        }
    }

    /// Now and then tells the client how things stand.
    pub(super) fn report(&mut self, now: Instant, step: Duration) {
        if self.detached.is_some() || now.duration_since(self.told) < TELL_EVERY {
            return;
        }
        self.told = now;
        let clock_sample = self.clock.as_ref().and_then(|clock| clock.sample(now)).unwrap_or(0);
        self.say(ServerMessage::Timing(Timing {
            clock_sample,
            next_frame: self.session.next_frame(),
            waiting: Voice::ALL.map(|voice| self.session.waiting(voice) as u64),
            missing: self.missing,
            late: self.late,
            dropped_frames: self.outbox.dropped_frames(),
            step_ms: step.as_secs_f32() * 1000.0,
        }));
    }

    /// The server or the model ends it.
    pub(super) fn end(&self, fault: Fault) {
        self.say(ServerMessage::Error(fault.fatal()));
        self.outbox.close();
    }

    /// Another connection goes on with it.
    pub(super) fn taken_over(&self) {
        self.end(Fault::new(FaultCode::TakenOver, "another connection goes on with this session"));
    }
}
