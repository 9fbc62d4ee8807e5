//! Batches: the same for every number of workers, resumable, bounded in memory, clear about what is wrong.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "helpers of tests fail by panicking"
)]

mod data_support;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use unils::motion::{SAMPLES_PER_FRAME, Space};
use unils::{Error, Result};
use unils_train::data::{
    BadRecords, Batch, ClipRule, Draw, Entry, Evaluation, Loader, LoaderOptions, Participant, Recording,
    Shard, Split, Store, View, Want,
};

use data_support::{DYADS, Folder, MOTION, corpus, dyad, fixture_store};

/// Made-up dyads in memory, of which some cannot be read; counts what is read.
#[derive(Debug)]
struct Memory {
    entries: Vec<Entry>,
    bad: Vec<usize>,
    reads: AtomicUsize,
}

impl Memory {
    fn new(lengths: &[usize], bad: &[usize]) -> Self {
        let entries = lengths.iter().enumerate().map(|(number, &frames)| {
            let name = format!("r{number}");
            let people =
                ["a", "b"].map(|person| Participant { name: format!("{name}-{person}"), speaker: None });
            Entry { name, split: Split::Train, frames, participants: people.to_vec(), has_audio: true }
        });
        Self { entries: entries.collect(), bad: bad.to_vec(), reads: AtomicUsize::new(0) }
    }
}

impl Store for Memory {
    fn place(&self) -> &str {
        "memory"
    }

    fn space(&self) -> Space {
        Space::Arkit55
    }

    fn entries(&self) -> &[Entry] {
        &self.entries
    }

    fn read_raw(&self, index: usize, _audio: bool) -> Result<Recording> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        let entry = &self.entries[index];
        if self.bad.contains(&index) {
            return Err(Error::motion(format!("memory: record {:?}", entry.name), "is bad"));
        }
        Ok(dyad(&entry.name, index as u64, entry.frames))
    }
}

fn options(batch: usize, workers: usize) -> LoaderOptions {
    let rule = ClipRule { clip: 30, previous: 20, style: 10, ..ClipRule::release(30) };
    LoaderOptions { batch, workers, seed: 7, ..LoaderOptions::new(rule, View::Dyad) }
}

fn batches(mut loader: Loader, count: usize) -> Vec<Batch> {
    (0..count).map(|_| loader.next_batch().unwrap()).collect()
}

#[test]
fn the_number_of_workers_changes_nothing() {
    let store = Arc::new(Memory::new(&[150, 201, 333], &[]));
    let make = |workers, prefetch, cache_bytes| {
        let options = LoaderOptions { prefetch, cache_bytes, ..options(5, workers) };
        batches(Loader::new(store.clone(), options).unwrap(), 9)
    };
    let expected = make(1, 1, 0);
    for (workers, prefetch, cache) in
        [(1, 3, 1 << 30), (2, 2, 1 << 20), (3, 1, 0), (8, 2, 1 << 30), (13, 1, 1 << 22)]
    {
        assert!(make(workers, prefetch, cache) == expected, "{workers} workers");
    }
    assert_eq!(expected[3].step, 3);
    let other = LoaderOptions { seed: 8, ..options(5, 2) };
    assert_ne!(batches(Loader::new(store, other).unwrap(), 1)[0].sources, expected[0].sources);
}

#[test]
fn a_resumed_training_gets_the_same_batches() {
    let store = Arc::new(Memory::new(&[150, 201, 333], &[]));
    let whole = batches(Loader::new(store.clone(), options(4, 3)).unwrap(), 12);
    for step in [1, 5, 11] {
        let mut resumed = Loader::start_at(store.clone(), options(4, 2), step).unwrap();
        assert_eq!(resumed.step(), step);
        for expected in &whole[step as usize..] {
            assert!(resumed.next_batch().unwrap() == *expected);
        }
    }
    Loader::start_at(store, options(4, 2), 1 << 40).unwrap().next_batch().unwrap();
}

