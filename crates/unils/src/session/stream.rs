//! A session: both voices, the model's stream, the way out, and the clock that ties them.

use std::sync::Arc;

use super::controls::Controls;
use super::output::Output;
use super::stepper::{Due, Stream, Timing, Window, step};
use super::track::Track;
use super::windowed::StreamOptions;
use super::{Chunk, Interruption, OWN, Pushed, SessionOptions, StageTimes, Voice};
use crate::audio::MODEL_RATE;
use crate::error::{Error, Result};
use crate::model::Model;
use crate::motion::{Motion, SAMPLES_PER_FRAME};

/// One avatar, or a pair, that listens and speaks as audio comes. See the [module](super).
#[derive(Debug)]
pub struct Session {
    model: Arc<Model>,
    options: SessionOptions,
    timing: Timing,
    state: State,
    /// The next window's samples, here to be allocated once.
    heard: [Vec<f32>; 2],
    times: StageTimes,
}

/// Everything that a reset puts back.
#[derive(Debug)]
struct State {
    stream: Stream,
    tracks: [Track; 2],
    controls: Controls,
    output: Output,
    /// What the caller says the time is, in samples.
    clock: Option<u64>,
    /// The first frame that is not made.
    next_frame: u64,
    /// Samples of the whole, once it is known.
    total: Option<u64>,
}

impl State {
    fn new(model: &Model, options: &SessionOptions, timing: Timing) -> Result<Self> {
        let (space, window) = (model.config().space, timing.window_frames);
        let output = Output::new(space, options.participants, window, options.smooth, &options.controls)?;
        Ok(Self {
            stream: Stream::begin(
                model,
                &StreamOptions {
                    participants: options.participants,
                    sampling: options.controls.sampling,
                    seed: options.seed,
                    style: options.style.as_ref(),
                    previous: None,
                },
            )?,
            tracks: Voice::ALL.map(|voice| Track::new(voice.name())),
            controls: options.controls,
            output,
            clock: None,
            next_frame: 0,
            total: None,
        })
    }
}

impl Session {
    /// A session at its start.
    ///
    /// # Errors
    /// [`Error::Argument`] or [`Error::Motion`] when an option is out of range or does not fit the model.
    pub fn new(model: Arc<Model>, options: SessionOptions) -> Result<Self> {
        options.controls.validate()?;
        let timing = Timing::of(&model);
        let needed = timing.heard_samples().div_ceil(MODEL_RATE as usize);
        if usize::from(options.limits.queue_s) < needed {
            let what = format!("{} s may wait, but a window hears {needed} s", options.limits.queue_s);
            return Err(Error::argument("queue", what).with_hint("let more audio wait"));
        }
        let state = State::new(&model, &options, timing)?;
        Ok(Self {
            model,
            options,
            timing,
            state,
            heard: [Vec::new(), Vec::new()],
            times: StageTimes::default(),
        })
    }

    /// Begins anew, as the session was made.
    ///
    /// # Errors
    /// As [`Session::new`].
    pub fn reset(&mut self) -> Result<()> {
        self.state = State::new(&self.model, &self.options, self.timing)?;
        Ok(())
    }

    /// The model.
    pub fn model(&self) -> &Arc<Model> {
        &self.model
    }

    /// What the model's layout means for time.
    pub fn timing(&self) -> Timing {
        self.timing
    }

    /// Frames that pass from a sound to the first frame that it moves, at most: the window, the look-ahead and the
    /// smoothing.
    pub fn latency_frames(&self) -> usize {
        self.timing.window_frames + self.timing.look_ahead_frames + self.state.output.delay_frames()
    }

    /// The frame that is given out next.
    pub fn next_frame(&self) -> u64 {
        self.state.output.next_frame()
    }

    /// What the settings are.
    pub fn controls(&self) -> &Controls {
        &self.state.controls
    }

    /// One after the last sample of a voice, on the session's clock at 16 kHz.
    pub fn end_sample(&self, voice: Voice) -> u64 {
        self.state.tracks[voice.index()].end()
    }

    /// Samples of a voice at 16 kHz that wait for their window.
    pub fn waiting(&self, voice: Voice) -> usize {
        self.state.tracks[voice.index()].waiting()
    }

