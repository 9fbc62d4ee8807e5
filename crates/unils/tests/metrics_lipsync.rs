//! Lip sync on mouths with known delays, closures and silences.
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

mod metrics_common;

use metrics_common::{Noise, Speech};
use unils::metrics::lipsync::{
    ClosedAt, PhonemeInterval, best_offset, closure_recall, correlation, lip_sync, silent_mouth,
};
use unils::metrics::voice::Voice;
use unils::motion::FPS;

/// Band-limited noise: sums of waves below 4 Hz, at a time in frames.
fn mouth(at: f64) -> f32 {
    let waves = [(0.9, 0.3), (1.7, 1.1), (2.3, 2.0), (3.1, 0.7), (3.8, 5.0)];
    waves.iter().map(|(hz, phase)| (std::f64::consts::TAU * hz * at / FPS + phase).sin()).sum::<f64>() as f32
}

#[test]
fn offsets_are_found_to_a_fraction_of_a_frame() {
    let reference: Vec<f32> = (0..600).map(|t| mouth(f64::from(t))).collect();
    for late in [-7.0, -1.5, 0.0, 0.3, 2.0, 4.7, 10.0] {
        let late_mouth: Vec<f32> = (0..600).map(|t| 0.3 * mouth(f64::from(t) - late) + 5.0).collect();
        let found = best_offset(&late_mouth, &reference, 10).unwrap().unwrap();
        assert!((found.frames - late).abs() < 0.06, "{late}: {found:?}");
        assert_eq!(found.at_edge, late == 10.0);
        // Half a frame costs the fastest wave a tenth of its correlation.
        assert!(found.correlation > 0.9);
        // Mirrored when the roles are.
        let mirrored = best_offset(&reference, &late_mouth, 10).unwrap().unwrap();
        assert!((mirrored.frames + late).abs() < 0.06);
    }
    assert_eq!(best_offset(&[1.0; 100], &reference[..100], 10).unwrap(), None);
}

#[test]
fn a_mouth_that_follows_the_voice_scores_and_one_that_does_not_does_not() {
    let mut speech = Speech::new(0.0005);
    speech.silence(1.5);
    for i in 0..12 {
        speech.voice(1.0 + 0.1 * f64::from(i % 4), 150.0, 120.0).silence(0.8);
    }
    let voice = Voice::analyse(&speech.audio).unwrap();
    let frames = voice.frames();
    let (loudness, speaking) = (voice.loudness_frames(frames), voice.speaking_frames(frames));
    let early: Vec<f32> = (0..frames).map(|t| 0.4 * loudness[(t + 2).min(frames - 1)]).collect();
    let sync = lip_sync(&early, FPS, &loudness, &speaking).unwrap();
    assert!((sync.offset.unwrap().frames + 2.0).abs() < 0.3, "{sync:?}");
    let following: Vec<f32> = loudness.iter().map(|x| 0.4 * x).collect();
    let sync = lip_sync(&following, FPS, &loudness, &speaking).unwrap();
    assert!(sync.whole.unwrap() > 0.999 && sync.speaking.unwrap() > 0.999, "{sync:?}");
    assert!(sync.silence.unwrap().opening_ratio < 0.02, "{sync:?}");

    // Open whenever there is sound, without following it: good over the whole, nothing while speaking.
    let mut noise = Noise(9);
    let gate: Vec<f32> =
        speaking.iter().map(|&s| if s { 0.4 + 0.05 * noise.normal() as f32 } else { 0.0 }).collect();
    let sync = lip_sync(&gate, FPS, &loudness, &speaking).unwrap();
    assert!(sync.whole.unwrap() > 0.8 && sync.speaking.unwrap().abs() < 0.25, "{sync:?}");
    // Any gain and rest opening give the same correlations.
    let moved: Vec<f32> = gate.iter().map(|x| 3.0 * x + 0.2).collect();
    let again = lip_sync(&moved, FPS, &loudness, &speaking).unwrap();
    assert!((again.speaking.unwrap() - sync.speaking.unwrap()).abs() < 1e-4);
    // The spread tells the gain.
    let [wide, plain] = [again, sync].map(|sync| sync.spread.unwrap());
    assert!((wide / plain - 3.0).abs() < 1e-4 && (0.04..0.06).contains(&plain), "{wide} {plain}");
}