#[test]
fn shards_side_by_side_are_one_batch() {
    let store = Arc::new(Memory::new(&[150, 201, 333], &[]));
    let whole = batches(Loader::new(store.clone(), options(6, 2)).unwrap(), 4);
    let parts = [0, 1, 2].map(|rank| {
        let options = LoaderOptions { shard: Shard { rank, of: 3 }, ..options(2, 1) };
        batches(Loader::new(store.clone(), options).unwrap(), 4)
    });
    for (step, whole) in whole.iter().enumerate() {
        let sources: Vec<_> = parts.iter().flat_map(|part| part[step].sources.clone()).collect();
        assert_eq!(sources, whole.sources);
    }
}

#[test]
fn samples_are_the_clips_that_their_sources_say() {
    let store = Arc::new(Memory::new(&[150, 333], &[]));
    let options = options(7, 2);
    let rule = options.rule;
    for batch in batches(Loader::new(store.clone(), options).unwrap(), 6) {
        assert_eq!((batch.size, batch.people, batch.sources.len()), (7, 2, 7));
        for (index, (item, draw)) in batch.sources.iter().enumerate() {
            let recording = store.read(item.entry, Want { audio: true, centred: true }).unwrap();
            let clip = rule.cut(&recording, 0..2, draw, View::Dyad).unwrap();
            assert!(
                draw.start + 30 <= recording.frames()
                    && draw.style.iter().all(|style| style + 10 <= recording.frames())
            );
            assert!(
                (item.start..item.start + 50).contains(&draw.start) || draw.start + 30 == recording.frames()
            );
            let same = |name: &str, batch: &[f32], clip: &[f32], length: usize| {
                assert_eq!(batch.len(), 2 * 7 * length);
                for person in 0..2 {
                    let ours = &batch[(person * 7 + index) * length..][..length];
                    assert!(ours == &clip[person * length..][..length], "{name}");
                }
            };
            same("motion", &batch.motion, &clip.motion, 30 * 55);
            same("previous", &batch.previous, &clip.previous, 20 * 55);
            same("style", &batch.style, &clip.style, 10 * 55);
            same("audio", &batch.audio, &clip.audio, 30 * SAMPLES_PER_FRAME);
            let motion = &recording.tracks[1].motion;
            let before = 20.min(draw.start);
            assert!(clip.previous[20 * 55..][..(20 - before) * 55].iter().all(|&value| value == 0.0));
            assert_eq!(
                clip.previous[(40 - before) * 55..],
                motion[(draw.start - before) * 55..draw.start * 55]
            );
        }
    }
}

#[test]
fn an_epoch_uses_every_clip_once() {
    let store = Arc::new(Memory::new(&[150, 201, 333, 101], &[]));
    let mut loader = Loader::new(store, options(4, 3)).unwrap();
    // 120, 171 and 303 frames of starts; 101 frames are too few.
    assert_eq!(loader.epoch_clips(), 3 + 4 + 7);
    let mut counts = BTreeMap::new();
    for _ in 0..7 {
        for (item, _) in loader.next_batch().unwrap().sources {
            *counts.entry((item.entry, item.start)).or_insert(0) += 1;
        }
    }
    assert_eq!(counts.len(), 14);
    assert!(counts.values().all(|&times| times == 2), "{counts:?}");
}

#[test]
fn the_first_recordings_alone_may_be_used() {
    let of = |recordings| {
        let store = Arc::new(Memory::new(&[101, 150, 333, 201], &[]));
        let mut loader = Loader::new(store, LoaderOptions { recordings, ..options(4, 1) }).unwrap();
        let batches: Vec<Batch> = (0..7).map(|_| loader.next_batch().unwrap()).collect();
        let sources = batches.iter().flat_map(|batch| &batch.sources);
        let used: BTreeSet<usize> = sources.map(|(item, _)| item.entry).collect();
        (loader.epoch_clips(), used)
    };
    // Those that are too short do not count.
    assert_eq!(of(1), (3, BTreeSet::from([1])));
    assert_eq!(of(2), (3 + 7, BTreeSet::from([1, 2])));
    assert_eq!(of(9), of(0));
}

