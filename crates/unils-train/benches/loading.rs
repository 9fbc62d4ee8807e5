//! How many clips a second the loader makes: from the release's form and from a corpus, with cold and warm recordings.
//!
//! A table for people and a line of JSON for programs. `UNILS_BENCH_WORKERS` sets the threads (2). Against a step's
//! clips and time this says whether loading hides behind training.

#![allow(clippy::print_stdout, reason = "a benchmark prints")]

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use unils::motion::Space;
use unils_train::data::{
    ClipRule, CorpusOptions, CorpusStore, CorpusWriter, Lmdb, Loader, LoaderOptions, Metadata, Recording,
    ReleaseStore, Samples, Split, Store, Track, View,
};

/// Seconds that each case is measured.
const SECONDS: f64 = 2.0;
const BATCH: usize = 16;

fn main() -> unils::Result<()> {
    let workers = std::env::var("UNILS_BENCH_WORKERS").ok().and_then(|text| text.parse().ok()).unwrap_or(2);
    let fixtures = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/dataset"));
    // What is in the shortened LMDB.
    let open = |json: &[u8]| {
        let metadata = Metadata::from_json(json, "list")?;
        Ok::<_, unils::Error>(Arc::new(ReleaseStore::new(Lmdb::open(fixtures.join("lmdb"))?, metadata)?))
    };
    let release: Arc<dyn Store> = open(
        br#"{"train": {"1": ["V00_S0001_I00000101_P0002", "V00_S0001_I00000101_P0003", 131],
            "4": ["V00_S0004_I00000104_P0008", "V00_S0004_I00000104_P0009", 140]}}"#,
    )?;
    let motion: Arc<dyn Store> = open(
        br#"{"train": [["V00_S0001_I00000101_P0002", 131], ["V00_S0002_I00000102_P0004", 150],
            ["V00_S0004_I00000104_P0008", 140], ["clip_00001", 135]]}"#,
    )?;
    let folder = std::env::temp_dir().join(format!("unils-bench-{}", std::process::id()));
    let corpus: Arc<dyn Store> = Arc::new(corpus(&folder)?);
    println!("clips of 100 frames (4 s), batches of {BATCH}, {workers} workers");
    println!("{:<44} {:>9} {:>11} {:>9}", "source", "clips/s", "recording s", "read/s");
    let mut rates = Vec::new();
    for (name, store, view) in [
        ("release: motion, 5 s recordings", &motion, View::Motion),
        ("release: dyads, 5 s recordings", &release, View::Dyad),
        ("corpus: motion, 60 s recordings", &corpus, View::Motion),
        ("corpus: dyads (FLAC), 60 s recordings", &corpus, View::Dyad),
    ] {
        for (temperature, cache_bytes) in [("not kept", 0), ("kept", 1 << 30)] {
            let options = LoaderOptions {
                batch: BATCH,
                workers,
                cache_bytes,
                ..LoaderOptions::new(ClipRule::release(100), view)
            };
            let mut loader = Loader::new(Arc::clone(store), options)?;
            for _ in 0..4 {
                loader.next_batch()?;
            }
            let (since, mut clips, before) = (Instant::now(), 0, loader.cache_usage().2);
            while since.elapsed().as_secs_f64() < SECONDS {
                clips += loader.next_batch()?.size;
            }
            let seconds = since.elapsed().as_secs_f64();
            let reads = (loader.cache_usage().2 - before) as f64 / seconds;
            let rate = clips as f64 / seconds;
            let length = store.entries().iter().map(|entry| entry.frames).max().unwrap_or(0) as f64 / 25.0;
            let title = format!("{name}, {temperature}");
            println!("{title:<44} {rate:>9.0} {length:>11.1} {reads:>9.1}");
            rates.push(serde_json::json!({ "source": title, "clips_per_s": rate, "reads_per_s": reads }));
        }
    }
    println!(
        "{}",
        serde_json::json!({ "bench": "loading", "workers": workers, "batch": BATCH, "cases": rates })
    );
    std::fs::remove_dir_all(&folder).map_err(|error| unils::Error::io("remove", &folder, error))
}

/// Eight dyads of a minute, with noise in the rhythm of speech.
fn corpus(folder: &Path) -> unils::Result<CorpusStore> {
    let writer = CorpusWriter::create(folder, Space::Arkit55, CorpusOptions::default())?;
    let mut state = 1_u32;
    let mut noise = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    let since = Instant::now();
    for number in 0..8 {
        let mut track = |name: &str| {
            let motion = (0..1500 * 55).map(|_| noise() * 0.5 + 0.5).collect();
            let samples = (0..1500 * 640).map(|at| {
                let loud = if at / 9000 % 3 == 0 { 0.01 } else { 6000.0 };
                (noise() * loud) as i16
            });
            Track::new(name, motion).with_audio(Samples::I16(samples.collect()))
        };
        let tracks = vec![track("a"), track("b")];
        writer.add(Split::Train, &Recording::new(format!("r{number}"), Space::Arkit55, tracks))?;
    }
    println!("corpus written: {:.0} times real time", 8.0 * 60.0 / since.elapsed().as_secs_f64());
    CorpusStore::open(folder)
}
