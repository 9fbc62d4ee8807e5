//! The motion of one person in the making: frames of ARKit-55 that behaviours add to.

use unils::motion::{Space, Unit};

/// Frames of the 55 channels, at rest to begin with.
#[derive(Debug, Clone, PartialEq)]
pub struct Sheet {
    values: Vec<f64>,
    frames: usize,
}

/// Channels of a frame.
const WIDTH: usize = 55;

impl Sheet {
    /// So many frames at rest.
    pub fn new(frames: usize) -> Self {
        Self { values: vec![0.0; frames * WIDTH], frames }
    }

    /// Number of frames.
    pub fn frames(&self) -> usize {
        self.frames
    }

    /// A number.
    pub fn get(&self, frame: usize, channel: usize) -> f64 {
        self.values[frame * WIDTH + channel]
    }

    /// Adds to a number.
    pub fn add(&mut self, frame: usize, channel: usize, value: f64) {
        self.values[frame * WIDTH + channel] += value;
    }

    /// Sets a number.
    pub fn set(&mut self, frame: usize, channel: usize, value: f64) {
        self.values[frame * WIDTH + channel] = value;
    }

    /// A channel over time.
    pub fn curve(&self, channel: usize) -> Vec<f32> {
        self.values.iter().skip(channel).step_by(WIDTH).map(|&value| value as f32).collect()
    }

    /// The motion, (frames, 55): coefficients cut to 0..1, angles to half a right angle.
    pub fn into_motion(self) -> Vec<f32> {
        let channels = Space::Arkit55.channels();
        let limit = |(index, value): (usize, f64)| match channels[index % WIDTH].unit {
            Unit::Coefficient => value.clamp(0.0, 1.0) as f32,
            Unit::Radian => value.clamp(-0.785, 0.785) as f32,
        };
        self.values.into_iter().enumerate().map(limit).collect()
    }
}