    /// Time spent on this session's windows; windows made as a batch count for each session as a whole.
    pub fn times(&self) -> StageTimes {
        self.times
    }

    /// Takes samples of a voice, full scale -1 to 1, at 8 to 48 kHz; `first` is the number of the first of them on the
    /// source's clock, `None` for right behind what came before. A voice that begins without a number after a silence
    /// begins where the next window does.
    ///
    /// # Errors
    /// [`Error::Audio`] for a rate out of range, NaN, an index that jumps ahead too far, and more than may wait; nothing
    /// is taken then. [`Error::Argument`] after [`Session::finish`].
    pub fn push(&mut self, voice: Voice, rate: u32, first: Option<u64>, samples: &[f32]) -> Result<Pushed> {
        if self.state.total.is_some() {
            return Err(Error::argument("session", "audio after its end").with_hint("reset it to begin anew"));
        }
        self.state.tracks[voice.index()].push(rate, first, samples, &self.options.limits)
    }

    /// The speaker says no more for now: nobody waits for this voice until it speaks again.
    pub fn flush(&mut self, voice: Voice) {
        self.state.tracks[voice.index()].flush();
    }

    /// Tells the time, in samples at 16 kHz since the session's start. It never runs backwards. A session that is never
    /// told waits for a voice until it is flushed.
    pub fn elapse(&mut self, now: u64) {
        self.state.clock = self.state.clock.max(Some(now));
    }

    /// The own voice is interrupted at sample `at` of the session's clock, `None` for now: what it was still to say is
    /// dropped, its mouth closes within 160 ms of `at`, and listening goes on. Frames that are out already and lie
    /// behind `at` come again as a revision.
    pub fn interrupt(&mut self, at: Option<u64>) -> Interruption {
        let frame_samples = SAMPLES_PER_FRAME as u64;
        let state = &mut self.state;
        let window = self.timing.window_frames as u64;
        let heard = self.timing.heard_samples() as u64 + (state.next_frame * frame_samples);
        // What the model has heard cannot be taken back.
        let heard = if state.next_frame == 0 { 0 } else { heard - window * frame_samples };
        let at = at.or(state.clock).unwrap_or(state.next_frame * frame_samples);
        let dropped = state.tracks[OWN].cut(at.max(heard));
        state.tracks[OWN].is_idle = true;
        let from = at.div_ceil(frame_samples);
        let silent_from = state.next_frame.max((from / window + 1) * window);
        let silent_from = if at <= heard { state.next_frame } else { silent_from };
        let revision = state.output.close(from, silent_from);
        Interruption { end_sample: state.tracks[OWN].end(), dropped, revision }
    }

    /// Changes settings from the next frame on.
    ///
    /// # Errors
    /// [`Error::Argument`] naming the value that is out of range; nothing is changed then.
    pub fn set_controls(&mut self, controls: Controls) -> Result<()> {
        controls.validate()?;
        self.state.stream.set_sampling(controls.sampling)?;
        self.state.controls = controls;
        Ok(())
    }

    /// Changes the manner from the next window on; `None` for none.
    ///
    /// # Errors
    /// [`Error::Motion`] if the clip does not fit the model; nothing is changed then.
    pub fn set_style(&mut self, style: Option<&Motion>) -> Result<()> {
        self.state.stream.set_style(&self.model, style)
    }

    /// No more audio comes: what is there is made to its end, the shorter voice followed by silence.
    pub fn finish(&mut self) {
        self.state.tracks.iter_mut().for_each(Track::flush);
        let total = self.state.tracks.iter().map(Track::end).max().unwrap_or(0);
        self.state.total.get_or_insert(total);
    }

    /// True after [`Session::finish`] when the last frame is out.
    pub fn is_done(&self) -> bool {
        self.state.total.is_some_and(|total| self.state.next_frame * SAMPLES_PER_FRAME as u64 >= total)
    }

    /// Where the audio must have come to for the next window, in samples.
    pub fn needs_sample(&self) -> u64 {
        self.state.next_frame * SAMPLES_PER_FRAME as u64 + self.timing.heard_samples() as u64
    }

