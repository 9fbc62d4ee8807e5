//! The order, positions and visibility of a generator's tokens.
//!
//! A window's sequence is `[style (T) | previous (T) | start token (1) | scales 1.. (L - 1)]`.

use crate::codec::Schedule;

/// The paper's layout: one window at a time, conditioned on two clips of the window's length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    schedule: Schedule,
}

impl Layout {
    /// The layout of a schedule.
    pub fn new(schedule: Schedule) -> Self {
        Self { schedule }
    }

    /// The schedule.
    pub fn schedule(&self) -> &Schedule {
        &self.schedule
    }

    /// Conditioning tokens: the style clip and the previous window.
    pub fn conditions(&self) -> usize {
        2 * self.schedule.window()
    }

    /// All tokens: conditioning and scales.
    pub fn tokens(&self) -> usize {
        self.conditions() + self.schedule.tokens()
    }

    /// The tokens of scale `k` in the whole sequence.
    pub fn range(&self, k: usize) -> std::ops::Range<usize> {
        let range = self.schedule.range(k);
        self.conditions() + range.start..self.conditions() + range.end
    }

    /// Rotary position of each token: its frame for conditioning tokens, the frame at its centre for a scale's.
    pub fn positions(&self) -> Vec<usize> {
        let mut positions: Vec<usize> = (0..self.conditions()).collect();
        positions.extend(self.scale_offsets().into_iter().map(|centre| centre + self.conditions()));
        positions
    }

    /// The frame of the window at the centre of each of the `L` tokens.
    pub fn scale_offsets(&self) -> Vec<usize> {
        let window = self.schedule.window();
        // Token i is at (window - 1) (2 i + 1) / (2 tokens), the centre of its share of the window.
        let centres = |&tokens: &usize| {
            (0..tokens).map(move |i| round_half_even((window - 1) * (2 * i + 1), 2 * tokens))
        };
        self.schedule.scales().iter().flat_map(centres).collect()
    }

    /// Rotary position of each of `features` audio features of a window.
    pub fn audio_positions(&self, features: usize) -> Vec<usize> {
        (0..features).map(|j| j * self.schedule.window() / features + self.conditions()).collect()
    }

    /// Scale of each of the `L` tokens.
    pub fn scale_of_tokens(&self) -> Vec<usize> {
        let scales = self.schedule.scales().iter().enumerate();
        scales.flat_map(|(k, &tokens)| std::iter::repeat_n(k, tokens)).collect()
    }

    /// Whether the token of a row may look at the token of a column, for the first `tokens` tokens, row-major:
    /// conditioning tokens see each other; a scale's token sees them and all scales up to its own.
    pub fn visible(&self, tokens: usize) -> Vec<bool> {
        let conditions = self.conditions();
        let scale = self.scale_of_tokens();
        let rank = |token: usize| if token < conditions { 0 } else { 1 + scale[token - conditions] };
        (0..tokens)
            .flat_map(|row| (0..tokens).map(move |column| (row, column)))
            .map(|(row, column)| rank(column) <= rank(row))
            .collect()
    }
}

/// `numerator / denominator`, ties to the even neighbour.
fn round_half_even(numerator: usize, denominator: usize) -> usize {
    let (whole, rest) = (numerator / denominator, numerator % denominator);
    match (2 * rest).cmp(&denominator) {
        std::cmp::Ordering::Less => whole,
        std::cmp::Ordering::Equal => whole + whole % 2,
        std::cmp::Ordering::Greater => whole + 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ties_go_to_the_even_neighbour() {
        let layout = Layout::new(Schedule::new(&[1, 5, 100]).unwrap());
        // 99 / 2 = 49.5 -> 50; 99 / 10 = 9.9 -> 10; 99 * 5 / 10 = 49.5 -> 50.
        assert_eq!(layout.positions()[200..206], [250, 210, 230, 250, 269, 289]);
        assert_eq!((round_half_even(19, 2), round_half_even(21, 2)), (10, 10));
    }
}
