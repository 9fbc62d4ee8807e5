//! How a training begins, and how it is taken up again.
//!
//! Everything that can be wrong is looked at before anything is written. Then both ways are one: a run that begins
//! writes its start and is taken up at step 0.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use unils::checkpoint::TensorFile;
use unils::model::open_encoder;
use unils::motion::{Channel, Space, Stats, Unit};
use unils::nn::{Loader as Weights, name_hash};
use unils::{Error, Result};

use super::task::{self, Net, Task};
use super::{Trainer, TrainerOptions, save};
use crate::data::{Calibrated, Loader, LoaderOptions, Split, Store, items_of, motion_stats, open_store};
use crate::exchange::Exchange;
use crate::optim::{Average, Optimizer};
use crate::recipe::Stage;
use crate::run::{Log, Progress, Run, RunConfig, read_state};
use crate::start::{Handover, Start};

/// In statistics that are computed here, a deviation below this is raised to it: a channel that hardly moves would be blown up by normalisation.
const STD_FLOOR: f32 = 0.02;

/// The same for coefficients, whose full scale is 1, of a block-causal codec: its loss counts in deviations.
const COEFFICIENT_FLOOR: f32 = 0.05;

/// Statistics with the deviations of coefficients raised.
fn raised(stats: &Stats, space: Space) -> Result<Stats> {
    let floor = |(&std, channel): (&f32, &Channel)| match channel.unit {
        Unit::Coefficient => std.max(COEFFICIENT_FLOOR),
        Unit::Radian => std,
    };
    Stats::new(stats.mean().to_vec(), stats.std().iter().zip(space.channels()).map(floor).collect())
}

impl Trainer {
    /// Begins a run in a new folder.
    ///
    /// # Errors
    /// What [`Run::create`] and [`Start::from_earlier`] give; [`Error::Config`] for a recipe out of range;
    /// [`Error::Motion`] for data of another space or without clips; [`Error::Io`].
    pub fn begin(folder: &Path, config: RunConfig, options: &TrainerOptions) -> Result<Self> {
        config.recipe.validate(config.stage.name())?;
        task::check_part_weights(&config)?;
        task::check_spoiling(&config)?;
        if options.meeting.as_ref().is_some_and(|meeting| meeting.rank != 0) {
            return Self::resume(folder, options);
        }
        let store = open_data(&config)?;
        let (rule, view) =
            (task::rule(config.stage, &config.model, &config.recipe), task::view(config.stage));
        let recordings = config.recipe.recordings;
        items_of(store.as_ref(), &LoaderOptions { recordings, ..LoaderOptions::new(rule, view) })?;
        let handover = Handover::of(config.stage, config.single_stage);
        let source = match (handover, &config.from) {
            (Handover::Nothing, _) if config.stage == Stage::Speech => Start::fresh(None, config.seed),
            (Handover::Nothing, _) => {
                let stats = match &config.stats {
                    Some(path) => Stats::read(path)?,
                    None => {
                        let stats = motion_stats(store.as_ref(), Split::Train, Some(STD_FLOOR), |_, _| true)?;
                        if config.model.codec.past.is_some() {
                            raised(&stats, config.model.space)?
                        } else {
                            stats
                        }
                    }
                };
                stats.check_space(config.model.space)?;
                Start::fresh(Some(stats), config.seed)
            }
            (_, Some(from)) => Start::from_earlier(from, handover, &config.model, config.seed)?,
            (_, None) => {
                let earlier = if handover == Handover::Prior { "audio_free" } else { "codec" };
                let what = format!("this stage needs the run of the {earlier} stage");
                return Err(Error::argument("from", what).with_hint("name its folder with --from"));
            }
        };
        // Device and encoder, too, are looked at before anything is written.
        let device = options.device.open()?;
        let encoder = config.encoder.clone().or_else(|| source.encoder_of_earlier().map(Path::to_path_buf));
        let encoder = encoder.as_deref();
        open_encoder(&config.model, encoder, None, &device, options.device.is_cpu())?;
        // One that belongs to the model goes into the run's start, and so into its checkpoints.
        let source = match encoder.filter(|_| config.model.own_encoder().is_some()) {
            Some(path) => source.with_encoder(path)?,
            None => source,
        };
        let layout = save::start_layout(&config, &source, &device)?;
        let run = Run::create(folder, config)?;
        save::write_start(&run.start(), &layout, &source)?;
        drop(run);
        Self::resume(folder, options)
    }

