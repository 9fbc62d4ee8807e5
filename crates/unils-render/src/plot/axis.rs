//! Round numbers along an axis.

/// Steps of time that people count in: seconds.
const TIME_STEPS: [f64; 19] = [
    0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1200.0,
    1800.0, 3600.0,
];

/// From here on times are written as minutes and seconds.
const MINUTES_FROM_S: f64 = 120.0;

/// Ticks of a time axis of that length, at most `most` and some: place and label.
pub(super) fn time_ticks(seconds: f64, most: usize) -> Vec<(f64, String)> {
    let wanted = seconds / most.max(1) as f64;
    let mut step = TIME_STEPS.into_iter().find(|&step| step >= wanted).unwrap_or(3600.0);
    while step < wanted {
        step *= 2.0;
    }
    let count = (seconds / step + 1e-6).floor().max(0.0) as usize;
    let digits = if step < 0.1 { 2 } else { usize::from(step < 1.0) };
    (0..=count)
        .map(|index| {
            let time = index as f64 * step;
            (time, label(time, seconds, digits))
        })
        .collect()
}

fn label(time: f64, length: f64, digits: usize) -> String {
    if length < MINUTES_FROM_S {
        return format!("{time:.digits$}");
    }
    let whole = time.round() as u64;
    let (hours, minutes, seconds) = (whole / 3600, whole / 60 % 60, whole % 60);
    if hours > 0 { format!("{hours}:{minutes:02}:{seconds:02}") } else { format!("{minutes}:{seconds:02}") }
}

/// The least range of round numbers, symmetric about 0, that holds `values` and at least `least`; with its ticks.
pub(super) fn symmetric(values: impl Iterator<Item = f32>, least: f32) -> (f32, Vec<f32>) {
    let largest = values.filter(|value| value.is_finite()).fold(least, |best, value| best.max(value.abs()));
    let limit = [10.0, 15.0, 20.0, 30.0, 45.0, 60.0, 90.0, 180.0].into_iter().find(|&limit| limit >= largest);
    let limit = limit.unwrap_or(largest.ceil());
    (limit, vec![-limit, 0.0, limit])
}

/// The top of a range from 0 that holds `values` and at least `least`, a multiple of `step`.
pub(super) fn from_zero(values: impl Iterator<Item = f32>, least: f32, step: f32) -> f32 {
    let largest = values.filter(|value| value.is_finite()).fold(least, f32::max);
    (largest / step - 1e-4).ceil() * step
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_round() {
        let labels = |seconds, most| {
            time_ticks(seconds, most).into_iter().map(|(_, label)| label).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(labels(20.0, 10), "0 2 4 6 8 10 12 14 16 18 20");
        assert_eq!(labels(1.0, 5), "0.0 0.2 0.4 0.6 0.8 1.0");
        assert_eq!(labels(0.04, 5), "0.00 0.01 0.02 0.03 0.04");
        assert_eq!(labels(240.0, 5), "0:00 1:00 2:00 3:00 4:00");
        assert_eq!(labels(7200.0, 4), "0:00 30:00 1:00:00 1:30:00 2:00:00");
        assert!(time_ticks(1e9, 10).len() <= 11);
    }

    #[test]
    fn ranges_hold_their_values() {
        assert_eq!(symmetric([3.0, -17.0].into_iter(), 10.0), (20.0, vec![-20.0, 0.0, 20.0]));
        assert_eq!(symmetric(std::iter::empty(), 10.0).0, 10.0);
        assert_eq!(from_zero([0.3, 0.62].into_iter(), 0.5, 0.25), 0.75);
        assert_eq!(from_zero([1.0].into_iter(), 0.5, 0.25), 1.0);
    }
}
