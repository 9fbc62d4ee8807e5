//! Softens the step from one window of motion to the next.
//!
//! A generator of short windows begins saccades with a window more often than within one, because its first token moves the
//! whole window: a rhythm that eyes do not have. Of the step into a window a share is left for the next frame, so that such
//! a saccade lands as a larger one would, in two frames, and does not begin later than it did.

/// The steps of some channels of one stream.
#[derive(Debug, Clone)]
pub struct Join {
    channels: Vec<usize>,
    share: f32,
    /// Each channel at the end of the window before; none before the first.
    last: Option<Vec<f32>>,
}

impl Join {
    /// Leaves `share` (0 to 1) of a window's first step for its second frame.
    pub fn new(channels: Vec<usize>, share: f32) -> Self {
        Self { channels, share, last: None }
    }

    /// Joins the next window, rows of `width` numbers, to the one before.
    pub fn apply(&mut self, window: &mut [f32], width: usize) {
        let Some(end) = window.len().checked_sub(width) else { return };
        let ends = self.channels.iter().map(|&channel| window[end + channel]).collect();
        if let Some(last) = self.last.replace(ends) {
            for (&channel, last) in self.channels.iter().zip(last) {
                window[channel] += self.share * (last - window[channel]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_step_into_a_window_is_softened() {
        let mut join = Join::new(vec![1], 0.25);
        let mut windows = [[5.0, 0.0, 5.0, 1.0], [6.0, 3.0, 6.0, 3.0], [7.0, 3.0, 7.0, 9.0]];
        windows.iter_mut().for_each(|window| join.apply(window, 2));
        assert_eq!(windows, [[5.0, 0.0, 5.0, 1.0], [6.0, 2.5, 6.0, 3.0], [7.0, 3.0, 7.0, 9.0]]);
    }
}
