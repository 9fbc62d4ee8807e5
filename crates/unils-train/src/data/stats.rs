//! The statistics file: mean and standard deviation of each motion channel over the training split.

use std::path::Path;

use unils::file::write_whole;
use unils::motion::Stats;
use unils::{Error, Result};

use super::store::{Split, Store, Want};

/// Running mean and sum of squared deviations of each channel, in f64.
struct Moments {
    count: f64,
    mean: Vec<f64>,
    squares: Vec<f64>,
}

impl Moments {
    fn new(width: usize) -> Self {
        Self { count: 0.0, mean: vec![0.0; width], squares: vec![0.0; width] }
    }

    /// The moments of whole frames: exact to f64, for the mean is taken first.
    fn of(frames: &[f32], width: usize) -> Self {
        let mut moments = Self::new(width);
        moments.count = (frames.len() / width) as f64;
        for frame in frames.chunks_exact(width) {
            moments.mean.iter_mut().zip(frame).for_each(|(sum, &value)| *sum += f64::from(value));
        }
        moments.mean.iter_mut().for_each(|sum| *sum /= moments.count.max(1.0));
        for frame in frames.chunks_exact(width) {
            let squares = moments.squares.iter_mut().zip(&moments.mean).zip(frame);
            squares.for_each(|((sum, mean), &value)| *sum += (f64::from(value) - mean).powi(2));
        }
        moments
    }

    /// Both together (Chan, Golub & LeVeque 1979).
    fn add(&mut self, other: &Self) {
        let count = self.count + other.count;
        if other.count == 0.0 {
            return;
        }
        let means = self.mean.iter_mut().zip(&other.mean);
        for ((mean, other_mean), (squares, other_squares)) in
            means.zip(self.squares.iter_mut().zip(&other.squares))
        {
            let distance = other_mean - *mean;
            *squares += other_squares + distance.powi(2) * self.count * other.count / count;
            *mean += distance * other.count / count;
        }
        self.count = count;
    }
}

/// Mean and (population) standard deviation of each channel over a split, the head centred as in training. Every
/// participant's frames count once for each time they are listed. Deviations below `floor` are raised to it: a
/// channel that hardly moves would otherwise be blown up by normalisation. `progress` is called with the recordings
/// done and in all, and stops by returning `false`. One recording is in memory at a time.
///
/// # Errors
/// What reading a recording gives, naming it; [`Error::Motion`] if the split is empty; [`Error::Argument`] for a
/// floor that is negative or not finite; [`Error::Interrupted`].
pub fn motion_stats(
    store: &dyn Store,
    split: Split,
    floor: Option<f32>,
    mut progress: impl FnMut(usize, usize) -> bool,
) -> Result<Stats> {
    let floor = floor.unwrap_or(0.0);
    if !(floor.is_finite() && floor >= 0.0) {
        let what = format!("{floor}, expected a finite number of at least 0");
        return Err(Error::argument("floor of the deviation", what));
    }
    let numbers = store.entries().iter().enumerate().filter(|(_, entry)| entry.split == split);
    let numbers: Vec<usize> = numbers.map(|(number, _)| number).collect();
    if numbers.is_empty() {
        return Err(Error::motion(store.place(), format!("the split {:?} is empty", split.name())));
    }
    let width = store.space().width();
    let mut moments = Moments::new(width);
    for (done, &number) in numbers.iter().enumerate() {
        if !progress(done, numbers.len()) {
            return Err(Error::Interrupted);
        }
        let recording = store.read(number, Want { audio: false, centred: true })?;
        recording.tracks.iter().for_each(|track| moments.add(&Moments::of(&track.motion, width)));
    }
    progress(numbers.len(), numbers.len());
    let deviation =
        moments.squares.iter().map(|squares| ((squares / moments.count).sqrt() as f32).max(floor));
    Stats::new(moments.mean.iter().map(|&mean| mean as f32).collect(), deviation.collect())
}

/// Writes the statistics in the release's form: JSON of the lists `motion_mean` and `motion_std`.
///
/// # Errors
/// [`Error::Io`]; a file that was there stays as it was.
pub fn write_stats(path: impl AsRef<Path>, stats: &Stats) -> Result<()> {
    // As f64, so that a reader of either precision gets the same number back.
    let list = |values: &[f32]| values.iter().map(|&value| f64::from(value)).collect::<Vec<f64>>();
    let json = serde_json::json!({ "motion_mean": list(stats.mean()), "motion_std": list(stats.std()) });
    write_whole(path, format!("{json}\n").as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_in_parts_are_those_of_the_whole() {
        let frames: Vec<f32> = (0..3000).map(|i| 1e4 + ((i * 7919) % 1000) as f32 * 1e-2).collect();
        let whole = Moments::of(&frames, 3);
        let mut parts = Moments::new(3);
        for part in frames.chunks(3 * 37) {
            parts.add(&Moments::of(part, 3));
        }
        parts.add(&Moments::new(3));
        assert_eq!(parts.count, 1000.0);
        for channel in 0..3 {
            assert!((parts.mean[channel] - whole.mean[channel]).abs() < 1e-10 * 1e4);
            assert!((parts.squares[channel] / whole.squares[channel] - 1.0).abs() < 1e-9);
        }
    }
}