#[test]
fn motion_alone_takes_each_participant() {
    let store = Arc::new(fixture_store(MOTION));
    let rule = ClipRule { previous: 0, style: 0, ..ClipRule::release(20) };
    let alone = LoaderOptions {
        split: Split::Val,
        batch: 3,
        bad: BadRecords::Skip,
        ..LoaderOptions::new(rule, View::Motion)
    };
    let batch = Loader::new(store, alone).unwrap().next_batch().unwrap();
    assert_eq!((batch.people, batch.motion.len()), (1, 3 * 20 * 108));
    assert!(batch.audio.is_empty() && batch.previous.is_empty() && batch.style.is_empty());
    let dyads = Arc::new(Memory::new(&[150], &[]));
    let each = LoaderOptions { view: View::Motion, ..options(2, 1) };
    let mut loader = Loader::new(dyads, each).unwrap();
    assert_eq!(loader.epoch_clips(), 2 * 3);
    assert_eq!(loader.next_batch().unwrap().motion.len(), 2 * 30 * 55);
}

#[test]
fn memory_stays_in_its_bounds() {
    let lengths = [400; 12];
    let store = Arc::new(Memory::new(&lengths, &[]));
    let one = dyad("r0", 0, 400).bytes();
    let tight = LoaderOptions { cache_bytes: 3 * one + one / 2, ..options(4, 2) };
    let mut loader = Loader::new(store.clone(), tight).unwrap();
    for _ in 0..20 {
        loader.next_batch().unwrap();
        assert!(loader.cache_usage().0 <= 3 * one);
    }
    let (bytes, hits, misses) = loader.cache_usage();
    assert_eq!(bytes, 3 * one);
    assert!(hits > 0 && misses > 12, "{hits} {misses}");
    drop(loader);
    // With room for all each recording is read once, or once by each of the two workers that want it at once.
    store.reads.store(0, Ordering::Relaxed);
    batches(Loader::new(store.clone(), options(4, 2)).unwrap(), 50);
    assert!((12..=24).contains(&store.reads.load(Ordering::Relaxed)), "{:?}", store.reads);
    // Nobody takes the batches: workers stop when what may wait is full.
    let none = LoaderOptions { cache_bytes: 0, prefetch: 2, ..options(3, 2) };
    store.reads.store(0, Ordering::Relaxed);
    let idle = Loader::new(store.clone(), none).unwrap();
    let made = || store.reads.load(Ordering::Relaxed);
    let pause = || std::thread::sleep(std::time::Duration::from_millis(100));
    for _ in 0..100 {
        pause();
        if made() >= 6 {
            break;
        }
    }
    pause();
    assert!((6..=8).contains(&made()), "{} made ahead; 2 batches of 3 and one a worker are allowed", made());
    drop(idle);
}

#[test]
fn a_bad_record_stops_the_training_by_name() {
    let store = Arc::new(Memory::new(&[150, 150, 150, 150], &[2]));
    for workers in [1, 3] {
        let mut loader = Loader::new(store.clone(), options(4, workers)).unwrap();
        let error = loop {
            if let Err(error) = loader.next_batch() {
                break error;
            }
        };
        assert!(error.to_string().contains("record \"r2\": is bad"), "{error}");
        assert!(loader.next_batch().unwrap_err().to_string().contains("an earlier batch failed"));
    }
}

#[test]
fn bad_records_are_skipped_only_when_told_and_counted() {
    let store = Arc::new(Memory::new(&[150, 150, 150, 150], &[0, 2]));
    let make = |workers, cache_bytes| {
        let options = LoaderOptions { bad: BadRecords::Skip, cache_bytes, ..options(4, workers) };
        let mut loader = Loader::new(store.clone(), options).unwrap();
        let batches: Vec<_> = (0..6).map(|_| loader.next_batch().unwrap()).collect();
        let skipped: Vec<_> =
            loader.skipped().map(|(name, times, what)| (name.to_owned(), times, what.to_owned())).collect();
        (batches, skipped)
    };
    let expected = make(1, 0);
    assert!(make(4, 1 << 30) == expected);
    let (batches, skipped) = expected;
    assert!(batches.iter().flat_map(|batch| &batch.sources).all(|(item, _)| item.entry % 2 == 1));
    let names: Vec<_> = skipped.iter().map(|(name, ..)| name.as_str()).collect();
    assert_eq!(names, ["r0", "r2"]);
    // Two epochs of 12 clips, half of which are of bad records, and the draws in their place.
    assert!(skipped.iter().map(|(_, times, _)| times).sum::<u64>() >= 12);
    assert!(skipped[0].2.contains("is bad"));
    let all = Arc::new(Memory::new(&[150, 150], &[0, 1]));
    let options = LoaderOptions { bad: BadRecords::Skip, ..options(1, 1) };
    let error = Loader::new(all, options).unwrap().next_batch().unwrap_err().to_string();
    assert!(error.contains("64 bad records in a row") && error.contains("is bad"), "{error}");
}

