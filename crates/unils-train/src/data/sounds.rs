//! What is said at each frame: the labels of a track's phonemes as numbers.
//!
//! The speech stage learns to tell them. A corpus that writes other symbols can still be read: what is not in the list is
//! not learnt from.

use unils::motion::FPS;

use super::store::Track;

/// The labels: ARPAbet in lower case without stress, two front rounded vowels, velar fricative and glottal stop. The
/// sounds of `unils-corpus`, which checks that they are the same.
pub const SOUNDS: [&str; 44] = [
    "aa", "ae", "ah", "ao", "ax", "eh", "er", "ih", "iy", "uh", "uw", "ue", "oe", "aw", "ay", "ey", "ow",
    "oy", "p", "b", "m", "f", "v", "th", "dh", "t", "d", "n", "s", "z", "l", "r", "sh", "zh", "ch", "jh",
    "k", "g", "ng", "x", "h", "w", "y", "q",
];

/// Number of a pause; sound `SOUNDS[i]` has number `i + 1`.
pub const PAUSE: u8 = 0;

/// Number of a frame of which nothing is known.
pub const UNKNOWN: u8 = u8::MAX;

/// The number of a sound.
pub fn sound_number(symbol: &str) -> Option<u8> {
    SOUNDS.iter().position(|sound| *sound == symbol).and_then(|index| u8::try_from(index + 1).ok())
}

/// The sound in the middle of each of `count` frames from `start` on.
pub(super) fn sounds_of(track: &Track, start: usize, count: usize) -> Vec<u8> {
    let speaks = |frame: usize| track.speech.as_ref().is_none_or(|speech| speech.get(frame) == Some(&true));
    if track.phonemes.is_empty() {
        // Silence is known where nobody speaks; what a speaker without labels says is not.
        let sound = |frame| if speaks(frame) { UNKNOWN } else { PAUSE };
        return (start..start + count).map(sound).collect();
    }
    let middle = |frame: usize| (frame as f64 + 0.5) / FPS;
    let mut rest = &track.phonemes[track.phonemes.partition_point(|sound| sound.end_s <= middle(start))..];
    let sound = |frame: usize| {
        while rest.first().is_some_and(|sound| sound.end_s <= middle(frame)) {
            rest = &rest[1..];
        }
        match rest.first().filter(|sound| sound.start_s <= middle(frame)) {
            Some(sound) => sound_number(&sound.symbol).unwrap_or(UNKNOWN),
            None => PAUSE,
        }
    };
    (start..start + count).map(sound).collect()
}

#[cfg(test)]
mod tests {
    use super::super::store::Phoneme;
    use super::*;

    #[test]
    fn frames_have_the_sound_of_their_middle() {
        let mut track = Track::new("a", Vec::new());
        assert_eq!(sounds_of(&track, 0, 2), [UNKNOWN; 2]);
        track.speech = Some(vec![false, true]);
        assert_eq!(sounds_of(&track, 0, 3), [PAUSE, UNKNOWN, PAUSE]);
        let sound = |symbol: &str, start_s, end_s| Phoneme { symbol: symbol.to_owned(), start_s, end_s };
        // Middles are at 0.02, 0.06, 0.1 ...
        track.phonemes = vec![sound("aa", 0.05, 0.11), sound("b", 0.11, 0.12), sound("?", 0.13, 0.15)];
        let expected = [PAUSE, 1, 1, UNKNOWN, PAUSE];
        assert_eq!(sounds_of(&track, 0, 5), expected);
        assert_eq!(sounds_of(&track, 2, 3), expected[2..]);
        assert_eq!(sound_number("b"), Some(20));
    }
}
