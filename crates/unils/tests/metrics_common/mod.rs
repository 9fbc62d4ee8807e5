//! Helpers of the metrics' tests: reproducible noise, voices made of tones, motion made of gestures.
#![allow(dead_code, reason = "each test binary uses its part")]
#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use std::f64::consts::{PI, TAU};

/// A small generator (xorshift64*), for noise that is the same everywhere.
pub struct Noise(pub u64);

impl Noise {
    /// From -1 to 1, evenly.
    pub fn even(&mut self) -> f64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
    }

    /// Standard normal, nearly: a sum of twelve.
    pub fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.even()).sum::<f64>() / 2.0
    }
}

/// A voice at 16 kHz that is built stretch by stretch.
pub struct Speech {
    pub audio: Vec<f32>,
    phase: f64,
    noise: Noise,
    floor: f64,
}

impl Speech {
    /// With a noise floor of that amplitude.
    pub fn new(floor: f64) -> Self {
        Self { audio: Vec::new(), phase: 0.0, noise: Noise(7), floor }
    }

    pub fn seconds(&self) -> f64 {
        self.audio.len() as f64 / 16_000.0
    }

    pub fn silence(&mut self, seconds: f64) -> &mut Self {
        for _ in 0..(seconds * 16_000.0) as usize {
            let hiss = self.floor * self.noise.even();
            self.audio.push(hiss as f32);
        }
        self
    }

    /// Voice whose pitch goes from one frequency to another in equal ratios, in syllables of 200 ms.
    pub fn voice(&mut self, seconds: f64, from_hz: f64, to_hz: f64) -> &mut Self {
        let count = (seconds * 16_000.0) as usize;
        for i in 0..count {
            let at = i as f64 / count as f64;
            self.phase += from_hz * (to_hz / from_hz).powf(at) / 16_000.0;
            let wave: f64 = (1..8).map(|k| (TAU * f64::from(k) * self.phase).sin() / f64::from(k)).sum();
            let syllable = 0.6 + 0.4 * (PI * i as f64 / 3200.0).sin().abs();
            let hiss = self.floor * self.noise.even();
            self.audio.push((0.1 * syllable * wave + hiss) as f32);
        }
        self
    }
}

/// Half a sine of that height over `length` frames, added to a curve.
pub fn add_bump(curve: &mut [f32], start: f64, length: f64, height: f64) {
    for (frame, value) in curve.iter_mut().enumerate() {
        let at = (frame as f64 - start) / length;
        if (0.0..=1.0).contains(&at) {
            *value += (height * (PI * at).sin()) as f32;
        }
    }
}

/// A slow wander that stays near zero.
pub fn drift(frames: usize, size: f64, seed: u64) -> Vec<f32> {
    let phase = seed as f64;
    (0..frames)
        .map(|t| {
            let t = t as f64 / 25.0;
            (size * ((0.31 * t + phase).sin() + 0.6 * (0.83 * t + 2.0 * phase).sin())) as f32
        })
        .collect()
}
