//! `unils bench`: speed of a model of full size with random weights, which takes the same time as trained ones.
//!
//! Each thread count is measured in a process of its own: the thread pool is made once, and peak memory is a
//! process's.

use std::ops::ControlFlow;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use unils::animate::{AnimateOptions, animate_timed};
use unils::audio::{Conversation, MODEL_RATE};
use unils::device::{DeviceKind, cpu_summary, set_threads};
use unils::encoder::Wav2Vec2Config;
use unils::generator::Sampling;
use unils::model::{Model, ModelConfig};
use unils::motion::{FPS, SAMPLES_PER_FRAME};
use unils::session::Controls;
use unils::{Error, Result};

use super::{Context, bench_live};
use crate::args::{Bench, BenchCommand};
use crate::exit;
use crate::machine;
use crate::operations::{Operations, Work, count};
use crate::output;

/// A load average above this means that others were computing.
const BUSY: f64 = 0.5;

/// Everything that was measured, and on what.
#[derive(Debug, Serialize, Deserialize)]
struct Report {
    program: String,
    preset: String,
    device: String,
    instruction_sets: Vec<String>,
    matrix_kernel: String,
    cores: Option<usize>,
    /// Of the machine before anything was measured: times on a busy machine are too long.
    load_average: Option<f64>,
    /// Length of the conversation.
    seconds: f64,
    participants: usize,
    cfg: f32,
    parameters: usize,
    /// Counted for the whole conversation.
    operations: Operations,
    runs: Vec<Run>,
}

/// Measurements with one thread count.
#[derive(Debug, Serialize, Deserialize)]
struct Run {
    threads: usize,
    /// Seconds to make the weights and lay them out.
    load: f64,
    /// Seconds of each repetition.
    repetitions: Vec<Times>,
    /// The repetition with the smallest total.
    fastest: Times,
    /// The median of each column.
    median: Times,
    /// Seconds of work for a second of conversation, by the fastest repetition.
    real_time_factor: f64,
    peak_memory_bytes: Option<u64>,
}

#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
struct Times {
    encoder: f64,
    generator: f64,
    codec: f64,
    total: f64,
}

/// Measures and prints.
pub fn run(arguments: &Bench, context: Context) -> anyhow::Result<()> {
    if let Some(BenchCommand::Live(arguments)) = &arguments.what {
        return bench_live::run(arguments, context);
    }
    let report = match arguments.threads.as_slice() {
        [] => measure(arguments, None, context)?,
        [threads] => measure(arguments, Some(*threads), context)?,
        several => measure_in_children(arguments, several, context)?,
    };
    if context.is_json { output::print_json(&report) } else { output::print(&text(&report)) }
}

fn measure(arguments: &Bench, threads: Option<usize>, context: Context) -> Result<Report> {
    let load_average = machine::load_average();
    threads.map_or(Ok(()), set_threads)?;
    let config = ModelConfig::preset(&arguments.preset)?;
    context.reporter.note(format_args!("making random weights of {}", arguments.preset));
    let started = Instant::now();
    let model = Model::random(&config, 0, arguments.device)?;
    let load = started.elapsed().as_secs_f64();
    let window = model.codec().window();
    let window_seconds = window as f64 / FPS;
    let one = |seconds: f64| one_run(&model, arguments, seconds);
    one(window_seconds.min(arguments.seconds))?;
    let mut repetitions = Vec::new();
    for repetition in 0..arguments.repeat {
        let times = one(arguments.seconds)?;
        context.reporter.note(format_args!(
            "run {} of {}: {:.2} s",
            repetition + 1,
            arguments.repeat,
            times.total
        ));
        repetitions.push(times);
    }
    let cpu = cpu_summary();
    let fastest = repetitions.iter().copied().min_by(|a, b| a.total.total_cmp(&b.total)).unwrap_or_default();
    let samples = (arguments.seconds * f64::from(MODEL_RATE)) as usize;
    let work = Work {
        windows: samples.div_ceil(window * SAMPLES_PER_FRAME),
        participants: usize::from(arguments.participants),
        is_guided: sampling(arguments).is_guided(),
    };
    Ok(Report {
        program: format!("unils {}", env!("CARGO_PKG_VERSION")),
        preset: arguments.preset.clone(),
        device: arguments.device.to_string(),
        instruction_sets: cpu.instruction_sets.iter().map(|&set| set.to_owned()).collect(),
        matrix_kernel: cpu.matrix_kernel,
        cores: std::thread::available_parallelism().ok().map(usize::from),
        load_average,
        seconds: arguments.seconds,
        participants: work.participants,
        cfg: arguments.cfg,
        parameters: model.reports().iter().map(|(_, report)| report.parameters).sum(),
        operations: count(&config, &Wav2Vec2Config::xls_r_300m(), work),
        runs: vec![Run {
            threads: cpu.threads,
            load,
            median: median(&repetitions),
            fastest,
            real_time_factor: fastest.total / arguments.seconds,
            repetitions,
            peak_memory_bytes: machine::peak_memory(),
        }],
    })
}

fn sampling(arguments: &Bench) -> Sampling {
    Sampling { cfg: arguments.cfg, ..Sampling::default() }
}

