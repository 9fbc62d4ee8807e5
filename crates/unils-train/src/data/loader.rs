//! Batches of clips for training, made ahead on named threads.
//!
//! Which clips a batch holds is a function of seed and step alone: sample `n` is item `n mod N` of epoch `n / N`'s
//! seeded order of the N items, its starts are drawn from a stream of its own. So the number of workers changes
//! nothing, and [`Loader::start_at`] goes on where an interrupted run was. With [`Shard`]s, the batches of all ranks
//! side by side are the batch that one rank would get at the sum of their sizes.
//!
//! Worker `w` of W makes the samples `w, w + W, ...` and sends them through a bounded channel of its own; the loader
//! takes from the channels in turn. Memory: the cache's budget, `prefetch + 1` batches, and one decoded recording
//! a worker.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use unils::motion::SAMPLES_PER_FRAME;
use unils::{Error, Result};

use super::clip::{ClipRule, Draw, Item, View};
use super::parallel::no_thread;
use super::rows::{Row, Rows};
use super::store::{Split, Store};

/// Most frames of a clip: ten minutes.
const MAX_LENGTH: usize = 15_000;

/// What to do about a record that cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BadRecords {
    /// Fail, naming it.
    #[default]
    Stop,
    /// Draw another clip in its place (the same for every number of workers) and count it.
    Skip,
}

/// One of several loaders that share the batches of a training.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    /// Number of this one, from 0.
    pub rank: usize,
    /// Number of all.
    pub of: usize,
}

/// What a [`Loader`] makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoaderOptions {
    /// Lengths of clips.
    pub rule: ClipRule,
    /// One participant or two.
    pub view: View,
    /// The part of the data, usually [`Split::Train`].
    pub split: Split,
    /// Recordings that are used, the first that the rule keeps; 0 takes all.
    pub recordings: usize,
    /// Samples of a batch (of this shard's).
    pub batch: usize,
    /// Seed of order and starts.
    pub seed: u64,
    /// Threads that read and cut.
    pub workers: usize,
    /// Batches made ahead.
    pub prefetch: usize,
    /// Bytes of decoded recordings that are kept.
    pub cache_bytes: usize,
    /// What to do about a record that cannot be used.
    pub bad: BadRecords,
    /// This loader's part of each batch.
    pub shard: Shard,
}

impl LoaderOptions {
    /// Batches of 64 training clips, seed 0, two workers, two batches ahead, 1 GiB of recordings kept.
    pub fn new(rule: ClipRule, view: View) -> Self {
        Self {
            rule,
            view,
            split: Split::Train,
            recordings: 0,
            batch: 64,
            seed: 0,
            workers: 2,
            prefetch: 2,
            cache_bytes: 1 << 30,
            bad: BadRecords::Stop,
            shard: Shard { rank: 0, of: 1 },
        }
    }

    fn check(&self) -> Result<()> {
        let fault = |what: String| Err(Error::argument("loader", what));
        for (name, value, most) in [
            ("clip length", self.rule.clip, MAX_LENGTH),
            ("batch", self.batch, 1 << 16),
            ("number of workers", self.workers, 1 << 10),
            ("number of prefetched batches", self.prefetch, 1 << 10),
        ] {
            if !(1..=most).contains(&value) {
                return fault(format!("a {name} of {value}, expected 1 to {most}"));
            }
        }
        for (name, value) in [("previous window", self.rule.previous), ("style clip", self.rule.style)] {
            if value > MAX_LENGTH {
                return fault(format!("a {name} of {value} frames, expected at most {MAX_LENGTH}"));
            }
        }
        if self.shard.rank >= self.shard.of {
            return fault(format!(
                "shard {} of {}: shards are counted from 0",
                self.shard.rank, self.shard.of
            ));
        }
        Ok(())
    }
}

