//! Second-order filters, after the Audio EQ Cookbook (Bristow-Johnson): causal, so that they do not move speech ahead, and
//! with less delay than a sample of motion could show.

use std::f64::consts::{FRAC_1_SQRT_2, TAU};

/// Samples a second.
const RATE: f64 = 16_000.0;

/// A filter and its memory.
#[derive(Debug, Clone, Copy)]
pub struct Filter {
    b: [f64; 3],
    a: [f64; 2],
    memory: [f64; 2],
}

impl Filter {
    /// Lets what is below a frequency pass, 12 dB an octave.
    pub fn low_pass(hz: f64) -> Self {
        let (cosine, alpha) = terms(hz, FRAC_1_SQRT_2);
        let b = (1.0 - cosine) / 2.0;
        Self::new([b, 2.0 * b, b], [1.0 + alpha, -2.0 * cosine, 1.0 - alpha])
    }

    /// Lets what is above a frequency pass.
    pub fn high_pass(hz: f64) -> Self {
        let (cosine, alpha) = terms(hz, FRAC_1_SQRT_2);
        let b = (1.0 + cosine) / 2.0;
        Self::new([b, -2.0 * b, b], [1.0 + alpha, -2.0 * cosine, 1.0 - alpha])
    }

    /// Raises or lowers what is around a frequency.
    pub fn peak(hz: f64, width: f64, gain_db: f64) -> Self {
        let (cosine, alpha) = terms(hz, width);
        let gain = 10.0_f64.powf(gain_db / 40.0);
        Self::new(
            [1.0 + alpha * gain, -2.0 * cosine, 1.0 - alpha * gain],
            [1.0 + alpha / gain, -2.0 * cosine, 1.0 - alpha / gain],
        )
    }

    fn new(b: [f64; 3], a: [f64; 3]) -> Self {
        Self { b: b.map(|b| b / a[0]), a: [a[1] / a[0], a[2] / a[0]], memory: [0.0; 2] }
    }

    /// The next sample.
    pub fn next(&mut self, sample: f64) -> f64 {
        let out = self.b[0] * sample + self.memory[0];
        self.memory[0] = self.b[1] * sample - self.a[0] * out + self.memory[1];
        self.memory[1] = self.b[2] * sample - self.a[1] * out;
        out
    }

    /// Filters samples in place.
    pub fn run(mut self, samples: &mut [f32]) {
        samples.iter_mut().for_each(|sample| *sample = self.next(f64::from(*sample)) as f32);
    }
}

fn terms(hz: f64, q: f64) -> (f64, f64) {
    let angle = TAU * hz.clamp(10.0, 0.49 * RATE) / RATE;
    (angle.cos(), angle.sin() / (2.0 * q))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gain_db(filter: Filter, hz: f64) -> f64 {
        let mut tone: Vec<f32> =
            (0..16_000).map(|at| (TAU * hz * f64::from(at) / RATE).sin() as f32).collect();
        filter.run(&mut tone);
        let power: f64 = tone[8000..].iter().map(|&x| f64::from(x).powi(2)).sum::<f64>() / 8000.0;
        10.0 * (2.0 * power).log10()
    }

    #[test]
    fn filters_pass_and_stop() {
        assert!(gain_db(Filter::low_pass(1000.0), 100.0).abs() < 0.1);
        assert!((gain_db(Filter::low_pass(1000.0), 1000.0) + 3.0).abs() < 0.2);
        assert!(gain_db(Filter::low_pass(1000.0), 4000.0) < -22.0);
        assert!(gain_db(Filter::high_pass(300.0), 60.0) < -25.0);
        assert!((gain_db(Filter::peak(2000.0, 1.0, 6.0), 2000.0) - 6.0).abs() < 0.1);
    }
}
