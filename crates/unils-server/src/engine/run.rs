//! The engine's loop.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use unils::audio::MODEL_RATE;
use unils::model::Model;
use unils::session::{Session, Voice, step_all};

use super::live::Live;
use super::{Command, Engine, EngineOptions, FileJob, SessionId};
use crate::access::same;
use crate::metrics::Metrics;
use crate::protocol::{Fault, FaultCode};

/// How often time alone makes windows due.
const TICK: Duration = Duration::from_millis(5);
/// Windows made as one batch at most, so that nobody waits for a crowd.
const BATCH: usize = 32;
/// Over how long the engine's load is measured.
const LOAD_SPAN: Duration = Duration::from_secs(2);
/// Samples of a file that are given to its session at once.
const FILE_PIECE: usize = 30 * MODEL_RATE as usize;

/// A whole file under way.
struct File {
    session: Session,
    job: FileJob,
    given: usize,
    motion: Vec<Vec<f32>>,
}

/// The engine while it runs.
pub(super) struct Running<'a> {
    engine: &'a Engine,
    model: &'a Arc<Model>,
    options: &'a EngineOptions,
    sessions: BTreeMap<SessionId, Live>,
    next_id: SessionId,
    files: VecDeque<File>,
    /// Computed since `load_began`.
    computed: Duration,
    load_began: Instant,
    load: f64,
    last_step: Duration,
}

impl<'a> Running<'a> {
    pub(super) fn new(engine: &'a Engine, model: &'a Arc<Model>, options: &'a EngineOptions) -> Self {
        Self {
            engine,
            model,
            options,
            sessions: BTreeMap::new(),
            next_id: 0,
            files: VecDeque::new(),
            computed: Duration::ZERO,
            load_began: Instant::now(),
            load: 0.0,
            last_step: Duration::ZERO,
        }
    }

    pub(super) fn run(mut self) {
        let mut has_work = false;
        while !self.engine.is_stopping.load(Ordering::Acquire) {
            let wait = if has_work { Duration::ZERO } else { TICK };
            for (command, _credit) in self.engine.mailbox.wait(wait) {
                self.obey(command);
            }
            let now = Instant::now();
            self.sessions.values_mut().for_each(|live| live.elapse(now));
            has_work = self.step_live(now);
            if !has_work {
                has_work = self.step_file();
            }
            self.keep_house(Instant::now());
        }
        for (_, live) in std::mem::take(&mut self.sessions) {
            let fault = Fault::new(FaultCode::Shutdown, "the server stops");
            live.end(fault.with_hint("connect again later and begin a new session"));
        }
        for file in std::mem::take(&mut self.files) {
            let _ = file.job.reply.send(Err(Fault::new(FaultCode::Shutdown, "the server stops")));
        }
    }

    fn obey(&mut self, command: Command) {
        let now = Instant::now();
        match command {
            Command::Open(open) => {
                if let Err(fault) = self.has_room() {
                    Metrics::add(&self.engine.metrics.refused_total, 1);
                    let _ = open.reply.send(Err(fault));
                    return;
                }
                let (begun, reply) = Live::begin(self.model, *open, now);
                let answer = begun.map(|live| {
                    let started = live.started(self.options, false);
                    self.next_id += 1;
                    self.sessions.insert(self.next_id, live);
                    Metrics::add(&self.engine.metrics.sessions_total, 1);
                    (self.next_id, started)
                });
                let id = answer.as_ref().ok().map(|(id, _)| *id);
                if let (Err(_), Some(id)) = (reply.send(answer), id) {
                    // The client was gone before it was answered.
                    self.sessions.remove(&id);
                }
            }
            Command::Resume { name, outbox, reply } => {
                let found = self.sessions.iter_mut().find(|(_, live)| same(&live.name, &name));
                let answer = match found {
                    None => Err(Fault::new(
                        FaultCode::UnknownSession,
                        "there is no such session, or its time is over",
                    )
                    .with_hint("start a new one")
                    .fatal()),
                    Some((&id, live)) => {
                        if live.detached.is_none() {
                            live.taken_over();
                        }
                        live.attach(outbox, now);
                        Ok((id, live.started(self.options, true)))
                    }
                };
                let _ = reply.send(answer);
            }
            Command::Audio { session, voice, rate, first, samples } => {
                if let Some(live) = self.sessions.get_mut(&session) {
                    live.hear(voice, rate, first, &samples, now, &self.engine.metrics);
                }
            }
            Command::Tell(session, what) => {
                if let Some(live) = self.sessions.get_mut(&session) {
                    live.tell(what, now);
                }
            }
            Command::Detach { session, outbox, is_final } => {
                let Some(live) = self.sessions.get_mut(&session) else { return };
                if !Arc::ptr_eq(&live.outbox, &outbox) {
                    return;
                }
                if is_final || self.options.grace.is_zero() {
                    self.sessions.remove(&session);
                } else {
                    live.detach(now);
                }
            }
            Command::File(job) => self.begin_file(*job),
        }
    }

    /// A fault if no further session may begin.
    fn has_room(&self) -> Result<(), Fault> {
        let full = |what: String| {
            Err(Fault::new(FaultCode::Overloaded, what)
                .with_hint("try again later, or another server")
                .fatal())
        };
        let most = self.options.max_sessions;
        if self.sessions.len() >= most {
            return full(format!("there are {most} sessions already, as many as this server takes"));
        }
        if self.load > self.options.max_load && !self.sessions.is_empty() {
            return full(format!("the engine is busy for {:.0} % of the time", 100.0 * self.load));
        }
        Ok(())
    }

