//! `unils train`: a run of a stage under the user's eyes.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Context as _;
use serde::Serialize;
use unils::file::write_motion;
use unils::model::ModelConfig;
use unils::{Error, Result};
use unils_render::export::{Cast, strip};
use unils_render::picture::write_png;
use unils_render::plot::{Chart, Lines, Series};
use unils_render::raster::RenderOptions;
use unils_train::exchange::Meeting;
use unils_train::recipe::{Recipe, Stage, caveat, model_of_stage};
use unils_train::run::{
    Check, DataConfig, Record, RunConfig, StepRecord, find_checkpoint, read_config, read_records,
};
use unils_train::trainer::{Ending, Event, Sample, Trainer, TrainerOptions};

use super::{Context, limit_threads};
use crate::args::{RecipeFiles, Train};
use crate::interrupt::{self, Graceful};
use crate::output::{self, Facts};
use crate::progress::{Meter, Unit};

/// What a run has come to, for `--json`.
#[derive(Debug, Serialize)]
struct Summary {
    run: PathBuf,
    stage: Stage,
    preset: String,
    is_done: bool,
    step: u64,
    steps: u64,
    trained_numbers: usize,
    last_loss: Option<f64>,
    best_validation_loss: Option<f64>,
    /// Of this call.
    seconds: f64,
    steps_per_second: Option<f64>,
    /// Share of that time that was spent waiting for data.
    waiting: Option<f64>,
    checkpoint: Option<PathBuf>,
    skipped_records: Vec<String>,
}

/// Begins or takes up a run and goes through it.
pub fn run(arguments: &Train, context: Context) -> anyhow::Result<()> {
    limit_threads(&arguments.compute)?;
    let options = options(arguments);
    let reporter = context.reporter;
    let mut trainer = if arguments.resume {
        check_resumed(arguments)?;
        Trainer::resume(&arguments.out, &options)?
    } else {
        let config = config(arguments)?;
        reporter.note(format_args!("beginning {}", arguments.out.display()));
        Trainer::begin(&arguments.out, config, &options)?
    };
    let numbers = trainer.trained_numbers();
    let config = trainer.run().config().clone();
    let begun_at = trainer.step();
    reporter.note(format_args!(
        "{} of {}: {numbers} numbers are trained, step {begun_at} of {}",
        config.stage, config.model.preset, config.recipe.steps
    ));
    if let Some(caveat) = caveat(&config.model, &config.recipe) {
        reporter.note(format_args!("note: {caveat}"));
    }
    let _graceful = Graceful::begin();
    let label = format!("train {}", config.stage);
    let meter = reporter.meter(&label, Some(config.recipe.steps), Unit::Steps);
    let mut watch = Watch::new(meter, arguments.out.clone());
    let begun = Instant::now();
    let ending = trainer.train(&mut |event| watch.see(event))?;
    let seconds = begun.elapsed().as_secs_f64();
    let Watch { meter, last, best, waited_ms, faults, .. } = watch;
    drop(meter);
    for fault in faults {
        reporter.note(format_args!("note: {fault}"));
    }
    let steps = trainer.step() - begun_at;
    let summary = Summary {
        run: arguments.out.clone(),
        stage: config.stage,
        preset: config.model.preset.clone(),
        is_done: ending == Ending::Done,
        step: trainer.step(),
        steps: config.recipe.steps,
        trained_numbers: numbers,
        last_loss: last,
        best_validation_loss: best,
        seconds,
        steps_per_second: (steps > 0).then(|| steps as f64 / seconds),
        waiting: (steps > 0).then(|| waited_ms / 1e3 / seconds),
        checkpoint: find_checkpoint(&arguments.out).ok(),
        skipped_records: trainer
            .skipped()
            .map(|(name, times, why)| format!("{name} ({times} times): {why}"))
            .collect(),
    };
    report(&summary, context)?;
    if ending == Ending::Stopped {
        reporter.note(format_args!(
            "go on with: unils train {} --out {} --resume",
            config.stage,
            arguments.out.display()
        ));
        return Err(Error::Interrupted.into());
    }
    Ok(())
}

fn options(arguments: &Train) -> TrainerOptions {
    let meeting = match (arguments.rank, arguments.of, &arguments.meet) {
        (Some(rank), Some(of), Some(address)) => Some(Meeting { rank, of, address: address.clone() }),
        _ => None,
    };
    TrainerOptions {
        device: arguments.compute.device,
        meeting,
        workers: arguments.workers,
        cache_bytes: arguments.cache.saturating_mul(1 << 20),
        until: None,
    }
}

