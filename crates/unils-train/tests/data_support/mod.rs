//! What the tests of the data part share: temporary folders, made-up recordings, LMDBs.
#![allow(dead_code, reason = "each test file uses its own part")]

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use heed::types::Bytes;
use heed::{Env, EnvFlags, EnvOpenOptions};
use unils::file::npy::{Array, Data};
use unils::file::npz::NpzWriter;
use unils::motion::{SAMPLES_PER_FRAME, Space};
use unils_train::data::{CorpusOptions, CorpusWriter, Recording, ReleaseStore, Samples, Split, Track};

/// A folder that is gone when the test is.
#[derive(Debug)]
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("unils-data-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// A file of that content; its folder is made.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub fn fixtures() -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/dataset")).to_owned()
}

pub fn fixture_store(metadata: &str) -> ReleaseStore {
    ReleaseStore::open(fixtures().join("lmdb"), fixtures().join(metadata)).unwrap()
}

pub const DYADS: &str = "seamless_interaction_pairs.json";
pub const MOTION: &str = "talk_motion.json";

/// Numbers in -1 to 1 that look random and depend on the seed alone.
pub fn noise(seed: u64, count: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    std::iter::repeat_with(next).take(count).collect()
}

/// A track of ARKit-55 with audio in whole steps of 16 bits.
pub fn track(name: &str, seed: u64, frames: usize) -> Track {
    let motion = noise(seed, frames * 55).into_iter().map(|value| value * 0.5 + 0.5).collect();
    let audio = noise(seed + 1, frames * SAMPLES_PER_FRAME).into_iter().map(|value| (value * 9000.0) as i16);
    let mut track = Track::new(name, motion).with_audio(Samples::I16(audio.collect())).with_speaker(name);
    track.speech = Some((0..frames).map(|frame| frame / 40 % 2 == 0).collect());
    track
}

pub fn dyad(name: &str, seed: u64, frames: usize) -> Recording {
    let people = ["a", "b"].iter().zip(0..);
    let tracks =
        people.map(|(person, number)| track(&format!("{name}-{person}"), seed * 1000 + number * 10, frames));
    Recording::new(name, Space::Arkit55, tracks.collect())
}

/// A corpus of dyads of these lengths: `r0`, `r1` ... , all for training.
pub fn corpus(folder: &Path, lengths: &[usize]) {
    let writer = CorpusWriter::create(folder, Space::Arkit55, CorpusOptions::default()).unwrap();
    for (number, &frames) in lengths.iter().enumerate() {
        writer.add(Split::Train, &dyad(&format!("r{number}"), number as u64, frames)).unwrap();
    }
}

/// The bytes of an npz file.
pub fn npz(arrays: &[(&str, &[usize], Data<'_>)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = NpzWriter::new(&mut bytes);
    for (name, shape, data) in arrays {
        writer.add(name, &Array::new(shape, data.clone()).unwrap()).unwrap();
    }
    writer.finish().unwrap();
    bytes
}

/// A record of the release: `frames` rows of 112 columns, audio, mask.
pub fn record(seed: u64, frames: usize) -> Vec<u8> {
    npz(&[
        ("motioncode", &[frames, 112], noise(seed, frames * 112).into()),
        ("audio", &[frames * 640], noise(seed + 1, frames * 640).into()),
        ("speech_mask", &[frames], vec![1_u64; frames].into()),
    ])
}

/// An LMDB opened for writing by LMDB itself.
pub fn writer(folder: &Path) -> Env {
    std::fs::create_dir_all(folder).unwrap();
    let mut options = EnvOpenOptions::new();
    // SAFETY: no other process and no other environment of this one writes to the file, and it need not outlive a
    // loss of power.
    unsafe { options.map_size(1 << 28).flags(EnvFlags::NO_SYNC).open(folder).unwrap() }
}

pub fn put(env: &Env, records: &[(&str, &[u8])]) {
    let mut transaction = env.write_txn().unwrap();
    let database = env.create_database::<Bytes, Bytes>(&mut transaction, None).unwrap();
    for (key, value) in records {
        database.put(&mut transaction, key.as_bytes(), value).unwrap();
    }
    transaction.commit().unwrap();
}

/// A file that is closed again: an LMDB of these records.
pub fn lmdb(folder: &Path, records: &[(&str, &[u8])]) {
    let env = writer(folder);
    put(&env, records);
    env.prepare_for_closing().wait();
}