    /// True if [`Session::step`] would make a window.
    pub fn is_due(&self) -> bool {
        if self.state.total.is_some() {
            return !self.is_done();
        }
        let need = self.needs_sample();
        let wait = u64::from(self.options.wait_ms) * u64::from(MODEL_RATE) / 1000;
        let is_ready = |voice: Voice| {
            let track = &self.state.tracks[voice.index()];
            let other = &self.state.tracks[1 - voice.index()];
            track.end() >= need
                || match (track.is_idle, self.state.clock) {
                    (true, Some(now)) => now >= need,
                    (true, None) => other.end() >= need,
                    (false, Some(now)) => now >= need + wait,
                    (false, None) => false,
                }
        };
        Voice::ALL.into_iter().all(is_ready)
    }

    /// Makes the next window if it is due.
    ///
    /// # Errors
    /// [`Error::Device`] when the device fails.
    pub fn step(&mut self) -> Result<Option<Chunk>> {
        Ok(step_all(&mut [self])?.pop().flatten())
    }

    /// Gathers the next window's samples.
    fn hear(&mut self) {
        let start = self.state.next_frame * SAMPLES_PER_FRAME as u64;
        for (heard, track) in self.heard.iter_mut().zip(&self.state.tracks) {
            track.read(start, heard, self.timing.heard_samples());
        }
    }

    /// Takes the motion of the window that was heard.
    fn take(&mut self, window: Window, times: StageTimes) -> Result<Chunk> {
        let state = &mut self.state;
        let frame_samples = SAMPLES_PER_FRAME as u64;
        let frames = self.timing.window_frames;
        let left = state.total.map(|total| total.div_ceil(frame_samples) - state.next_frame);
        let valid = left.map_or(frames, |left| frames.min(usize::try_from(left).unwrap_or(frames)));
        state.next_frame += valid as u64;
        let kept = state.next_frame * frame_samples;
        let heard = kept + (self.timing.look_ahead_frames as u64) * frame_samples;
        let missing = state.tracks.each_mut().map(|track| {
            let is_waited_for = state.total.is_none() && !track.is_idle;
            let missing = track.advance(kept, heard);
            if is_waited_for { missing } else { 0 }
        });
        let is_last = state.total.is_some_and(|total| kept >= total);
        self.times = times;
        let chunk = state.output.push(&window.motion, &window.voices[..valid], &state.controls, is_last)?;
        Ok(Chunk { missing, ..chunk })
    }
}

/// Makes the next window of each session that is due, all as one batch; `None` for the others. All must share a model.
///
/// # Errors
/// [`Error::Argument`] for sessions of several models, [`Error::Device`] when the device fails.
pub fn step_all(sessions: &mut [&mut Session]) -> Result<Vec<Option<Chunk>>> {
    let mut chunks: Vec<Option<Chunk>> = sessions.iter().map(|_| None).collect();
    let Some(model) = sessions.first().map(|session| Arc::clone(&session.model)) else { return Ok(chunks) };
    if sessions.iter().any(|session| !Arc::ptr_eq(&session.model, &model)) {
        return Err(Error::argument("sessions", "they are of several models")
            .with_hint("step the sessions of each model for themselves"));
    }
    let is_due: Vec<bool> = sessions.iter().map(|session| session.is_due()).collect();
    let mut due = Vec::new();
    for (session, _) in sessions.iter_mut().zip(&is_due).filter(|(_, is_due)| **is_due) {
        session.hear();
        let Session { state, heard: [own, partner], .. } = &mut **session;
        due.push(Due { stream: &mut state.stream, tracks: [own, partner] });
    }
    if due.is_empty() {
        return Ok(chunks);
    }
    let mut times = StageTimes::default();
    let mut windows = step(&model, due, &mut times)?.into_iter();
    for ((session, chunk), _) in
        sessions.iter_mut().zip(&mut chunks).zip(&is_due).filter(|(_, is_due)| **is_due)
    {
        let window = windows.next().unwrap_or_default();
        let sum = StageTimes {
            encoder: session.times.encoder + times.encoder,
            generator: session.times.generator + times.generator,
            codec: session.times.codec + times.codec,
        };
        *chunk = Some(session.take(window, sum)?);
    }
    Ok(chunks)
}
