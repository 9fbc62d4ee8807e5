//! Where a listener's answer may begin, so that training can look there more closely.
//!
//! A nod after a cue of the partner is a few bits in a minute: the loss of all bits hardly tells whether a model answers. The
//! windows that follow a cue therefore may count more, those with an answer as those without, so that how often people
//! answer is learnt as it is.

use unils::Result;
use unils::metrics::cues::find_cues;
use unils::metrics::voice::Voice;
use unils::motion::FPS;

/// Seconds after a cue in which an answer begins.
const ANSWERS_S: (f64, f64) = (0.1, 0.8);

/// Which of so many frames lie where an answer to a cue of `partner` (mono, 16 kHz) would begin.
///
/// # Errors
/// [`unils::Error::Audio`] for samples that are no numbers.
pub fn answer_frames(partner: &[f32], frames: usize) -> Result<Vec<bool>> {
    let mut follows = vec![false; frames];
    for cue in find_cues(&Voice::analyse(partner)?) {
        let frame = |after: f64| (((cue.time_s + after) * FPS).round() as usize).min(frames);
        follows[frame(ANSWERS_S.0)..frame(ANSWERS_S.1)].fill(true);
    }
    Ok(follows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_follow_the_end_of_speech() {
        let voiced = |i: usize| {
            let (t, rich) = (i as f32 / 16_000.0, 120.0 * std::f32::consts::TAU);
            (1..8).map(|k| (rich * k as f32 * t).sin() / k as f32).sum::<f32>() * 0.1
        };
        let speaks = 9_600..32_000;
        let partner: Vec<f32> =
            (0..64_000).map(|i| if speaks.contains(&i) { voiced(i) } else { 0.0 }).collect();
        let follows = answer_frames(&partner, 100).unwrap();
        // Speech ends at 2 s, frame 50.
        assert!((54..68).all(|frame| follows[frame]), "{follows:?}");
        assert!(!follows[..45].contains(&true) && !follows[73..].contains(&true), "{follows:?}");
        assert!(!answer_frames(&vec![0.0; 64_000], 100).unwrap().contains(&true));
    }
}
