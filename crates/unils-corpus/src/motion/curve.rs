//! Curves that the behaviours are made of: smooth steps, bumps, wandering noise.
//!
//! Time is in seconds; frame `k` shows the middle of its 40 ms, `(k + 0.5) / 25` ([`frame_time`]).

use unils::motion::FPS;

use crate::dice::Dice;

/// The time that a frame shows.
pub fn frame_time(frame: usize) -> f64 {
    (frame as f64 + 0.5) / FPS
}

/// From 0 at 0 to 1 at 1 with the least jerk (Flash & Hogan 1985), constant outside.
pub fn min_jerk(x: f64) -> f64 {
    let x = x.clamp(0.0, 1.0);
    x * x * x * (10.0 + x * (6.0 * x - 15.0))
}

/// A movement that goes, stays and comes back: 0 before `start_s`, 1 while held.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Hold {
    /// Begin, seconds.
    pub start_s: f64,
    /// Time to get there.
    pub rise_s: f64,
    /// Time there.
    pub hold_s: f64,
    /// Time back.
    pub fall_s: f64,
}

impl Hold {
    /// Its height at a time, 0 to 1.
    pub fn at(&self, time_s: f64) -> f64 {
        let since = time_s - self.start_s;
        let back = since - self.rise_s - self.hold_s;
        min_jerk(since / self.rise_s) * (1.0 - min_jerk(back / self.fall_s))
    }

    /// When it is over.
    pub fn end_s(&self) -> f64 {
        self.start_s + self.rise_s + self.hold_s + self.fall_s
    }

    /// The frames on which it is not 0, of `frames` in all.
    pub fn frames(&self, frames: usize) -> std::ops::Range<usize> {
        let at = |seconds: f64| ((seconds * FPS).max(0.0) as usize).min(frames);
        at(self.start_s)..at(self.end_s() + 1.0 / FPS)
    }
}

/// Noise of zero mean and unit deviation that wanders with a usual time of `time_s`: white noise through two leaky
/// integrators, one value a frame. Its velocity is continuous but for what a frame hides.
pub fn wander(frames: usize, time_s: f64, dice: &mut Dice) -> Vec<f64> {
    let keep = (-1.0 / (FPS * time_s)).exp();
    // Deviation of white noise after two such filters.
    let gain = ((1.0 - keep * keep).powi(3) / (1.0 + keep * keep)).sqrt();
    let (mut first, mut second) = (0.0, 0.0);
    let warm_up = (8.0 * FPS * time_s) as usize;
    let step = |_| {
        first = keep * first + dice.normal(0.0, 1.0);
        second = keep * second + first;
        gain * second
    };
    (0..warm_up + frames).map(step).collect::<Vec<_>>().split_off(warm_up)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_rise_and_fall() {
        let hold = Hold { start_s: 1.0, rise_s: 0.2, hold_s: 0.5, fall_s: 0.4 };
        assert_eq!((hold.at(0.9), hold.at(1.4), hold.at(2.2)), (0.0, 1.0, 0.0));
        assert!((hold.at(1.1) - 0.5).abs() < 1e-9 && (hold.at(1.9) - 0.5).abs() < 1e-9);
        assert!((hold.end_s() - 2.1).abs() < 1e-9);
        let frames = hold.frames(1000);
        assert!((0..1000).all(|k| frames.contains(&k) || hold.at(frame_time(k)) == 0.0));
    }

    #[test]
    fn wandering_has_unit_deviation_and_its_pace() {
        for time_s in [0.1, 0.5, 3.0] {
            let noise = wander(60_000, time_s, &mut Dice::new(4, 4, "wander"));
            let mean = |values: &mut dyn Iterator<Item = f64>| values.sum::<f64>() / 60_000.0;
            let deviation = mean(&mut noise.iter().map(|x| x * x)).sqrt();
            assert!((deviation - 1.0).abs() < 0.12, "{time_s}: {deviation}");
            // (1 + t / T) exp(-t / T) is the correlation over a lag of t.
            let lag = (time_s * FPS).round() as usize;
            let correlation =
                mean(&mut noise.iter().zip(&noise[lag..]).map(|(a, b)| a * b)) / deviation.powi(2);
            let ratio = lag as f64 / FPS / time_s;
            let expected = (1.0 + ratio) * (-ratio).exp();
            assert!((correlation - expected).abs() < 0.12, "{time_s}: {correlation} {expected}");
        }
    }
}
