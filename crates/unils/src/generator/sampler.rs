//! From logits to bits: guidance, temperature, top-p, sampling.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// How bits are drawn. The release's defaults, with the guidance of its command-line scripts.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Sampling {
    /// Classifier-free guidance; 1 or less uses the conditional branch alone.
    pub cfg: f32,
    /// Times what the guidance is above 1, for the bits of a codec's part that has the mouth: lips follow a voice, and
    /// brows that follow it as closely look nervous. Codecs without parts have no such bits.
    pub mouth_guidance: f32,
    /// Logits are divided by it.
    pub temperature: f32,
    /// Times the temperature for the mouth's bits: lips, which a voice decides, need less chance than a head. Sessions
    /// apply it while the own voice is heard to speak.
    pub mouth_temperature: f32,
    /// Above 0 the mouth is shown by what its bits are expected to be, at this times the temperature, instead of by the
    /// bits drawn: nearer to what was said, as a mean is, at the price of some sharpness. What later bits are told
    /// stays the bits drawn.
    pub mouth_softness: f32,
    /// The smaller class of a bit is dropped when its probability is at most `1 - top_p`; 1 keeps both.
    pub top_p: f64,
    /// Takes the likelier class instead of drawing.
    pub greedy: bool,
}

impl Default for Sampling {
    fn default() -> Self {
        Self {
            cfg: 1.5,
            mouth_guidance: 1.0,
            temperature: 1.0,
            mouth_temperature: 1.0,
            mouth_softness: 0.0,
            top_p: 0.97,
            greedy: false,
        }
    }
}

impl Sampling {
    /// Checks the ranges.
    ///
    /// # Errors
    /// [`Error::Argument`] naming the value.
    pub fn validate(&self) -> Result<()> {
        let fault =
            |name, expected, got: f64| Err(Error::argument(name, format!("expected {expected}, got {got}")));
        if !(self.cfg.is_finite() && (0.0..=100.0).contains(&self.cfg)) {
            return fault("cfg", "a number from 0 to 100", f64::from(self.cfg));
        }
        for (name, value) in
            [("temperature", self.temperature), ("mouth temperature", self.mouth_temperature)]
        {
            if !(value.is_finite() && value > 0.0) {
                return fault(name, "a positive number", f64::from(value));
            }
        }
        if !(0.0..=100.0).contains(&self.mouth_guidance) {
            return fault("mouth guidance", "a number from 0 to 100", f64::from(self.mouth_guidance));
        }
        if !(self.mouth_softness.is_finite() && self.mouth_softness >= 0.0) {
            return fault("mouth softness", "a number, 0 or more", f64::from(self.mouth_softness));
        }
        if !(self.top_p > 0.0 && self.top_p <= 1.0) {
            return fault("top-p", "a number above 0, at most 1", self.top_p);
        }
        Ok(())
    }