/// A batch of B samples of P participants. All lists are row-major with the participant outermost: (P, B, ...) read
/// as (P B, ...) has the first participant of every sample, then the second of every sample.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// The training step it is for.
    pub step: u64,
    /// Samples B.
    pub size: usize,
    /// Participants P: 1 or 2.
    pub people: usize,
    /// (P, B, clip, channels).
    pub motion: Vec<f32>,
    /// (P, B, previous, channels).
    pub previous: Vec<f32>,
    /// (P, B, style, channels).
    pub style: Vec<f32>,
    /// (P, B, clip * 640); empty for motion alone.
    pub audio: Vec<f32>,
    /// (P, B, clip), numbers of [`SOUNDS`](super::SOUNDS); empty but for [`View::Voice`].
    pub sounds: Vec<u8>,
    /// Where each sample is from.
    pub sources: Vec<(Item, Draw)>,
}

/// Makes the batches of a training, ahead of their use.
#[derive(Debug)]
pub struct Loader {
    options: LoaderOptions,
    rows: Arc<Rows>,
    step: u64,
    /// Channels of the workers, and the one whose turn it is.
    channels: Vec<Receiver<Result<Row>>>,
    turn: usize,
    threads: Vec<JoinHandle<()>>,
    skipped: BTreeMap<usize, (u64, String)>,
    waited: Duration,
    failed: bool,
}

impl Loader {
    /// A loader whose first batch is that of step 0.
    ///
    /// # Errors
    /// [`Error::Argument`] for options out of range; [`Error::Motion`] if the store has nothing that the rule keeps.
    pub fn new(store: Arc<dyn Store>, options: LoaderOptions) -> Result<Self> {
        Self::start_at(store, options, 0)
    }

    /// A loader whose first batch is that of step `step`: the same as if it had made all before.
    ///
    /// # Errors
    /// As for [`Loader::new`].
    pub fn start_at(store: Arc<dyn Store>, options: LoaderOptions, step: u64) -> Result<Self> {
        options.check()?;
        let items = items_of(store.as_ref(), &options)?;
        let rows = Rows::new(
            store,
            options.rule,
            options.view,
            (options.seed, options.bad),
            items,
            options.cache_bytes,
        );
        let mut loader = Self {
            options,
            rows: Arc::new(rows),
            step,
            channels: Vec::new(),
            turn: 0,
            threads: Vec::new(),
            skipped: BTreeMap::new(),
            waited: Duration::ZERO,
            failed: false,
        };
        loader.start_workers()?;
        Ok(loader)
    }

    fn start_workers(&mut self) -> Result<()> {
        let LoaderOptions { batch, workers, prefetch, .. } = self.options;
        for worker in 0..workers {
            let (sender, receiver) = sync_channel((batch * prefetch).div_ceil(workers));
            let (rows, options, step) = (Arc::clone(&self.rows), self.options, self.step);
            let run = move || work(&rows, &options, step, worker, &sender);
            let thread = Builder::new().name(format!("loader {worker}")).spawn(run).map_err(no_thread)?;
            self.channels.push(receiver);
            self.threads.push(thread);
        }
        Ok(())
    }

    /// The batch of the next step.
    ///
    /// # Errors
    /// What a worker met with, naming the record. After an error there are no more batches.
    pub fn next_batch(&mut self) -> Result<Batch> {
        if self.failed {
            return Err(Error::argument("loader", "an earlier batch failed")
                .with_hint("make a new loader that starts at that step"));
        }
        let batch = self.collect();
        self.failed = batch.is_err();
        batch
    }

    fn collect(&mut self) -> Result<Batch> {
        let LoaderOptions { batch: size, rule, view, .. } = self.options;
        let (people, width) = (view.people(), self.rows.store().space().width());
        let zeros = |per_person: usize| vec![0.0; people * size * per_person];
        let mut batch = Batch {
            step: self.step,
            size,
            people,
            motion: zeros(rule.clip * width),
            previous: zeros(rule.previous * width),
            style: zeros(rule.style * width),
            audio: zeros(if view.audio() { rule.clip * SAMPLES_PER_FRAME } else { 0 }),
            sounds: vec![0; if view == View::Voice { people * size * rule.clip } else { 0 }],
            sources: Vec::with_capacity(size),
        };
        for index in 0..size {
            let row = self.receive()?;
            let at = [people, size, index];
            place(at, &row.clip.motion, &mut batch.motion);
            place(at, &row.clip.previous, &mut batch.previous);
            place(at, &row.clip.style, &mut batch.style);
            place(at, &row.clip.audio, &mut batch.audio);
            place(at, &row.clip.sounds, &mut batch.sounds);
            batch.sources.push((row.item, row.draw));
            for (entry, what) in row.skipped {
                self.skipped.entry(entry).or_insert((0, what)).0 += 1;
            }
        }
        self.step += 1;
        Ok(batch)
    }