/// The resolved configuration of a new run.
fn config(arguments: &Train) -> anyhow::Result<RunConfig> {
    let stage = Stage::from(arguments.stage);
    let preset = arguments.preset.as_deref().unwrap_or_default();
    let (model, recipe) = model_and_recipe(preset, &arguments.files)?;
    let mut recipe = recipe.stage(stage)?.clone();
    for setting in &arguments.settings {
        recipe = recipe.with(setting)?;
    }
    if arguments.single_stage && stage != Stage::DualTrack {
        let error = Error::argument("--single-stage", format!("{stage} has no stage to leave out"));
        return Err(error.with_hint("it is for dual_track").into());
    }
    if arguments.from.is_some() && matches!(stage, Stage::Codec | Stage::Speech) {
        let error = Error::argument("--from", format!("{stage} is a first stage: it starts from nothing"));
        return Err(error.with_hint("leave it out").into());
    }
    if arguments.stats.is_some() && stage != Stage::Codec {
        let error = Error::argument("--stats", format!("{stage} takes the statistics of its codec"));
        return Err(error.with_hint("leave it out").into());
    }
    let devices = arguments.of.unwrap_or(1);
    let absolute =
        |path: &PathBuf| std::path::absolute(path).with_context(|| format!("cannot find {}", path.display()));
    let from = arguments.from.as_deref().map(find_checkpoint).transpose()?;
    let encoder = arguments.encoder.as_deref().map(find_checkpoint).transpose()?;
    Ok(RunConfig {
        stage,
        seed: arguments.seed.unwrap_or(0),
        single_stage: arguments.single_stage,
        program: format!("unils {}", env!("CARGO_PKG_VERSION")),
        data: DataConfig {
            path: arguments.data.as_ref().map(absolute).transpose()?.unwrap_or_default(),
            metadata: arguments.metadata.as_ref().map(absolute).transpose()?,
        },
        from: from.as_ref().map(absolute).transpose()?,
        stats: arguments.stats.as_ref().map(absolute).transpose()?,
        encoder: encoder.as_ref().map(absolute).transpose()?,
        flame: arguments.flame.as_ref().map(absolute).transpose()?,
        model: model_of_stage(&model, stage)?,
        recipe: recipe.on_devices(devices),
        devices,
    })
}

/// A preset's sizes and numbers, or those of the files that replace them.
pub(super) fn model_and_recipe(preset: &str, files: &RecipeFiles) -> Result<(ModelConfig, Recipe)> {
    let model = match &files.model {
        Some(path) => ModelConfig::from_toml(&read_text(path)?, &path.display().to_string())?,
        None => ModelConfig::preset(preset)?,
    };
    let recipe = match &files.recipe {
        Some(path) => Recipe::from_toml(&read_text(path)?, &path.display().to_string())?,
        None => Recipe::preset(preset)?,
    };
    Ok((model, recipe))
}

fn read_text(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).map_err(|error| Error::io("read", path, error))
}

/// What is said again beside `--resume` must be what the run was begun with.
fn check_resumed(arguments: &Train) -> anyhow::Result<()> {
    let config = read_config(&arguments.out)?;
    let place = arguments.out.display();
    let differs = |what: &str, run: &dyn std::fmt::Display, asked: &dyn std::fmt::Display| {
        Err(Error::argument(place.to_string(), format!("this run's {what} is {run}, not {asked}"))
            .with_hint("leave it out, or name another folder"))
    };
    let stage = Stage::from(arguments.stage);
    if stage != config.stage {
        differs("stage", &config.stage, &stage)?;
    }
    if let Some(preset) = arguments.preset.as_ref().filter(|preset| **preset != config.model.preset) {
        differs("preset", &config.model.preset, preset)?;
    }
    if let Some(seed) = arguments.seed.filter(|seed| *seed != config.seed) {
        differs("seed", &config.seed, &seed)?;
    }
    let data = arguments.data.as_ref().and_then(|path| std::path::absolute(path).ok());
    if let Some(data) = data.filter(|data| *data != config.data.path) {
        differs("data", &config.data.path.display(), &data.display())?;
    }
    let is_fixed = !arguments.settings.is_empty()
        || arguments.files.recipe.is_some()
        || arguments.files.model.is_some()
        || arguments.from.is_some();
    if is_fixed {
        let error =
            Error::argument(place.to_string(), "a run that is resumed keeps its recipe, sizes and start");
        return Err(error.with_hint("leave out --set, --recipe, --model and --from").into());
    }
    Ok(())
}

/// Looks on while a run goes.
pub(super) struct Watch {
    meter: Meter,
    folder: PathBuf,
    last: Option<f64>,
    smooth: Option<f64>,
    best: Option<f64>,
    waited_ms: f64,
    /// What went wrong beside the training: pictures are no reason to stop it.
    faults: Vec<String>,
}

impl Watch {
    pub(super) fn new(meter: Meter, folder: PathBuf) -> Self {
        Self { meter, folder, last: None, smooth: None, best: None, waited_ms: 0.0, faults: Vec::new() }
    }