    /// Its values by name, as files and results tell them.
    pub fn facts(&self) -> [(&'static str, String); 7] {
        let Self { cfg, mouth_guidance, temperature, mouth_temperature, mouth_softness, top_p, greedy } =
            self;
        [
            ("cfg", cfg.to_string()),
            ("mouth_guidance", mouth_guidance.to_string()),
            ("temperature", temperature.to_string()),
            ("mouth_temperature", mouth_temperature.to_string()),
            ("mouth_softness", mouth_softness.to_string()),
            ("top_p", top_p.to_string()),
            ("greedy", greedy.to_string()),
        ]
    }

    /// With the guidance of the mouth's bits for all.
    pub(super) fn for_mouth(self) -> Self {
        Self { cfg: 1.0 + self.mouth_guidance * (self.cfg - 1.0), mouth_guidance: 1.0, ..self }
    }

    /// True when the unconditional branch is needed.
    pub fn is_guided(&self) -> bool {
        self.cfg > 1.0
    }

    /// Logits after temperature and guidance: `cfg * conditional + (1 - cfg) * unconditional`.
    pub fn guide(&self, conditional: &[f32], unconditional: Option<&[f32]>) -> Vec<f32> {
        match unconditional.filter(|_| self.is_guided()) {
            None => conditional.iter().map(|&c| self.guide_one(c, None)).collect(),
            Some(unconditional) => {
                conditional.iter().zip(unconditional).map(|(&c, &u)| self.guide_one(c, Some(u))).collect()
            }
        }
    }

    /// [`Sampling::guide`] of one logit; without an unconditional one there is no guidance.
    pub fn guide_one(&self, conditional: f32, unconditional: Option<f32>) -> f32 {
        let scale = 1.0 / self.temperature;
        match unconditional {
            None => conditional * scale,
            Some(unconditional) => {
                self.cfg * (conditional * scale) + (1.0 - self.cfg) * (unconditional * scale)
            }
        }
    }

    /// Probabilities of (bit 0, bit 1) from their guided logits, after top-p.
    pub fn probabilities(&self, [zero, one]: [f32; 2]) -> [f32; 2] {
        let top = zero.max(one);
        let [zero, one] = [(zero - top).exp(), (one - top).exp()];
        let [zero, one] = [zero / (zero + one), one / (zero + one)];
        let dropped = (1.0 - self.top_p) as f32;
        match (zero <= dropped, one <= dropped) {
            (true, false) => [0.0, 1.0],
            (false, true) => [1.0, 0.0],
            // Both small can only be with top_p below one half: the likelier stays.
            (true, true) if one > zero => [0.0, 1.0],
            (true, true) => [1.0, 0.0],
            (false, false) => [zero, one],
        }
    }

    /// Draws a bit for each pair of guided logits.
    pub fn draw(&self, guided: &[f32], noise: &mut Noise) -> Vec<f32> {
        let pairs = guided.chunks_exact(2).map(|pair| [pair[0], pair[1]]);
        pairs.map(|logits| f32::from(u8::from(self.draw_bit(logits, noise)))).collect()
    }

    /// Draws one bit from its guided logits.
    pub fn draw_bit(&self, logits: [f32; 2], noise: &mut Noise) -> bool {
        if self.greedy { logits[1] > logits[0] } else { noise.uniform() >= self.probabilities(logits)[0] }
    }
}

/// One participant's randomness: a seeded stream of its own, so that a face does not depend on who else is
/// in the batch.
#[derive(Debug, Clone)]
pub struct Noise(ChaCha8Rng);

impl Noise {
    /// The stream of `participant` under `seed`.
    pub fn new(seed: u64, participant: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(participant);
        Self(rng)
    }

    /// Uniform in `[0, 1)` with 24 bits.
    pub fn uniform(&mut self) -> f32 {
        (self.0.next_u32() >> 8) as f32 / (1 << 24) as f32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_reproducible_and_independent() {
        let draw = |seed, participant| -> Vec<u32> {
            let mut noise = Noise::new(seed, participant);
            (0..8).map(|_| noise.uniform().to_bits()).collect()
        };
        assert_eq!(draw(1, 0), draw(1, 0));
        assert_ne!(draw(1, 0), draw(1, 1));
        assert_ne!(draw(1, 0), draw(2, 0));
    }

    #[test]
    fn frequencies_follow_the_probabilities() {
        let sampling = Sampling { cfg: 1.0, ..Sampling::default() };
        let logits: Vec<f32> = [0.0, 1.0].repeat(20_000);
        let ones: f32 = sampling.draw(&logits, &mut Noise::new(7, 0)).iter().sum();
        let expected = 1.0 / (1.0 + (-1.0f32).exp());
        assert!((ones / 20_000.0 - expected).abs() < 0.01, "{}", ones / 20_000.0);
    }

    #[test]
    fn a_dropped_class_is_never_drawn() {
        let sampling = Sampling { cfg: 1.0, ..Sampling::default() };
        // p(0) = 0.0293, below 1 - 0.97.
        let logits: Vec<f32> = [0.0, 3.5].repeat(20_000);
        assert!(sampling.draw(&logits, &mut Noise::new(7, 0)).iter().all(|&bit| bit == 1.0));
    }

    #[test]
    fn refuses_values_out_of_range() {
        for bad in [
            Sampling { cfg: f32::NAN, ..Sampling::default() },
            Sampling { mouth_guidance: f32::INFINITY, ..Sampling::default() },
            Sampling { temperature: 0.0, ..Sampling::default() },
            Sampling { mouth_temperature: -1.0, ..Sampling::default() },
            Sampling { mouth_softness: f32::NAN, ..Sampling::default() },
            Sampling { top_p: 0.0, ..Sampling::default() },
            Sampling { top_p: 1.5, ..Sampling::default() },
        ] {
            assert!(matches!(bad.validate(), Err(Error::Argument(_))), "{bad:?}");
        }
    }
}