    fn receive(&mut self) -> Result<Row> {
        let since = Instant::now();
        let row = self.channels[self.turn].recv();
        self.waited += since.elapsed();
        self.turn = (self.turn + 1) % self.channels.len();
        row.unwrap_or_else(|_| {
            Err(Error::argument("loader", "a worker thread ended before its time")
                .with_hint("this is an error of the program: please report it"))
        })
    }

    /// The step of the next batch.
    pub fn step(&self) -> u64 {
        self.step
    }

    /// Clips of an epoch.
    pub fn epoch_clips(&self) -> usize {
        self.rows.items().len()
    }

    /// Records that were skipped in the batches so far: name, how often, what is wrong.
    pub fn skipped(&self) -> impl Iterator<Item = (&str, u64, &str)> {
        let entries = self.rows.store().entries();
        self.skipped
            .iter()
            .map(|(&entry, (times, what))| (entries[entry].name.as_str(), *times, what.as_str()))
    }

    /// Time that [`Loader::next_batch`] has waited for workers: near 0 if loading hides behind training.
    pub fn waited(&self) -> Duration {
        self.waited
    }

    /// Bytes of recordings kept now, and how often a recording was there and was not.
    pub fn cache_usage(&self) -> (usize, u64, u64) {
        self.rows.cache().usage()
    }
}

/// The clips that a loader would go through.
///
/// # Errors
/// [`Error::Motion`] if there are none.
pub(crate) fn items_of(store: &dyn Store, options: &LoaderOptions) -> Result<Vec<Item>> {
    let LoaderOptions { rule, view, split, recordings, .. } = options;
    let mut items = rule.items(store.entries(), *split, *view);
    if *recordings > 0 {
        let mut used = BTreeSet::new();
        items.retain(|item| {
            if used.len() < *recordings {
                used.insert(item.entry);
            }
            used.contains(&item.entry)
        });
    }
    if !items.is_empty() && u32::try_from(items.len()).is_ok() {
        return Ok(items);
    }
    let longest = rule.shortest.max(rule.clip).max(rule.style) + 1;
    let of = match view {
        View::Motion => "",
        View::Dyad => " of two participants",
        View::Voice => " with audio",
    };
    let what = format!("the split {:?} gives {} clips", split.name(), items.len());
    Err(Error::motion(store.place(), what)
        .with_hint(format!("it needs recordings{of} of more than {longest} frames")))
}

impl Drop for Loader {
    fn drop(&mut self) {
        // Workers end when nobody receives any more.
        self.channels.clear();
        for thread in self.threads.drain(..) {
            // A worker that panicked has said so; there is nothing to add here.
            let _ = thread.join();
        }
    }
}

/// A worker: its samples from `step` on, until nobody receives them.
fn work(
    rows: &Rows,
    options: &LoaderOptions,
    mut step: u64,
    worker: usize,
    sender: &SyncSender<Result<Row>>,
) {
    let (batch, Shard { rank, of }) = (options.batch as u64, options.shard);
    let mut index = worker as u64;
    loop {
        step += index / batch;
        index %= batch;
        let sample = (step * of as u64 + rank as u64) * batch + index;
        let row = rows.row(sample);
        let failed = row.is_err();
        if sender.send(row).is_err() || failed {
            return;
        }
        index += options.workers as u64;
    }
}

/// Puts the numbers of sample `index` of `size`, person by person, where they belong in a batch.
fn place<T: Copy>([people, size, index]: [usize; 3], from: &[T], to: &mut [T]) {
    let length = from.len() / people;
    for (person, part) in from.chunks_exact(length.max(1)).enumerate() {
        to[span(person * size + index, length)].copy_from_slice(part);
    }
}

/// The numbers of item `index` where each has `length`.
fn span(index: usize, length: usize) -> Range<usize> {
    index * length..(index + 1) * length
}
