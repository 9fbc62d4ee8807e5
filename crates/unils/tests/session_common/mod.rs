//! What the tests of sessions share: the tiny model, voices, stepping to the end.

#![allow(dead_code, reason = "each test file uses its part")]
#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use std::f64::consts::TAU;
use std::sync::Arc;

use super::common::fixture;
use unils::audio::MODEL_RATE;
use unils::device::DeviceKind;
use unils::model::{Model, ModelFiles};
use unils::motion::SAMPLES_PER_FRAME;
use unils::session::{Chunk, Session, SessionOptions};

/// Frames of the tiny model's window.
pub const TINY_WINDOW: usize = 20;

pub fn window_samples() -> usize {
    TINY_WINDOW * SAMPLES_PER_FRAME
}

pub fn model() -> Model {
    let files = ModelFiles {
        checkpoint: fixture("checkpoints/gen_tiny.pt"),
        encoder: Some(fixture("hf_wav2vec2_tiny")),
        ..ModelFiles::default()
    };
    Model::open(&files, DeviceKind::Cpu).unwrap()
}

pub fn session(options: SessionOptions) -> Session {
    Session::new(Arc::new(model()), options).unwrap()
}

/// A tone that comes and goes like syllables.
pub fn voice(seconds: f64, pitch: f64, rate: u32) -> Vec<f32> {
    let sample = |index: usize| {
        let t = index as f64 / f64::from(rate);
        let loudness = 0.3 * (0.5 + 0.5 * (TAU * 2.3 * t).sin());
        (loudness * (TAU * pitch * t).sin()) as f32
    };
    (0..(seconds * f64::from(rate)) as usize).map(sample).collect()
}

pub fn partner_of(index: u64) -> Vec<f32> {
    voice(1.5, 100.0 + 10.0 * index as f64, MODEL_RATE)
}

/// Every window that is due.
pub fn drain(session: &mut Session) -> Vec<Chunk> {
    std::iter::from_fn(|| session.step().unwrap()).collect()
}