    pub(super) fn see(&mut self, event: Event<'_>) -> ControlFlow<()> {
        match event {
            Event::Step(record) => self.step(record),
            Event::Check(check) => self.check(check),
            Event::Saved(_) => self.keep(draw_curves(&self.folder)),
            Event::Sample(sample) => self.keep(write_sample(&self.folder, sample)),
        }
        if interrupt::requested() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn step(&mut self, record: &StepRecord) {
        self.last = Some(record.loss);
        let smooth = self.smooth.map_or(record.loss, |old| 0.95 * old + 0.05 * record.loss);
        self.smooth = Some(smooth);
        self.waited_ms += record.wait_ms;
        self.meter.say(format!("loss {smooth:.4}, {:.0} ms a step", record.step_ms));
        self.meter.set(record.step);
    }

    fn check(&mut self, check: &Check) {
        if check.is_best {
            self.best = Some(check.loss);
        }
        let best = if check.is_best { ", the best so far" } else { "" };
        let scores: String =
            check.scores.iter().map(|(name, value)| format!("; {name} {value:.3}")).collect();
        self.meter.note(format_args!("step {}: validation loss {:.4}{best}{scores}", check.step, check.loss));
    }

    fn keep(&mut self, done: Result<()>) {
        if let Err(error) = done {
            self.faults.push(error.to_string());
            self.faults.dedup();
        }
    }
}

/// Draws the metrics so far.
fn draw_curves(folder: &Path) -> Result<()> {
    let records = read_records(&folder.join("metrics.jsonl"))?;
    let steps: Vec<&StepRecord> = records
        .iter()
        .filter_map(|record| match record {
            Record::Step(step) => Some(step),
            Record::Check(_) => None,
        })
        .collect();
    let curve = |name: &str, value: &dyn Fn(&StepRecord) -> f64| {
        Series::new(name, steps.iter().map(|record| (record.step as f64, value(record))).collect())
    };
    let checks = records.iter().filter_map(|record| match record {
        Record::Check(check) => Some((check.step as f64, check.loss)),
        Record::Step(_) => None,
    });
    let losses = vec![curve("training", &|record| record.loss), Series::new("validation", checks.collect())];
    let lines = |caption: &str, series, is_log| Lines { caption: caption.to_owned(), series, is_log };
    let mut chart = Chart::new(format!("{}", folder.display()))
        .with_axis("steps")
        .with_lines(lines("loss", losses, true));
    let names: Vec<&String> = steps.first().map(|first| first.terms.keys().collect()).unwrap_or_default();
    if !names.is_empty() {
        let term =
            |name: &&String| curve(name, &|record| record.terms.get(*name).copied().unwrap_or(f64::NAN));
        chart = chart.with_lines(lines("terms of the loss", names.iter().map(term).collect(), true));
    }
    chart
        .with_lines(lines("norm of the gradients", vec![curve("", &|record| record.norm)], true))
        .with_lines(lines("learning rate", vec![curve("", &|record| record.rate)], false))
        .write(folder.join("curves.svg"))
}

/// Writes a sample's motion, and a picture of what was recorded above what was made.
fn write_sample(folder: &Path, sample: &Sample) -> Result<()> {
    let folder = folder.join("samples");
    std::fs::create_dir_all(&folder).map_err(|error| Error::io("create", &folder, error))?;
    let path = |ending: &str| folder.join(format!("step_{:08}{ending}", sample.step));
    write_motion(path(".npz"), &sample.made)?;
    let cast = Cast::open(&[] as &[&str], sample.made.participants())?;
    let options = RenderOptions { width: 160, height: 160, ..RenderOptions::default() };
    write_png(path(".png"), &strip(&[&sample.truth, &sample.made], &cast, 8, &options)?)
}

fn report(summary: &Summary, context: Context) -> anyhow::Result<()> {
    if context.is_json {
        return output::print_json(summary);
    }
    let mut facts = Facts::default();
    let Summary { step, steps, .. } = summary;
    let state = if summary.is_done { "done" } else { "stopped and saved" };
    facts.add("run", format_args!("{}: {state}, step {step} of {steps}", summary.run.display()));
    facts.add_some("loss", summary.last_loss.map(|loss| format!("{loss:.4}")));
    facts.add_some("validation", summary.best_validation_loss.map(|loss| format!("{loss:.4} at best")));
    if let (Some(speed), Some(waiting)) = (summary.steps_per_second, summary.waiting) {
        let seconds = output::duration(summary.seconds);
        facts.add(
            "speed",
            format_args!(
                "{speed:.2} steps/s over {seconds}, {:.1} % of it waiting for data",
                100.0 * waiting
            ),
        );
    }
    facts.add_some("checkpoint", summary.checkpoint.as_ref().map(|path| path.display().to_string()));
    for record in &summary.skipped_records {
        context.reporter.note(format_args!("note: left out {record}"));
    }
    context.reporter.note(facts.text().trim_end());
    Ok(())
}