    /// Takes up a run where it was saved last.
    ///
    /// # Errors
    /// [`Error::Argument`] if there is none, or another process has it; [`Error::Checkpoint`] for damaged files;
    /// otherwise as for [`Trainer::begin`].
    pub fn resume(folder: &Path, options: &TrainerOptions) -> Result<Self> {
        let is_leader = options.meeting.as_ref().is_none_or(|meeting| meeting.rank == 0);
        let run = if is_leader { Run::open(folder)? } else { Run::follow(folder)? };
        let config = run.config().clone();
        let of = options.meeting.as_ref().map_or(1, |meeting| meeting.of);
        if config.devices != of {
            let what = format!("the run was begun on {} devices, this is one of {of}", config.devices);
            return Err(Error::argument("devices", what)
                .with_hint("their number is part of the run's recipe: go on with as many"));
        }
        let device = options.device.open()?;
        let start = TensorFile::open(run.start())?;
        let plan = task::plan(&config);
        let weights = Weights::for_training(&start, &device, options.device.is_cpu(), &plan);
        let net = Net::load(&config.model, &weights)?;
        weights.finish()?;
        let parameters = weights.parameters();
        let layout = save::plain_layout(&config.model, &start, &device)?;
        let folder = config.encoder.as_deref().filter(|_| config.model.own_encoder().is_none());
        let encoder = open_encoder(&config.model, folder, Some(&start), &device, options.device.is_cpu())?;
        let task = Task::new(&config, encoder.map(|(encoder, _)| encoder), &device)?;
        let saved = run.state().is_file().then(|| read_state(&run.state(), &parameters)).transpose()?;
        let recipe = &config.recipe;
        let mut state = save::Restored {
            net,
            optimizer: Optimizer::new(recipe.optimizer),
            average: None,
            progress: Progress::default(),
        };
        if let Some(saved) = saved {
            state = state.with(saved, recipe, &device);
        }
        let save::Restored { net, optimizer, average, progress } = state;
        let average = average.unwrap_or_else(|| Average::new(recipe.average_decay, &net));
        let exchange = match &options.meeting {
            Some(meeting) => Exchange::meet(meeting, token(&config, progress.step)?)?,
            None => Exchange::Alone,
        };
        let store = open_data(&config)?;
        let loading = LoaderOptions {
            recordings: recipe.recordings,
            batch: recipe.batch,
            seed: config.seed,
            workers: options.workers,
            cache_bytes: options.cache_bytes,
            shard: exchange.shard(),
            ..LoaderOptions::new(task.rule, task.view)
        };
        let loader = Loader::start_at(Arc::clone(&store), loading, progress.step)?;
        let log = is_leader.then(|| Log::open(run.metrics(), progress.step)).transpose()?;
        let until = options.until.unwrap_or(recipe.steps).min(recipe.steps);
        Ok(Self {
            run,
            task,
            net: Some(net),
            parameters,
            start,
            layout,
            optimizer,
            average,
            store,
            loader,
            exchange,
            progress,
            log,
            waited: Duration::ZERO,
            until,
            packs: options.device.is_cpu(),
            pool: Arc::new(pool()?),
        })
    }
}

/// As many threads as computation uses elsewhere.
fn pool() -> Result<rayon::ThreadPool> {
    let threads = rayon::current_num_threads();
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).thread_name(|i| format!("train-{i}"));
    pool.build().map_err(|error| Error::argument("threads", error))
}

/// Opens the recordings of a run.
fn open_data(config: &RunConfig) -> Result<Arc<dyn Store>> {
    let view = task::view(config.stage);
    let store = open_store(&config.data.path, config.data.metadata.as_deref(), view)?;
    if store.space() != config.model.space {
        let what = format!(
            "{} motion, but the preset {} is for {}",
            store.space(),
            config.model.preset,
            config.model.space
        );
        return Err(Error::motion(store.place(), what).with_hint(
            "take a preset of the data's space: paper and paper_small are for FLAME, the others for ARKit",
        ));
    }
    let is_calibrated = config.model.codec.past.is_some() || config.stage == Stage::Speech;
    Ok(if is_calibrated { Arc::new(Calibrated::new(store)) } else { store })
}

/// What all processes of a training must agree on.
fn token(config: &RunConfig, step: u64) -> Result<u64> {
    let text = serde_json::to_string(config).map_err(|error| Error::config("run", error))?;
    Ok(name_hash(&text) ^ step.wrapping_mul(0x9e37_79b9_7f4a_7c15))
}
