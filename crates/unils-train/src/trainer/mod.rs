//! The training loop: batches to steps, steps to checkpoints.
//!
//! A [`Trainer`] begins or takes up a [`Run`] and makes one step at a time; [`Trainer::train`] goes through to the end
//! and tells its observer what happens. What a step does follows from the configuration, the seed and the step's
//! number alone, and [`Trainer::save`] keeps all that the next one depends on: an interrupted training goes on to the
//! same bits.
//!
//! ```no_run
//! use std::ops::ControlFlow;
//! use unils_train::trainer::{Event, Trainer, TrainerOptions};
//! let mut trainer = Trainer::resume("runs/codec".as_ref(), &TrainerOptions::default())?;
//! trainer.train(&mut |event| {
//!     if let Event::Step(record) = event {
//!         println!("{}: {}", record.step, record.loss);
//!     }
//!     ControlFlow::Continue(())
//! })?;
//! # Ok::<(), unils::Error>(())
//! ```

mod begin;
mod merged;
mod sample;
mod save;
mod task;

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use unils::checkpoint::TensorFile;
use unils::device::DeviceKind;
use unils::nn::{Loader as Weights, Parameter, seed_dropout};
use unils::{Error, Result};

pub use sample::Sample;

use self::merged::Merged;
use self::task::{Net, Task};
use crate::data::{Batch, Evaluation, Loader, LoaderOptions, Split, Store};
use crate::exchange::{Exchange, Meeting};
use crate::masks::{Masks, Spoiling};
use crate::optim::{Average, GradientMap, Optimizer};
use crate::run::{Check, Log, Progress, Record, Run, StepRecord};
use crate::speech::SpeechScores;

/// A loss this many times the smoothed one has exploded.
const EXPLODED: f64 = 20.0;
/// Steps before that is looked at.
const CALM_AFTER: u64 = 50;
/// How slowly the smoothed loss follows.
const SMOOTHING: f64 = 0.98;
/// Keeps the validation's draws apart from the training's.
const CHECK_SEED: u64 = 0x6368_6563;

/// What does not change a training's numbers: what computes it, and how.
#[derive(Debug, Clone)]
pub struct TrainerOptions {
    /// The device of this process.
    pub device: DeviceKind,
    /// The processes that share the steps; none = this one alone.
    pub meeting: Option<Meeting>,
    /// Threads that read the data.
    pub workers: usize,
    /// Bytes of recordings that are kept in memory.
    pub cache_bytes: usize,
    /// Stops after this step, as an interruption would; none = goes through.
    pub until: Option<u64>,
}

impl Default for TrainerOptions {
    fn default() -> Self {
        Self { device: DeviceKind::Cpu, meeting: None, workers: 2, cache_bytes: 1 << 30, until: None }
    }
}

