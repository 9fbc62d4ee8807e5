//! A made-up corpus that has something to learn: two voices that take turns, mouths that follow their own voice, a head
//! that nods while the other speaks, blinks.

#![allow(dead_code, reason = "each test uses a part of it")]

use std::f32::consts::TAU;
use std::path::{Path, PathBuf};

use unils::motion::{SAMPLES_PER_FRAME, Space};
use unils_train::data::{CorpusOptions, CorpusWriter, Phoneme, Recording, Samples, Split, Track};

/// A folder that is removed at the end of a test.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("unils-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub fn at(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A number in 0..1 that follows from the others.
fn noise(seed: u32, index: usize) -> f32 {
    let mut x = seed.wrapping_mul(0x9e37_79b9) ^ (index as u32).wrapping_mul(0x85eb_ca6b);
    for _ in 0..3 {
        x ^= x >> 15;
        x = x.wrapping_mul(0x2c1b_3c6d);
    }
    (x >> 8) as f32 / (1 << 24) as f32
}

/// Loudness of each person at each frame: turns of about two seconds, syllables of a quarter.
fn loudness(seed: u32, person: usize, frame: usize) -> f32 {
    let turn = frame / 50;
    let speaks = (turn + person + (seed as usize & 1)).is_multiple_of(2);
    let syllable = 0.5 - 0.5 * (TAU * frame as f32 / 6.0 + seed as f32).cos();
    if speaks { syllable * (0.5 + 0.5 * noise(seed, frame / 6 + 1000 * person)) } else { 0.0 }
}

/// A vowel where it is loud, else lips that are shut; nothing while silent.
fn sounds(loudness: impl Fn(usize) -> f32, frames: usize) -> Vec<Phoneme> {
    let sound = |frame: usize| match loudness(frame) {
        loud if loud > 0.3 => Some("aa"),
        loud if loud > 0.0 => Some("m"),
        _ => None,
    };
    let phoneme = |frame: usize| {
        let (start_s, end_s) = (frame as f64 / 25.0, (frame + 1) as f64 / 25.0);
        sound(frame).map(|symbol| Phoneme { symbol: symbol.to_owned(), start_s, end_s })
    };
    (0..frames).filter_map(phoneme).collect()
}

fn track(name: &str, seed: u32, person: usize, frames: usize) -> Track {
    let width = Space::Arkit55.width();
    let index = |name: &str| Space::Arkit55.index(name).unwrap();
    let mut motion = vec![0.0; frames * width];
    let mut audio = vec![0.0_f32; frames * SAMPLES_PER_FRAME];
    for frame in 0..frames {
        let row = &mut motion[frame * width..(frame + 1) * width];
        let own = loudness(seed, person, frame);
        row[index("jawOpen")] = 0.8 * own;
        row[index("mouthFunnel")] = 0.3 * own;
        let blink = if frame % (60 + seed as usize % 20) < 4 { 0.9 } else { 0.0 };
        row[index("eyeBlinkLeft")] = blink;
        row[index("eyeBlinkRight")] = blink;
        let partner_speaks = loudness(seed, 1 - person, frame) > 0.0;
        let nod = if partner_speaks { 0.12 * (TAU * frame as f32 / 20.0).sin() } else { 0.0 };
        row[index("headPitch")] = nod;
        row[index("headYaw")] = 0.1 * (TAU * frame as f32 / 170.0 + seed as f32).sin();
        for sample in 0..SAMPLES_PER_FRAME {
            let at = frame * SAMPLES_PER_FRAME + sample;
            let tone = (TAU * at as f32 * (150.0 + 80.0 * person as f32) / 16_000.0).sin();
            audio[at] = own * (0.3 * tone + 0.1 * (noise(seed ^ 77, at) - 0.5));
        }
    }
    let mut track = Track::new(name, motion).with_audio(Samples::F32(audio)).with_speaker(name);
    track.speech = Some((0..frames).map(|frame| loudness(seed, person, frame / 50 * 50 + 3) > 0.0).collect());
    track.phonemes = sounds(|frame| loudness(seed, person, frame), frames);
    track
}

/// Writes a corpus of `train` dyads for training and two each for validation and test, `frames` frames each.
pub fn write_corpus(root: &Path, train: usize, frames: usize) {
    let writer = CorpusWriter::create(root, Space::Arkit55, CorpusOptions::default()).unwrap();
    for number in 0..train + 4 {
        let split = match number {
            n if n < train => Split::Train,
            n if n < train + 2 => Split::Val,
            _ => Split::Test,
        };
        let seed = 31 * number as u32 + 5;
        let tracks =
            (0..2).map(|person| track(&format!("talk{number}-{person}"), seed, person, frames)).collect();
        writer.add(split, &Recording::new(format!("talk{number}"), Space::Arkit55, tracks)).unwrap();
    }
}