fn one_run(model: &Model, arguments: &Bench, seconds: f64) -> Result<Times> {
    let samples = ((seconds * f64::from(MODEL_RATE)) as usize).max(1);
    let mut conversation =
        Conversation::from_samples(voice(samples, 1), Some(voice(samples, 2)), MODEL_RATE)?;
    let options = AnimateOptions {
        controls: Controls { sampling: sampling(arguments), ..Controls::default() },
        participants: Some(usize::from(arguments.participants)),
        ..AnimateOptions::default()
    };
    let started = Instant::now();
    let (_, times) = animate_timed(model, &mut conversation, &options, &mut |_| ControlFlow::Continue(()))?;
    let total = started.elapsed().as_secs_f64();
    let [encoder, generator, codec] =
        [times.encoder, times.generator, times.codec].map(|time: Duration| time.as_secs_f64());
    Ok(Times { encoder, generator, codec, total })
}

/// Noise: what is heard does not change the time.
pub(super) fn voice(samples: usize, seed: u32) -> Vec<f32> {
    let mut state = seed;
    (0..samples)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            0.1 * ((state >> 8) as f32 / (1 << 23) as f32 - 1.0)
        })
        .collect()
}

fn median(repetitions: &[Times]) -> Times {
    let middle = |column: fn(&Times) -> f64| {
        let mut values: Vec<_> = repetitions.iter().map(column).collect();
        values.sort_by(f64::total_cmp);
        let half = values.len() / 2;
        match values.len() {
            0 => 0.0,
            odd if odd % 2 == 1 => values[half],
            _ => f64::midpoint(values[half - 1], values[half]),
        }
    };
    Times {
        encoder: middle(|times| times.encoder),
        generator: middle(|times| times.generator),
        codec: middle(|times| times.codec),
        total: middle(|times| times.total),
    }
}

/// Runs this program once for each thread count and joins the reports.
fn measure_in_children(arguments: &Bench, counts: &[usize], context: Context) -> anyhow::Result<Report> {
    let program = std::env::current_exe()?;
    let mut joined: Option<Report> = None;
    for &threads in counts {
        context.reporter.note(format_args!("threads: {threads}"));
        let mut command = Command::new(&program);
        command.args(["--json", "bench", "--preset", &arguments.preset]);
        command.arg(format!("--seconds={}", arguments.seconds)).arg(format!("--repeat={}", arguments.repeat));
        command
            .arg(format!("--participants={}", arguments.participants))
            .arg(format!("--cfg={}", arguments.cfg));
        command.arg(format!("--device={}", arguments.device)).arg(format!("--threads={threads}"));
        if context.reporter.is_quiet() {
            command.arg("--quiet");
        }
        let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output()?;
        if output.status.code() == Some(i32::from(exit::INTERRUPTED)) {
            return Err(Error::Interrupted.into());
        }
        if !output.status.success() {
            let what = format!("the measurement with {threads} threads failed: {}", output.status);
            return Err(match arguments.device {
                DeviceKind::Cpu => anyhow::anyhow!(what),
                kind => Error::device(kind, what).into(),
            });
        }
        let mut report: Report = serde_json::from_slice(&output.stdout)?;
        match &mut joined {
            Some(joined) => joined.runs.append(&mut report.runs),
            None => joined = Some(report),
        }
    }
    joined.ok_or_else(|| anyhow::anyhow!("no thread counts"))
}

fn text(report: &Report) -> String {
    let mut facts = output::Facts::default();
    let cores = report.cores.map_or("?".to_owned(), |cores| cores.to_string());
    facts
        .add(
            "model",
            format_args!(
                "{}, {} parameters, random weights, fp32",
                report.preset,
                output::grouped(report.parameters as u64)
            ),
        )
        .add(
            "conversation",
            format_args!("{} s, {} animated, cfg {}", report.seconds, report.participants, report.cfg),
        )
        .add("machine", format_args!("{}, {cores} cores, {}", report.device, report.matrix_kernel));
    if let Some(load) = report.load_average.filter(|&load| load > BUSY) {
        facts.add("note", format_args!("the machine was busy (load {load}): times may be too long"));
    }
    let mut text = facts.text();
    for run in &report.runs {
        let operations = &report.operations;
        let row = |name: &str, operations: f64, column: fn(&Times) -> f64| {
            let fastest = column(&run.fastest);
            let speed = if fastest > 0.0 { operations / fastest / 1e9 } else { 0.0 };
            vec![
                name.to_owned(),
                format!("{fastest:.3}"),
                format!("{:.3}", column(&run.median)),
                format!("{:.1}", operations / 1e9),
                format!("{speed:.0}"),
            ]
        };
        let rows = [
            row("encoder", operations.encoder, |times| times.encoder),
            row("generator", operations.generator, |times| times.generator),
            row("codec", operations.codec, |times| times.codec),
            row("all", operations.total(), |times| times.total),
        ];
        let memory = run.peak_memory_bytes.map_or("unknown".to_owned(), output::bytes);
        let header = ["stage", "fastest (s)", "median (s)", "GFLOP", "GFLOP/s"];
        text += &format!(
            "\n{} threads: real-time factor {:.3}, peak memory {memory}, {:.1} s to load\n{}",
            run.threads,
            run.real_time_factor,
            run.load,
            output::table(&header, &rows)
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_are_of_each_column() {
        let times = |encoder, total| Times { encoder, total, ..Times::default() };
        let middle = median(&[times(3.0, 1.0), times(1.0, 5.0), times(2.0, 3.0)]);
        assert_eq!((middle.encoder, middle.total), (2.0, 3.0));
        let middle = median(&[times(3.0, 1.0), times(1.0, 5.0)]);
        assert_eq!((middle.encoder, middle.total), (2.0, 3.0));
    }
}
