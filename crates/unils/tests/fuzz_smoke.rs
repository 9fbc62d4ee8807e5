//! A short, fixed dose of fuzzing for every reader of files from outside, on stable Rust.
//!
//! Each entry gets its seeds as they are, then mutations of them from a generator with a fixed start: the same
//! inputs on every machine. A failure names the target and the input's number and leaves the input in the temporary
//! folder, ready for `cargo fuzz run <target> <file>` (see `fuzz/README.md`).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests fail by panicking"
)]

#[path = "fuzz/audio.rs"]
mod audio;
#[path = "fuzz/checkpoint.rs"]
mod checkpoint;
#[path = "fuzz/head.rs"]
mod head;
#[path = "fuzz/motion.rs"]
mod motion;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::{Duration, Instant};

/// Mutated inputs of each target; fewer where every check of the compiler slows them down.
const RUNS: u64 = if cfg!(debug_assertions) { 400 } else { 4000 };

/// Larger seeds are left to the tests of their own.
const LARGEST_SEED: u64 = 16_000;

/// No input of this size takes a reader anywhere near as long.
const LONGEST_RUN: Duration = Duration::from_secs(10);

#[test]
fn audio_files() {
    fuzz("audio", &["fuzz/audio", "audio"], audio::audio);
}

#[test]
fn checkpoints() {
    fuzz("checkpoint", &["fuzz/checkpoint", "checkpoints"], checkpoint::checkpoint);
}

#[test]
fn heads() {
    fuzz("head", &["heads", "heads/sparse"], head::head);
}

#[test]
fn motion_files() {
    fuzz("motion", &["fuzz/motion", "motion"], motion::motion);
}

#[test]
fn pickles() {
    fuzz("pickle", &["fuzz/pickle"], checkpoint::pickle);
}

/// Gives `entry` all seeds in these folders of `fixtures/`, then [`RUNS`] mutations of them.
fn fuzz(target: &str, folders: &[&str], entry: fn(&[u8])) {
    let seeds = seeds(folders);
    assert!(!seeds.is_empty(), "{target}: no seeds in {folders:?}");
    for (name, seed) in &seeds {
        check(target, name, entry, seed);
    }
    let mut random = Random::new(target);
    for number in 0..RUNS {
        let input = mutated(&seeds, &mut random);
        check(target, &number.to_string(), entry, &input);
    }
}

fn check(target: &str, name: &str, entry: fn(&[u8]), input: &[u8]) {
    let start = Instant::now();
    let outcome = catch_unwind(AssertUnwindSafe(|| entry(input)));
    let took = start.elapsed();
    if outcome.is_ok() && took < LONGEST_RUN {
        return;
    }
    let kept = std::env::temp_dir().join(format!("unils-fuzz-{target}-{name}"));
    std::fs::write(&kept, input).unwrap();
    let how = if outcome.is_err() { "panicked".to_owned() } else { format!("took {took:?}") };
    panic!("target {target}, input {name} ({} bytes) {how}; it is kept as {}", input.len(), kept.display());
}

/// Small files of the folders, by name, so that their order is the same everywhere.
fn seeds(folders: &[&str]) -> Vec<(String, Vec<u8>)> {
    let fixtures = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures"));
    let mut seeds = Vec::new();
    for folder in folders {
        let Ok(entries) = std::fs::read_dir(fixtures.join(folder)) else { continue };
        let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        for path in paths {
            if path.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.len() <= LARGEST_SEED) {
                seeds.push((
                    path.file_name().unwrap().to_string_lossy().into_owned(),
                    std::fs::read(&path).unwrap(),
                ));
            }
        }
    }
    seeds
}

/// A seed with one to four changes.
fn mutated(seeds: &[(String, Vec<u8>)], random: &mut Random) -> Vec<u8> {
    let mut input = random.pick(seeds).1.clone();
    for _ in 0..=random.below(4) {
        mutate(&mut input, seeds, random);
    }
    input
}

/// Lengths, counts and offsets at which readers go wrong.
const EDGES: [u64; 14] = [
    0,
    1,
    2,
    0x7f,
    0x80,
    0xff,
    0x7fff,
    0xffff,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    0x7fff_ffff_ffff_ffff,
    0x8000_0000_0000_0000,
    u64::MAX,
];

fn mutate(input: &mut Vec<u8>, seeds: &[(String, Vec<u8>)], random: &mut Random) {
    if input.is_empty() {
        input.push(random.below(256) as u8);
        return;
    }
    let at = random.below(input.len());
    let length = random.below(64.min(input.len() - at)) + 1;
    match random.below(8) {
        0 => input[at] ^= 1 << random.below(8),
        1 => input[at] = random.below(256) as u8,
        // a length field: two, four or eight bytes in either order, an edge or one off what was there
        2 | 3 => {
            let width = 2_usize << random.below(3);
            if let Some(field) = input.get_mut(at..at + width) {
                let little = random.below(2) == 0;
                let mut bytes = [0; 8];
                bytes[..width].copy_from_slice(field);
                let value = match random.below(4) {
                    0 => u64::from_le_bytes(bytes).wrapping_add(1),
                    1 => u64::from_le_bytes(bytes).wrapping_sub(1),
                    _ => *random.pick(&EDGES),
                };
                field.copy_from_slice(&value.to_le_bytes()[..width]);
                if !little {
                    field.reverse();
                }
            }
        }
        4 => input.truncate(at),
        5 => drop(input.drain(at..at + length)),
        6 => {
            let piece = input[at..at + length].to_vec();
            let to = random.below(input.len());
            input.splice(to..to, piece);
        }
        // the start of this one, the end of another
        _ => {
            let other = &random.pick(seeds).1;
            if !other.is_empty() {
                let from = random.below(other.len());
                input.truncate(at);
                input.extend_from_slice(&other[from..]);
            }
        }
    }
}

/// A xorshift generator (Marsaglia 2003, 64 bits).
struct Random(u64);

impl Random {
    /// Started by a name.
    fn new(name: &str) -> Self {
        Self(name.bytes().fold(0x9e37_79b9_7f4a_7c15, |state, byte| {
            (state ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        }))
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A number below `bound`, which is not 0.
    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    fn pick<'t, T>(&mut self, from: &'t [T]) -> &'t T {
        &from[self.below(from.len())]
    }
}
