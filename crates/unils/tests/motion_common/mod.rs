//! Helpers of the motion tests: fixtures and clips that are hard to keep.
#![allow(dead_code, reason = "each test binary uses its part")]
#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use std::path::PathBuf;

use unils::motion::{FPS, Motion, MotionMeta, Space};

/// A path under `fixtures/motion/`.
pub fn fixture(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/motion")).join(name)
}

/// Numbers of every size that f32 has, from a small generator.
pub fn numbers(count: usize) -> Vec<f32> {
    let special = [0.0, -0.0, 1e-45, f32::MIN_POSITIVE, f32::MAX, f32::MIN, 0.1, 16_777_217.0, 1.0 / 3.0];
    let mut state = 1_u64;
    let random = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        f32::from_bits((state >> 32) as u32)
    });
    special.into_iter().chain(random.filter(|value| value.is_finite())).take(count).collect()
}

/// A clip with every fact, some of them awkward to write.
pub fn clip(space: Space, participants: usize, frames: usize) -> Motion {
    let meta = MotionMeta {
        participants: (0..participants).map(|index| format!("Frau Müller, \"{index}\" #1\n.wav")).collect(),
        preset: Some("paper".to_owned()),
        seed: Some(u64::MAX),
        options: [("cfg", "1.5"), ("prompt", "a: b, # {c}")]
            .map(|(k, v)| (k.to_owned(), v.to_owned()))
            .into(),
        ..MotionMeta::new()
    };
    let values = numbers(participants * frames * space.width());
    Motion::new(space, FPS, participants, values, meta).unwrap()
}

/// What equal numbers have in common, negative zero apart.
pub fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}