#[test]
fn missing_audio_is_named() {
    let folder = Folder::new();
    corpus(&folder.0, &[150]);
    let index = std::fs::read_to_string(folder.join("index.jsonl")).unwrap();
    std::fs::write(folder.join("index.jsonl"), index.replace(r#""audio":"audio/r0.flac","#, "")).unwrap();
    let store = Arc::new(unils_train::data::CorpusStore::open(&folder.0).unwrap());
    let error = Loader::new(store, options(1, 1)).unwrap().next_batch().unwrap_err().to_string();
    assert!(error.contains("record \"r0\": r0: r0-a has no audio"), "{error}");
}

#[test]
fn options_and_empty_splits_are_refused() {
    let store = Arc::new(Memory::new(&[150, 101], &[]));
    let good = options(2, 1);
    for bad in [
        LoaderOptions { batch: 0, ..good },
        LoaderOptions { workers: 0, ..good },
        LoaderOptions { workers: 100_000, ..good },
        LoaderOptions { prefetch: 0, ..good },
        LoaderOptions { shard: Shard { rank: 2, of: 2 }, ..good },
        LoaderOptions { rule: ClipRule { clip: 0, ..good.rule }, ..good },
        LoaderOptions { rule: ClipRule::release(149), ..good },
        LoaderOptions { split: Split::Test, ..good },
    ] {
        assert!(Loader::new(store.clone(), bad).is_err(), "{bad:?}");
    }
    let error = Loader::new(store, LoaderOptions { split: Split::Val, ..good }).unwrap_err();
    assert!(error.to_string().contains("\"val\" gives 0 clips"), "{error}");
    assert!(error.hint().unwrap().contains("of two participants of more than 101 frames"));
}

#[test]
fn evaluation_goes_through_whole_recordings() {
    let store = Arc::new(fixture_store(DYADS));
    let all = Evaluation::new(store.clone(), ClipRule::release(20), View::Dyad, Split::Val);
    assert_eq!(all.len(), 2);
    let results: Vec<_> = all.collect();
    let whole = results[0].as_ref().unwrap();
    assert_eq!((whole.name.as_str(), whole.people, whole.frames), ("V00_S0004_I00000104", 2, 140));
    // The second is not in the shortened LMDB: an error by name, after the first was given.
    assert!(results[1].as_ref().unwrap_err().to_string().contains("V00_S0005_I00000105_P0010"));
    let memory = Arc::new(Memory::new(&[150, 120], &[]));
    let train: Vec<_> = Evaluation::new(memory, ClipRule::release(100), View::Motion, Split::Train).collect();
    assert_eq!(train.len(), 4);
    assert!(train.iter().all(|whole| whole.as_ref().unwrap().style.len() == 100 * 55));
    let recording = dyad("r", 1, 30);
    let error = ClipRule::release(20)
        .cut(&recording, 0..1, &Draw { start: 11, style: vec![0] }, View::Motion)
        .unwrap_err();
    assert!(error.to_string().contains("30 frames, a clip of 20 at 11"), "{error}");
    assert!(
        ClipRule::release(20)
            .cut(&recording, 0..3, &Draw { start: 0, style: vec![0; 3] }, View::Motion)
            .is_err()
    );
    assert!(
        ClipRule::release(20)
            .cut(&recording, 0..1, &Draw { start: usize::MAX, style: vec![0] }, View::Motion)
            .is_err()
    );
}