    /// Makes the windows that are due, those that wait longest first. True if there may be more.
    fn step_live(&mut self, now: Instant) -> bool {
        let mut due: Vec<(u64, SessionId)> = Vec::new();
        for (&id, live) in self.sessions.iter().filter(|(_, live)| live.is_due()) {
            let end = Voice::ALL.map(|voice| live.session.end_sample(voice)).into_iter().max().unwrap_or(0);
            due.push((u64::MAX - end.saturating_sub(live.session.needs_sample()), id));
        }
        Metrics::set(&self.engine.metrics.windows_due, due.len() as u64);
        if due.is_empty() {
            return false;
        }
        due.sort_unstable();
        due.truncate(BATCH);
        let chosen: Vec<SessionId> = due.into_iter().map(|(_, id)| id).collect();
        let mut lives: Vec<&mut Live> =
            self.sessions.iter_mut().filter(|(id, _)| chosen.contains(id)).map(|(_, live)| live).collect();
        let mut sessions: Vec<&mut Session> = lives.iter_mut().map(|live| &mut live.session).collect();
        let stepped = step_all(&mut sessions);
        let took = now.elapsed();
        self.computed += took;
        self.last_step = took;
        match stepped {
            Ok(chunks) => {
                let mut frames = 0;
                for (live, chunk) in lives.iter_mut().zip(chunks) {
                    if let Some(chunk) = chunk {
                        frames += (chunk.frames() * chunk.participants) as u64;
                        live.give(chunk, &self.engine.metrics);
                    }
                }
                self.engine.metrics.step(took, frames);
            }
            Err(error) => {
                let fault = Fault::from(error);
                lives.iter().for_each(|live| live.end(fault.clone()));
                self.sessions.retain(|id, _| !chosen.contains(id));
            }
        }
        true
    }

    fn begin_file(&mut self, job: FileJob) {
        let refuse = |job: FileJob, fault: Fault| {
            let _ = job.reply.send(Err(fault));
        };
        if self.files.len() >= self.options.max_files {
            let fault = Fault::new(FaultCode::Overloaded, format!("{} files wait already", self.files.len()));
            return refuse(job, fault.with_hint("try again later"));
        }
        match Session::new(Arc::clone(self.model), job.options.clone()) {
            Ok(session) => {
                let motion = vec![Vec::new(); job.options.participants];
                self.files.push_back(File { session, job, given: 0, motion });
            }
            Err(error) => refuse(job, error.into()),
        }
    }

    /// One window of the oldest file. True if there may be more.
    fn step_file(&mut self) -> bool {
        let Some(file) = self.files.front_mut() else { return false };
        let stepped = file.step();
        let is_over = file.job.reply.is_closed();
        match stepped {
            Ok(false) if !is_over => return true,
            Ok(_) => {
                if let Some(file) = self.files.pop_front() {
                    let _ = file.job.reply.send(Ok(file.motion.concat()));
                }
            }
            Err(fault) => {
                if let Some(file) = self.files.pop_front() {
                    let _ = file.job.reply.send(Err(fault));
                }
            }
        }
        !self.files.is_empty()
    }

    /// Ends what nobody comes back to, tells clients how things stand, sets the gauges.
    fn keep_house(&mut self, now: Instant) {
        let grace = self.options.grace;
        let is_lost = |live: &Live| live.detached.is_some_and(|since| now.duration_since(since) > grace);
        self.sessions.retain(|_, live| !is_lost(live));
        for live in self.sessions.values_mut() {
            live.report(now, self.last_step);
        }
        let span = now.duration_since(self.load_began);
        if span >= LOAD_SPAN {
            self.load = self.computed.as_secs_f64() / span.as_secs_f64();
            (self.computed, self.load_began) = (Duration::ZERO, now);
        }
        let metrics = &self.engine.metrics;
        let waiting =
            |live: &Live| Voice::ALL.map(|voice| live.session.waiting(voice) as u64).iter().sum::<u64>();
        Metrics::set(&metrics.busy_millionths, (self.load * 1e6) as u64);
        Metrics::set(&metrics.sessions, self.sessions.len() as u64);
        let detached = self.sessions.values().filter(|live| live.detached.is_some()).count();
        Metrics::set(&metrics.sessions_detached, detached as u64);
        Metrics::set(&metrics.samples_waiting, self.sessions.values().map(waiting).sum());
        Metrics::set(&metrics.files, self.files.len() as u64);
    }
}

impl File {
    /// Makes a window; true after the last.
    fn step(&mut self) -> Result<bool, Fault> {
        let total = self.job.tracks[0].len();
        while self.given < total && !self.session.is_due() {
            let end = total.min(self.given + FILE_PIECE);
            for voice in Voice::ALL {
                let samples = &self.job.tracks[voice.index()][self.given..end];
                self.session.push(voice, MODEL_RATE, None, samples)?;
            }
            self.given = end;
        }
        if self.given == total {
            self.session.finish();
        }
        if let Some(chunk) = self.session.step()? {
            for (participant, motion) in self.motion.iter_mut().enumerate() {
                motion.extend_from_slice(chunk.participant(participant).unwrap_or_default());
            }
        }
        Ok(self.session.is_done())
    }
}