#[test]
fn closures_are_counted_where_they_are_due() {
    // Open at 0.5 but for closures; 20 bilabials of 80 ms, every fourth missed, two just beside their interval.
    let mut opening = vec![0.5_f32; 1000];
    let mut phonemes = Vec::new();
    for i in 0..20 {
        let start = 30 + 45 * i;
        phonemes.push(PhonemeInterval { start_s: start as f64 / FPS, end_s: (start + 2) as f64 / FPS });
        if i % 4 != 0 {
            opening[start] = 0.03;
        }
    }
    opening[30 + 45 * 4 + 2] = 0.0;
    opening[30 + 45 * 8 - 1] = 0.0;
    let speaking = vec![true; 1000];
    let recall = |margin, at| closure_recall(&opening, FPS, &speaking, &phonemes, margin, at).unwrap();
    let exact = recall(0, ClosedAt::default());
    assert_eq!((exact.due, exact.closed), (20, 15));
    assert_eq!(exact.recall(), Some(0.75));
    assert_eq!(recall(1, ClosedAt::default()).closed, 17);
    assert_eq!(recall(1, ClosedAt::Opening(0.01)).closed, 2);
    assert!((exact.elsewhere.unwrap() - 2.0 / 960.0).abs() < 1e-9, "{exact:?}");
    // Phonemes past the end are not due.
    let late = [PhonemeInterval { start_s: 50.0, end_s: 51.0 }];
    let none = closure_recall(&opening, FPS, &speaking, &late, 1, ClosedAt::default()).unwrap();
    assert_eq!((none.due, none.recall()), (0, None));
}

#[test]
fn the_mouth_in_silence_is_compared_with_speech() {
    let speaking: Vec<bool> = (0..500).map(|t| (100..300).contains(&t)).collect();
    let opening: Vec<f32> = (0..500)
        .map(|t| match t {
            100..300 => 0.3 + 0.1 * ((t % 2) as f32 * 2.0 - 1.0),
            95..100 | 300..305 => 0.2, // within 200 ms of speech: not counted
            _ => 0.03 + 0.01 * ((t % 2) as f32 * 2.0 - 1.0),
        })
        .collect();
    let mouth = silent_mouth(&opening, FPS, &speaking, 0.2).unwrap().unwrap();
    assert!((mouth.speech_opening - 0.3).abs() < 1e-6);
    assert!(
        (mouth.opening_ratio - 0.1).abs() < 1e-3 && (mouth.variation_ratio - 0.1).abs() < 1e-3,
        "{mouth:?}"
    );
    assert_eq!(mouth.silent_frames, 290);
    assert_eq!(silent_mouth(&opening, FPS, &[true; 500], 0.2).unwrap(), None);
    assert_eq!(silent_mouth(&[0.0; 500], FPS, &speaking, 0.2).unwrap(), None);
}

#[test]
fn bad_input_is_refused() {
    let error = best_offset(&[0.0; 50], &[0.0; 49], 10).unwrap_err();
    assert_eq!(error.to_string(), "curves: expected 50 frames in both, got 49");
    assert!(best_offset(&[0.0; 39], &[0.0; 39], 10).is_err());
    let mut bad = [0.0; 50];
    bad[3] = f32::NAN;
    assert_eq!(
        best_offset(&[0.0; 50], &bad, 10).unwrap_err().to_string(),
        "second curve: number 3 is NaN: not finite"
    );
    assert!(correlation(&[0.0; 50], &[0.0; 50], Some(&[true; 2])).is_err());
    assert!(silent_mouth(&bad, FPS, &[true; 50], 0.2).is_err());
    assert!(silent_mouth(&[0.0; 50], FPS, &[true; 50], f64::NAN).is_err());
    for (start_s, end_s) in [(1.0, 0.5), (f64::NAN, 1.0), (-1.0, 1.0), (0.0, f64::INFINITY)] {
        let phoneme = [PhonemeInterval { start_s, end_s }];
        assert!(closure_recall(&[0.0; 50], FPS, &[true; 50], &phoneme, 1, ClosedAt::default()).is_err());
    }
}
