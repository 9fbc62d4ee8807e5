//! The studio: lamps and sky, fixed to the camera, and what turns light into a picture's range.

use unils::face::Vec3;

/// A lamp far away.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lamp {
    /// Unit vector towards it, in view space.
    pub direction: Vec3,
    /// Linear RGB.
    pub color: Vec3,
}

/// From the upper left in front: the one that throws shadows.
pub(super) const KEY: Lamp =
    Lamp { direction: [-0.456_435, 0.503_951, 0.733_261], color: [1.55, 1.45, 1.32] };

/// From the right in front, lower and cooler: opens the shadows.
pub(super) const FILL: Lamp =
    Lamp { direction: [0.754_829, 0.053_916, 0.653_702], color: [0.22, 0.26, 0.33] };

/// From behind, right and left: draw the outline.
pub(super) const RIMS: [Lamp; 2] = [
    Lamp { direction: [0.664_364, 0.442_910, -0.602_061], color: [1.9, 2.2, 2.6] },
    Lamp { direction: [-0.813_733, 0.271_244, -0.514_062], color: [1.2, 1.05, 0.9] },
];

/// Light from above and from below.
pub(super) const SKY: Vec3 = [0.27, 0.30, 0.36];
pub(super) const GROUND: Vec3 = [0.13, 0.105, 0.09];

/// How far past the shadow's edge red, green and blue reach in the softest material.
pub(super) const BLEED: Vec3 = [0.42, 0.20, 0.12];

/// What no surface faces is lit by at least this share of the sky.
pub(super) const LEAST_OPEN: f32 = 0.06;

/// From light to the picture's range: straight in the shadows, rolling off towards white.
#[inline(always)]
pub(super) fn tone(light: f32) -> f32 {
    // A rational curve with a short toe; a light of 1 becomes 0.71, one of 10 becomes 1.
    let x = light * 0.62;
    (x * (2.51 * x + 0.09)) / (x * (2.43 * x + 0.59) + 0.14)
}
