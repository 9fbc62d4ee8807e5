//! `unils bench live`: what the server holds, with clients that talk to it in real time from this machine.
//!
//! Server and clients share the processor: what is measured is less than what the server could do alone. Weights are random,
//! which takes the same time as trained ones.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;
use unils::audio::MODEL_RATE;
use unils::device::cpu_summary;
use unils::model::{Model, ModelConfig};
use unils::motion::{FPS, SAMPLES_PER_FRAME};
use unils::session::{Timing, Voice};
use unils_server::client::{Client, ClientError, Received};
use unils_server::protocol::{ClientMessage, ServerMessage, Start, ValueFormat, VoiceName};
use unils_server::{Server, ServerOptions};

use super::bench::voice;
use super::{Context, limit_threads};
use crate::args::BenchLive;
use crate::machine;
use crate::output::{self, Facts};

/// What a packet of a microphone holds: 20 ms.
const PACKET: usize = MODEL_RATE as usize / 50;

#[derive(Debug, Serialize)]
struct Report {
    program: String,
    preset: String,
    device: String,
    threads: usize,
    cores: Option<usize>,
    load_average: Option<f64>,
    window_ms: f64,
    look_ahead_ms: f64,
    seconds: u16,
    runs: Vec<Run>,
}

/// One number of sessions. Times in milliseconds.
#[derive(Debug, Default, Serialize)]
struct Run {
    sessions: usize,
    /// From the first sample sent to the first motion received: the window and its look-ahead included.
    first_motion: Spread,
    /// From the last sample that a frame needs to its motion.
    answer: Spread,
    /// A batch of windows, as the server tells its clients.
    step: Spread,
    /// Samples that were counted as silence because they or the engine were late.
    missing_samples: u64,
    dropped_frames: u64,
    /// Everybody's answers came within a window, 99 of 100.
    is_held: bool,
    memory_per_session_bytes: Option<u64>,
}

#[derive(Debug, Default, Clone, Copy, Serialize)]
struct Spread {
    p50: f64,
    p99: f64,
}

impl Spread {
    fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let at = |share: f64| {
            let index = (values.len() as f64 * share).ceil() as usize;
            values.get(index.saturating_sub(1)).copied().unwrap_or(0.0)
        };
        Self { p50: at(0.5), p99: at(0.99) }
    }
}

/// What one client saw.
#[derive(Debug, Default)]
struct Seen {
    first_motion: Option<f64>,
    answers: Vec<f64>,
    steps: Vec<f64>,
    missing: u64,
    dropped: u64,
}

/// Measures and prints.
pub fn run(arguments: &BenchLive, context: Context) -> anyhow::Result<()> {
    limit_threads(&arguments.compute)?;
    let load_average = machine::load_average();
    let config = ModelConfig::preset(&arguments.preset)?;
    context.reporter.note(format_args!("making random weights of {}", arguments.preset));
    let model = Arc::new(Model::random(&config, 0, arguments.compute.device)?);
    let timing = Timing::of(&model);
    let mut runs = Vec::new();
    for &sessions in &arguments.sessions {
        context.reporter.note(format_args!("{sessions} sessions for {} s", arguments.seconds));
        runs.push(measure(&model, sessions, Duration::from_secs(arguments.seconds.into()))?);
    }
    let millis = |frames: usize| frames as f64 * 1000.0 / FPS;
    let report = Report {
        program: format!("unils {}", env!("CARGO_PKG_VERSION")),
        preset: arguments.preset.clone(),
        device: arguments.compute.device.to_string(),
        threads: cpu_summary().threads,
        cores: std::thread::available_parallelism().ok().map(usize::from),
        load_average,
        window_ms: millis(timing.window_frames),
        look_ahead_ms: millis(timing.look_ahead_frames),
        seconds: arguments.seconds,
        runs,
    };
    if context.is_json { output::print_json(&report) } else { output::print(&text(&report)) }
}

fn measure(model: &Arc<Model>, sessions: usize, time: Duration) -> anyhow::Result<Run> {
    let options = ServerOptions {
        bind: ([127, 0, 0, 1], 0).into(),
        max_sessions: sessions,
        ..ServerOptions::default()
    };
    let server = Server::start(Arc::clone(model), options)?;
    let address = server.address().to_string();
    // A first session makes what is made once.
    let window = Timing::of(model).heard_samples();
    talk(&address, 0, Duration::from_secs_f64(1.5 * window as f64 / f64::from(MODEL_RATE)))?;
    let memory = machine::resident_memory();
    let mut peak = memory;
    let seen = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..sessions)
            .map(|index| {
                // Real clients do not all begin at once.
                std::thread::sleep(Duration::from_millis(7));
                let address = &address;
                scope.spawn(move || talk(address, index as u64, time))
            })
            .collect();
        std::thread::sleep(time / 2);
        peak = peak.max(machine::resident_memory());
        let seen: Vec<_> = clients.into_iter().map(|client| client.join()).collect();
        seen
    });
    server.stop();
    let mut run = Run { sessions, ..Run::default() };
    let (mut first, mut answers, mut steps) = (Vec::new(), Vec::new(), Vec::new());
    for seen in seen {
        let seen = seen.map_err(|_| anyhow::anyhow!("a client of the bench failed"))??;
        first.extend(seen.first_motion);
        answers.extend(seen.answers);
        steps.extend(seen.steps);
        run.missing_samples += seen.missing;
        run.dropped_frames += seen.dropped;
    }
    run.first_motion = Spread::of(first);
    run.answer = Spread::of(answers);
    run.step = Spread::of(steps);
    let window_ms = Timing::of(model).window_frames as f64 * 1000.0 / FPS;
    run.is_held = run.answer.p99 < window_ms && run.dropped_frames == 0;
    run.memory_per_session_bytes =
        memory.zip(peak).map(|(before, peak)| peak.saturating_sub(before) / sessions as u64);
    Ok(run)
}

