//! A low-pass filter for channels that tremble: the head, and the mouth where windows meet.
//!
//! A code of few bits makes a slow movement tremble. The head of a person has little power above 3.5 Hz (nods are at
//! 1.5 to 3), so what is above is taken out of it, causally: a Butterworth filter of second order, which delays by about
//! `0.22 / cut-off` seconds (less near half of the frame rate) and overshoots a step by 4 %: values with bounds need them
//! kept behind it.

/// The filter of some channels of one stream; begins at rest at the first frame's values.
#[derive(Debug, Clone)]
pub struct LowPass {
    /// Of the input now, before, and before that; and of the output before, and before that.
    taps: [f64; 5],
    /// For each channel the last two inputs and the last two outputs.
    past: Vec<[f64; 4]>,
    channels: Vec<usize>,
    has_begun: bool,
}

impl LowPass {
    /// A filter of `channels` of frames that come `fps` times a second; `cut_off_hz` is below half of that.
    pub fn new(channels: Vec<usize>, cut_off_hz: f64, fps: f64) -> Self {
        // The bilinear transform with its frequencies warped back.
        let k = (std::f64::consts::PI * cut_off_hz / fps).tan();
        let scale = 1.0 / (1.0 + std::f64::consts::SQRT_2 * k + k * k);
        let b = k * k * scale;
        let taps = [
            b,
            2.0 * b,
            b,
            2.0 * (k * k - 1.0) * scale,
            (1.0 - std::f64::consts::SQRT_2 * k + k * k) * scale,
        ];
        Self { taps, past: vec![[0.0; 4]; channels.len()], channels, has_begun: false }
    }

    /// Filters the next frame in place.
    pub fn apply(&mut self, frame: &mut [f32]) {
        let [b0, b1, b2, a1, a2] = self.taps;
        for (past, &channel) in self.past.iter_mut().zip(&self.channels) {
            let now = f64::from(frame[channel]);
            if !self.has_begun {
                *past = [now; 4];
            }
            let [x1, x2, y1, y2] = *past;
            let y = b0 * now + b1 * x1 + b2 * x2 - a1 * y1 - a2 * y2;
            *past = [now, x1, y, y1];
            frame[channel] = y as f32;
        }
        self.has_begun = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The amplitude that a sine of that frequency leaves with.
    fn gain(hz: f64) -> f64 {
        let mut filter = LowPass::new(vec![1], 3.5, 25.0);
        let mut most = 0.0f32;
        for t in 0..500 {
            let mut frame = [9.0, (std::f64::consts::TAU * hz * f64::from(t) / 25.0).sin() as f32];
            filter.apply(&mut frame);
            assert_eq!(frame[0], 9.0, "other channels stay");
            if t > 200 {
                most = most.max(frame[1].abs());
            }
        }
        f64::from(most)
    }

    #[test]
    fn nods_pass_and_trembling_does_not() {
        assert!(gain(0.5) > 0.99);
        assert!(gain(2.0) > 0.93, "{}", gain(2.0));
        assert!((gain(3.5) - 0.5f64.sqrt()).abs() < 0.02, "{}", gain(3.5));
        assert!(gain(8.0) < 0.1, "{}", gain(8.0));
    }

    #[test]
    fn it_begins_at_rest_and_stays_there() {
        let mut filter = LowPass::new(vec![0], 3.5, 25.0);
        for _ in 0..50 {
            let mut frame = [0.3];
            filter.apply(&mut frame);
            assert!((frame[0] - 0.3).abs() < 1e-6);
        }
    }
}