/// What a training tells of itself.
#[derive(Debug)]
pub enum Event<'e> {
    /// A step is done; not all of them are in the metrics.
    Step(&'e StepRecord),
    /// The validation split was looked at.
    Check(&'e Check),
    /// The run was saved after this step.
    Saved(u64),
    /// It is time to look at a sample.
    Sample(&'e Sample),
}

/// How a training ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// All steps are done.
    Done,
    /// It was asked to stop, and is saved.
    Stopped,
}

/// A training in progress.
#[derive(Debug)]
pub struct Trainer {
    run: Run,
    task: Task,
    /// Only while a step replaces it is there none.
    net: Option<Net>,
    parameters: Vec<Parameter>,
    start: TensorFile,
    /// Tensors of a plain checkpoint: names and shapes.
    layout: Vec<(String, Vec<usize>)>,
    optimizer: Optimizer,
    average: Average,
    store: Arc<dyn Store>,
    loader: Loader,
    exchange: Exchange,
    progress: Progress,
    log: Option<Log>,
    waited: Duration,
    until: u64,
    /// Whether weights are laid out for the CPU route.
    packs: bool,
    /// Where steps run: handing each operation over to other threads costs more than a small one takes. It is this
    /// training's own, since draws of dropout belong to a thread, which must not begin another training's step meanwhile.
    pool: Arc<rayon::ThreadPool>,
}

impl Trainer {
    /// The run.
    pub fn run(&self) -> &Run {
        &self.run
    }

    /// Steps done.
    pub fn step(&self) -> u64 {
        self.progress.step
    }

    /// Numbers that are trained.
    pub fn trained_numbers(&self) -> usize {
        self.parameters.iter().map(|parameter| parameter.shape.iter().product::<usize>()).sum()
    }

    /// Records of the data that were left out so far: name, how often, why.
    pub fn skipped(&self) -> impl Iterator<Item = (&str, u64, &str)> {
        self.loader.skipped()
    }

    /// Goes on to the last step. After each event `observe` may ask to stop: the run is then saved.
    ///
    /// # Errors
    /// What [`Trainer::advance`] and [`Trainer::save`] give. What was saved before stays as it was.
    pub fn train(&mut self, observe: &mut dyn FnMut(Event<'_>) -> ControlFlow<()>) -> Result<Ending> {
        let mut wish = false;
        while self.progress.step < self.until {
            let pool = Arc::clone(&self.pool);
            let (record, is_stopped) = pool.install(|| self.advance(wish))?;
            wish |= observe(Event::Step(&record)).is_break();
            let recipe = self.run.config().recipe.clone();
            let is_last = record.step == recipe.steps;
            let due = |every: u64| every > 0 && record.step.is_multiple_of(every);
            if due(recipe.check_every) || is_last {
                if let Some(check) = self.check()? {
                    wish |= observe(Event::Check(&check)).is_break();
                }
                self.save()?;
                wish |= observe(Event::Saved(record.step)).is_break();
            }
            if due(recipe.keep_every) && self.is_leader() {
                let path = self.run.checkpoint(&format!("step_{:08}", record.step));
                self.write_checkpoint(&path)?;
            }
            if (due(recipe.sample_every) || is_last && recipe.sample_every > 0)
                && self.is_leader()
                && let Some(sample) = self.sample()?
            {
                wish |= observe(Event::Sample(&sample)).is_break();
            }
            // All processes learn of the wish in the same step, with the gradients.
            if is_stopped || wish && matches!(self.exchange, Exchange::Alone) {
                self.save()?;
                observe(Event::Saved(record.step)).is_break();
                return Ok(if is_last { Ending::Done } else { Ending::Stopped });
            }
        }
        if self.progress.step < self.run.config().recipe.steps {
            self.save()?;
            return Ok(Ending::Stopped);
        }
        Ok(Ending::Done)
    }

    /// One step. `wish` to stop is told to the other processes; the result is whether any of them has it.
    ///
    /// # Errors
    /// [`Error::Motion`] naming the clips of the batch if the loss is not a number or has exploded; what the data
    /// gives, naming the record; [`Error::Device`].
    pub fn advance(&mut self, wish: bool) -> Result<(StepRecord, bool)> {
        let begun = Instant::now();
        let batch = self.loader.next_batch()?;
        let waited = self.loader.waited();
        let config = self.run.config();
        let (seed, done) = (config.seed, self.progress.step);
        let (rate, clip_norm) = (config.recipe.schedule().at(done), config.recipe.clip_norm);
        let spoiling = config.recipe.spoiling;
        let Some(net) = self.net.take() else { return Err(after_a_failure()) };
        let device = self.task.device().clone();
        let rank = self.exchange.shard().rank as u64;
        seed_dropout(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ done.rotate_left(20) ^ rank);
        let mut masks = Masks::new(seed, done, &device).of_shard(batch.people, self.exchange.shard());
        let loss = self.task.loss(&net, &batch, &spoiling, &mut masks)?;
        let mut numbers = vec![loss.total.clone()];
        numbers.extend(loss.terms.iter().map(|(_, term)| term.clone()));
        let mut values: Vec<f32> = numbers.iter().map(|number| number.clone().into_scalar::<f32>()).collect();
        self.check_loss(f64::from(values[0]), &batch)?;
        let gradients = GradientMap::of(&net, loss.total.backward());
        let (gradients, is_stopped) = self.share(gradients, &mut values, wish)?;
        let norm = gradients.norm();
        if !norm.is_finite() {
            return Err(self.failed(&format!("the gradients' norm is {norm}"), &batch));
        }
        let net = self.optimizer.step(net, gradients.clip(norm, clip_norm), rate);
        self.average.update(&net);
        self.net = Some(net);
        let total = f64::from(values[0]);
        let smooth =
            self.progress.smooth_loss.map_or(total, |old| SMOOTHING * old + (1.0 - SMOOTHING) * total);
        self.progress.smooth_loss = Some(smooth);
        self.progress.step += 1;
        let names = loss.terms.iter().map(|(name, _)| (*name).to_owned());
        let record = StepRecord {
            step: self.progress.step,
            loss: total,
            terms: names.zip(values[1..].iter().map(|&value| f64::from(value))).collect(),
            norm,
            rate,
            step_ms: begun.elapsed().as_secs_f64() * 1e3,
            wait_ms: (waited - self.waited).as_secs_f64() * 1e3,
        };
        self.waited = waited;
        let is_logged = record.step.is_multiple_of(self.run.config().recipe.log_every);
        if let Some(log) = self.log.as_mut().filter(|_| is_logged || record.step == 1) {
            log.append(&Record::Step(record.clone()))?;
        }
        Ok((record, is_stopped))
    }

    /// Averages gradients and loss values over all processes.
    fn share(
        &mut self,
        gradients: GradientMap,
        values: &mut [f32],
        wish: bool,
    ) -> Result<(GradientMap, bool)> {
        if matches!(self.exchange, Exchange::Alone) {
            return Ok((gradients, wish));
        }
        let (mut flat, lengths) = gradients.to_flat();
        flat.extend_from_slice(values);
        let is_stopped = self.exchange.mean(&mut flat, wish)?;
        let numbers = flat.split_off(flat.len() - values.len());
        values.copy_from_slice(&numbers);
        Ok((GradientMap::from_flat(&flat, &lengths, self.task.device()), is_stopped))
    }

    fn check_loss(&self, loss: f64, batch: &Batch) -> Result<()> {
        if !loss.is_finite() {
            return Err(self.failed(&format!("the loss is {loss}"), batch));
        }
        let smooth = self.progress.smooth_loss.unwrap_or(loss).max(0.0);
        if self.progress.step >= CALM_AFTER && loss > EXPLODED * smooth + 1.0 {
            return Err(self.failed(&format!("the loss jumped to {loss:.3} from about {smooth:.3}"), batch));
        }
        Ok(())
    }

    /// An error that names the batch.
    fn failed(&self, what: &str, batch: &Batch) -> Error {
        let entries = self.store.entries();
        let clip = |(item, draw): &(crate::data::Item, crate::data::Draw)| {
            format!(
                "{} from frame {}",
                entries.get(item.entry).map_or("?", |entry| entry.name.as_str()),
                draw.start
            )
        };
        let shown: Vec<String> = batch.sources.iter().take(4).map(clip).collect();
        let more = batch.sources.len().saturating_sub(shown.len());
        let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
        let place = format!("step {}", self.progress.step + 1);
        Error::motion(place, format!("{what}; its batch: {}{rest}", shown.join(", "))).with_hint(
            "look at these clips with `unils data check`; a lower learning_rate or clip_norm helps if they are sound",
        )
    }

    /// The loss on the validation split, with the averaged weights and nothing spoilt but the past, which is what a
    /// face that runs freely will have; `None` without such a split. The parts' losses are told on a true past.
    ///
    /// # Errors
    /// What reading the split gives.
    pub fn check(&mut self) -> Result<Option<Check>> {
        let rule = self.task.rule;
        let is_there = !rule.items(self.store.entries(), Split::Val, self.task.view).is_empty();
        if !is_there {
            return Ok(None);
        }
        let config = self.run.config();
        let options = LoaderOptions {
            split: Split::Val,
            batch: config.recipe.batch.min(32),
            seed: config.seed ^ CHECK_SEED,
            workers: 1,
            prefetch: 1,
            cache_bytes: 1 << 26,
            ..LoaderOptions::new(rule, self.task.view)
        };
        let spoiling = Spoiling { own_past: config.recipe.spoiling.own_past, ..Spoiling::none() };
        let batches = config.recipe.check_batches.max(1);
        let mut loader = Loader::new(Arc::clone(&self.store), options)?;
        let net = self.averaged()?;
        let mut sum = 0.0;
        let mut speech = SpeechScores::default();
        let mut scores = BTreeMap::new();
        for _ in 0..batches {
            let batch = loader.next_batch()?;
            let mut masks = Masks::new(CHECK_SEED, batch.step, self.task.device());
            let loss = self.task.loss(&net, &batch, &spoiling, &mut masks)?;
            sum += f64::from(loss.total.into_scalar::<f32>());
            match &net {
                Net::Speech(net) => {
                    let (waves, targets) = self.task.voices_told(batch.audio.clone(), &batch)?;
                    speech.add(&net.forward(waves, &[]), &targets)?;
                }
                Net::Causal(net) => {
                    for (name, loss) in self.task.part_losses(net, &batch, &mut masks)? {
                        *scores.entry(name).or_default() += loss / batches as f64;
                    }
                }
                Net::Codec(_) | Net::Generator(_) => {}
            }
        }
        let loss = sum / batches as f64;
        let is_best = self.progress.best.is_none_or(|best| loss < best);
        if is_best {
            self.progress.best = Some(loss);
            if self.is_leader() {
                self.write_checkpoint(&self.run.checkpoint("best"))?;
            }
        }
        scores.extend(speech.values().into_iter().map(|(name, value)| (name.to_owned(), value)));
        let check = Check { step: self.progress.step, loss, is_best, scores };
        if let Some(log) = &mut self.log {
            log.append(&Record::Check(check.clone()))?;
        }
        Ok(Some(check))
    }

    /// What the averaged weights make of a recording of the validation split, or else of the training split.
    ///
    /// # Errors
    /// What reading the recording gives.
    pub fn sample(&self) -> Result<Option<Sample>> {
        let mut wholes = [Split::Val, Split::Train].into_iter().filter_map(|split| {
            Evaluation::new(Arc::clone(&self.store), self.task.rule, self.task.view, split).next()
        });
        let Some(whole) = wholes.next().transpose()? else { return Ok(None) };
        let net = self.averaged()?;
        sample::sample(&self.task, &net, &whole, self.progress.step, self.run.config().seed)
    }

    fn is_leader(&self) -> bool {
        self.exchange.shard().rank == 0
    }

    /// The averaged weights as a checkpoint holds them.
    fn merged(&self) -> Merged<'_> {
        let adapter = self.run.config().recipe.adapter;
        Merged::new(&self.start, &self.parameters, adapter, |parameter| {
            self.average.get(parameter.id().val())
        })
    }

    /// The network with averaged weights, without gradients.
    fn averaged(&self) -> Result<Net> {
        let merged = self.merged();
        let device = self.task.device();
        let weights = Weights::new(&merged, device, self.packs);
        let net = Net::load(&self.run.config().model, &weights)?;
        weights.finish()?;
        Ok(net)
    }
}

fn after_a_failure() -> Error {
    Error::argument("trainer", "an earlier step failed")
        .with_hint("go on from the last saved state: --resume")
}