/// One client: talks in real time, listens, and now and then lets its avatar say something.
fn talk(address: &str, seed: u64, time: Duration) -> Result<Seen, ClientError> {
    let start = Start { seed: Some(seed), values: ValueFormat::F16, ..Start::default() };
    let (mut client, started) = Client::connect(address, start)?;
    let ahead = started.look_ahead_frames as u64;
    client.send(&ClientMessage::Flush { voice: VoiceName::Own })?;
    client.wait_at_most(Some(Duration::from_millis(1)))?;
    let mut seen = Seen::default();
    let voice = voice(MODEL_RATE as usize * 2, seed as u32);
    let began = Instant::now();
    // Up to which sample was sent when.
    let mut sent: VecDeque<(u64, Instant)> = VecDeque::new();
    let mut packets = 0;
    while began.elapsed() < time {
        let due = (began.elapsed().as_secs_f64() * 50.0) as usize;
        while packets < due {
            let at = packets * PACKET % (voice.len() - PACKET);
            let first = (packets * PACKET) as u64;
            client.send_audio(Voice::Partner, MODEL_RATE, Some(first), &voice[at..at + PACKET])?;
            if packets % 400 == 100 {
                client.send_audio(Voice::Own, MODEL_RATE, None, &voice)?;
                client.send(&ClientMessage::Flush { voice: VoiceName::Own })?;
            }
            packets += 1;
            sent.push_back(((packets * PACKET) as u64, Instant::now()));
        }
        match client.receive() {
            Ok(Received::Motion(chunk)) if !chunk.is_revision => {
                let needed = (chunk.start_frame + chunk.frames() as u64 + ahead) * SAMPLES_PER_FRAME as u64;
                seen.first_motion.get_or_insert(began.elapsed().as_secs_f64() * 1000.0);
                while sent.front().is_some_and(|(end, _)| *end < needed) {
                    sent.pop_front();
                }
                if let Some((_, at)) = sent.front() {
                    seen.answers.push(at.elapsed().as_secs_f64() * 1000.0);
                }
            }
            Ok(Received::Message(ServerMessage::Timing(timing))) => {
                seen.steps.push(f64::from(timing.step_ms));
                seen.missing = timing.missing.iter().sum();
                seen.dropped = timing.dropped_frames;
            }
            Ok(Received::Message(ServerMessage::Error(fault))) => return Err(ClientError::Server(fault)),
            Ok(_) | Err(ClientError::Timeout) => {}
            Err(error) => return Err(error),
        }
    }
    client.close();
    Ok(seen)
}

fn text(report: &Report) -> String {
    let mut facts = Facts::default();
    let cores = report.cores.map_or("?".to_owned(), |cores| cores.to_string());
    facts
        .add("model", format_args!("{}, random weights", report.preset))
        .add("windows", format_args!("{} ms, {} ms ahead", report.window_ms, report.look_ahead_ms))
        .add("machine", format_args!("{}, {cores} cores, {} threads", report.device, report.threads))
        .add_some("load before", report.load_average);
    let rows: Vec<Vec<String>> = report
        .runs
        .iter()
        .map(|run| {
            let pair = |spread: Spread| format!("{:.1} / {:.1}", spread.p50, spread.p99);
            vec![
                run.sessions.to_string(),
                pair(run.first_motion),
                pair(run.answer),
                pair(run.step),
                format!("{:.2}", run.missing_samples as f64 / f64::from(MODEL_RATE)),
                run.memory_per_session_bytes.map_or("unknown".to_owned(), output::bytes),
                if run.is_held { "yes" } else { "no" }.to_owned(),
            ]
        })
        .collect();
    let header =
        ["sessions", "first motion (ms)", "answer (ms)", "step (ms)", "missing (s)", "memory each", "held"];
    format!("{}\np50 / p99\n{}", facts.text(), output::table(&header, &rows))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_of_sorted_values() {
        let spread = Spread::of((0..200).rev().map(f64::from).collect());
        assert_eq!((spread.p50, spread.p99), (99.0, 197.0));
        assert_eq!(Spread::of(vec![]).p99, 0.0);
    }
}
